/*
 * Starting the other CPUs, and stopping them again. INIT-SIPI-SIPI one CPU after the other, each
 * wait bounded; those that do not come are named in the log and done without.
 */
#ifndef HV_BASE_SMP_H
#define HV_BASE_SMP_H

#include "boot/boot_info.h"
#include "hv/base/percpu.h"
#include "hv/base/types.h"

/* What the trampoline page holds for the CPU that is being started; see trampoline.S. */
struct ap_start {
	uint64_t cr0, cr3, cr4, efer; /* cr3 below 4 GiB: it is loaded before 64-bit mode */
	uint64_t entry;               /* void (struct cpu *), in the image */
	uint64_t cpu;
	uint64_t stack;
	uint32_t ticket;              /* 1: free to take. A CPU that comes late finds 0 and halts */
};

/*
 * Starts every CPU of bi->cpus but the running one, with struct cpu, GDT, TSS, stacks and local
 * APIC in place. When all have answered or run out of time, cpus[] and cpu_count are final and each
 * new CPU calls ap_main, which sets c->online and does not return. Boot CPU; after lapic_init and clock_init.
 */
void cpus_start(const struct boot_info *bi, void (*ap_main)(struct cpu *c));

/*
 * Interrupts all other CPUs by NMI; each calls on_each (may be NULL) and halts for good.
 * Waits up to 100 ms; returns how many did not answer. Any CPU; takes no lock.
 */
uint32_t cpus_stop_others(void (*on_each)(void));

/* Whether that CPU did. */
bool cpu_has_stopped(const struct cpu *c);

/* In the NMI handler: does not return when the CPU is to stop; false when nobody asked for that. */
bool smp_nmi_stop(void);

#endif
