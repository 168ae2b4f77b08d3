/*
 * mmu/transition.c: one entry of a mirror and its twin in the external table. vCPUs install under the
 * shared lock: freeze by compare-and-exchange, the external step, publish, or on busy the old value. One
 * CPU removes under the exclusive lock: freeze, BLOCK, TRACK, kick, REMOVE, publish; on busy it bars
 * entry, kicks and tries again. The vCPUs run the guest between, with a TLB that only a new epoch empties.
 * Proves: the external step of one vCPU never meets another's; the external table refuses nothing; a page
 * is removed only when no running vCPU can know it; at rest both tables say the same; the second try is
 * never busy; nobody waits for ever.
 *
 * wrong: NOT_FROZEN        a vCPU takes the external step without freezing the entry
 * wrong: FROZEN_UNSEEN     a frozen entry is taken for an empty one
 * wrong: BUSY_PUBLISHED    after busy the new value is published all the same
 * wrong: BUSY_FROZEN       after busy the entry stays frozen
 * wrong: NO_TRACK          removal goes on without TRACK
 * wrong: NO_KICK           nobody is kicked after TRACK
 * wrong: NO_BAR            vCPUs may come back before the second try
 * wrong: STAYS_BARRED      entry stays barred after it
 * wrong: SHARED_REMOVAL    removal does not wait for the vCPUs that install
 */
#define VCPUS 2
#define ROUNDS 2

#define EMPTY 0
#define FROZEN 1
#define LEAF 2

#define FREE 0
#define MAPPED 1
#define BLOCKED 2

bool inside[VCPUS], barred;  /* the lock: rwlock.pml */
byte entry, external;
bool private = true;         /* the attribute: else nothing may be mapped */

byte epoch = 1, blocked_in;
bool no_entry;               /* vCPUs may not enter the guest */
bool in_guest[VCPUS], kicked[VCPUS], tlb[VCPUS];
byte epoch_of[VCPUS];        /* of its last entry */
byte changes;

inline enter_guest(me)
{
	atomic {
		!no_entry ->
		if
		:: epoch_of[me] != epoch -> tlb[me] = false
		:: else
		fi;
		epoch_of[me] = epoch;
		in_guest[me] = true
	}
}

/* Accesses, until one is not translated or the vCPU is kicked out. */
inline run_guest(me)
{
	do
	:: kicked[me] -> break
	:: !kicked[me] && tlb[me] -> assert(external != FREE); done = true; break
	:: !kicked[me] && !tlb[me] ->
		if
		:: atomic { external == MAPPED -> tlb[me] = true }
		:: external != MAPPED -> break
		fi
	od;
	atomic { in_guest[me] = false; kicked[me] = false }
}

/* mirror_map(), transition_install(). */
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
	:: private ->
		if
#if defined(NOT_FROZEN)
		:: entry == EMPTY ->
#elif defined(FROZEN_UNSEEN)
		:: atomic { entry == EMPTY || entry == FROZEN -> entry = FROZEN };
#else
		:: atomic { entry == EMPTY -> entry = FROZEN };
#endif
			if
#if defined(BUSY_PUBLISHED)
			:: entry = LEAF
#elif defined(BUSY_FROZEN)
			:: skip
#else
			:: entry = EMPTY /* busy: retried */
#endif
			:: assert(external == FREE);
				external = MAPPED;
#ifndef NOT_FROZEN
				assert(entry == FROZEN);
#endif
				entry = LEAF
			fi
		:: atomic { entry != EMPTY -> skip } /* there already, or frozen: retried */
		fi
	:: else
	fi;
	inside[me] = false
}

active [VCPUS] proctype vcpu()
{
	byte rounds = 0;
	bool done;

	do
	:: rounds < 3 ->
		done = false;
		enter_guest(_pid);
		run_guest(_pid);
		if
		:: !done -> fault(_pid)
		:: else
		fi;
		rounds++
	:: else -> break
	od
}

inline kick_all()
{
	r = 0;
	do
	:: r < VCPUS -> atomic { kicked[r] = in_guest[r]; r++ }
	:: else -> break
	od;
	r = 0;
	do
	:: r < VCPUS -> !kicked[r]; r++
	:: else -> break
	od
}

/* After a first busy. */
inline alone()
{
#ifndef NO_BAR
	no_entry = true;
#endif
	kick_all();
	assert(!in_guest[0] && !in_guest[1])
}

#define IS_OLD(r) (in_guest[r] && epoch_of[r] != epoch)

inline remove()
{
	/* BLOCK is busy at will, as long as a vCPU may be at work on the entry. */
	if
	:: in_guest[0] || in_guest[1] -> alone()
	:: skip
	fi;
	assert(external == MAPPED);
	atomic { external = BLOCKED; blocked_in = epoch };
#ifndef STAYS_BARRED
	no_entry = false;
#endif
	/* TRACK is refused while a vCPU of an epoch before this one is inside. */
	if
#ifdef NO_TRACK
	:: skip
#endif
	:: atomic { !IS_OLD(0) && !IS_OLD(1) -> epoch++ }
	:: IS_OLD(0) || IS_OLD(1) ->
		alone();
		atomic { assert(!IS_OLD(0) && !IS_OLD(1)); epoch++ };
#ifndef STAYS_BARRED
		no_entry = false
#endif
	fi;
#ifndef NO_KICK
	kick_all();
#endif
	atomic {
		assert(blocked_in < epoch && !IS_OLD(0) && !IS_OLD(1)); /* tracked */
		assert(!(in_guest[0] && tlb[0]) && !(in_guest[1] && tlb[1]));
		external = FREE
	}
	entry = EMPTY
}

active proctype changer()
{
	byte r;

	do
	:: changes < ROUNDS ->
		barred = true;
		r = 0;
#ifndef SHARED_REMOVAL
		do
		:: r < VCPUS -> !inside[r]; r++
		:: else -> break
		od;
#endif
		assert(entry != FROZEN && (entry == LEAF) == (external == MAPPED));
		if
		:: private && entry == LEAF -> entry = FROZEN; remove()
		:: else
		fi;
		private = !private;
		assert(private || external == FREE);
		assert(entry != FROZEN && (entry == LEAF) == (external == MAPPED));
		barred = false;
		changes++
	:: else -> break
	od
}
