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
#include "hv/base/frame.h"
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
struct mmu_config;
struct cpuid_policy;
struct msr_cpu;
struct guest_entry;
struct guest_image;
struct guest_paging;
struct decode_cache;
struct mmio_memos;
struct walk_cache;
struct fpu;
struct pc;
struct vclock;
struct monitor_out;
struct vcpu_debug;
struct debug_plan;
struct debug;
struct trace_event;

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
#define REQUEST_FLUSH BIT(3) /* INVEPT before the next entry */
#define REQUEST_EXTINT BIT(4) /* the PIC's output changed */
#define REQUEST_LOG BIT(5)   /* hand over the log of written pages; log, or no longer */
#define REQUEST_SNAPSHOT BIT(6) /* copy the registers for the monitor */
#define REQUEST_POWER_ON BIT(8) /* architectural power-on; vCPU 0 then takes vm.entry */
#define REQUEST_DEBUG BIT(9) /* a debugger wants it to stop, or to go on */
#define REQUEST_LEAVE BIT(7) /* state is no longer VCPU_RUNNING: leave the run loop */

/* What an exit handler wants done. */
enum exit_result {
	EXIT_RESUME,  /* enter again at the RIP the guest has */
	EXIT_ADVANCE, /* skip the instruction, then enter */
	EXIT_YIELD,   /* leave the run loop: halted, stopped, or another context's turn (RIP is right) */
};

#define EXIT_REASONS 80
struct exit_stats { /* by exit reason */
	uint64_t count[EXIT_REASONS];
	uint64_t cycles[EXIT_REASONS]; /* host TSC ticks in root mode, from exit stub to entry stub */
};

/* The last exits, oldest overwritten first: for a panic while the trace (hv/trace.h) is off. */
#define EXIT_RING 32
struct exit_ring {
	uint32_t next; /* counts all; modulo EXIT_RING it is the place of the next one */
	uint32_t reason[EXIT_RING];
	uint64_t tsc[EXIT_RING]; /* the host's */
};

struct vcpu {
	/* Used by vmx/entry.S by offset. */
	uint64_t gpr[GPR_COUNT];
	uint64_t exit_tsc;  /* host TSC at the last exit */

	uint32_t requests;  /* atomic: REQUEST_* */
	uint32_t carried;   /* requests taken while not running that the back end must still see */
	uint32_t index;     /* = initial APIC id */
	struct vm *vm;
	struct cpu *cpu;    /* where it runs, for good */
	struct context *context;
	enum vcpu_state state;
	uint32_t snapshot_count;    /* atomic: goes up when snapshot is fresh */
	struct vcpu_debug *debug;   /* hv/debug.h; NULL: no debugger is attached */
	uint64_t *snapshot;         /* REG_COUNT values, then GPR_COUNT, on demand of the monitor */

	struct cpuid_policy *cpuid; /* hv/guest/cpuid.h */
	struct msr_cpu *msr;        /* hv/guest/msr.h */
	struct mmu_vcpu *mmu;       /* mmu/mmu.h: table-page cache, slot hint */
	struct fpu *fpu;            /* hv/fpu.h: state while not in the registers */
	struct decode_cache *decoded; /* hv/emulate/decode.h */
	uint64_t refused_rip;       /* where the emulator last gave up: once more there and the guest stops */
	uint32_t user_refusals;     /* how often an #UD in user mode was the end of that instead */
	struct walk_cache *walks;   /* mmu/walk_cache.h */
	struct mmio_memos *memos;   /* hv/mmio_memo.h */
	uint64_t tsc_offset;        /* guest TSC = host TSC + tsc_offset; IA32_TSC writes change it */
	uint64_t tsc_ratio;         /* not 0: host TSC * tsc_ratio / 2^48 in that, and nothing changes either */
	uint64_t xcr0;
	bool page_1g;               /* its CPUID has 1-GByte pages */
	uint64_t dr[4], dr6;        /* while not in the registers */

	uint32_t last_reason;
	struct exit_stats stats;
	struct exit_ring ring;
	struct {
		struct trace_event *event; /* its last exit in the trace (hv/trace.h), while tsc is what it has */
		uint64_t tsc, cycles;      /* cycles: stats.cycles of its reason before */
	} traced;
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
	bool mmu_ready;             /* mmu was built */
	bool mailbox;               /* secondary vCPUs start through the ACPI wakeup mailbox */
	bool announced;             /* the log has said that it stopped */
	bool lost;                  /* memory of it did not come back: it starts no more */
	struct pc *pc;              /* its devices: hv/pc.h */
	struct bus *bus;
	uint32_t vcpu_count;
	struct vcpu *vcpus[GUEST_MAX_VCPUS];
	struct context *contexts[GUEST_MAX_VCPUS]; /* of those vCPUs; made once, kept */
	uint32_t extent_count;
	struct vm_extent extents[VM_MAX_EXTENTS];
	uint32_t powered;           /* atomic: vCPUs that have done their power-on */
	uint32_t running_vcpus;     /* atomic: vCPUs not yet parked after a stop */
	struct guest_entry *entry;  /* how vCPU 0 starts */
	uint32_t reset_wanted;
	bool ended_itself;          /* by power-off, reset or the debug port: it did not fail */
	struct vcpu *culprit;       /* whose exit stopped the VM, or NULL */
	struct vclock *clock;
	struct debug *debug;        /* hv/debug.h; the monitor's context's */
	char stop_reason[240];      /* first reason wins */
};

/*
 * A back end. Functions run on the vCPU's own CPU unless said otherwise; those that "may be NULL" stand for
 * what one kind of guest has and the other has not.
 */
struct backend {
	const char *name;
	/*
	 * Its guests keep their registers and their memory to themselves: get_reg and get_code_state answer 0,
	 * set_reg does nothing, v->gpr means nothing, and nobody may read memory that is private to the guest.
	 */
	bool hides_state;
	/* All vCPUs start when the guest does; its firmware parks those that the kernel has not called yet. */
	bool starts_all;
	/* Per host CPU: what is missing is named in f. Prints nothing. */
	int (*cpu_enable)(struct cpu *c, struct failure *f);
	void (*cpu_disable)(struct cpu *c);
	/* Another back end's guest gets the CPU: what it holds of this one's (control structure, switched MSRs,
	 * debug registers) is saved. */
	void (*release)(struct cpu *c);
	/* Any CPU, VM off. */
	int (*vm_create)(struct vm *vm, struct failure *f);
	void (*vm_destroy)(struct vm *vm);
	/* Settles config->kind, which may be MMU_BY_HOST, and fills max_level, ept_ad, execute_only, nx_huge and
	 * what PML needs for it: what the CPUs offer and `disable` leaves. -ENOTSUP with what is missing when
	 * they cannot do that kind. */
	int (*mmu_limits)(const struct vm *vm, struct mmu_config *config, struct failure *f);
	/* May be NULL: lays out the guest's memory, in place of hv/guest, from what gnomon.conf names: kernel,
	 * initrd, command line. Every start; RAM is clear, and all vCPUs are there. Monitor's context. */
	int (*vm_load)(struct vm *vm, const struct guest_image *image, struct failure *f);
	/* May be NULL: undoes vm_load, when the guest has stopped or could not be loaded: all of its RAM is in
	 * the hypervisor's hands again. -EIO: it is not, and the VM cannot be started again. */
	int (*vm_unload)(struct vm *vm, struct failure *f);
	/* Every translation any CPU holds of vm's EPT is gone when this returns, or will be before that
	 * CPU enters the guest again. Any CPU; waits only for CPUs in the guest. */
	void (*flush)(struct vm *vm);
	/* Allocates the structure that holds struct vcpu (zeroed) and what the back end needs. */
	struct vcpu *(*vcpu_create)(struct vm *vm, uint32_t index, struct failure *f);
	void (*vcpu_destroy)(struct vcpu *v);
	/* Architectural power-on or INIT state; entry != NULL then sets the start state of a kernel. */
	void (*vcpu_reset)(struct vcpu *v, const struct guest_entry *entry);
	void (*vcpu_sipi)(struct vcpu *v, uint8_t vector);
	/* Runs the guest until something but a guest exit wants the CPU: state != VCPU_RUNNING or
	 * sched_tick said yield. Before each entry, when v->requests is not zero, it calls
	 * vcpu_take_requests (hv/vcpu.h) and acts on the bits that returns. */
	void (*run)(struct vcpu *v);
	/* This context is switched in or out on its CPU (VMPTRLD, host-switched MSRs). */
	void (*load)(struct vcpu *v);
	void (*put)(struct vcpu *v);
	/* May be NULL: v has stopped for good. Before its VM counts as stopped. */
	void (*park)(struct vcpu *v);
	/* May be NULL, then hv/ asks the local APIC: whether an interrupt waits that v, which has halted, would
	 * take. */
	bool (*has_interrupt)(struct vcpu *v);
	uint64_t (*get_reg)(struct vcpu *v, enum guest_reg r);
	void (*set_reg)(struct vcpu *v, enum guest_reg r, uint64_t value);
	/* What the emulator needs for every instruction, in one call: of g all but PDPTEs, PKRU and
	 * what CPUID says. *cs_ar: CS access rights. Returns RIP. */
	uint64_t (*get_code_state)(struct vcpu *v, struct guest_paging *g, uint32_t *cs_ar);
	/* An emulated instruction has completed and the next is at rip: interrupt shadows and RF end, RFLAGS.TF
	 * leaves a trap pending. */
	void (*instruction_done)(struct vcpu *v, uint64_t rip);
	/* What a debugger wants from now on, in place of what it wanted before; NULL: it only looks at v. Any
	 * registers it has changed have been set. NULL with hides_state. */
	void (*debug)(struct vcpu *v, const struct debug_plan *plan);
	/* MSRs of kinds BACKEND, SWITCHED and COMMAND in hv/guest/msr.h; false: #GP. */
	bool (*msr_read)(struct vcpu *v, uint32_t msr, uint64_t *value);
	bool (*msr_write)(struct vcpu *v, uint32_t msr, uint64_t value);
	/* v->tsc_offset has changed. */
	void (*tsc_changed)(struct vcpu *v);
	/* Queues an exception for the next entry; contributory and page faults combine into #DF or a
	 * shutdown as the SDM's "Double Fault" table says. error < 0: none. */
	void (*inject)(struct vcpu *v, unsigned vector, int64_t error);
	/* Something was posted in the local APIC's descriptor: true when the vCPU is in the guest and takes it
	 * there without an exit; false: vcpu_request is needed. Any CPU, after the posting. */
	bool (*notify)(struct vcpu *v);
	/* APIC mode or virtualisation inputs changed (vlapic mode_changed, eoi_exit). */
	void (*apic_changed)(struct vcpu *v);
	/* The back end's own control structure in words: VMCS fields by name. */
	void (*dump)(struct vcpu *v, struct monitor_out *out);
	/* What the CPU offers and what of it is used, for `caps`. Any CPU. */
	void (*describe)(struct monitor_out *out);
	/* Optional features in use (bits of enum feature), for CPUID and MSR policy. */
	feature_set_t (*features)(void);
	/* Name of an index into vcpu.stats; NULL when there is no such reason. */
	const char *(*reason_name)(uint32_t reason);
	/* Physical address of what the hardware walks for vm (EPT pointer's frame) and others it uses
	 * (VMCS, bitmaps, APIC pages): each frame once, for the audit of owners. */
	int (*for_each_frame)(struct vm *vm, int (*fn)(void *ctx, hpa_t frame, frame_owner_t owner), void *ctx);
};

/* vmx/: Intel VMX with EPT. */
extern const struct backend vmx_backend;
/* tdx/: TDs, by a TDX module. */
extern const struct backend tdx_backend;
/* Finds and starts a TDX module when gnomon.conf has a TD, and says in the log what there is. Boot CPU, start-up,
 * after all CPUs and vms_init(). */
void tdx_start(void);

/* Sets bits and, when none was pending and v's CPU is another, interrupts that CPU and wakes the
 * context. Any CPU, any lock held. */
void vcpu_request(struct vcpu *v, uint32_t bits);

/* Stops the whole VM: notes the reason (a sentence; the first wins), requests all vCPUs out.
 * Any CPU, also from a vCPU of that VM, which must then return EXIT_YIELD. */
void vm_stop(struct vm *vm, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define TSC_RATIO_SHIFT 48 /* SDM "TSC Scaling" */

/* Guest TSC at a host TSC. */
static inline uint64_t vcpu_tsc_at(const struct vcpu *v, uint64_t host)
{
	if (UNLIKELY(v->tsc_ratio))
		host = (uint64_t)((unsigned __int128)host * v->tsc_ratio >> TSC_RATIO_SHIFT);
	return host + v->tsc_offset;
}

/* Host TSC at which the guest's TSC reaches guest, which is any value; now: the host TSC, and the result when
 * that has come. */
static inline uint64_t vcpu_host_tsc(const struct vcpu *v, uint64_t guest, uint64_t now)
{
	uint64_t guest_now = vcpu_tsc_at(v, now), left = guest > guest_now ? guest - guest_now : 0;

	if (UNLIKELY(v->tsc_ratio)) /* the quotient has 64 bits, or is too far away to matter */
		left = left >> (64 - TSC_RATIO_SHIFT) < v->tsc_ratio ?
			       mul_div(left, BIT(TSC_RATIO_SHIFT), v->tsc_ratio) : NEVER;
	return left < NEVER - now ? now + left : NEVER;
}

/* Guest TSC now. */
static inline uint64_t vcpu_tsc(const struct vcpu *v) { return vcpu_tsc_at(v, __builtin_ia32_rdtsc()); }

#endif
