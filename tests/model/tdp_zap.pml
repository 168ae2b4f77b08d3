/*
 * mmu/tdp.c against mmu/tdp_zap.c: vCPUs fault entries in by compare-and-exchange under the shared
 * lock while one CPU adds and deletes the slot under the exclusive lock, with frozen entries, flush
 * and freeing of the unlinked table. One gfn: a link in the root, a leaf in one of two tables.
 * Proves: a CPU in the guest never uses a translation of memory that the guest has lost, never walks
 * a table that is free, and nothing is linked twice or left behind; nobody waits for ever.
 *
 * wrong: LOOK_THEN_LINK    a fault looks whether a table is linked, and links its own in another step
 * wrong: NO_FLUSH          the zap flushes nothing
 * wrong: FREED_EARLY       the unlinked table is free before the flush
 * wrong: NOT_BARRED        the zap does not bar the lock
 * wrong: LEFT_LINKED       the table stays linked until the flush is over
 */
#define VCPUS 2
#define EMPTY 0
#define LEAF 1
#define FROZEN 2

#define FREE 0
#define LINKED 1
#define DOOMED 2

bool inside[VCPUS], barred;  /* the lock: rwlock.pml */
bool slot;                   /* the published set has the slot */
bool ours;                   /* the memory behind it is the guest's */
byte link;                   /* root entry: 0 empty, else 1 + table */
byte leaf[VCPUS];            /* the entry for the gfn in each table; table n is vCPU n's spare */
byte state[VCPUS];           /* FREE: a spare, or in the pool */

bool in_guest[VCPUS], flush_wanted[VCPUS];
bool tlb[VCPUS];             /* a translation is cached */
byte upper[VCPUS];           /* the root entry is cached (paging-structure cache): 1 + table */
byte changes;

inline flush_own(me)
{
	tlb[me] = false;
	upper[me] = 0;
	flush_wanted[me] = false
}

/* The CPU in non-root mode: accesses and page walks until it must fault or is interrupted. */
inline run_guest(me)
{
	in_guest[me] = true;   /* exchange: before the request is looked at */
	do
	:: flush_wanted[me] -> break
	:: !flush_wanted[me] && tlb[me] -> assert(ours); done = true; break
	:: !flush_wanted[me] && !tlb[me] && upper[me] == 0 ->
		if
		:: link == 0 -> break
		:: link != 0 -> upper[me] = link
		fi
	:: !flush_wanted[me] && !tlb[me] && upper[me] != 0 ->
		assert(state[upper[me] - 1] != FREE);
		if
		:: leaf[upper[me] - 1] == LEAF -> tlb[me] = true
		:: else -> upper[me] = 0; break /* a violation drops what was cached for the address */
		fi
	od;
	in_guest[me] = false
}

/* mmu_fault(): entries change by compare-and-exchange alone. */
inline fault(me)
{
	do
	:: inside[me] = true;
		if
		:: barred -> inside[me] = false; !barred
		:: else -> break
		fi
	od;
	if
	:: slot ->
		t = link;
		if
		:: t == 0 && state[me] == FREE ->
			state[me] = LINKED;
			if
#ifdef LOOK_THEN_LINK
			:: link == 0 -> link = me + 1; t = me + 1
#else
			:: atomic { link == 0 -> link = me + 1 }; t = me + 1
#endif
			:: atomic { link != 0 -> t = link }; state[me] = FREE /* lost: the spare is still empty */
			fi
		:: else
		fi;
		if
		:: t != 0 ->
			assert(state[t - 1] == LINKED);
			if
			:: atomic { leaf[t - 1] == EMPTY -> leaf[t - 1] = LEAF }
			:: atomic { leaf[t - 1] != EMPTY -> skip }
			fi
		:: else
		fi
	:: else
	fi;
	inside[me] = false
}

active [VCPUS] proctype vcpu()
{
	byte t, rounds = 0;
	bool done;

	do
	:: rounds < 3 ->
		done = false;
		if
		:: flush_wanted[_pid] -> flush_own(_pid)
		:: else
		fi;
		run_guest(_pid);
		if
		:: !done && !flush_wanted[_pid] -> fault(_pid)
		:: else
		fi;
		rounds++
	:: else -> break
	od
}

/* A request to every CPU; those in the guest are interrupted and waited for, the rest flush before entry. */
inline flush_all()
{
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
}

inline zap()
{
	if
	:: link != 0 ->
		z = link;
#ifndef LEFT_LINKED
		link = 0;
#endif
		assert(leaf[z - 1] != FROZEN);
		leaf[z - 1] = FROZEN;
		state[z - 1] = DOOMED;
#ifdef FREED_EARLY
		state[z - 1] = FREE;
#endif
#ifndef NO_FLUSH
		flush_all();
#endif
#ifdef LEFT_LINKED
		link = 0;
#endif
		leaf[z - 1] = EMPTY;
		state[z - 1] = FREE
	:: else
	fi
}

active proctype changer()
{
	byte r, z;

	do
	:: changes < 3 ->
#ifndef NOT_BARRED
		barred = true;
#endif
		r = 0;
		do
		:: r < VCPUS -> !inside[r]; r++
		:: else -> break
		od;
		/* A table that lost the race for the link is not linked. */
		assert((state[0] != LINKED || link == 1) && (state[1] != LINKED || link == 2));
		if
		:: slot -> slot = false; zap()
		:: else -> ours = true; slot = true
		fi;
		assert(slot || link == 0);
		barred = false;
		if
		:: !slot -> ours = false /* mmu_slot_delete() has returned: the memory gets another owner */
		:: else
		fi;
		changes++
	:: else -> break
	od
}
