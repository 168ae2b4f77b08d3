/*
 * mmu/unsync.c: a guest page table that guests write without an exit, against the guest's flushes.
 * A fault marks the shadow page unsync, then makes the table writable; a flush write-protects the table, flushes
 * all TLBs, clears the mark and only then reads the entry. Faults and flushes hold the lock, guest stores do not.
 * The stores of a CPU reach memory in order but late (sb[]); an exit and a lock's exchange drain them.
 * Proves: when a guest's flush has ended, the shadow is no older than what that guest had stored before it; and
 * a table that is not unsync is written by nobody.
 *
 * wrong: WRITABLE_FIRST    a fault makes the table writable, then marks the page
 * wrong: UNMARKED          it does not mark the page
 * wrong: UNLOCKED          it does not take the lock
 * wrong: NO_FLUSH          a flush write-protects and leaves the TLBs as they are
 * wrong: READ_FIRST        a flush reads the entry, then the TLBs are flushed
 * wrong: STILL_WRITABLE    a flush does not write-protect the table
 */
#define CPUS 2
#define ROUNDS 2

mtype = { UNSYNC, WRITABLE, LOCKED, GPTE };

chan sb[CPUS] = [3] of { mtype, byte };
bool locked;
bool unsync, writable;    /* of the one shadow page, of the one mapping of its table */
bool tlb[CPUS];           /* the CPU remembers that mapping as writable */
byte gpte, shadow;        /* the number of the store that each comes from */
byte stored[CPUS];        /* each guest's last store, as numbered when it reached memory */

inline store(what, value) { sb[cpu]!what(value) }
inline drained() { empty(sb[cpu]) }
inline lock() { drained(); atomic { !locked -> locked = true } }
inline unlock() { store(LOCKED, 0) }

/* One CPU's store buffer: oldest first, whenever it likes. */
proctype buffer(byte cpu)
{
	mtype what;
	byte value;

end:	do
	:: atomic {
		sb[cpu]?what(value) ->
		if
		:: what == UNSYNC -> unsync = value
		:: what == WRITABLE -> writable = value
		:: what == LOCKED -> locked = value
		:: what == GPTE ->
			gpte++;
			stored[cpu] = gpte
		fi
	   }
	od
}

/* The flush callback: every other CPU exits, with its stores done, and forgets. */
inline flush_tlbs()
{
	other = 0;
	do
	:: other < CPUS ->
		atomic { other == cpu || empty(sb[other]) -> tlb[other] = false };
		other++
	:: else -> break
	od
}

inline fault()
{
#ifndef UNLOCKED
	lock();
#endif
#if defined(WRITABLE_FIRST)
	store(WRITABLE, true);
	store(UNSYNC, true);
#elif defined(UNMARKED)
	store(WRITABLE, true);
#else
	store(UNSYNC, true);
	store(WRITABLE, true);
#endif
#ifndef UNLOCKED
	unlock()
#endif
}

inline flush()
{
	drained(); /* the exit */
	before = stored[cpu];
	lock();
	if
	:: unsync ->
#ifndef STILL_WRITABLE
		writable = false;
#endif
#ifdef READ_FIRST
		shadow = gpte;
#endif
#ifndef NO_FLUSH
		flush_tlbs();
#endif
		unsync = false;
#ifndef READ_FIRST
		shadow = gpte
#endif
	:: else
	fi;
	assert(shadow >= before);
	unlock();
	drained()
}

proctype guest(byte cpu)
{
	byte round = 0, other, before;

	do
	:: round < ROUNDS ->
		round++;
		do
		:: atomic { tlb[cpu] && nfull(sb[cpu]) -> assert(unsync); store(GPTE, 0) }
			break
		:: atomic { !tlb[cpu] && writable -> tlb[cpu] = true }
		:: !tlb[cpu] && !writable -> fault()
		od;
		if
		:: flush()
		:: skip
		fi
	:: else -> break
	od;
	flush()
}

init {
	atomic {
		run buffer(0);
		run buffer(1);
		run guest(0);
		run guest(1)
	}
}
