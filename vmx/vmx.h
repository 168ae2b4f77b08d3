/*
 * The VMX back end's own view of a vCPU, and the calls between the files of vmx/.
 * Everything here runs on the vCPU's own host CPU with its VMCS current unless said otherwise.
 */
#ifndef VMX_VMX_H
#define VMX_VMX_H

#include "hv/base/types.h"
#include "hv/debug.h"
#include "hv/vm.h"
#include "mmu/walk.h"
#include "vmx/core/controls.h"
#include "vmx/core/reasons.h"
#include "vmx/core/vmcs.h"
#include "vmx/core/vmxon.h"
#include "vmx/core/inject.h"

/* Access rights of a segment as the VMCS has them. SDM "Guest Register State". */
#define AR_LONG BIT(13)
#define AR_BIG BIT(14) /* D/B */
#define AR_UNUSABLE BIT(16)

#define VMX_MAX_SWITCHED 16
#define NO_MSR UINT32_MAX

/* Bits of vmx_vcpu.attention. */
#define ATTENTION_EVENT BIT(0)    /* `event` is queued */
#define ATTENTION_NMI BIT(1)      /* an NMI is pending */
#define ATTENTION_EXTINT BIT(2)   /* the PIC may want something */
#define ATTENTION_WINDOW BIT(3)   /* window exiting is on */
#define ATTENTION_NO_TIMER BIT(4) /* no preemption timer: the host's APIC timer limits the guest's time */
#define ATTENTION_GUARD BIT(5)    /* guard_entry() before each entry */
#define ATTENTION_STEP BIT(6)     /* a debugger's step: vmx/debug.h */

/* Instructions that a step must know of. */
enum step_insn { STEP_PLAIN, STEP_PUSHF, STEP_LOADS_FLAGS, STEP_INT };

/* A debugger at a vCPU: vmx/debug.h. */
struct vmx_debug {
	bool on;
	bool registers; /* the debug registers and DR7 are the debugger's, and the guest's are here */
	bool armed;     /* TF is set for a step */
	bool landing;   /* the entry has nothing to do but deliver an event */
	bool guest_tf, guest_btf; /* while armed: what the guest has there */
	enum step_insn insn;
	uint64_t guest_dr[DEBUG_HW], guest_dr7;
	struct debug_plan plan;
};

enum apic_mode { APIC_VIRT_NONE, APIC_VIRT_XAPIC, APIC_VIRT_X2APIC };

struct vmx_vcpu {
	struct vcpu v; /* first: entry.S and the handlers get a struct vcpu */
	hpa_t vmcs;
	hpa_t msr_bitmap;
	hpa_t log;          /* of page modifications; HPA_NONE where they are not logged */
	bool launched;      /* VMRESUME from now on, until VMCLEAR */
	bool ready;         /* the VMCS has been set up */
	bool vid;           /* virtual-interrupt delivery is on */
	bool logging;       /* "enable PML" is on */
	bool posted;        /* atomic: in the guest, the CPU takes what is posted by itself */
	bool nmi_masked;    /* stands for blocking by NMI where the CPU has no virtual NMIs */
	enum apic_mode apic_mode;
	uint8_t timer_rate; /* of the preemption timer: it counts TSC >> rate */
	uint64_t timer_step;  /* 1 << timer_rate: TSC ticks of one count */
	uint64_t timer_reach; /* TSC ticks: the longest time it counts */
	uint64_t event_due;   /* guest TSC of the CPU's next event, or timer_reach ahead; 0: to be found */
	uint32_t attention; /* ATTENTION_*: an entry has more to do than to go on */
	uint32_t run_seq;   /* atomic; odd while in the guest or about to enter it */
	uint32_t log_round; /* atomic, vmx/pml.c; odd while the log may have entries */
	struct sched *sched; /* of its CPU */
	const uint32_t *words; /* its starting controls, by enum control_word */
	uint32_t primary, secondary, tpr_threshold; /* as in the VMCS */
	struct vmx_event event; /* for the next entry: an exception, or again what an exit cut short */
	uint64_t eptp;
	uint64_t cr0_mask, cr4_mask, cr4_allowed;
	uint64_t cr0_shadow, cr4_shadow; /* as in the VMCS */
	uint64_t cr0_on; /* bits of CR0 that are 1 whatever the guest has there */
	bool shadow;     /* runs under shadow paging */
	bool rooted;     /* then: has tables to run on */
	struct guest_paging paging; /* then: the guest's registers; of CR0 and CR4 what it does not own.
				     * RFLAGS, CPL and PKRU are of the last page fault */
	uint64_t pat;               /* then: the guest's IA32_PAT, of no effect */
	struct {
		uint64_t attempt;
		uint32_t count; /* of attempts that were the same */
	} stuck;
	struct {
		gfn_t gfn;   /* the page table last let be filled by a string instruction */
		uint64_t at; /* counted in exits for exceptions */
	} given_way;
	struct vmx_debug debug;
	uint64_t cr2;        /* while another vCPU's is in the register */
	uint32_t lazy_msr;   /* becomes the guest's own with its first write; NO_MSR when none is left */
	uint32_t switched_count;
	struct switched_msr {
		uint32_t msr;
		uint32_t slot; /* in v.msr->values */
	} switched[VMX_MAX_SWITCHED];
};

/* Differs between all vCPUs of all VMs, is never 0. VM ids are below 256. */
static inline uint16_t vmx_vpid(const struct vmx_vcpu *x)
{
	return (uint16_t)(x->v.vm->id * GUEST_MAX_VCPUS + x->v.index);
}

static inline struct vmx_vcpu *to_vmx(struct vcpu *v) { return CONTAINER_OF(v, struct vmx_vcpu, v); }

/* ---- vmx.c ---- */
/* What all CPUs of this host offer and use; valid once a CPU was enabled. */
const struct vmx_caps *vmx_caps(void);
const struct vmx_controls *vmx_controls(void);
/* Whether some CPU of this host has the erratum of vmx/multihit.h. */
bool vmx_multihit(void);
static inline bool vmx_uses(enum feature f) { return feature_in(vmx_controls()->used, f); }

/* ---- vcpu.c ---- */
struct vcpu *vmx_vcpu_create(struct vm *vm, uint32_t index, struct failure *f);
void vmx_vcpu_destroy(struct vcpu *v);
void vmx_vcpu_load(struct vcpu *v);
void vmx_vcpu_put(struct vcpu *v);
/* VMCLEARs whatever is current on this CPU, its guest's MSRs and debug registers saved. */
void vmx_release_current(struct vmx_cpu *c);

/* ---- vm.c ---- */
int vmx_vm_create(struct vm *vm, struct failure *f);
void vmx_vm_destroy(struct vm *vm);
void vmx_flush(struct vm *vm);
/* Returns when every vCPU that is in the guest, or about to enter it, has been outside: the ticks of the TSC waited. */
uint64_t vmx_wait_outside(struct vm *vm);

/* ---- setup.c ---- */
/* Controls and host state; the guest state is state.c's. */
void vmx_setup_vmcs(struct vmx_vcpu *x);
/* Exceptions that exit whoever looks on. */
uint64_t vmx_exception_bitmap(const struct vmx_vcpu *x);

/* ---- state.c ---- */
void vmx_vcpu_reset(struct vcpu *v, const struct guest_entry *entry);
void vmx_vcpu_sipi(struct vcpu *v, uint8_t vector);

/* ---- regs.c ---- */
uint64_t vmx_get_reg(struct vcpu *v, enum guest_reg r);
uint64_t vmx_get_code_state(struct vcpu *v, struct guest_paging *g, uint32_t *cs_ar);
void vmx_set_reg(struct vcpu *v, enum guest_reg r, uint64_t value);
/* 64-bit mode: EFER.LMA and CS.L. CPUs that let a guest change CR0.PG without an exit keep the entry control in step:
 * SDM "Saving Control Registers, Debug Registers, and MSRs". */
static inline bool vmx_in_long_mode(void)
{
	return (vmread_always(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E) && (vmread_always(VMCS_GUEST_CS_AR) & AR_LONG);
}

/* ---- cr.c ---- */
/* CR0 and CR4 bits that the guest does not own. */
void vmx_cr_masks(struct vmx_vcpu *x);
uint64_t vmx_cr0(const struct vmx_vcpu *x);
uint64_t vmx_cr4(const struct vmx_vcpu *x);
uint64_t vmx_cr3(const struct vmx_vcpu *x);
uint64_t vmx_efer(const struct vmx_vcpu *x);
/* Store without checks; EFER.LMA and the entry control follow. */
void vmx_put_cr0(struct vmx_vcpu *x, uint64_t value);
void vmx_put_cr4(struct vmx_vcpu *x, uint64_t value);
void vmx_put_efer(struct vmx_vcpu *x, uint64_t value);
enum exit_result vmx_exit_cr(struct vcpu *v);

/* ---- shadow.c: all for vCPUs under shadow paging ---- */
void vmx_shadow_reset(struct vmx_vcpu *x);
/* IA32_EFER of this CPU as the guest needs it; when the vCPU is loaded, and when its EFER changes. */
void vmx_shadow_efer(const struct vmx_vcpu *x);
/* The root for x->paging into the VMCS; stops the guest when there is no memory. CR0.PE is 1. */
void vmx_shadow_load(struct vmx_vcpu *x, bool flush);
/* After changes of x->paging's CR0, CR4 or PDPTEs; root: another root is needed; flush: the CPU would
 * have dropped its translations. */
void vmx_shadow_changed(struct vmx_vcpu *x, bool root, bool flush);
/* What REQUEST_FLUSH asks for, the root being replaced when it was taken away. */
void vmx_shadow_flush(struct vmx_vcpu *x);
/* This CPU's translations of the guest. */
void vmx_shadow_drop_tlb(const struct vmx_vcpu *x);
/* Stops the guest; how it came there, in words. */
void vmx_shadow_no_real_mode(struct vcpu *v, const char *how);
enum exit_result vmx_shadow_mov_to_cr3(struct vmx_vcpu *x, uint64_t value);
/* A #PF; vmx_keep_delivery() was called. */
enum exit_result vmx_exit_page_fault(struct vmx_vcpu *x, uint32_t info);
enum exit_result vmx_exit_invlpg(struct vcpu *v);
enum exit_result vmx_exit_invpcid(struct vcpu *v);

/* ---- run.c ---- */
void vmx_run(struct vcpu *v);
/* What entry.S does after an exit. */
enum vmx_next {
	VMX_LEAVE,      /* out of the run loop */
	VMX_ENTER,      /* load all general registers and enter */
	VMX_ENTER_KEPT, /* the same, but those that C functions preserve, RBX apart, still hold the guest's */
};
/* Called by entry.S for every exit; tsc is the host's at its first instructions. */
enum vmx_next vmx_exit(struct vcpu *v, uint64_t tsc);
/* RIP over the instruction that caused the exit, and what ends with it. */
void vmx_skip_instruction(void);
/* After an instruction carried out by a handler: the next RIP, interrupt shadows, the single-step trap. */
void vmx_complete_at(struct vcpu *v, uint64_t rip);
/* This CPU's cached translations of the guest, guest-physical and combined, and by its VPID. */
void vmx_flush_tlb(struct vmx_vcpu *x);
/* Moves run_seq on after an exit, or after an entry that failed. */
void vmx_left_guest(struct vmx_vcpu *x);

/* ---- entry.S ---- */
/* Enters the guest; returns 0 when vmx_exit said to leave, 1 when the entry failed (VMfail). */
int vmx_enter(struct vcpu *v, bool launched);
extern const char vmx_exit_stub[], vmx_exit_stub_filling[];

/* ---- events.c ---- */
void vmx_inject(struct vcpu *v, unsigned vector, int64_t error);
/* Makes e what the next entry delivers, in place of what was queued. */
void vmx_queue(struct vmx_vcpu *x, struct vmx_event e);
void vmx_keep_event(struct vmx_vcpu *x, uint64_t info);
/* First in the handlers of all exits that may cut short the delivery of an event (exceptions, EPT,
 * APIC accesses): keeps it for the next entry. All other exits come between instructions.
 * SDM "Information for VM Exits That Occur During Event Delivery". */
static inline void vmx_keep_delivery(struct vmx_vcpu *x)
{
	uint64_t info = vmread_always(VMCS_IDT_VECTORING_INFO);

	if (UNLIKELY(info & INTR_VALID))
		vmx_keep_event(x, info);
}
/* An instruction that removed NMI blocking will run again: blocks again. */
void vmx_undo_iret(struct vmx_vcpu *x);
/* Chooses and writes what the next entry delivers, opens windows for what has to wait. */
void vmx_deliver_events(struct vmx_vcpu *x);
/* What is queued, and nothing else. */
void vmx_deliver_queued(struct vmx_vcpu *x);
void vmx_set_primary(struct vmx_vcpu *x, uint32_t value);

/* ---- apicv.c ---- */
bool vmx_notify(struct vcpu *v);
void vmx_apic_changed(struct vcpu *v);
/* TPR threshold, RVI, EOI-exit bitmap after IRR changed. */
void vmx_apic_update(struct vmx_vcpu *x);
enum exit_result vmx_exit_apic_access(struct vcpu *v);
enum exit_result vmx_exit_apic_write(struct vcpu *v);
enum exit_result vmx_exit_virtual_eoi(struct vcpu *v);
enum exit_result vmx_exit_tpr(struct vcpu *v);

/* ---- msr.c ---- */
void vmx_msrs_init(struct vmx_vcpu *x); /* bitmap and list of switched MSRs, from hv/guest/msr.h's table */
void vmx_msr_bitmap_build(struct vmx_vcpu *x);
bool vmx_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value);
bool vmx_msr_write(struct vcpu *v, uint32_t msr, uint64_t value);
void vmx_tsc_changed(struct vcpu *v);
void vmx_msrs_save(struct vmx_vcpu *x);
void vmx_msrs_load(struct vmx_vcpu *x);

/* ---- exit_table.c ---- */
struct exit_row {
	const char *name;
	enum exit_result (*handle)(struct vcpu *v);
};
extern const struct exit_row vmx_exit_rows[REASON_COUNT];
const char *vmx_reason_name(uint32_t reason);

/* ---- exits_memory.c ---- */
enum exit_result vmx_exit_ept_violation(struct vcpu *v);
enum exit_result vmx_exit_ept_misconfig(struct vcpu *v);
/* An access to gpa, which is no memory that takes it; gva_valid: gva is known to lead there. */
enum exit_result vmx_device_access(struct vcpu *v, gpa_t gpa, gva_t gva, bool gva_valid, bool write);
/* A write to memory that takes none. */
enum exit_result vmx_readonly_write(struct vcpu *v, gpa_t gpa);
/* A fault that mmu/ cannot do anything about: stops the guest. */
enum exit_result vmx_fault_stop(struct vcpu *v, gpa_t gpa, enum fault_result r);

/* ---- exits_event.c ---- */
/* Queues #DB with what the exit's qualification q would have put into DR6. */
void vmx_raise_debug(struct vmx_vcpu *x, uint64_t q);
enum exit_result vmx_exit_exception(struct vcpu *v);
enum exit_result vmx_exit_interrupt(struct vcpu *v);
enum exit_result vmx_exit_window(struct vcpu *v);
enum exit_result vmx_exit_preemption(struct vcpu *v);
enum exit_result vmx_exit_triple_fault(struct vcpu *v);
enum exit_result vmx_exit_task_switch(struct vcpu *v);
enum exit_result vmx_exit_init(struct vcpu *v);

/* ---- exits_insn.c ---- */
enum exit_result vmx_exit_io(struct vcpu *v);
enum exit_result vmx_exit_hlt(struct vcpu *v);
enum exit_result vmx_exit_xsetbv(struct vcpu *v);
enum exit_result vmx_exit_undefined(struct vcpu *v); /* #UD */
enum exit_result vmx_exit_gp(struct vcpu *v);        /* #GP(0) */
enum exit_result vmx_exit_no_effect(struct vcpu *v); /* carried out by doing nothing */
enum exit_result vmx_exit_privileged_nop(struct vcpu *v);

/* ---- exits_failure.c ---- */
/* An exit with a reason that the controls rule out. */
enum exit_result vmx_exit_impossible(struct vcpu *v);
/* Reason with bit 31: the guest was never entered. */
void vmx_entry_refused(struct vmx_vcpu *x, uint32_t reason);
/* VMLAUNCH or VMRESUME failed. */
void vmx_entry_vmfail(struct vmx_vcpu *x);

/* ---- caps.c, dump.c, frames.c ---- */
void vmx_describe(struct monitor_out *out);
void vmx_dump(struct vcpu *v, struct monitor_out *out);
int vmx_mmu_limits(const struct vm *vm, struct mmu_config *config, struct failure *f);
int vmx_for_each_frame(struct vm *vm, int (*fn)(void *ctx, hpa_t frame, frame_owner_t owner), void *ctx);

#endif
