/*
 * vmx/pml.c: the log is switched on while vCPUs run, is fetched while they write, run and leave their run
 * loops, and is switched off. A fetch asks a vCPU for its buffer only while log_round says that there may
 * be something in it. What becomes of what was handed over is dirty_log.pml's.
 * Proves: what was written before a fetch is in its result or in an earlier one, a vCPU outside of its run loop
 * keeps nothing to itself, and neither side waits for ever.
 *
 * wrong: ROUND_FIRST       a vCPU that ends a round says so before it has handed over
 * wrong: KEPT              it leaves its run loop with what the CPU has noted
 * wrong: UNASKED           a fetch does not ask vCPUs that run
 * wrong: UNCLEARED         the flag stays set after a fetch
 * wrong: LOGS_LATE         a vCPU that is to log goes on as before
 */
#define VCPUS 1 /* what vCPUs have to do with each other is dirty_log.pml's */

bool wanted;
byte round[VCPUS];
bool in_guest[VCPUS];                    /* run_seq is odd */
bool log_asked[VCPUS], flush_asked[VCPUS];
bool logging[VCPUS];
bool tlb[VCPUS];                         /* a translation by which the CPU writes without a look at the entry */
bool buffer[VCPUS];                      /* the CPU has noted the page */
bool flag = true;                        /* of the entry: dirty, as before the log started */
bool barred, marked;
byte page, copy, stopped;

/* mmu_pml_drain() */
inline hand_over(me)
{
	if
	:: buffer[me] -> atomic { !barred -> marked = true }; buffer[me] = false
	:: else
	fi
}

inline begin(me)
{
	if
	:: logging[me] -> round[me]++
	:: else
	fi
}

inline end(me)
{
	if
#if defined(ROUND_FIRST)
	:: logging[me] -> round[me]++; hand_over(me)
#elif defined(KEPT)
	:: logging[me] -> round[me]++
#else
	:: logging[me] -> hand_over(me); round[me]++
#endif
	:: else
	fi
}

inline take_requests(me)
{
	if
	:: flush_asked[me] -> flush_asked[me] = false; tlb[me] = false
	:: else
	fi;
	if
	:: log_asked[me] -> log_asked[me] = false; end(me);
#ifndef LOGS_LATE
		logging[me] = wanted;
#endif
		begin(me)
	:: else
	fi
}

/* One write, if nobody wants the vCPU out before. */
inline run_guest(me)
{
	do
	:: log_asked[me] || flush_asked[me] -> break
	:: tlb[me] -> page++; break
	:: atomic {
		!tlb[me] ->
		if
		:: !flag -> flag = true; buffer[me] = logging[me]
		:: else
		fi;
		tlb[me] = true
	   }
	od
}

active [VCPUS] proctype vcpu()
{
	byte runs = 0, entries = 0;

	do
	:: runs < 2 ->
		begin(_pid);
		do
		:: entries < 4 ->
			in_guest[_pid] = true;
			if
			:: !log_asked[_pid] && !flush_asked[_pid] -> run_guest(_pid); entries++
			:: else
			fi;
			in_guest[_pid] = false;
			take_requests(_pid)
		:: break
		od;
		end(_pid);
		assert(!buffer[_pid] && !(round[_pid] & 1));
		runs++
	:: else -> break
	od;
	stopped++
}

inline wait_outside()
{
	r = 0;
	do
	:: r < VCPUS -> !(in_guest[r] && (flush_asked[r] || log_asked[r])); r++
	:: else -> break
	od
}

inline ask_for_log()
{
	r = 0;
	do
	:: r < VCPUS -> log_asked[r] = true; r++
	:: else -> break
	od
}

inline ask_for_flush()
{
	r = 0;
	do
	:: r < VCPUS -> flush_asked[r] = true; r++
	:: else -> break
	od
}

inline clear_flag()
{
	flag = false;
	ask_for_flush();
	wait_outside()
}

inline start()
{
	wanted = true;
	ask_for_log();
	wait_outside();
	barred = true;
	clear_flag();
	barred = false;
	copy = page
}

inline sync()
{
	v = 0;
	do
	:: v < VCPUS ->
		seen = round[v];
		if
#ifndef UNASKED
		:: seen & 1 -> log_asked[v] = true; round[v] != seen
#endif
		:: else
		fi;
		v++
	:: else -> break
	od
}

inline fetch()
{
	before = page;
	sync();
	barred = true;
	was = marked;
	marked = false;
	if
#ifndef UNCLEARED
	:: was -> clear_flag()
#endif
	:: else
	fi;
	barred = false;
	if
	:: was -> copy = page
	:: else
	fi;
	assert(copy >= before)
}

active proctype fetcher()
{
	byte r, v, seen, before;
	bool was;

	start();
	fetch();
	stopped == VCPUS;
	fetch();
	wanted = false;
	ask_for_log();
	wait_outside()
}
