/*
 * The kick protocol of hv/vm.h and hv/sched.c: two senders, one owner that runs its guest, halts
 * and blocks. Claim: a request never stays unseen while the owner is in the guest or idle.
 *
 * Sender:  old = fetch_or(requests, bit); if old == 0: woken = 1; interrupt the CPU.
 * Owner:   takes all requests with one exchange; interrupts are off outside guest and hlt, so an
 *          interrupt sent after the look stays pending and ends the guest's run or the hlt at once.
 */
#define SENDERS 2

byte requests = 0;   /* one bit per sender */
bit woken = 0;
bit irq = 0;         /* pending in the owner's local APIC */
byte seen = 0;       /* requests the owner has taken, ever */
byte sent = 0;
bit in_guest = 0;
bit asleep = 0;
byte finished = 0;

proctype sender(byte bit_no)
{
	byte old;

	atomic { old = requests; requests = requests | (1 << bit_no); sent = sent | (1 << bit_no) }
	if
	:: old == 0 -> woken = 1; irq = 1
	:: else -> skip
	fi;
	finished++
}

inline take()
{
	atomic { seen = seen | requests; requests = 0 }
}

active proctype owner()
{
	do
	:: /* run loop: look, then enter with interrupts off until guest mode */
	   if
	   :: requests != 0 -> take()
	   :: else -> skip
	   fi;
	   if
	   :: in_guest = 1; /* VM entry; leaves only by interrupt */
	      irq == 1;
	      atomic { irq = 0; in_guest = 0 }
	   :: /* halted: sched_block */
	      if
	      :: requests != 0 -> skip
	      :: else ->
	         if
	         :: woken == 1 -> woken = 0
	         :: else ->
	            /* idle: sti; hlt */
	            asleep = 1;
	            irq == 1;
	            atomic { irq = 0; asleep = 0 };
	            /* the scheduler looks at woken when it picks */
	            if
	            :: woken == 1 -> woken = 0
	            :: else -> skip
	            fi
	         fi
	      fi
	   fi
	od
}

init { atomic { run sender(0); run sender(1) } }

/* Once all senders are done, nothing is left behind: a request that is pending while the owner is
 * away always comes with an interrupt that will bring it back. */
#define away (in_guest == 1 || asleep == 1)
ltl no_lost_kick { [] ((requests != 0 && away && finished == SENDERS) -> irq == 1) }
ltl all_seen { <> (sent == 3) -> <> (seen == 3) }
