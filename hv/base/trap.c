/*
 * What happens on exceptions, NMIs and interrupts taken in root mode. Owns the IDT and the table of
 * interrupt handlers. An exception is either expected (fixup table, recovery point) or a panic.
 */
#include "hv/base/trap.h"

#include "drivers/lapic.h"
#include "hv/base/format.h"
#include "hv/base/machine.h"
#include "hv/base/map.h"
#include "hv/base/map_ram.h"
#include "hv/base/msr.h"
#include "hv/base/nmi.h"
#include "hv/base/panic.h"
#include "hv/base/vectors.h"
#include "hv/base/x86.h"

#define IDT_ENTRIES 256
#define STUB_SIZE 16
#define FIRST_IRQ_VECTOR 32
#define IDT_PRESENT_INTERRUPT_GATE 0x8e

struct idt_gate { /* SDM vol. 3A, "64-Bit Mode IDT" */
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
};

struct fixup {
	uint64_t from, to;
};

extern const char trap_stubs[], trap_nmi_raised[];
extern const struct fixup __fixup_start[], __fixup_end[];

static struct idt_gate idt[IDT_ENTRIES] __attribute__((aligned(16)));
static void (*irq_handlers[IDT_ENTRIES])(void);

static const char *const exception_names[FIRST_IRQ_VECTOR] = {
	[0] = "divide error", [1] = "debug exception", [2] = "NMI", [3] = "breakpoint",
	[4] = "overflow", [5] = "BOUND range exceeded", [6] = "invalid opcode", [7] = "device not available",
	[8] = "double fault", [10] = "invalid TSS", [11] = "segment not present", [12] = "stack fault",
	[13] = "general protection", [14] = "page fault", [16] = "x87 error", [17] = "alignment check",
	[18] = "machine check", [19] = "SIMD error", [20] = "virtualisation exception",
	[21] = "control protection",
};

static uint8_t ist_of(unsigned vector)
{
	switch (vector) {
	case VEC_DF:
		return IST_DF;
	case VEC_NMI:
		return IST_NMI;
	case VEC_MC:
		return IST_MC;
	case VEC_DB:
		return IST_DB;
	default:
		return IST_NONE;
	}
}

void traps_init(void)
{
	for (unsigned v = 0; v < IDT_ENTRIES; v++) {
		uint64_t stub = (uint64_t)trap_stubs + v * STUB_SIZE;

		idt[v] = (struct idt_gate){
			.offset_low = (uint16_t)stub,
			.selector = SEL_CODE,
			.ist = ist_of(v),
			.type = IDT_PRESENT_INTERRUPT_GATE,
			.offset_middle = (uint16_t)(stub >> 16),
			.offset_high = (uint32_t)(stub >> 32),
		};
	}
}

void traps_load_cpu(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idtr = { sizeof idt - 1, (uint64_t)idt };

	__asm__ volatile("lidt %0" : : "m"(idtr));
}

static struct cpu_machine *machine(void) { return this_cpu()->machine; }

/* NULL while the CPU is not known, or no longer. */
static struct cpu_machine *machine_if_known(void)
{
	struct cpu *c = cpu_if_known();

	return c ? c->machine : NULL;
}

void trap_set_irq(uint8_t vector, void (*handler)(void)) { irq_handlers[vector] = handler; }

void trap_irq(uint8_t vector)
{
	if (UNLIKELY(vector == HOST_VECTOR_SPURIOUS))
		return; /* takes no EOI: SDM vol. 3A, "Spurious Interrupt" */
	if (irq_handlers[vector])
		irq_handlers[vector]();
	lapic_eoi(); /* last: until its device is served, a level-triggered line would interrupt again */
}

bool trap_from_guest(const struct trap_frame *f) { return f->rip == (uint64_t)trap_nmi_raised; }

void trap_set_recovery(uint64_t rip, uint64_t rsp)
{
	machine()->recovery_rsp = rsp;
	machine()->recovery_rip = rip;
}

static bool fixed_up(struct trap_frame *f)
{
	struct cpu_machine *m;

	for (const struct fixup *x = __fixup_start; x < __fixup_end; x++)
		if (x->from == f->rip) {
			f->rip = x->to;
			return true;
		}
	m = machine_if_known();
	if (!m || !m->recovery_rip)
		return false;
	f->rip = m->recovery_rip;
	f->rsp = m->recovery_rsp;
	f->rflags = RFLAGS_FIXED1;
	m->recovery_rip = 0;
	return true;
}

/* Appends what bank i holds when its valid bit (63) is set: status, and address if valid (58). */
static size_t describe_bank(char *out, size_t size, unsigned i)
{
	uint64_t status = 0, address = 0;
	int len;

	if (rdmsr_safe(MSR_MC0_CTL + 4 * i + 1, &status) || !(status & BIT(63)))
		return 0;
	if (status & BIT(58))
		rdmsr_safe(MSR_MC0_CTL + 4 * i + 2, &address);
	len = format(out, size, " bank %u status %lxh address %lxh;", i, status, address);
	return len > 0 ? min_u64((uint64_t)len, size - 1) : 0;
}

static void on_machine_check(const struct trap_frame *f)
{
	char banks[256] = "";
	size_t used = 0;
	uint64_t count = 0, status = 0;

	rdmsr_safe(MSR_MCG_CAP, &count);
	rdmsr_safe(MSR_MCG_STATUS, &status);
	for (unsigned i = 0; i < (count & 0xff); i++)
		used += describe_bank(banks + used, sizeof banks - used, i);
	/* While MCIP is set another machine check shuts the CPU down, with the report half said: SDM vol. 3B,
	 * "IA32_MCG_STATUS MSR". */
	wrmsr_safe(MSR_MCG_STATUS, 0);
	panic_trap(f, "the hardware reports a machine check, MCG_STATUS %lxh:%s the machine is faulty", status,
		   used ? banks : " no bank says where;");
}

void trap_describe_address(uint64_t va, char *out, size_t size)
{
	frame_owner_t owner = map_hidden_owner(va);

	*out = '\0';
	if (map_is_guard(va))
		format(out, size, ": a stack or buffer overflowed into its guard page");
	else if (owner == OWNER_PAMT)
		format(out, size, ": the address belongs to the TDX module");
	else if (owner != OWNER_NONE)
		format(out, size, ": the address belongs to TD %u, whose memory the hypervisor does not touch",
		       owner - OWNER_TD(0));
}

static void on_page_fault(const struct trap_frame *f, uint64_t va)
{
	char what[96];

	trap_describe_address(va, what, sizeof what);
	panic_trap(f, "page fault at %lxh (%s%s%s)%s", va, f->error & 1 ? "protection, " : "not mapped, ",
		   f->error & 2 ? "write" : "read", f->error & 16 ? ", fetch" : "", what);
}

static void on_exception(const struct trap_frame *f)
{
	const char *name = exception_names[f->vector] ? exception_names[f->vector] : "reserved exception";

	if (f->vector == VEC_PF)
		on_page_fault(f, read_cr2());
	if (f->vector == VEC_DF && map_is_guard(f->rsp - 8))
		panic_trap(f, "stack overflow: rsp %lxh is in a guard page", f->rsp);
	panic_trap(f, "%s in the hypervisor, error code %lxh", name, f->error);
}

void trap_dispatch(struct trap_frame *f)
{
	if (f->vector >= FIRST_IRQ_VECTOR)
		trap_irq((uint8_t)f->vector);
	else if (f->vector == VEC_NMI)
		nmi_take(f);
	else if (f->vector == VEC_MC)
		on_machine_check(f);
	else if (!fixed_up(f))
		on_exception(f);
}
