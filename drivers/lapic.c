/* Drives the host's local APICs. Owns their mode and the timer's rate; state is per CPU in hardware. */
#include "drivers/lapic.h"

#include "hv/base/clock.h"
#include "hv/base/log.h"
#include "hv/base/machine.h"
#include "hv/base/map.h"
#include "hv/base/spin.h"
#include "hv/base/trap.h"
#include "hv/base/vectors.h"

#define REG_ID 0x20
#define REG_TPR 0x80
#define REG_SVR 0xf0
#define REG_IRR 0x200
#define REG_ESR 0x280
#define REG_ICR 0x300
#define REG_ICR_HIGH 0x310
#define REG_LVT_CMCI 0x2f0
#define REG_LVT_TIMER 0x320
#define REG_LVT_THERMAL 0x330
#define REG_LVT_PMC 0x340
#define REG_LVT_LINT0 0x350
#define REG_LVT_LINT1 0x360
#define REG_LVT_ERROR 0x370
#define REG_TIMER_INITIAL 0x380
#define REG_TIMER_CURRENT 0x390
#define REG_TIMER_DIVIDE 0x3e0
#define REG_VERSION 0x30

#define BASE_X2APIC BIT(10)
#define BASE_ENABLE BIT(11)
#define BASE_ADDRESS BITS(51, 12)
#define SVR_ENABLE BIT(8)
#define LVT_MASKED BIT(16)
#define LVT_NMI (4u << 8)
#define LVT_TIMER_DEADLINE (2u << 17)
#define ICR_NMI (4u << 8)
#define ICR_INIT (5u << 8)
#define ICR_SIPI (6u << 8)
#define ICR_PENDING BIT(12)
#define ICR_ASSERT BIT(14)
#define DIVIDE_BY_16 3

#define CPUID_1_EDX_APIC BIT(9)
#define CPUID_1_ECX_X2APIC BIT(21)
#define CPUID_1_ECX_DEADLINE BIT(24)
#define ARCH_CAP_XAPIC_STATUS BIT(21)
#define XAPIC_LOCKED BIT(0)

#define CALIBRATE_MS 10
#define ICR_WAIT_LOOPS 100000
#define MAX_ERRORS_TOLD 8

bool lapic_x2apic;
volatile uint32_t *lapic_window;
static bool deadline_timer;
static uint64_t timer_khz; /* one-shot mode: counts per millisecond after division by 16 */
static uint32_t errors_told;

static uint32_t read_reg(uint32_t reg)
{
	return lapic_x2apic ? (uint32_t)rdmsr(MSR_X2APIC + (reg >> 4)) : lapic_window[reg / 4];
}

static void write_reg(uint32_t reg, uint32_t value)
{
	if (lapic_x2apic)
		wrmsr(MSR_X2APIC + (reg >> 4), value);
	else
		lapic_window[reg / 4] = value;
}

uint32_t lapic_id(void) { return lapic_x2apic ? read_reg(REG_ID) : read_reg(REG_ID) >> 24; }
bool lapic_has_deadline_timer(void) { return deadline_timer; }
/* The request register is 256 bits, 32 in every sixteenth byte. */
bool lapic_is_pending(uint8_t vector) { return read_reg(REG_IRR + vector / 32 * 16) >> (vector % 32) & 1; }

/* SDM vol. 3A, "x2APIC Mode": firmware may have locked the APIC out of xAPIC mode. */
static bool xapic_is_locked_out(void)
{
	uint64_t caps, status;

	return !rdmsr_safe(MSR_ARCH_CAPABILITIES, &caps) && (caps & ARCH_CAP_XAPIC_STATUS) &&
	       !rdmsr_safe(MSR_XAPIC_DISABLE_STATUS, &status) && (status & XAPIC_LOCKED);
}

/* x2APIC mode once on is kept: leaving it means disabling the APIC, which the lock forbids and
 * which would make CPUs with ids above 255 unreachable. */
static bool choose_x2apic(void)
{
	bool wanted = machine_feature_enabled(FEATURE_X2APIC);

	if (rdmsr(MSR_APIC_BASE) & BASE_X2APIC) {
		if (!wanted)
			log_warn("lapic: firmware left x2APIC mode on%s: it stays on",
				 xapic_is_locked_out() ? " and locked" : "");
		return true;
	}
	return wanted && (cpuid(1, 0).ecx & CPUID_1_ECX_X2APIC);
}

/* From disabled the way to x2APIC mode leads through xAPIC mode: SDM, "x2APIC State Transitions". */
static void enter_mode(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	if (!(base & BASE_ENABLE)) {
		base |= BASE_ENABLE;
		wrmsr(MSR_APIC_BASE, base);
	}
	if (lapic_x2apic && !(base & BASE_X2APIC))
		wrmsr(MSR_APIC_BASE, base | BASE_X2APIC);
}

void lapic_init_cpu(void)
{
	unsigned last_lvt;

	enter_mode();
	last_lvt = (read_reg(REG_VERSION) >> 16) & 0xff;
	write_reg(REG_TPR, 0);
	write_reg(REG_SVR, SVR_ENABLE | HOST_VECTOR_SPURIOUS);
	write_reg(REG_LVT_LINT0, LVT_MASKED);
	write_reg(REG_LVT_LINT1, LVT_NMI); /* the platform's NMI pin */
	if (last_lvt >= 4)
		write_reg(REG_LVT_PMC, LVT_MASKED);
	if (last_lvt >= 5)
		write_reg(REG_LVT_THERMAL, LVT_MASKED);
	if (last_lvt >= 6)
		write_reg(REG_LVT_CMCI, LVT_MASKED);
	write_reg(REG_ESR, 0);
	write_reg(REG_LVT_ERROR, HOST_VECTOR_ERROR);
	write_reg(REG_TIMER_DIVIDE, DIVIDE_BY_16);
	write_reg(REG_TIMER_INITIAL, 0);
	write_reg(REG_LVT_TIMER, (deadline_timer ? LVT_TIMER_DEADLINE : 0) | HOST_VECTOR_TIMER);
	/* The mode must be seen before the first deadline: SDM vol. 3A, "TSC-Deadline Mode". */
	__asm__ volatile("mfence" : : : "memory");
}

static void on_error(void)
{
	write_reg(REG_ESR, 0);
	if (__atomic_fetch_add(&errors_told, 1, __ATOMIC_RELAXED) < MAX_ERRORS_TOLD)
		log_warn("lapic: CPU %u reports error status %xh", this_cpu()->index, read_reg(REG_ESR));
}

/* Only wakes from HLT or ends a guest's run; what is due is looked at afterwards. */
static void on_wake(void) {}

void lapic_init(void)
{
	if (!(cpuid(1, 0).edx & CPUID_1_EDX_APIC))
		machine_give_up("the CPU reports no local APIC: turn it on in the firmware set-up");
	lapic_x2apic = choose_x2apic();
	deadline_timer = (cpuid(1, 0).ecx & CPUID_1_ECX_DEADLINE) && machine_feature_enabled(FEATURE_TSC_DEADLINE);
	if (!lapic_x2apic) {
		lapic_window = map_device(rdmsr(MSR_APIC_BASE) & BASE_ADDRESS, PAGE_SIZE, MAP_UNCACHED);
		if (!lapic_window)
			machine_give_up("no memory to map the local APIC");
	}
	trap_set_irq(HOST_VECTOR_ERROR, on_error);
	trap_set_irq(HOST_VECTOR_TIMER, on_wake);
	trap_set_irq(HOST_VECTOR_KICK, on_wake);
	trap_set_irq(HOST_VECTOR_POSTED, on_wake);
	lapic_init_cpu();
	log_info("lapic: %s mode, id %u, %s timer", lapic_x2apic ? "x2APIC" : "xAPIC", lapic_id(),
		 deadline_timer ? "TSC-deadline" : "one-shot");
}

static void wait_icr(void)
{
	for (unsigned i = 0; (read_reg(REG_ICR) & ICR_PENDING) && i < ICR_WAIT_LOOPS; i++)
		cpu_pause();
}

/* WRMSR to an x2APIC register does not wait for earlier stores to be seen: SDM vol. 3A, "WRMSR to
 * x2APIC Registers", hence the fences. In xAPIC mode the uncached write does. */
static void write_icr(uint32_t apic_id, uint32_t command)
{
	if (lapic_x2apic) {
		__asm__ volatile("mfence; lfence" : : : "memory");
		wrmsr(MSR_X2APIC + (REG_ICR >> 4), (uint64_t)apic_id << 32 | command);
		return;
	}
	if (!lapic_window)
		return; /* a panic before lapic_init: there is nobody to interrupt */
	wait_icr();
	write_reg(REG_ICR_HIGH, apic_id << 24);
	write_reg(REG_ICR, command);
}

void lapic_send_ipi(uint32_t apic_id, uint8_t vector) { write_icr(apic_id, ICR_ASSERT | vector); }

/* An NMI handler sends NMIs too: what it interrupts may have written one half of the register. */
void lapic_send_nmi(uint32_t apic_id)
{
	bool two_halves = !lapic_x2apic && lapic_window;
	uint32_t high = two_halves ? read_reg(REG_ICR_HIGH) : 0;

	write_icr(apic_id, ICR_ASSERT | ICR_NMI);
	if (!two_halves)
		return;
	wait_icr();
	write_reg(REG_ICR_HIGH, high);
}

void lapic_send_init(uint32_t apic_id) { write_icr(apic_id, ICR_ASSERT | ICR_INIT); }
void lapic_send_sipi(uint32_t apic_id, uint8_t page) { write_icr(apic_id, ICR_ASSERT | ICR_SIPI | page); }

void lapic_counter_nmi(void) { write_reg(REG_LVT_PMC, LVT_NMI); }

/* How far the timer counts while the TSC runs CALIBRATE_MS milliseconds. */
static uint64_t measure_rate(void)
{
	uint64_t start, ticks = tsc_khz * CALIBRATE_MS;
	uint32_t left;

	write_reg(REG_TIMER_INITIAL, UINT32_MAX);
	start = rdtsc();
	while (rdtsc() - start < ticks)
		cpu_pause();
	left = read_reg(REG_TIMER_CURRENT);
	write_reg(REG_TIMER_INITIAL, 0);
	return max_u64(1, (UINT32_MAX - left) / CALIBRATE_MS);
}

/* How many counts until then: at least one, so that what is past comes at once. */
static uint32_t counts_until(uint64_t deadline)
{
	uint64_t now = rdtsc(), ticks = deadline > now ? deadline - now : 0;

	if (deadline == UINT64_MAX)
		return 0; /* stops the timer */
	/* A quarter of an hour is far enough: the caller looks at the time again anyway. */
	ticks = min_u64(ticks, tsc_khz << 20);
	return (uint32_t)max_u64(1, min_u64(UINT32_MAX, mul_div(ticks, timer_khz, tsc_khz)));
}

void lapic_timer_arm(uint64_t tsc_deadline)
{
	if (LIKELY(deadline_timer)) {
		wrmsr(MSR_TSC_DEADLINE, tsc_deadline == UINT64_MAX ? 0 : tsc_deadline);
		return;
	}
	if (UNLIKELY(!timer_khz))
		timer_khz = measure_rate();
	write_reg(REG_TIMER_INITIAL, counts_until(tsc_deadline));
}
