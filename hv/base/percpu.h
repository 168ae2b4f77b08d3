/*
 * What each host CPU has of its own. GS points at the running CPU's struct cpu in root mode;
 * VM exits restore it from the VMCS host state.
 */
#ifndef HV_BASE_PERCPU_H
#define HV_BASE_PERCPU_H

#include "hv/base/types.h"

#define MAX_CPUS 64

struct context; /* hv/sched.h */
struct sched;   /* hv/sched.h */
struct vmx_cpu; /* vmx/core/ */
struct vcpu;    /* hv/vm.h */
struct backend; /* hv/vm.h */
struct trace_ring; /* hv/base/trace.h */

struct cpu {
	struct cpu *self;      /* gs:0 */
	uint32_t index;        /* 0 is the CPU that booted */
	uint32_t apic_id;
	struct vcpu *fpu_owner; /* whose FPU and switched MSRs are in the registers now, or NULL */
	const struct backend *loaded_by; /* whose guests' MSRs and debug registers are in the registers, or NULL */
	struct sched *sched;
	struct vmx_cpu *vmx;
	void *machine;         /* struct cpu_machine of hv/base/machine.h: GDT, TSS, stacks */
	struct trace_ring *trace; /* NULL until the trace was first switched on */
	bool runs_guests;      /* virtualisation is on */
	uint32_t online;       /* written once, release, when the CPU takes work */
};

/* All CPUs that answered, index 0..cpu_count-1. Fixed after start-up. */
extern struct cpu *cpus[MAX_CPUS];
extern uint32_t cpu_count;

/* The running CPU's, or NULL when GS does not point at one of cpus[], as while a CPU starts and when
 * nothing is to be trusted. Any context. */
struct cpu *cpu_if_known(void);

#ifdef GNOMON_HOST_TEST
extern struct cpu *test_this_cpu;
static inline struct cpu *this_cpu(void) { return test_this_cpu; }
#else
static inline struct cpu *this_cpu(void)
{
	struct cpu *c;
	__asm__("mov %%gs:0, %0" : "=r"(c));
	return c;
}
#endif

#endif
