/*
 * Proves a TD with several vCPUs: the others come through the wakeup mailbox, know who they are, take
 * interrupts both ways, and see converted memory.
 */
#include "hv/base/x86.h"
#include "tests/guests/lib/acpi.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/smp.h"
#include "tests/guests/lib/time.h"
#include "tests/guests/lib/trap.h"
#include "tests/guests/td/lib/td.h"

const char guest_name[] = "tdsmp";

#define VECTOR 0x50
#define WAIT_US 2000000
#define ROUNDS 50

static volatile uint64_t index_seen, status_seen;
static uint64_t page;
static volatile uint32_t touching;

static void who(void *arg)
{
	struct tdx_regs r = { 0 };

	(void)arg;
	status_seen = td_leaf(TDG_VP_INFO, &r);
	index_seen = r.gpr[TDX_R9];
}

static void interrupt_first(void *arg)
{
	(void)arg;
	apic_send(0, ICR_ASSERT | VECTOR);
}

/* Reads the page's neighbour all the time, while the first vCPU converts the page. */
static void touch(void *arg)
{
	volatile uint64_t *neighbour = (volatile uint64_t *)(page + PAGE_SIZE);
	uint64_t *bad = arg;

	while (touching)
		*bad += *neighbour != 0x77;
}

static void check_storm(unsigned index)
{
	volatile uint64_t *own = (volatile uint64_t *)page;
	static uint64_t bad;
	unsigned wrong = 0;

	*(volatile uint64_t *)(page + PAGE_SIZE) = 0x77;
	touching = 1;
	smp_run(index, touch, &bad);
	for (unsigned i = 0; i < ROUNDS; i++) {
		*own = i + 1;
		wrong += td_map_gpa(page | td_shared_bit, PAGE_SIZE) != GHCI_OK;
		wrong += td_map_gpa(page, PAGE_SIZE) != GHCI_OK;
		wrong += td_accept(page, 0) != TDX_SUCCESS || *own != 0;
	}
	touching = 0;
	CHECK("touch-ends", smp_wait(index, WAIT_US));
	report_equal("storm", wrong, 0);
	report_equal("neighbour-kept", bad, 0);
}

void guest_main(void)
{
	unsigned cpus = acpi_cpu_count();

	CHECK("mailbox", acpi_wakeup());
	apic_enable();
	trap_set(VECTOR, trap_count_irq);
	sti();
	smp_start(cpus);
	report_equal("all-came", smp_count, cpus);
	for (unsigned i = 1; i < smp_count; i++) {
		report_equal("apic-id", smp_cpus[i].apic_id, i);
		smp_run(i, who, 0);
		CHECK("work-done", smp_wait(i, WAIT_US));
		CHECK("index", status_seen == TDX_SUCCESS && index_seen == i);
		trap_count[VECTOR] = 0;
		smp_run(i, interrupt_first, 0);
		CHECK("interrupts-back", wait_for(&trap_count[VECTOR], 1, WAIT_US));
		page = fresh_memory();
		check_storm(i);
	}
}
