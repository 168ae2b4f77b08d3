/*
 * TDs as virtual machines of hv/vm.h: what this back end adds to a VM and to a vCPU, and the calls between
 * its files. Everything on a vCPU runs on its own host CPU unless said otherwise.
 */
#ifndef TDX_VP_H
#define TDX_VP_H

#include "hv/vm.h"
#include "tdx/abi/leaf.h"
#include "tdx/shared_root.h"
#include "tdx/td.h"

struct tdx_vm {
	struct td td;
	struct vm *vm;
	uint32_t barred;      /* atomic: while it is not 0, no vCPU enters the TD */
	uint64_t tsc_offset, tsc_ratio; /* as in struct vcpu */
	uint64_t tsc_hz;      /* the TD's */
	hpa_t firmware;       /* the frames from GUEST_TD_SHIM_BASE on */
	struct shared_root shared;
};

struct tdx_vcpu {
	struct vcpu v; /* first */
	struct tdx_vm *td;
	struct sched *sched;    /* of its CPU */
	hpa_t tdvpr;
	uint32_t run_seq;       /* atomic; odd while in the TD or about to enter it */
	struct tdx_regs answer; /* what the next VP.ENTER takes: the answer to a TDG.VP.VMCALL, else all 0 */
	struct tdx_regs regs;   /* what the last one gave */
	uint64_t timer_armed;   /* host TSC the host's APIC timer is set to; 0: not by us */
	uint64_t busy_since;    /* host TSC since which VP.ENTER has been refused as busy; 0: it has not */
	bool interrupts_off;    /* at its last HLT */
	gpa_t unmapped;         /* the last access that could not be let through, and how often in a row */
	uint32_t unmapped_count;
};

static inline struct tdx_vcpu *to_tdx(struct vcpu *v) { return CONTAINER_OF(v, struct tdx_vcpu, v); }

/* ---- vm.c ---- */
/* The back end's part of a VM that has one. Any CPU. */
struct tdx_vm *tdx_vm_of(const struct vm *vm);
int tdx_vm_create(struct vm *vm, struct failure *f);
void tdx_vm_destroy(struct vm *vm);
int tdx_vm_load(struct vm *vm, const struct guest_image *image, struct failure *f);
int tdx_vm_unload(struct vm *vm, struct failure *f);
/* Memory for the firmware, once the address space is there. */
int tdx_vm_map_firmware(struct vm *vm, struct failure *f);
int tdx_mmu_limits(const struct vm *vm, struct mmu_config *config, struct failure *f);
int tdx_for_each_frame(struct vm *vm, int (*fn)(void *ctx, hpa_t frame, frame_owner_t owner), void *ctx);

/* ---- backend.c ---- */
/* This CPU forgets all translations of guests. */
void tdx_flush_here(void);

/* ---- vp_life.c ---- */
struct vcpu *tdx_vcpu_create(struct vm *vm, uint32_t index, struct failure *f);
void tdx_vcpu_destroy(struct vcpu *v);
void tdx_vcpu_reset(struct vcpu *v, const struct guest_entry *entry);
void tdx_vcpu_park(struct vcpu *v);
bool tdx_has_interrupt(struct vcpu *v);

/* ---- vp.c ---- */
void tdx_run(struct vcpu *v);
bool tdx_notify(struct vcpu *v);
/* hv/vm.h's flush. */
void tdx_flush(struct vm *vm);
/* struct tdx_kicker and mmu_external; ctx is the struct tdx_vm. Any CPU. */
void tdx_bar(void *ctx, bool barred);
void tdx_kick(void *ctx);
/* Something else than the guest wants the CPU: what takes long should give way. */
bool tdx_must_leave(const struct tdx_vcpu *x);

/* ---- exits.c ---- */
/* How an exit is counted: by its basic reason, but TDG.VP.VMCALLs that stand for an instruction by that
 * instruction's, and some of the rest by numbers that are free. */
#define TDX_REASON_MMIO 49     /* VMCALL for MMIO; 48 are EPT violations */
#define TDX_REASON_VMCALL 77
#define TDX_REASON_MAP_GPA 78
#define TDX_REASON_REFUSED 79  /* VP.ENTER returned an error */
uint32_t tdx_exit_reason(const struct tdx_regs *r);
const char *tdx_reason_name(uint32_t reason);
/* Deals with what VP.ENTER gave in x->regs: the TD was entered. */
enum exit_result tdx_exit(struct tdx_vcpu *x);

/* ---- vmcall.c ---- */
/* TDG.VP.VMCALL with the registers of x->regs; fills x->answer. */
enum exit_result tdx_vmcall(struct tdx_vcpu *x);
/* What R11 asks for, as exits are counted. */
uint32_t tdx_vmcall_reason(const struct tdx_regs *r);

/* ---- vmcall_map.c ---- */
enum exit_result tdx_vmcall_map_gpa(struct tdx_vcpu *x);

/* ---- vmcall_fatal.c ---- */
enum exit_result tdx_vmcall_fatal(struct tdx_vcpu *x);

#endif
