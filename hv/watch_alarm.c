/* Chooses between the drivers. Owns which of them rings, and which CPUs' counters run. */
#include "hv/watch_alarm.h"

#include "drivers/ioapic.h"
#include "drivers/pit.h"
#include "drivers/pmu.h"
#include "hv/base/clock.h"
#include "hv/base/log.h"
#include "hv/base/percpu.h"
#include "hv/base/spin.h"
#include "hv/base/x86.h"
#include "hv/sched.h"

#define PIT_IRQ 0
#define TRIAL_COUNT 1200 /* 1 ms */
#define TRIAL_MS 50
#define PIT_AGAIN_MS 25  /* its longest time is 54.9 ms */

enum kind { NONE, COUNTER, PIT };
enum counter { NOT_TRIED, RUNS, MISSING };

static enum kind kind;
static enum counter counters[MAX_CPUS]; /* of hybrid machines some may have none */
static uint32_t rung; /* atomic: alarms so far */

/* From a CPU's own tick first, so that MSRs which fault do so outside NMIs. */
static bool counter_runs(uint32_t cpu)
{
	if (UNLIKELY(counters[cpu] == NOT_TRIED))
		counters[cpu] = pmu_present() && pmu_alarm_start() ? RUNS : MISSING;
	return counters[cpu] == RUNS;
}

/* What was set rings. There are CPUs, emulated ones, whose counters can be written and do not count. */
static bool rings(void)
{
	uint64_t end = rdtsc() + tsc_khz * TRIAL_MS;

	while (!__atomic_load_n(&rung, __ATOMIC_ACQUIRE) && rdtsc() < end)
		cpu_pause();
	return __atomic_load_n(&rung, __ATOMIC_ACQUIRE) != 0;
}

static bool try_counter(void)
{
	if (!counter_runs(this_cpu()->index))
		return false;
	kind = COUNTER;
	pmu_alarm_set(tsc_khz);
	return rings();
}

static bool try_pit(void)
{
	struct failure f = { 0 };
	bool rang;

	if (ioapic_route_isa_nmi(PIT_IRQ, this_cpu()->apic_id, &f)) {
		log_debug("watch: %s", f.text);
		return false;
	}
	kind = PIT;
	pit_alarm_set(TRIAL_COUNT);
	rang = rings();
	pit_alarm_off();
	return rang;
}

void watch_alarm_init(void)
{
	if (!try_counter() && (cpu_count > 1 || !try_pit()))
		kind = NONE;
}

const char *watch_alarm_name(void)
{
	static const char *const names[] = { NULL, "its performance counter", "the PIT's NMI" };

	return names[kind];
}

uint64_t watch_alarm_set(uint64_t ticks)
{
	if (kind == PIT) {
		pit_alarm_set(PIT_LONGEST);
		return tsc_khz * PIT_AGAIN_MS;
	}
	if (kind == COUNTER && counter_runs(this_cpu()->index))
		pmu_alarm_set(ticks);
	return NEVER;
}

/* A halted CPU's counter stands still by itself. */
bool watch_alarm_off(void)
{
	if (kind != PIT)
		return false;
	pit_alarm_off();
	return true;
}

bool watch_alarm_rang(void)
{
	bool mine = (kind == PIT && pit_alarm_rang()) ||
		    (kind == COUNTER && counters[this_cpu()->index] == RUNS && pmu_alarm_rang());

	if (mine)
		__atomic_fetch_add(&rung, 1, __ATOMIC_ACQ_REL);
	return mine;
}
