/*
 * The wakeup mailbox (hv/guest/wakeup_loop.S): one kernel that starts CPUs one after the other, each with
 * a vector of its own, and CPUs that poll. Claims: a CPU goes where it was sent and only once, and all go:
 * nobody is left waiting in an end state.
 *
 * Kernel: id = n; vector = v(n); command = 1; wait for command == 0. x86 keeps stores in order, and loads
 * in order, so each is one step here.
 * CPU n: id == n? command == 1? then take the vector, store command = 0, and go. The id comes first: with
 * the command looked at first, a CPU could see the command for another, then its own id, and take a vector
 * that is not written yet.
 */
#define CPUS 3
#define VECTOR(n) (10 + (n))

byte id = 255;
byte vector = 0;
bit command = 0;

proctype cpu(byte n)
{
	byte to;

look:
	id == n;
	if
	:: command == 1 -> skip
	:: else -> goto look
	fi;
	to = vector;
	command = 0;
	assert(to == VECTOR(n))
}

proctype kernel()
{
	byte n;

	for (n : 0 .. CPUS - 1) {
		id = n;
		vector = VECTOR(n);
		command = 1;
		command == 0
	}
}

init { atomic { run cpu(0); run cpu(1); run cpu(2); run kernel() } }
