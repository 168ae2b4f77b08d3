/*
 * Virtual machines and their CPUs, and the operations a back end (vmx/, tdx/) provides for them.
 *
 * A vCPU belongs to one host CPU and runs as a context there (hv/sched.h). Others talk to it only
 * through vcpu_request and its local APIC's posted bitmap: set the bit, and if the word was zero,
 * interrupt its CPU. The owner looks at requests with interrupts off before every entry; what is
 * set later arrives as an interrupt that ends the guest's run at once. tests/model/kick.pml.
 */
#ifndef HV_VM_H
#define HV_VM_H

#include "hv/base/config.h"
#include "hv/base/percpu.h"
#include "hv/base/types.h"
#include "hv/bus.h"
#include "hv/devices/vlapic.h"
#include "hv/guest/guest.h"
#include "hv/sched.h"

struct vm;
struct vcpu;
struct mmu;
struct mmu_vcpu;
struct cpuid_policy;
struct msr_cpu;
struct guest_entry;
struct fpu;
struct pc;
struct monitor_out;

/* General registers by instruction encoding. gpr[GPR_RSP] is kept by the back end: use get_reg. */
enum gpr {
	GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI,
	GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15, GPR_COUNT
};

enum guest_reg {
	REG_RIP, REG_RSP, REG_RFLAGS, REG_CR0, REG_CR3, REG_CR4, REG_EFER, REG_DR7,
	REG_ES_BASE, REG_CS_BASE, REG_SS_BASE, REG_DS_BASE, REG_FS_BASE, REG_GS_BASE,
	REG_ES_AR, REG_CS_AR, REG_SS_AR, REG_DS_AR, REG_FS_AR, REG_GS_AR,
	REG_ES_LIMIT, REG_CS_LIMIT, REG_SS_LIMIT, REG_DS_LIMIT, REG_FS_LIMIT, REG_GS_LIMIT,
	REG_CS_SEL, REG_SS_SEL, REG_DS_SEL, REG_ES_SEL, REG_FS_SEL, REG_GS_SEL,
	REG_GDTR_BASE, REG_GDTR_LIMIT, REG_IDTR_BASE, REG_IDTR_LIMIT,
	REG_TR_SEL, REG_TR_BASE, REG_LDTR_SEL, REG_LDTR_BASE,
	REG_SYSENTER_CS, REG_SYSENTER_ESP, REG_SYSENTER_EIP, REG_PAT, REG_DEBUGCTL,
	REG_CPL, REG_PDPTE0, REG_PDPTE1, REG_PDPTE2, REG_PDPTE3,
	REG_COUNT
};

enum vcpu_state {
	VCPU_WAIT_SIPI, /* after INIT, or power-on of a secondary */
	VCPU_RUNNING,
	VCPU_HALTED,    /* HLT: an interrupt, NMI or INIT wakes it */
	VCPU_STOPPED,   /* its VM has stopped */
};

/* Bits of vcpu.requests. */
#define REQUEST_APIC BIT(0)  /* something was posted to the local APIC */
#define REQUEST_EVENT BIT(1) /* INIT, SIPI or NMI in lapic.events */
#define REQUEST_STOP BIT(2)  /* leave the guest for good */
#define REQUEST_FLUSH BIT(3) /* INVEPT before the next entry; vm.flush_epoch says since when */
#define REQUEST_EXTINT BIT(4) /* the PIC's output changed */
#define REQUEST_TIMER BIT(5) /* next_event moved */
#define REQUEST_PAUSE BIT(6) /* stop at an instruction boundary for the monitor */

/* What an exit handler wants done. */
enum exit_result {
	EXIT_RESUME,  /* enter again at the RIP the guest has */
	EXIT_ADVANCE, /* skip the instruction, then enter */
	EXIT_YIELD,   /* leave the run loop: halted, stopped, or another context's turn (RIP is right) */
};

#define EXIT_REASONS 80
struct exit_stat {
	uint64_t count;
	uint64_t cycles; /* host TSC ticks in root mode, from exit stub to entry stub */
};

#define EXIT_RING 32
struct exit_record {
	uint64_t tsc;
	uint32_t reason;
	uint32_t vcpu;
};

struct vcpu {
	/* Used by vmx/entry.S by offset. */
	uint64_t gpr[GPR_COUNT];
	uint64_t exit_tsc;  /* host TSC at the last exit */

	uint32_t requests;  /* atomic: REQUEST_* */
	uint32_t index;     /* = initial APIC id */
	struct vm *vm;
	struct cpu *cpu;    /* where it runs, for good */
	struct context *context;
	enum vcpu_state state;
	bool paused;

	struct cpuid_policy *cpuid; /* hv/guest/cpuid.h */
	struct msr_cpu *msr;        /* hv/guest/msr.h */
	struct mmu_vcpu *mmu;       /* mmu/mmu.h: table-page cache, slot hint */
	struct fpu *fpu;            /* hv/fpu.h: state while not in the registers */
	uint64_t xcr0;
	uint64_t dr[4], dr6;        /* while not in the registers */

	uint32_t last_reason;
	uint32_t ring_next;
	struct exit_stat stats[EXIT_REASONS];
	struct exit_record ring[EXIT_RING];
	struct vlapic lapic;
};

enum vm_state { VM_OFF, VM_RUNNING, VM_STOPPING, VM_STOPPED };

#define VM_MAX_EXTENTS 64
struct vm_extent { /* guest RAM: gpa range -> contiguous host frames */
	gpa_t gpa;
	hpa_t hpa;
	uint64_t size;
};

struct vm {
	uint32_t id; /* 1.. ; frame owners OWNER_VM(id), OWNER_VM_META(id) */
	const struct vm_config *config;
	const struct backend *backend;
	enum vm_state state;
	struct mmu *mmu;
	struct pc *pc;              /* its devices: hv/pc.h */
	struct bus *bus;
	uint64_t tsc_offset;        /* guest TSC = host TSC + tsc_offset */
	uint32_t vcpu_count;
	struct vcpu *vcpus[GUEST_MAX_VCPUS];
	uint32_t extent_count;
	struct vm_extent extents[VM_MAX_EXTENTS];
	uint64_t flush_epoch;       /* atomic: counts TLB flushes asked for */
	uint32_t running_vcpus;     /* atomic: contexts not yet parked after a stop */
	uint32_t reset_wanted;
	char stop_reason[240];      /* first reason wins */
};

/* A back end. Functions run on the vCPU's own CPU unless said otherwise. */
struct backend {
	const char *name;
	/* Per host CPU: what is missing is named in f. Prints nothing. */
	int (*cpu_enable)(struct cpu *c, struct failure *f);
	void (*cpu_disable)(struct cpu *c);
	/* Any CPU, VM off. */
	int (*vm_create)(struct vm *vm, struct failure *f);
	void (*vm_destroy)(struct vm *vm);
	/* Allocates the structure that holds struct vcpu (zeroed) and what the back end needs. */
	struct vcpu *(*vcpu_create)(struct vm *vm, uint32_t index, struct failure *f);
	void (*vcpu_destroy)(struct vcpu *v);
	/* Architectural power-on or INIT state; entry != NULL then sets the start state of a kernel. */
	void (*vcpu_reset)(struct vcpu *v, const struct guest_entry *entry);
	void (*vcpu_sipi)(struct vcpu *v, uint8_t vector);
	/* Runs the guest until something but a guest exit wants the CPU: state != RUNNING, a slice
	 * ended, REQUEST_STOP or REQUEST_PAUSE. */
	void (*run)(struct vcpu *v);
	/* This context is switched in or out on its CPU (VMPTRLD, host-switched MSRs). */
	void (*load)(struct vcpu *v);
	void (*put)(struct vcpu *v);
	uint64_t (*get_reg)(struct vcpu *v, enum guest_reg r);
	void (*set_reg)(struct vcpu *v, enum guest_reg r, uint64_t value);
	/* Queues an exception for the next entry; contributory and page faults combine into #DF or a
	 * shutdown as the SDM's "Double Fault" table says. error < 0: none. */
	void (*inject)(struct vcpu *v, unsigned vector, int64_t error);
	/* APIC mode or virtualisation inputs changed (vlapic mode_changed, eoi_exit). */
	void (*apic_changed)(struct vcpu *v);
	/* Everything known about the vCPU, in words, for reports. */
	void (*dump)(struct vcpu *v, struct monitor_out *out);
};

/* Sets bits and, when none was pending and v's CPU is another, interrupts that CPU and wakes the
 * context. Any CPU, any lock held. */
void vcpu_request(struct vcpu *v, uint32_t bits);

/* Stops the whole VM: notes the reason (a sentence; the first wins), requests all vCPUs out.
 * Any CPU, also from a vCPU of that VM, which must then return EXIT_YIELD. */
void vm_stop(struct vm *vm, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Guest TSC now. */
static inline uint64_t vm_tsc(const struct vm *vm) { return __builtin_ia32_rdtsc() + vm->tsc_offset; }

#endif
