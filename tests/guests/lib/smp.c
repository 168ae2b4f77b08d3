/*
 * Starting and feeding the other CPUs of a tiny guest: through the wakeup mailbox when the MADT has one,
 * else by SDM volume 3A, "MP Initialization Protocol Algorithm for MP Systems".
 */
#include "tests/guests/lib/smp.h"

#include "hv/base/x86.h"
#include "tests/guests/lib/acpi.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/memory.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/time.h"
#include "tests/guests/lib/trap.h"

#define STACK_SIZE 8192
#define START_TIMEOUT_US 200000

#define MAILBOX_TAKEN_US 1000000

struct mailbox { /* ACPI Specification, "Multiprocessor Wakeup Mailbox Structure" */
	volatile uint16_t command, reserved;
	volatile uint32_t apic_id;
	volatile uint64_t vector;
};

extern const uint8_t ap_trampoline[], ap_trampoline_end[], ap_wakeup[];
extern uint32_t ap_stack;
void ap_main(void);

struct smp_cpu smp_cpus[SMP_MAX_CPUS];
unsigned smp_count = 1;

static uint8_t stacks[SMP_MAX_CPUS][STACK_SIZE] __attribute__((aligned(16)));
static volatile uint32_t starting; /* index of the CPU being started */
static volatile bool first_is_x2apic;

/* The first C function of every other CPU; does not return. */
void ap_main(void)
{
	struct smp_cpu *me = &smp_cpus[starting];

	trap_load();
	if (first_is_x2apic) /* all must be in one mode */
		apic_enter_x2apic();
	apic_enable();
	me->apic_id = apic_id();
	__atomic_store_n(&me->online, 1, __ATOMIC_RELEASE);
	for (;;) {
		cli();
		if (!me->fn) {
			__asm__ volatile("sti; hlt" : : : "memory");
			continue;
		}
		sti();
		me->fn(me->arg);
		me->fn = NULL;
		__atomic_add_fetch(&me->done, 1, __ATOMIC_RELEASE);
	}
}

bool smp_mailbox_send(unsigned index, uint16_t command)
{
	struct mailbox *m = (struct mailbox *)acpi_wakeup()->mailbox;
	uint64_t end = rdtsc() + tsc_khz() / 1000 * MAILBOX_TAKEN_US;

	m->apic_id = index;
	m->vector = (uint64_t)ap_wakeup;
	__atomic_store_n(&m->command, command, __ATOMIC_RELEASE);
	while (m->command && rdtsc() < end)
		__builtin_ia32_pause();
	return !m->command;
}

static bool start_by_sipi(struct smp_cpu *c, unsigned index)
{
	memcpy((void *)TRAMPOLINE, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	apic_send(index, ICR_INIT | ICR_ASSERT);
	delay_us(10000);
	for (unsigned attempt = 0; attempt < 2; attempt++) {
		apic_send(index, ICR_STARTUP | ICR_ASSERT | TRAMPOLINE >> 12);
		if (wait_for(&c->online, 1, attempt ? START_TIMEOUT_US : 1000))
			return true;
	}
	return false;
}

bool smp_start_one(unsigned index)
{
	struct smp_cpu *c = &smp_cpus[index];

	c->online = 0;
	c->fn = NULL;
	c->stack = stacks[index] + STACK_SIZE;
	starting = index;
	ap_stack = (uint32_t)(uint64_t)c->stack;
	first_is_x2apic = apic_is_x2apic();
	if (acpi_wakeup())
		return smp_mailbox_send(index, MAILBOX_WAKEUP) && wait_for(&c->online, 1, START_TIMEOUT_US);
	return start_by_sipi(c, index);
}

void smp_start(unsigned total)
{
	trap_set(SMP_WAKE_VECTOR, trap_count_irq);
	smp_cpus[0].apic_id = apic_id();
	if (total > SMP_MAX_CPUS)
		total = SMP_MAX_CPUS;
	for (unsigned i = 1; i < total; i++)
		smp_count += smp_start_one(i);
}

void smp_run(unsigned index, smp_fn fn, void *arg)
{
	struct smp_cpu *c = &smp_cpus[index];

	c->done = 0;
	c->arg = arg;
	__atomic_store_n(&c->fn, fn, __ATOMIC_RELEASE);
	apic_send(c->apic_id, ICR_ASSERT | SMP_WAKE_VECTOR);
}

bool smp_wait(unsigned index, uint64_t us) { return wait_for(&smp_cpus[index].done, 1, us); }
