/*
 * tdx/soft/track.c and vp_enter.c: a page of a running TD is taken by BLOCK, TRACK and REMOVE, while two vCPUs
 * enter, walk, use what they know, and leave as they like, and another CPU of the host makes TRACKs of its
 * own. A walk is a read of the entry and, later, a translation known; what a vCPU knows it loses only by
 * entering in another epoch.
 * Proves: no vCPU uses the page after REMOVE, and none inside the TD even knows it.
 *
 * Each line "wrong" below is a version that must be seen to be wrong.
 * wrong: EPOCH_FIRST       BLOCK notes the epoch before the entry is seen blocked
 * wrong: NO_PREVIOUS       TRACK does not look at the vCPUs of the previous epoch
 * wrong: NO_COUNT          REMOVE asks for a newer epoch, not whether vCPUs of the old one are left
 * wrong: SAME_EPOCH        REMOVE is content with the epoch of the BLOCK
 * wrong: COUNT_LATE        VP.ENTER counts itself in after it has let go of the epoch
 * wrong: NO_FLUSH          VP.ENTER keeps what the vCPU knew in an older epoch
 * wrong: CURRENT_COUNT     REMOVE looks at the count of the current epoch
 */
#define VCPUS 2
#define PAGES 2  /* how often the page is taken; another takes its place at once */
#define ENTRIES 2 /* of each vCPU */

byte mapped = 1;       /* the entry: number of the page, 0 when blocked or free */
byte owned = 1;        /* the page that is the TD's; 0 after REMOVE */
byte epoch = 1, blocked_in;
byte refcount[2];
byte epoch_sharers;    /* the epoch's lock */
bool epoch_alone;

byte vcpu_epoch[VCPUS];
bool in_guest[VCPUS];
byte tlb[VCPUS];       /* the page that the vCPU knows */

inline lock_epoch() { atomic { !epoch_alone -> epoch_sharers++ } }
inline unlock_epoch() { epoch_sharers-- }

inline enter(me)
{
	lock_epoch();
	seen = epoch;
#ifndef COUNT_LATE
	refcount[seen & 1]++;
	unlock_epoch();
#else
	unlock_epoch();
	refcount[seen & 1]++;
#endif
#ifndef NO_FLUSH
	if
	:: seen != vcpu_epoch[me] -> tlb[me] = 0
	:: else
	fi;
#endif
	atomic { vcpu_epoch[me] = seen; in_guest[me] = true }
}

inline leave(me)
{
	atomic { in_guest[me] = false; refcount[vcpu_epoch[me] & 1]-- }
}

active [VCPUS] proctype vcpu()
{
	byte entries, seen, walked;

	do
	:: entries < ENTRIES ->
		enter(_pid);
		do
		:: tlb[_pid] != 0 -> assert(tlb[_pid] == owned) /* an access */; break
		:: tlb[_pid] == 0 ->
			walked = mapped;
			if
			:: walked != 0 -> tlb[_pid] = walked
			:: else -> break
			fi
		:: break
		od;
		leave(_pid);
		entries++;
		walked = 0
	:: else -> break
	od
}

/* Refused, or a new epoch. */
inline track()
{
	if
	:: atomic { epoch_sharers == 0 && !epoch_alone -> epoch_alone = true };
		if
#ifdef NO_PREVIOUS
		:: true -> epoch++
#else
		:: refcount[(epoch + 1) & 1] == 0 -> epoch++
		:: else
#endif
		fi;
		epoch_alone = false
	:: epoch_sharers != 0 || epoch_alone /* busy */
	fi
}

/* The host's other CPU, at work on another page. */
active proctype other()
{
	byte tracks;

	do
	:: tracks < 1 -> track(); tracks++
	:: break
	od
}

inline block()
{
#ifdef EPOCH_FIRST
	blocked_in = epoch;
	mapped = 0
#else
	mapped = 0;
	blocked_in = epoch
#endif
}

/* track_is_done(): the epoch first, then the count. */
inline tracked(yes)
{
	now = epoch;
#ifdef SAME_EPOCH
	yes = blocked_in <= now && refcount[(blocked_in + 1) & 1] == 0
#else
#ifdef NO_COUNT
	yes = blocked_in < now
#else
#ifdef CURRENT_COUNT
	yes = blocked_in + 1 < now || (blocked_in + 1 == now && refcount[now & 1] == 0)
#else
	yes = blocked_in + 1 < now || (blocked_in + 1 == now && refcount[blocked_in & 1] == 0)
#endif
#endif
#endif
}

active proctype host()
{
	byte page = 1, now;
	bool yes;

	do
	:: page <= PAGES ->
		block();
		do
		:: tracked(yes);
			if
			:: yes -> break
			:: !yes -> track()
			fi
		od;
		atomic {
			assert(!(in_guest[0] && tlb[0] == page) && !(in_guest[1] && tlb[1] == page));
			owned = 0
		}
		page++;
		atomic { owned = page; mapped = page }
	:: else -> break
	od
}
