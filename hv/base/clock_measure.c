/* Asks every source of the TSC's frequency that this machine has, each in bounded time. */
#include "drivers/pit.h"
#include "hv/base/acpi_host.h"
#include "hv/base/clock.h"
#include "hv/base/log.h"
#include "hv/base/machine.h"
#include "hv/base/map.h"
#include "hv/base/x86.h"

#define PM_TIMER_HZ 3579545
#define PM_TIMER_COUNT (PM_TIMER_HZ / 100) /* 10 ms */
#define PM_TIMER_MAX_READS 1000000
#define MEASURE_TRIES 3

struct pm_timer {
	uint16_t port;             /* in I/O space, else 0 */
	volatile uint32_t *window; /* in memory space, else NULL */
	uint32_t mask;
};

static void find_pm_timer(struct pm_timer *t)
{
	const struct acpi_register *r = &acpi_host()->pm_timer;

	*t = (struct pm_timer){ .mask = acpi_host()->pm_timer_32bit ? 0xffffffff : 0xffffff };
	if (r->space == ACPI_SPACE_IO && r->address <= UINT16_MAX)
		t->port = (uint16_t)r->address;
	else if (r->space == ACPI_SPACE_MEMORY && r->address)
		t->window = map_device(r->address, 4, MAP_UNCACHED);
}

static uint32_t pm_timer_read(const struct pm_timer *t)
{
	return (t->window ? *t->window : inl(t->port)) & t->mask;
}

/* 0 when there is none or it stands still. */
static uint64_t measure_pm_timer(const struct pm_timer *t)
{
	uint32_t first, passed = 0;
	uint64_t start;

	if (!t->port && !t->window)
		return 0;
	first = pm_timer_read(t);
	start = rdtsc();
	for (unsigned i = 0; i < PM_TIMER_MAX_READS && passed < PM_TIMER_COUNT; i++)
		passed = (pm_timer_read(t) - first) & t->mask;
	if (passed < PM_TIMER_COUNT)
		return 0;
	return clock_khz_from_count(rdtsc() - start, passed, PM_TIMER_HZ);
}

static uint64_t measure_pit(void)
{
	return clock_khz_from_count(pit_measure_tsc(), PIT_MEASURE_COUNT, PIT_HZ);
}

static void ask_cpuid(struct clock_sources *s)
{
	uint32_t max = cpuid(0, 0).eax;
	struct cpuid_regs r;

	if (max >= 0x15) {
		r = cpuid(0x15, 0);
		s->cpuid_khz = clock_khz_from_leaf15(r.eax, r.ebx, r.ecx);
	}
	if (max >= 0x16)
		s->base_khz = (cpuid(0x16, 0).eax & 0xffff) * 1000ul;
}

void clock_init(void)
{
	struct clock_sources s = { 0 };
	struct clock_choice c = { 0 };
	struct pm_timer pm;

	ask_cpuid(&s);
	find_pm_timer(&pm);
	/* Firmware that takes the CPU away in between spoils a measurement: hence again. */
	for (unsigned i = 0; i < MEASURE_TRIES && (i == 0 || c.measures_differ || c.cpuid_lies); i++) {
		s.pit_khz = measure_pit();
		s.pm_timer_khz = measure_pm_timer(&pm);
		c = clock_choose(&s);
	}
	if (!c.khz)
		machine_give_up("nothing on this machine tells the TSC's frequency: CPUID 15h, PIT and ACPI PM "
				"timer are silent; allow one of them in the firmware set-up");
	clock_set_khz(c.khz);
	if (c.cpuid_lies)
		log_warn("clock: CPUID 15h says %lu kHz, which is not true here", s.cpuid_khz);
	if (c.measures_differ)
		log_warn("clock: the PIT says %lu kHz, the ACPI PM timer %lu kHz", s.pit_khz, s.pm_timer_khz);
	log_info("clock: TSC at %lu.%03lu MHz, from %s", c.khz / 1000, c.khz % 1000, c.source);
}
