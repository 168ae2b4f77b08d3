/*
 * The running CPU's tables and control registers, and the way from entry.S to hv_main.
 * Owns the boot CPU's struct cpu and stacks, and the copy of boot_info.
 */
#include "hv/base/machine.h"

#include <string.h>

#include "drivers/uart.h"
#include "hv/base/msr.h"
#include "hv/base/panic.h"
#include "hv/base/phys.h"
#include "hv/base/trap.h"
#include "hv/base/x86.h"

#define CPUID_1_ECX_XSAVE BIT(26)
#define CPUID_7_EBX_SMEP BIT(7)
#define CPUID_7_EBX_SMAP BIT(20)

/* Code: 64-bit, ring 0, accessed. Data: writable, accessed. SDM vol. 3A, "Segment Descriptors". */
#define GDT_CODE64 0x00af9b000000fffful
#define GDT_DATA 0x00cf93000000fffful
#define GDT_TSS_AVAILABLE (BIT(47) | (uint64_t)9 << 40)

struct image_stack machine_boot_stacks[IST_COUNT] __attribute__((aligned(4096)));
struct cpu *cpus[MAX_CPUS];
uint32_t cpu_count;

static struct boot_info boot_copy;
static struct cpu boot_cpu;
static struct cpu_machine boot_machine;
static uint64_t root_cr4;

struct cpu *cpu_if_known(void)
{
	uint64_t gs = rdmsr(MSR_GS_BASE);

	for (uint32_t i = 0; i < cpu_count && i < MAX_CPUS; i++)
		if (gs == (uint64_t)cpus[i] && gs)
			return cpus[i];
	return NULL;
}

bool machine_feature_enabled(enum feature f) { return !(boot_copy.config.disabled & BIT(f)); }

/* Protected mode, paging, write protection; caches on; no TS: FPU use never traps. */
uint64_t machine_cr0(void) { return CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG; }
uint64_t machine_cr4(void) { return root_cr4; }
uint64_t machine_efer(void) { return EFER_LME | EFER_LMA | EFER_NXE; }

/*
 * Built from nothing, so that what firmware left on (CET, protection keys, PCIDE) goes off. LA57
 * alone is kept: it cannot be changed in 64-bit mode (SDM vol. 3A, "Control Registers"), and
 * hv/base/map.c builds as many levels as it says.
 */
static uint64_t choose_cr4(void)
{
	struct cpuid_regs leaf7 = { 0 };
	uint64_t cr4 = CR4_PAE | CR4_MCE | CR4_PGE | CR4_DE | CR4_OSFXSR | CR4_OSXMMEXCPT;

	if (cpuid(0, 0).eax >= 7)
		leaf7 = cpuid(7, 0);
	if ((leaf7.ebx & CPUID_7_EBX_SMEP) && machine_feature_enabled(FEATURE_SMEP))
		cr4 |= CR4_SMEP;
	if ((leaf7.ebx & CPUID_7_EBX_SMAP) && machine_feature_enabled(FEATURE_SMAP))
		cr4 |= CR4_SMAP;
	if ((cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE) && machine_feature_enabled(FEATURE_XSAVE))
		cr4 |= CR4_OSXSAVE;
	return cr4 | (read_cr4() & CR4_LA57);
}

void machine_init_cpu(struct cpu *c, struct cpu_machine *m, void *const stacks[IST_COUNT])
{
	uint64_t base = (uint64_t)&m->tss;

	c->self = c;
	c->machine = m;
	m->stack_top = stacks[IST_NONE];
	m->tss.rsp[0] = (uint64_t)stacks[IST_NONE];
	for (unsigned i = IST_DF; i < IST_COUNT; i++)
		m->tss.ist[i] = (uint64_t)stacks[i];
	m->tss.io_map_base = sizeof m->tss;
	m->gdt[SEL_CODE / 8] = GDT_CODE64;
	m->gdt[SEL_DATA / 8] = GDT_DATA;
	m->gdt[SEL_TSS / 8] = (sizeof m->tss - 1) | GDT_TSS_AVAILABLE | (base & BITS(23, 0)) << 16 |
			      (base & BITS(31, 24)) << 32;
	m->gdt[SEL_TSS / 8 + 1] = base >> 32;
}

static void load_segments(const struct cpu_machine *m)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) gdtr = { sizeof m->gdt - 1, (uint64_t)m->gdt };

	__asm__ volatile("lgdt %0\n\t"
			 "pushq %1\n\t"
			 "leaq 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n"
			 "1:\tmov %2, %%ds\n\t"
			 "mov %2, %%es\n\t"
			 "mov %2, %%ss\n\t"
			 "mov %3, %%fs\n\t"
			 "mov %3, %%gs\n\t"
			 "lldt %w3\n\t"
			 "ltr %w4"
			 : : "m"(gdtr), "i"(SEL_CODE), "r"(SEL_DATA), "r"(0), "r"(SEL_TSS) : "rax", "memory");
}

/* From here on an exception is reported. */
static void load_tables(struct cpu *c)
{
	load_segments(c->machine);
	wrmsr(MSR_GS_BASE, (uint64_t)c);
	wrmsr(MSR_FS_BASE, 0);
	traps_load_cpu();
}

static void load_control(void)
{
	wrmsr(MSR_EFER, (rdmsr(MSR_EFER) & EFER_SCE) | machine_efer());
	/* CET wants CR0.WP set, so CR4 loses CET before CR0 is written. */
	write_cr4(machine_cr4());
	write_cr0(machine_cr0());
	/* The order that SDM vol. 3A, "Programming the PAT", asks for; boot's tables use entry 0 only. */
	wbinvd();
	wrmsr(MSR_PAT, MACHINE_PAT);
	wbinvd();
	write_cr3(read_cr3());
}

void machine_load_cpu(struct cpu *c)
{
	load_tables(c);
	load_control();
}

static void copy_boot_info(hpa_t pa)
{
	const struct boot_info *given = phys_to_virt(pa);

	if (given->magic != BOOT_INFO_MAGIC || given->size != sizeof boot_copy)
		panic("gnomon.efi and the hypervisor's file are of different builds: copy both from one image");
	memcpy(&boot_copy, given, sizeof boot_copy);
}

void machine_check_boot_info(const struct boot_info *bi)
{
	if (bi->range_count > BOOT_MAX_RANGES || bi->cpu_count > BOOT_MAX_CPUS || bi->file_count > BOOT_MAX_FILES)
		panic("boot_info counts %u ranges, %u CPUs, %u files: more than its tables hold",
		      bi->range_count, bi->cpu_count, bi->file_count);
}

/* GS and the traps first: this_cpu() must work in whatever comes next, and an exception or panic is then
 * told, on COM1 when nothing better is known yet. */
void machine_enter(hpa_t boot_info_pa)
{
	void *stacks[IST_COUNT];

	boot_cpu.self = &boot_cpu;
	boot_cpu.machine = &boot_machine;
	cpus[0] = &boot_cpu;
	cpu_count = 1;
	for (unsigned i = 0; i < IST_COUNT; i++)
		stacks[i] = &machine_boot_stacks[i] + 1;
	machine_init_cpu(&boot_cpu, &boot_machine, stacks);
	traps_init();
	load_tables(&boot_cpu);
	panic_add_output(uart_panic_write);
	copy_boot_info(boot_info_pa);
	boot_cpu.apic_id = boot_copy.cpu_count ? boot_copy.cpus[0].apic_id : 0;
	root_cr4 = choose_cr4();
	load_control();
	hv_main(&boot_copy);
}
