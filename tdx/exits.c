/*
 * What ended a stay in the TD, other than a call by the guest: interrupts, NMIs, EPT violations. The module
 * shows of an exit its reason and qualification and, where memory is concerned, the address of the page.
 * TDX Module 1.5 ABI specification, "TDH.VP.ENTER": asynchronous TD exit.
 */
#include "hv/base/log.h"
#include "hv/base/trap.h"
#include "hv/exits.h"
#include "mmu/mirror.h"
#include "tdx/vp.h"
#include "vmx/core/reasons.h"
#include "vmx/core/vmcs.h"

/* R9 has the interruption information where there is any. */
static uint32_t interruption(const struct tdx_vcpu *x) { return (uint32_t)x->regs.gpr[TDX_R9]; }

static enum exit_result exit_exception(struct tdx_vcpu *x)
{
	if (INTR_TYPE(interruption(x)) == INTR_NMI)
		trap_raise_nmi();
	return EXIT_RESUME;
}

/* The exit has acknowledged it. */
static enum exit_result exit_interrupt(struct tdx_vcpu *x)
{
	if (interruption(x) & INTR_VALID)
		trap_irq((uint8_t)INTR_VECTOR(interruption(x)));
	x->timer_armed = 0; /* it may have been the timer's */
	return EXIT_RESUME;
}

/* SMIs have been dealt with when we see the exit, INIT is not for a guest. */
static enum exit_result exit_nothing(struct tdx_vcpu *x)
{
	(void)x;
	return EXIT_RESUME;
}

static enum exit_result exit_task_switch(struct tdx_vcpu *x)
{
	vm_stop(x->v.vm, "vCPU %u asked for a hardware task switch: Gnomon does not carry out task switches, use a "
		"kernel that switches tasks itself", x->v.index);
	return EXIT_YIELD;
}

/* ---- EPT violations ---- */

/* The guest is to get a #VE by itself where it reaches for a device. Where the CPU cannot deliver that, it comes
 * here again and again. */
#define UNMAPPED_MAX 1000

static enum exit_result no_memory_shared(struct tdx_vcpu *x, gpa_t gpa)
{
	if (x->unmapped != gpa)
		x->unmapped_count = 0;
	x->unmapped = gpa;
	if (++x->unmapped_count < UNMAPPED_MAX)
		return EXIT_RESUME;
	vm_stop(x->v.vm, "vCPU %u cannot get on at shared guest-physical %lx, where there is no memory and no #VE can "
		"be delivered: a TD reaches devices by TDG.VP.VMCALL", x->v.index, gpa);
	return EXIT_YIELD;
}

static enum exit_result no_memory_private(struct tdx_vcpu *x, gpa_t gpa)
{
	vm_stop(x->v.vm, "vCPU %u used guest-physical %lx as private memory, where the guest has no memory",
		x->v.index, gpa);
	return EXIT_YIELD;
}

static enum exit_result not_accepted(struct tdx_vcpu *x, gpa_t gpa)
{
	vm_stop(x->v.vm, "vCPU %u used private memory at guest-physical %lx before it accepted it", x->v.index, gpa);
	return EXIT_YIELD;
}

static enum exit_result after_fault(struct tdx_vcpu *x, gpa_t gpa, enum fault_result r)
{
	if (LIKELY(r == FAULT_MAPPED || r == FAULT_RETRY))
		return EXIT_RESUME;
	if (r == FAULT_MMIO)
		return mirror_is_meant(x->v.vm->mmu, gpa) ? no_memory_private(x, gpa) : no_memory_shared(x, gpa);
	exit_fault_stop(&x->v, gpa, r);
	return EXIT_YIELD;
}

/* Extended exit qualification of a TDG.MEM.PAGE.ACCEPT that found no page: the level it asked for is in bits
 * 34:32. TDX Module 1.5 ABI specification, "Extended Exit Qualification". */
static int accept_level(uint64_t extended) { return (int)min_u64(extended >> 32 & 7, LEVEL_2M - 1) + 1; }

static enum exit_result exit_ept_violation(struct tdx_vcpu *x)
{
	uint64_t qualification = x->regs.gpr[TDX_RCX], extended = x->regs.gpr[TDX_RDX];
	gpa_t gpa = x->regs.gpr[TDX_R8];
	uint32_t access = qualification & EPT_VIOLATION_ACCESS;

	switch (extended & 15) {
	case TDX_EEQ_ACCEPT:
		return after_fault(x, gpa, mmu_mirror_accept(x->v.mmu, gpa, accept_level(extended)));
	case TDX_EEQ_PENDING_EPT_VIOLATION:
		return not_accepted(x, gpa);
	default:
		return after_fault(x, gpa, mmu_fault(x->v.mmu, gpa, access ? access : MMU_READ));
	}
}

/* ---- the table ---- */

struct exit_row {
	const char *name;
	enum exit_result (*handle)(struct tdx_vcpu *x); /* NULL: the reason is a TDG.VP.VMCALL's, or none's */
};

static const struct exit_row rows[EXIT_REASONS] = {
	[REASON_EXCEPTION_NMI] = { "NMI", exit_exception },
	[REASON_EXTERNAL_INTERRUPT] = { "external interrupt", exit_interrupt },
	[REASON_INIT] = { "INIT", exit_nothing },
	[REASON_IO_SMI] = { "I/O SMI", exit_nothing },
	[REASON_OTHER_SMI] = { "SMI", exit_nothing },
	[REASON_TASK_SWITCH] = { "task switch", exit_task_switch },
	[REASON_CPUID] = { "CPUID (called)", NULL },
	[REASON_HLT] = { "HLT (called)", NULL },
	[REASON_IO] = { "I/O (called)", NULL },
	[REASON_RDMSR] = { "RDMSR (called)", NULL },
	[REASON_WRMSR] = { "WRMSR (called)", NULL },
	[REASON_EPT_VIOLATION] = { "EPT violation", exit_ept_violation },
	[TDX_REASON_MMIO] = { "MMIO (called)", NULL },
	[REASON_BUS_LOCK] = { "bus lock", exit_nothing },
	[TDX_REASON_VMCALL] = { "TDG.VP.VMCALL", tdx_vmcall },
	[TDX_REASON_MAP_GPA] = { "MapGPA (called)", NULL },
	[TDX_REASON_REFUSED] = { "VP.ENTER refused", NULL },
};

const char *tdx_reason_name(uint32_t reason) { return reason < EXIT_REASONS ? rows[reason].name : NULL; }

static uint32_t basic_reason(const struct tdx_regs *r) { return (uint32_t)(r->gpr[TDX_RAX] & TDX_STATUS_DETAIL); }

uint32_t tdx_exit_reason(const struct tdx_regs *r)
{
	uint32_t reason = basic_reason(r);

	if (reason == TDX_EXIT_TDCALL)
		return tdx_vmcall_reason(r);
	return reason < EXIT_REASONS && rows[reason].handle ? reason : TDX_REASON_REFUSED;
}

enum exit_result tdx_exit(struct tdx_vcpu *x)
{
	uint32_t reason = basic_reason(&x->regs);

	if (LIKELY(reason < EXIT_REASONS && rows[reason].handle))
		return rows[reason].handle(x);
	vm_stop(x->v.vm, "vCPU %u left the TD for a reason that the TDX module keeps to itself (%u, qualification %lx)",
		x->v.index, reason, x->regs.gpr[TDX_RCX]);
	return EXIT_YIELD;
}
