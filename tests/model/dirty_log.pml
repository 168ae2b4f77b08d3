/*
 * mmu/dirty.c: vCPUs write to one page while another CPU fetches the log and copies what it names. Under
 * write protection the right is given back under the shared lock (mmu/tdp_grant.c), under PML the CPU
 * sets the dirty flag and notes the page in the vCPU's buffer; the fetch takes it away again under the
 * exclusive lock, flushes, and only then is the page copied.
 * Proves: after a last fetch with the vCPUs stopped the copy is the page, so no write was ever lost; a
 * fetch ends.
 *
 * wrong: UNMARKED          the right is given back and the page is not put into the log
 * wrong: UNPROTECTED       a fetch leaves the right, or the flag, as it is
 * wrong: NO_FLUSH          a fetch flushes nothing
 * wrong: COPIED_EARLY      the page is copied before the flush
 * wrong: KEPT              a vCPU that is switched out keeps what its CPU has noted
 */
#define VCPUS 2

bool pml, chosen;
bool inside[VCPUS], barred; /* the lock: rwlock.pml */
bool right, flag;           /* the entry: write permission, dirty */
bool marked;                /* the log's bit */
byte page, copy;

bool in_guest[VCPUS], flush_wanted[VCPUS], drain_wanted[VCPUS];
bool tlb[VCPUS];            /* a translation by which the CPU writes and asks nobody */
bool buffer[VCPUS];         /* the CPU has noted the page */
byte stopped;

inline enter(me)
{
	do
	:: inside[me] = true;
		if
		:: barred -> inside[me] = false; !barred
		:: else -> break
		fi
	od
}

/* In the guest: a write goes through at once, or after a walk, or faults. */
inline run_guest(me)
{
	in_guest[me] = true;
	do
	:: flush_wanted[me] || drain_wanted[me] -> break
	:: !flush_wanted[me] && !drain_wanted[me] && tlb[me] -> page++; done = true; break
	:: !flush_wanted[me] && !drain_wanted[me] && !tlb[me] && !pml && right -> tlb[me] = true
	:: !flush_wanted[me] && !drain_wanted[me] && !tlb[me] && !pml && !right -> break
	:: !flush_wanted[me] && !drain_wanted[me] && !tlb[me] && pml ->
		atomic { if :: !flag -> flag = true; buffer[me] = true :: else fi };
		tlb[me] = true
	od;
	in_guest[me] = false
}

inline fault(me)
{
	enter(me);
	right = true;
#ifndef UNMARKED
	marked = true;
#endif
	inside[me] = false
}

inline drain(me)
{
	enter(me);
	if
	:: buffer[me] -> marked = true; buffer[me] = false
	:: else
	fi;
	inside[me] = false;
	drain_wanted[me] = false
}

active [VCPUS] proctype vcpu()
{
	byte rounds = 0;
	bool done;

	chosen;
	do
	:: rounds < 2 ->
		done = false;
		if
		:: flush_wanted[_pid] -> tlb[_pid] = false; flush_wanted[_pid] = false
		:: else
		fi;
		if
		:: drain_wanted[_pid] -> drain(_pid)
		:: else
		fi;
		run_guest(_pid);
		if
		:: !pml && !done && !flush_wanted[_pid] -> fault(_pid)
		:: else
		fi;
		rounds++
	:: else -> break
	od;
#ifndef KEPT
	drain(_pid); /* its context is switched out */
#endif
	atomic { stopped++ };
	do /* it runs no more, but still answers */
	:: drain_wanted[_pid] -> drain_wanted[_pid] = false
	:: flush_wanted[_pid] -> tlb[_pid] = false; flush_wanted[_pid] = false
	:: timeout -> break
	od
}

inline fetch()
{
	if
	:: pml ->
		r = 0;
		do
		:: r < VCPUS -> drain_wanted[r] = true; !drain_wanted[r]; r++
		:: else -> break
		od
	:: else
	fi;
	barred = true;
	r = 0;
	do
	:: r < VCPUS -> !inside[r]; r++
	:: else -> break
	od;
	was = marked;
	marked = false;
	if
	:: was ->
#ifndef UNPROTECTED
		if
		:: pml -> flag = false
		:: else -> right = false
		fi;
#endif
#ifdef COPIED_EARLY
		copy = page;
#endif
#ifndef NO_FLUSH
		r = 0;
		do
		:: r < VCPUS -> flush_wanted[r] = true; r++
		:: else -> break
		od;
		r = 0;
		do
		:: r < VCPUS -> !(in_guest[r] && flush_wanted[r]); r++
		:: else -> break
		od
#endif
	:: else
	fi;
	barred = false;
	if
#ifdef COPIED_EARLY
	:: was -> skip
#else
	:: was -> copy = page
#endif
	:: else
	fi
}

active proctype fetcher()
{
	byte r, rounds = 0;
	bool was;

	if
	:: pml = true
	:: pml = false
	fi;
	chosen = true;
	do
	:: rounds < 2 -> fetch(); rounds++
	:: else -> break
	od;
	stopped == VCPUS;
	fetch();
	assert(copy == page)
}
