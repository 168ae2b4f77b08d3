/*
 * One context per CPU that waits for work.
 */
#include "hv/cpu_call.h"

#include "hv/base/spin.h"
#include "hv/sched.h"

static struct {
	struct context *context;
	void (*fn)(void *arg);
	void *arg;
	uint32_t pending; /* atomic: set by the caller, cleared when fn has returned */
} calls[MAX_CPUS];

static void serve(void *arg)
{
	uint32_t index = this_cpu()->index;

	(void)arg;
	for (;;) {
		if (__atomic_load_n(&calls[index].pending, __ATOMIC_ACQUIRE)) {
			calls[index].fn(calls[index].arg);
			__atomic_store_n(&calls[index].pending, 0, __ATOMIC_RELEASE);
		}
		sched_block(NEVER);
	}
}

int cpu_call_init(struct failure *f)
{
	for (uint32_t i = 0; i < cpu_count; i++) {
		if (calls[i].context)
			continue;
		calls[i].context = context_create(cpus[i], "cpu-call", serve, NULL);
		if (!calls[i].context)
			return fail(f, -ENOMEM, "no memory for work on CPU %u", i);
		calls[i].context->priority = true;
	}
	return 0;
}

void cpu_call(struct cpu *c, void (*fn)(void *arg), void *arg)
{
	uint32_t i = c->index;

	if (c == this_cpu()) {
		fn(arg);
		return;
	}
	calls[i].fn = fn;
	calls[i].arg = arg;
	__atomic_store_n(&calls[i].pending, 1, __ATOMIC_RELEASE);
	context_wake(calls[i].context);
	while (__atomic_load_n(&calls[i].pending, __ATOMIC_ACQUIRE))
		cpu_pause();
}
