/*
 * Posted interrupts (vmx/apicv.c, vmx/run.c, hv/vcpu.c): two senders post vectors to vCPU A, which
 * shares its host CPU with vCPU B. Claim: a vector that A has not got never waits while nothing is on
 * its way that will bring it there.
 *
 * Sender:  sets its bit in PIR; when ON was 0, sets ON and looks at A's run_seq: odd: notification;
 *          even: request, wake-up and interrupt.
 * A:       makes run_seq odd with a full barrier, looks at requests, then enters. After an exit it
 *          stores an even number, without a barrier, and may go straight back in, give the CPU to B
 *          and later come by the long way, which looks at ON, or block, looking at ON after a barrier.
 * CPU:     a notification in guest mode puts the PIR of the vCPU that is inside into its IRR and clears
 *          its ON; in root mode it does nothing.
 */
#define SENDERS 2

byte pir = 0, irr = 0;
bit on = 0;
bit odd = 0;           /* run_seq as others see it */
bit store_pending = 0; /* A has stored an even number that others do not see yet */
bit request = 0, woken = 0;
bit notification = 0;  /* pending in the host CPU's local APIC */
bit kick = 0;          /* likewise */
bit inside = 0;        /* A is in the guest */
bit taking = 0;        /* and the CPU is between ON and PIR of a notification */
bit b_inside = 0;
bit blocked = 0;
byte finished = 0;

proctype sender(byte number)
{
	bit old;

	atomic { pir = pir | (1 << number) }
	atomic { old = on; on = 1 }
	if
	:: old == 0 ->
		if
		:: odd == 1 -> notification = 1
		:: else -> atomic { request = 1; woken = 1 }; kick = 1
		fi
	:: else -> skip
	fi;
	finished++
}

/* vlapic_sync_posted: ON first. */
inline sync()
{
	if
	:: on == 1 -> on = 0; atomic { irr = irr | pir; pir = 0 }
	:: else -> skip
	fi
}

inline barrier() { store_pending = 0; odd = 0 }

/* The store of an even number becomes seen at any time. */
active proctype store_buffer()
{
	do
	:: atomic { store_pending == 1 -> store_pending = 0; odd = 0 }
	od
}

/* prepare(): interrupts may be taken in root mode (sched_tick), then requests and ON are looked at. */
inline prepare()
{
	do
	:: atomic { store_pending = 0; odd = 1 } /* a locked instruction */
	   if
	   :: request == 1 ->
		atomic { store_pending = 1 }
		atomic { barrier(); request = 0 } /* an exchange */
		atomic { kick = 0; notification = 0 }; /* sti; nop; cli */
		sync()
	   :: else -> break
	   fi
	od;
	sync()
}

inline stay_inside()
{
	inside = 1;
	do
	:: atomic { notification == 1 -> notification = 0; on = 0; taking = 1 };
	   atomic { irr = irr | pir; pir = 0; taking = 0 }
	:: atomic { kick == 1 -> kick = 0; inside = 0; break } /* an external-interrupt exit */
	:: atomic { inside = 0; break }                        /* any other exit */
	od;
	store_pending = 1
}

active proctype owner()
{
long_way:
	prepare();
again:
	stay_inside();
	if
	:: /* the common exits: straight back, if nobody asked */
	   atomic { store_pending = 0; odd = 1 }
	   if
	   :: request == 0 -> goto again
	   :: else -> store_pending = 1; goto long_way
	   fi
	:: /* the slice is over: B has the CPU */
	   b_inside = 1;
	   do
	   :: atomic { notification == 1 -> notification = 0 } /* B's descriptor is empty */
	   :: atomic { kick == 1 -> kick = 0 }
	   :: b_inside = 0; break
	   od;
	   goto long_way
	:: /* HLT */
	   barrier();
	   sync();
	   if
	   :: irr != 0 || request == 1 -> irr = 0; goto long_way
	   :: else ->
		if
		:: woken == 1 -> woken = 0
		:: else ->
			blocked = 1;
			do
			:: atomic { notification == 1 -> notification = 0 } /* the host is idle, or B runs */
			:: atomic { woken == 1 -> woken = 0; blocked = 0; break }
			od
		fi;
		goto long_way
	   fi
	fi
}

init { atomic { run sender(0); run sender(1) } }

/* In the guest, a notification or a kick is on its way; blocked, a wake-up. */
ltl none_waits_inside { [] ((finished == SENDERS && pir != 0 && inside == 1 && taking == 0) -> (notification == 1 || kick == 1)) }
ltl none_waits_blocked { [] ((finished == SENDERS && pir != 0 && blocked == 1) -> woken == 1) }
