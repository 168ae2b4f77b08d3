/*
 * A debugger's hold on a vCPU (hv/debug.c): the monitor, the vCPU, and another vCPU that has hit a breakpoint, after
 * which all are to stop, or that makes a request of its own. Claims: where the monitor sees the vCPU held, that is out
 * of the guest and its registers are those that were copied; what the monitor makes of them is what it goes on with;
 * it touches nothing of the debugger's once that is gone; nobody is left waiting.
 *
 * wrong: TWO_WORDS   one word to ask and one to answer, of which the monitor clears first the one, then the other
 * wrong: EARLY       the vCPU answers before it has copied its registers
 * wrong: COPY_TWICE  and copies them again when it is asked again before it has gone on
 */
#define GOING 0
#define ASKED 1
#define HELD 2

byte hold = GOING;
bit answered = 0;  /* TWO_WORDS: hold is GOING or ASKED only, and this the other word */
bit out = 0, leave = 0;
bit attached = 1, freed = 0;
bit request = 0;   /* with a wake-up and an interrupt: ends the guest's run or the vCPU's sleep */
bit inside = 0;
bit hits = 0, other_held = 0;
byte real = 0, copy = 0;
byte truth = 0;    /* the registers that the vCPU has or is to go on with */

#ifdef TWO_WORDS
#define IS_HELD (answered)
#else
#define IS_HELD (hold == HELD)
#endif

inline ask()
{
	if
	:: atomic { hold == GOING -> hold = ASKED }; request = 1
	:: hold != GOING -> skip
	fi
}

inline answer()
{
#ifdef TWO_WORDS
	answered = 1
#else
	hold = HELD
#endif
}

inline let_go()
{
#ifdef TWO_WORDS
	answered = 0;
#endif
	hold = GOING;
	request = 1
}

inline enter_hold()
{
#ifdef EARLY
	answer();
#endif
#ifdef COPY_TWICE
	copy = real;
	out = 1;
#else
	if
	:: out == 0 -> copy = real; out = 1
	:: else -> skip
	fi;
#endif
	answer()
}

active proctype vcpu()
{
	byte seen;

look:
	request = 0;
	assert(!freed);
	seen = hold;
	if
	:: seen == GOING ->
		if
		:: out == 1 ->
			real = copy;
			out = 0;
			if
			:: leave == 1 -> attached = 0; goto done
			:: else -> skip
			fi
		:: else -> skip
		fi
	:: seen == ASKED && !IS_HELD -> enter_hold(); goto sleep
	:: else -> goto sleep
	fi;
	/* in the guest, whose registers change, until a request comes or it hits a breakpoint */
	inside = 1;
	assert(real == truth);
	atomic { real = (real + 1) % 8; truth = real }
	if
	:: request == 1 -> inside = 0
	:: inside = 0; ask(); request = 1
	fi;
	goto look;
sleep:
	request == 1;
	goto look;
done:
	skip
}

active proctype other()
{
	byte n;

	for (n : 1 .. 3) {
		if
		:: atomic { other_held == 0 -> hits = 1 }; ask(); hits = 0
		:: request = 1
		:: skip
		fi
	}
}

inline await_and_change()
{
	atomic { IS_HELD && !hits -> other_held = 1 }
	assert(!inside && out && copy == truth);
	atomic { copy = 7 - copy; truth = copy }
}

active proctype monitor()
{
	byte n;

	ask();
	for (n : 1 .. 3) {
		await_and_change();
		let_go();
		other_held = 0;
		ask()
	}
	await_and_change();
	leave = 1;
	let_go();
	attached == 0;
	freed = 1
}
