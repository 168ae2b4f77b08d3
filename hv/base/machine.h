/*
 * A host CPU's tables: GDT, TSS with its IST stacks, control registers; and the early steps of
 * start-up, in the order hv_main calls them:
 *
 *   hv_main is entered with boot_info copied, GDT, TSS, IDT, GS and control registers in place, on
 *   a stack of the image, still on boot's page tables. Then:
 *   console_init_early        the first line is on serial and screen
 *   machine_check_boot_info   what boot handed over holds together
 *   frames_init, map_init     own memory, own page tables; W^X from here
 *   frames_release_boot       boot's page tables and stack are free frames
 *   symbols_init              backtraces have names
 *   acpi_host_init            host tables, or the defaults of a PC
 *   lapic_init, ioapic_init   interrupts of the host
 *   pci_init                  configuration space of the host's devices
 *   clock_init                TSC frequency
 *   reset_init                firmware's ResetSystem can be called
 *   cpus_start                the other CPUs
 *
 * A step that cannot do without what it does not find calls machine_give_up.
 */
#ifndef HV_BASE_MACHINE_H
#define HV_BASE_MACHINE_H

#include "boot/boot_info.h"
#include "hv/base/percpu.h"
#include "hv/base/types.h"

/* Selectors, the same on every CPU; also the host-state area's. */
#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS 0x18

/* IA32_PAT: the reset value (WB, WT, UC-, UC in entries 0..3 and again in 5..7) but for entry 4,
 * which is write combining. */
#define MACHINE_PAT 0x0007040100070406ul

/* Interrupt stack table: exceptions that may strike when the stack is not to be trusted. */
enum ist { IST_NONE, IST_DF, IST_NMI, IST_MC, IST_DB, IST_COUNT };
#define IST_STACK_PAGES 2
#define CPU_STACK_PAGES 4

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t ist[8]; /* entry 0 is reserved */
	uint64_t reserved1;
	uint16_t reserved2;
	uint16_t io_map_base;
} __attribute__((packed));

struct cpu_machine {
	uint64_t gdt[5];
	struct tss tss __attribute__((aligned(16)));
	void *stack_top;
	/* At most one firmware call at a time on a CPU. */
	uint64_t recovery_rip, recovery_rsp; /* hv/base/trap.h */
};

/* From entry.S; ends in hv_main. */
NORETURN void machine_enter(hpa_t boot_info_pa);
/* The hypervisor proper, in hv/main.c. bi is the image's own copy. */
NORETURN void hv_main(const struct boot_info *bi);

/* Panics when the tables of boot_info count more than they hold. */
void machine_check_boot_info(const struct boot_info *bi);

/* Start-up cannot go on: says why on serial and screen, and halts. */
NORETURN void machine_give_up(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Fills c's GDT and TSS. stacks[IST_NONE] is the CPU's own stack, the others by enum ist: tops. */
void machine_init_cpu(struct cpu *c, struct cpu_machine *m, void *const stacks[IST_COUNT]);
/* Makes them the running CPU's, sets GS, IDT, PAT and control registers. */
void machine_load_cpu(struct cpu *c);

/* What the running CPU's registers shall hold in root mode, CR4.VMXE apart. Fixed at start. */
uint64_t machine_cr0(void);
uint64_t machine_cr4(void);
uint64_t machine_efer(void);
/* Whether the operator left an optional feature on. */
bool machine_feature_enabled(enum feature f);

/* A stack of the image: the page below it is unmapped by map_init. */
#define IMAGE_STACK_SIZE (CPU_STACK_PAGES * 4096)
struct image_stack {
	uint8_t guard[4096];
	uint8_t bytes[IMAGE_STACK_SIZE];
};
extern struct image_stack machine_boot_stacks[IST_COUNT];

#endif
