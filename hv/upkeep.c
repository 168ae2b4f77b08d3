/*
 * Large pages that were split because something was executed in them come back when that is over: each minute
 * a sixtieth of a guest's memory is looked at, so a page that is executed all the time costs a fault an hour.
 */
#include "hv/upkeep.h"

#include "hv/base/clock.h"
#include "hv/base/panic.h"
#include "hv/base/x86.h"
#include "hv/sched.h"
#include "hv/vm_life.h"
#include "mmu/nx.h"

#define PERIOD_MS 60000ul
#define PERIODS 60 /* until all memory has been looked at */

static uint64_t share_of(const struct vm *vm) { return (vm->config->memory / PERIODS) >> PAGE_SHIFT; }

static void run(void *arg)
{
	(void)arg;
	for (;;) {
		sched_block(rdtsc() + tsc_khz * PERIOD_MS);
		for (uint32_t i = 0; i < vms_count(); i++)
			if (vm_at(i)->mmu_ready)
				mmu_nx_recover(vm_at(i)->mmu, share_of(vm_at(i)) + 1);
	}
}

void upkeep_init(void)
{
	struct context *c = context_create(this_cpu(), "upkeep", run, NULL);

	if (!c)
		panic("no memory for the stack of the upkeep of guests");
	context_wake(c);
}
