/*
 * Resets the machine in the way of `how=` (cf9, kbd, or all: one after the other), and proves
 * that it starts afresh. CMOS, which a reset keeps, tells one start from the next.
 */
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/option.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/time.h"

const char guest_name[] = "reset";

#define CMOS_STEP 0x5e /* two bytes: a mark, and the steps done */
#define MARK 0xa7

struct way {
	const char *name;
	uint16_t port;
	uint8_t values[2];
	uint8_t count;
};

static const struct way ways[] = {
	{ "cf9", GUEST_PORT_RESET, { 0x02, 0x06 }, 2 },
	{ "kbd", GUEST_PORT_KBD_CMD, { 0xfe }, 1 },
};

static uint8_t cmos_read(uint8_t index)
{
	outb(GUEST_PORT_RTC, index);
	return inb(GUEST_PORT_RTC + 1);
}

static void cmos_write(uint8_t index, uint8_t value)
{
	outb(GUEST_PORT_RTC, index);
	outb(GUEST_PORT_RTC + 1, value);
}

static bool wanted(const struct way *w) { return option_is("how", w->name) || option_is("how", "all"); }

/* What a start finds, whatever the guest did before. */
static void test_fresh(void)
{
	report_equal("apic-timer-masked", apic_read(VLAPIC_LVT_TIMER) & APIC_LVT_MASKED, APIC_LVT_MASKED);
	report_equal("apic-priority-0", apic_read(VLAPIC_TPR), 0);
	report_equal("apic-in-xapic-mode", rdmsr(MSR_APIC_BASE) & APIC_BASE_EXTD, 0);
	report_equal("lstar-clear", rdmsr(MSR_LSTAR), 0);
	report_equal("dr0-clear", read_dr0(), 0);
	report_equal("kernel-gs-clear", rdmsr(MSR_KERNEL_GS_BASE), 0);
}

static void leave_traces(void)
{
	apic_enable();
	apic_write(VLAPIC_TPR, 0xf0);
	apic_write(VLAPIC_LVT_TIMER, APIC_TIMER_PERIODIC | 0x41);
	(void)apic_enter_x2apic();
	wrmsr(MSR_LSTAR, 0x1234);
	wrmsr(MSR_KERNEL_GS_BASE, 0x5678);
	write_dr0(0x9abc);
}

void guest_main(void)
{
	unsigned done = cmos_read(CMOS_STEP) == MARK ? cmos_read(CMOS_STEP + 1) : 0;

	test_fresh();
	if (done)
		report(true, ways[done - 1].name, "came back");
	while (done < ARRAY_LEN(ways) && !wanted(&ways[done]))
		done++;
	if (done == ARRAY_LEN(ways)) {
		cmos_write(CMOS_STEP, 0);
		return;
	}
	print("NEXT reset: %s\n", ways[done].name);
	cmos_write(CMOS_STEP, MARK);
	cmos_write(CMOS_STEP + 1, (uint8_t)(done + 1));
	leave_traces();
	for (unsigned i = 0; i < ways[done].count; i++)
		outb(ways[done].port, ways[done].values[i]);
	delay_us(200000);
	cmos_write(CMOS_STEP, 0);
	report(false, ways[done].name, "the guest runs on");
}
