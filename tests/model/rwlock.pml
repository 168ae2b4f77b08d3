/*
 * hv/base/rwlock.h: readers with a flag each, writers that bar entry and wait for the flags.
 * The exchanges are full barriers, so their effect and the load that follows are in order; a reader's
 * store on leaving may linger in the store buffer (left[]), which can only make a writer wait longer.
 * Proves: a writer is alone; nobody waits for ever once the others have left (no invalid end state).
 *
 * wrong: LOOK_FIRST        a reader looks for a writer, then raises its flag
 * wrong: FLAG_LATE         its flag is raised by a plain store, which may be seen later
 * wrong: BAR_LATE          a writer looks at the flags, then bars entry
 * wrong: MANY_WRITERS      writers do not exclude each other
 */
#define READERS 2
#define WRITERS 2

bool inside[READERS]; /* what other CPUs see of the flag */
bool barred;
bool writers;         /* the spin lock among writers */
byte reading, writing;

active [READERS] proctype reader()
{
	byte rounds = 0;

	do
	:: rounds < 2 ->
retry:
#if defined(LOOK_FIRST)
		!barred;
		inside[_pid] = true;
#elif defined(FLAG_LATE)
		!barred;
#else
		inside[_pid] = true;  /* exchange */
		if
		:: barred ->
			inside[_pid] = false;
			!barred;      /* spins */
			goto retry
		:: else
		fi;
#endif
		reading++;
#ifdef FLAG_LATE
		inside[_pid] = true;
#endif
		assert(writing == 0);
		reading--;            /* the last access inside */
		skip;                 /* the store is still in the buffer */
		inside[_pid] = false;
		rounds++
	:: else -> break
	od
}

active [WRITERS] proctype writer()
{
	byte r;

#ifndef MANY_WRITERS
	atomic { !writers -> writers = true };
#endif
#ifndef BAR_LATE
	barred = true;                /* exchange */
#endif
	r = 0;
	do
	:: r < READERS -> !inside[r]; r++
	:: else -> break
	od;
#ifdef BAR_LATE
	barred = true;
#endif
	writing++;
	assert(writing == 1 && reading == 0);
	skip;
	assert(writing == 1 && reading == 0);
	writing--;
	barred = false;
	writers = false
}
