/*
 * What no sane kernel does: privileged instructions with random operands, and random bytes as a
 * program in user mode, with registers that point at devices, at holes and across the ends of pages.
 * The hypervisor may refuse, carry out, or stop the guest with a sentence. It must not fall, and user
 * mode must not get through it at memory that is the supervisor's. Options: seed=N, rounds=N.
 */
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/memory.h"
#include "tests/guests/lib/option.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "wild";

#define LARGE 0x200000ul
#define SECRET FREE_MEMORY /* 2 MiB that user mode may not touch */
#define CODE (SECRET + LARGE)
#define DATA (CODE + LARGE)
#define PATTERN 0x5ec2e75ec2e75ec2ul
#define PROGRAM_MAX 24
#define TIMER_VECTOR 0x40
#define TIMER_TICKS 3000
#define GPR_RCX 1
#define GPR_RSP 4
#define RFLAGS_FIXED 2ul
#define RFLAGS_ARITHMETIC 0xd5
#define RFLAGS_IF BIT(9)
#define RFLAGS_DF BIT(10)
#define RFLAGS_RF BIT(16)
#define DR7_OFF 0x400ul
#define TSS_AVAILABLE 9ul

extern uint64_t boot_gdt[], boot_pml4[], wild_rsp;
extern const char wild_back[];
void wild_enter(const uint64_t gpr[16], uint64_t rip, uint64_t rflags);

static uint64_t random_state;
static uint32_t ended_by[256];
/* A TSS whose I/O map lets user mode at all ports but those that end the guest or its line. */
static struct __attribute__((packed)) { struct tss tss; uint8_t io_map[65536 / 8 + 1]; } task;
static uint8_t kernel_stack[4096] __attribute__((aligned(16)));

static uint32_t rnd(uint32_t below)
{
	random_state = random_state * 6364136223846793005ul + 1442695040888963407ul;
	return (uint32_t)((random_state >> 33) * below >> 31);
}

static uint64_t rnd64(void) { return (uint64_t)rnd(0x10000) << 48 ^ (uint64_t)rnd(1u << 30) << 20 ^ rnd(1u << 30); }

/* A value with few bits set, few clear, or anything. */
static uint64_t rnd_value(void)
{
	switch (rnd(5)) {
	case 0: return 0;
	case 1: return BIT(rnd(64));
	case 2: return ~BIT(rnd(64));
	case 3: return rnd(256);
	default: return rnd64();
	}
}

/* Addresses where an access is two things at once, belongs to a device or nobody, or is no address at all. */
static uint64_t rnd_address(void)
{
	uint64_t ram_end = MIB(1) + memory_above_1m();
	const uint64_t places[] = {
		DATA, DATA + LARGE / 2, CODE, SECRET, SECRET + LARGE, ram_end, GUEST_IOAPIC_BASE, GUEST_IOAPIC_BASE + 0x10,
		GUEST_IOAPIC_BASE + 0x1000, GUEST_LAPIC_BASE, 0xd0000000, 0xfed00000, 0x100000000, 0, 0xa0000, 0xffff0000,
		0x800000000000, rnd64(),
	};

	return places[rnd(ARRAY_LEN(places))] + rnd(rnd(2) ? 17 : 4096) - 8;
}

/* Ports whose writes end the guest, by right, or spoil the line it reports on. */
static bool is_off_limits(uint32_t port, uint32_t size)
{
	static const struct { uint16_t from, to; } limits[] = {
		{ GUEST_PORT_KBD_CMD, GUEST_PORT_KBD_CMD }, { 0x92, 0x92 },
		{ GUEST_PORT_DEBUG_EXIT, GUEST_PORT_DEBUG_EXIT + 3 }, { GUEST_PORT_COM1, GUEST_PORT_COM1 + 7 },
		{ GUEST_PORT_PM1_CNT, GUEST_PORT_PM1_CNT + 1 }, { GUEST_PORT_RESET, GUEST_PORT_RESET },
	};

	for (uint32_t i = 0; i < ARRAY_LEN(limits); i++)
		if (port <= limits[i].to && port + size > limits[i].from)
			return true;
	return false;
}

/* ---- privileged instructions; each leaves the CPU as it was ---- */

static uint32_t rnd_msr(void)
{
	switch (rnd(5)) {
	case 0: return rnd(0x1000);
	case 1: return MSR_X2APIC + rnd(0x100);
	case 2: return 0xc0000080 + rnd(0x100);
	case 3: return 0x40000000 + rnd(0x400);
	default: return (uint32_t)rnd64();
	}
}

/* APIC_BASE stays: a way back from what it can do is not always there. */
static void try_msr(void)
{
	uint32_t msr = rnd_msr(), low = 0, high = 0;
	uint64_t value = rnd_value();
	bool readable = TRY("rdmsr", : "+a"(low), "+d"(high) : "c"(msr)) == NO_FAULT;

	if (msr == MSR_APIC_BASE)
		return;
	if (readable && rnd(2))
		value ^= (uint64_t)high << 32 | low;
	TRY("wrmsr", : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
	if (readable)
		TRY("wrmsr", : : "c"(msr), "a"(low), "d"(high) : "memory");
}

static void try_cr0(void)
{
	uint64_t old = read_cr0(), new = old ^ BIT(rnd(40)) ^ (rnd(2) ? BIT(rnd(32)) : 0);

	TRY("mov %0, %%cr0", : : "r"(new) : "memory");
	write_cr0(old);
}

static void try_cr4(void)
{
	uint64_t old = read_cr4(), new = old ^ BIT(rnd(40)) ^ (rnd(2) ? BIT(rnd(24)) : 0);

	TRY("mov %0, %%cr4", : : "r"(new) : "memory");
	write_cr4(old);
}

/* Bits that are flags or reserved: another root would be another guest. */
static void try_cr3(void)
{
	uint64_t old = read_cr3();

	TRY("mov %0, %%cr3", : : "r"(old ^ BIT(rnd(12)) ^ (rnd(2) ? BIT(52 + rnd(12)) : 0)) : "memory");
	write_cr3(old);
}

static void try_cr8(void)
{
	TRY("mov %0, %%cr8", : : "r"(rnd_value()));
	TRY("mov %0, %%cr8", : : "r"(0ul));
}

static void try_debug(void)
{
	TRY("mov %0, %%dr0", : : "r"(rnd_address()));
	TRY("mov %0, %%dr3", : : "r"(rnd_address()));
	TRY("mov %0, %%dr6", : : "r"(rnd_value()));
	TRY("mov %0, %%dr7\n\tmov %%dr6, %0", : : "r"(rnd_value()));
	TRY("mov %0, %%dr7", : : "r"(DR7_OFF));
}

/* A breakpoint hit by chance, or general detect: an instruction that wants DR7 is then tried again. */
static void stop_debugging(struct frame *f)
{
	__asm__ volatile("mov %0, %%dr7" : : "r"(DR7_OFF));
	f->rflags |= RFLAGS_RF;
}

static void try_port(void)
{
	uint32_t port = rnd(rnd(2) ? 0x1000 : 0x10000), value = (uint32_t)rnd64();
	uint64_t at = rnd_address(), count = rnd(9);

	if (is_off_limits(port, 4))
		return;
	switch (rnd(8)) {
	case 0: TRY("inb %w1, %b0", : "+a"(value) : "d"(port)); break;
	case 1: TRY("inw %w1, %w0", : "+a"(value) : "d"(port)); break;
	case 2: TRY("inl %w1, %0", : "+a"(value) : "d"(port)); break;
	case 3: TRY("outb %b0, %w1", : : "a"(value), "d"(port)); break;
	case 4: TRY("outw %w0, %w1", : : "a"(value), "d"(port)); break;
	case 5: TRY("outl %0, %w1", : : "a"(value), "d"(port)); break;
	case 6: TRY("rep outsb", : "+S"(at), "+c"(count) : "d"(port) : "memory"); break;
	default: /* not over the kernel itself */
		at = DATA + rnd(4096);
		TRY("rep insl", : "+D"(at), "+c"(count) : "d"(port) : "memory");
	}
}

static void try_cpuid(void)
{
	static const uint32_t bases[] = { 0, 0x40000000, 0x80000000, 0x20000000 };
	uint32_t eax = rnd(8) ? bases[rnd(4)] + rnd(0x40) : (uint32_t)rnd64(), ecx = rnd(8) ? rnd(8) : (uint32_t)rnd64();

	TRY("cpuid", : "+a"(eax), "+c"(ecx) : : "rbx", "rdx");
}

/* What a guest without virtualisation of its own must see refused, and what needs an exit. */
static void try_instruction(void)
{
	uint64_t at = rnd_address(), value = rnd_value();
	uint64_t descriptor[2] = { rnd_value(), rnd_address() };

	switch (rnd(18)) {
	case 0: TRY("vmcall", : "+a"(value) : : "memory"); break;
	case 1: TRY("vmxon %0", : : "m"(at)); break;
	case 2: TRY("vmptrld %0", : : "m"(at)); break;
	case 3: TRY("vmread %0, %0", : "+r"(value)); break;
	case 4: TRY("vmlaunch", : : : "memory"); break;
	case 5: TRY("invept %0, %1", : : "m"(descriptor), "r"(value)); break;
	case 6: TRY("invvpid %0, %1", : : "m"(descriptor), "r"(value)); break;
	case 7: TRY("invpcid %0, %1", : : "m"(descriptor), "r"(rnd(2) ? value : rnd(5))); break;
	case 8: TRY("invlpg (%0)", : : "r"(at) : "memory"); break;
	case 9: TRY("wbinvd", : : : "memory"); break;
	case 10: TRY("invd", : : : "memory"); break;
	case 11: TRY("xsetbv", : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(rnd(4) ? 0 : rnd(9))); break;
	case 12: TRY("rdpmc", : : "c"((uint32_t)value) : "rax", "rdx"); break;
	case 13: TRY("monitor", : : "a"(at), "c"(0), "d"(0)); break;
	case 14: TRY("getsec", : : "a"((uint32_t)value) : "rbx", "rcx", "rdx", "memory"); break;
	case 15: TRY("rsm", : : : "memory"); break;
	case 16: TRY("lldt %w0", : : "r"(value)); break;
	default: TRY("lmsw %w0", : : "r"(value | 1)); write_cr0(read_cr0() & ~BIT(3)); break;
	}
}

/* Registers of the local APIC but the one that could send this vCPU an INIT. */
static void try_apic(void)
{
	uint64_t at = GUEST_LAPIC_BASE + rnd(0x400);
	uint32_t value = (uint32_t)rnd_value();

	if ((at & 0xff8) == 0x300 || ((at + 7) & 0xff8) == 0x300)
		return;
	switch (rnd(5)) {
	case 0: TRY("movl %0, (%1)", : : "r"(value), "r"(at) : "memory"); break;
	case 1: TRY("movl (%1), %0", : "=r"(value) : "r"(at)); break;
	case 2: TRY("movb %b0, (%1)", : : "q"(value), "r"(at) : "memory"); break;
	case 3: TRY("xchgl %0, (%1)", : "+r"(value) : "r"(at) : "memory"); break;
	default: TRY("movq (%1), %q0", : "=r"(value) : "r"(at)); break;
	}
}

static void privileged(uint64_t rounds)
{
	static void (*const tries[])(void) = {
		try_msr, try_cr0, try_cr3, try_cr4, try_cr8, try_debug, try_port, try_cpuid, try_instruction, try_apic,
	};
	uint32_t refused = 0;

	trap_set(VEC_NMI, trap_count_only);
	trap_set(VEC_DB, stop_debugging);
	for (uint64_t i = 0; i < rounds; i++) {
		tries[rnd(ARRAY_LEN(tries))]();
		refused += fault.vector != NO_FAULT;
	}
	report(refused > rounds / 20 && refused < rounds, "privileged", "%u of %lu refused", refused, rounds);
}

/* ---- random bytes in user mode ---- */

static void user_trap(struct frame *f)
{
	ended_by[f->vector]++;
	if (f->vector >= 32 && f->vector != SPURIOUS_VECTOR)
		apic_eoi();
	if (!(f->cs & 3)) {
		report(false, "kernel-trap", "vector %u, error %lx, rip %lx, cr2 %lx", (unsigned)f->vector, f->error,
		       f->rip, read_cr2());
		finish();
	}
	f->rip = (uint64_t)wild_back;
	f->rsp = wild_rsp;
	f->cs = SEL_CODE64;
	f->ss = SEL_DATA;
	f->rflags = RFLAGS_FIXED;
}

static uint64_t *large_entry(uint64_t va)
{
	uint64_t *pdpt = (uint64_t *)(boot_pml4[0] & ~0xffful), *pd = (uint64_t *)(pdpt[va >> 30] & ~0xffful);

	return &pd[va >> 21 & 511];
}

/* What lies below CODE and the local APIC are the supervisor's, and SECRET is filled. */
static void set_up_memory(void)
{
	for (uint64_t va = 0; va < CODE; va += LARGE)
		*large_entry(va) &= ~PTE_U;
	*large_entry(GUEST_LAPIC_BASE) &= ~PTE_U;
	write_cr3(read_cr3());
	for (uint64_t *p = (uint64_t *)SECRET; p < (uint64_t *)(SECRET + LARGE); p++)
		*p = PATTERN;
}

static bool secret_is_whole(void)
{
	for (const uint64_t *p = (uint64_t *)SECRET; p < (uint64_t *)(SECRET + LARGE); p++)
		if (*p != PATTERN)
			return false;
	return true;
}

static void set_up_task(void)
{
	uint64_t base = (uint64_t)&task;

	task.tss = trap_tss;
	task.tss.rsp[0] = (uint64_t)(kernel_stack + sizeof(kernel_stack));
	task.tss.io_map = sizeof(task.tss);
	for (uint32_t port = 0; port < 65536; port++)
		if (is_off_limits(port, 1) || port == GUEST_PORT_RTC || port - GUEST_PORT_PIT < 4 ||
		    (port & ~0x81u) == GUEST_PORT_PIC1)
			task.io_map[port / 8] |= (uint8_t)(1 << port % 8);
	task.io_map[sizeof(task.io_map) - 1] = 0xff; /* SDM "I/O Permission Bit Map": a last byte of ones */
	boot_gdt[SEL_TSS / 8] = (sizeof(task) - 1) | (base & 0xffffff) << 16 | (TSS_AVAILABLE | 0x80) << 40 |
				(base >> 24 & 0xff) << 56;
	boot_gdt[SEL_TSS / 8 + 1] = base >> 32;
	__asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
}

/* As the round before may have left them. */
static void set_up_devices(void)
{
	for (uint32_t pin = 0; pin < GUEST_IOAPIC_PINS; pin++)
		ioapic_write(IOAPIC_PIN(pin), IOAPIC_MASKED);
	apic_enable();
	apic_write(VLAPIC_LVT_LINT0, APIC_LVT_MASKED);
	apic_write(VLAPIC_LVT_LINT1, APIC_LVT_MASKED);
	apic_write(VLAPIC_TPR, 0);
	apic_write(VLAPIC_TIMER_DIVIDE, APIC_DIVIDE_1);
	apic_write(VLAPIC_LVT_TIMER, TIMER_VECTOR);
}

/* Prefixes, an opcode of either map, and a memory operand of any kind; or anything. */
static void write_program(uint8_t *code)
{
	static const uint8_t prefixes[] = { 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x40, 0x48, 0x4c, 0x41, 0x64, 0x2e };
	uint32_t n = 0;

	memset(code, 0xcc, PROGRAM_MAX);
	for (uint32_t i = rnd(4); i > 0; i--)
		code[n++] = prefixes[rnd(ARRAY_LEN(prefixes))];
	if (rnd(3) == 0)
		code[n++] = 0x0f;
	code[n++] = (uint8_t)rnd(256);
	code[n++] = (uint8_t)(rnd(4) ? rnd(3) << 6 | rnd(64) : rnd(256));
	for (uint32_t i = rnd(10); i > 0; i--)
		code[n++] = (uint8_t)(rnd(2) ? rnd(256) : 0);
}

static void run_program(void)
{
	/* Now and then the code itself crosses into a page of a device: there is nothing to fetch from. */
	uint8_t *code = (uint8_t *)(CODE + LARGE / 2 - (rnd(2) ? 0 : rnd(16)));
	uint64_t gpr[16], flags = RFLAGS_FIXED | RFLAGS_IF;

	write_program(code);
	for (uint32_t i = 0; i < 16; i++)
		gpr[i] = rnd(8) ? rnd_address() : rnd_value();
	if (rnd(4))
		gpr[GPR_RCX] = rnd(20);
	apic_write(VLAPIC_TIMER_INIT, TIMER_TICKS);
	flags |= rnd(2) ? 0 : rnd(0x100) & RFLAGS_ARITHMETIC;
	wild_enter(gpr, (uint64_t)code, flags | (rnd(8) ? 0 : RFLAGS_DF));
}

/* An instruction that is not emulated, on a device: the program's end, and not the guest's. */
static void not_emulated(void)
{
	static const uint8_t bsr[] = { 0x0f, 0xbd, 0x00 }; /* BSR EAX, [RAX] */
	const uint64_t gpr[16] = { GUEST_IOAPIC_BASE };

	memcpy((void *)CODE, bsr, sizeof bsr);
	wild_enter(gpr, CODE, RFLAGS_FIXED);
	report_equal("not-emulated", ended_by[VEC_UD], 1);
}

static void bytes(uint64_t rounds)
{
	for (uint64_t i = 0; i < rounds; i++) {
		if (i % 256 == 0)
			set_up_devices();
		run_program();
	}
	report(ended_by[VEC_UD] && ended_by[VEC_GP] && ended_by[VEC_PF] && ended_by[TIMER_VECTOR], "bytes",
	       "#UD %u, #GP %u, #PF %u, timer %u", ended_by[VEC_UD], ended_by[VEC_GP], ended_by[VEC_PF],
	       ended_by[TIMER_VECTOR]);
	CHECK("secret-is-whole", secret_is_whole());
}

static void set_up_user_mode(void)
{
	set_up_task();
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SCE); /* no way into the kernel by SYSCALL */
	for (unsigned v = 0; v < 256; v++)
		trap_set(v, user_trap);
}

void guest_main(void)
{
	uint64_t rounds = option_number("rounds", 3000);

	random_state = option_number("seed", 1);
	set_up_memory(); /* first: a supervisor's page stays one's own whatever CR4 gets */
	privileged(rounds);
	set_up_user_mode();
	not_emulated();
	bytes(rounds);
}
