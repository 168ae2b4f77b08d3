/*
 * The guest's side of the module: what the files that carry out a TD's exits share. Each exit handler returns
 * whether the guest goes on; else it has filled in r->exit, which is what VP.ENTER tells the host.
 *
 * Everything here is written over the vCPU operations of struct soft_platform: it knows no hardware.
 * TDX Module 1.5 base specification, "TD Non-Root Mode Operation"; SDM volume 3C for what an exit reports.
 */
#ifndef TDX_SOFT_RUN_H
#define TDX_SOFT_RUN_H

#include "hv/base/x86.h"
#include "tdx/soft/tdg.h"
#include "tdx/soft/vp.h"
#include "vmx/core/fields.h"
#include "vmx/core/reasons.h"

#define AR_CS_LONG BIT(13)
#define AR_DPL(ar) ((ar) >> 5 & 3)

/* One vCPU inside VP.ENTER. */
struct run {
	struct soft_call *c;
	struct soft *m;
	struct soft_vcpu *v;
	struct soft_vp *vp;
	struct soft_tdcs *tdcs;
	struct vp_exit *exit;
};

static inline uint64_t run_read(struct run *r, uint32_t field) { return vp_vmcs_read(r->m, r->vp, field); }
static inline void run_write(struct run *r, uint32_t field, uint64_t value)
{
	vp_vmcs_write(r->m, r->vp, field, value);
}

/* 64-bit mode: IA-32e mode and CS.L. */
bool run_in_64bit(struct run *r);
unsigned run_cpl(struct run *r);
/* RIP over an instruction that was carried out: RF, interrupt shadows, the single-step trap. */
void run_skip(struct run *r, uint64_t length);
/* The same with the length that the exit reports. */
void run_skip_instruction(struct run *r);

/* Exit handlers that end the run: an exit with that status and the reason at hand. Always false. */
bool run_leave(struct run *r, uint64_t status, uint32_t reason);

/* ---- event.c: exceptions, #VE, NMIs, and what an exit cut short ---- */
/* error < 0: none. */
void event_exception(struct run *r, unsigned vector, int64_t error);
/* The event whose delivery the exit cut short is delivered again by the next entry. Whether there is one. */
bool event_keep_delivery(struct run *r);
/* #VE with that information, or #DF while the guest has not taken the one before. gla, gpa: of EPT violations. */
void event_ve(struct run *r, uint32_t reason, uint64_t qualification, uint64_t gla, uint64_t gpa);
/* Before an entry, after apic_prepare(): what it delivers, and windows for what has to wait. */
void event_prepare(struct run *r);

/* Virtualization-exception information area. SDM volume 3C, "Virtualization Exceptions"; from offset 40 on it is
 * the module's. */
struct ve_info {
	uint32_t reason;
	uint32_t busy; /* all ones: taken by the guest, not yet read */
	uint64_t qualification, gla, gpa;
	uint16_t eptp_index;
	uint8_t unused[6];
	uint32_t length, info; /* of the instruction */
};
_Static_assert(offsetof(struct ve_info, length) == 40, "#VE information");
#define VE_BUSY UINT32_MAX
struct ve_info *run_ve_info(struct run *r);

/* ---- td_apic.c: the virtual APIC ---- */
/* Before an entry: what was posted goes into IRR, and the CPU is told of the highest. */
void apic_prepare(struct run *r);
/* Where the module delivers interrupts: the vector to deliver, -1 for none; and that vector, now in service. */
int apic_pending(struct run *r);
int apic_accept(struct run *r);
/* Whether an external interrupt that an exit reports is the vCPU's notification and not the host's. */
bool apic_is_notification(struct run *r, uint64_t intr_info);
/* Where the CPU does not virtualise these. */
uint64_t apic_read(struct run *r, uint32_t msr);
bool apic_write(struct run *r, uint32_t msr, uint64_t value);

/* ---- td_ept.c ---- */
bool ept_exit_violation(struct run *r);
bool ept_exit_misconfig(struct run *r);
/* As if the guest had read or written at gpa, private or shared, where its EPT has no page that lets it. */
bool ept_access(struct run *r, gpa_t gpa, bool write);
/* Ends the run with an EPT violation at gpa, as the host is shown it. Always false. */
bool ept_leave(struct run *r, uint64_t qualification, gpa_t gpa, uint64_t extended);

/* ---- tdcall.c ---- */
/* An exit by #UD: TDCALL, or an instruction that is undefined. */
bool tdcall_exit_undefined(struct run *r);
/* Exit reason 77. */
bool tdcall_exit(struct run *r);

/* ---- tdg_vp.c, tdg_field.c: leafs of TDCALL, as in tdx/soft/tdg.h ---- */
enum tdg_end tdg_vp_vmcall(struct tdg_call *t);
enum tdg_end tdg_vp_info(struct tdg_call *t);
enum tdg_end tdg_vp_veinfo_get(struct tdg_call *t);
enum tdg_end tdg_vp_cpuidve_set(struct tdg_call *t);
enum tdg_end tdg_vm_rd(struct tdg_call *t);
enum tdg_end tdg_vm_wr(struct tdg_call *t);
enum tdg_end tdg_sys_rd(struct tdg_call *t);

/* ---- run.c ---- */
/* At the end of MNG.INIT: the TD's CPUID table and MSR bitmap, out of what its TDCS says. */
void run_td_init(struct soft *m, const struct soft_td *td);

#endif
