/*
 * A vCPU under shadow paging: x->paging has the guest's own control registers, the VMCS has what
 * runs it on the tables of mmu/shadow.h. PE = 0 cannot be run: who asks for it is stopped.
 */
#include "mmu/shadow.h"

#include "hv/base/machine.h"
#include "hv/base/msr.h"
#include "hv/base/x86.h"
#include "hv/emulate/emulate.h"
#include "hv/exits.h"
#include "hv/guest/msr.h"
#include "vmx/core/vmcs.h"
#include "vmx/shadow_rules.h"
#include "vmx/vmx.h"

void vmx_shadow_reset(struct vmx_vcpu *x)
{
	x->paging = (struct guest_paging){
		.maxphyaddr = x->v.msr->in.gpa_bits,
		.page_1g = x->v.page_1g,
	};
	x->stuck.count = 0;
	x->rooted = false;
	vmx_shadow_efer(x);
}

/* Without VPID, VM entry drops them. */
void vmx_shadow_drop_tlb(const struct vmx_vcpu *x)
{
	if (vmx_uses(FEATURE_VPID))
		invvpid(INVVPID_SINGLE, vmx_vpid(x));
}

/* LMA and LME come and go with the entry control, NXE is always on: SDM "Loading Guest Control
 * Registers, Debug Registers, and MSRs". What is left of EFER does nothing in root mode. */
void vmx_shadow_efer(const struct vmx_vcpu *x)
{
	wrmsr(MSR_EFER, machine_efer() | (x->paging.efer & EFER_SCE));
}

/* All that decides about an access. */
static const struct guest_paging *paging_now(struct vmx_vcpu *x)
{
	struct guest_paging *g = &x->paging;

	g->rflags = vmread_always(VMCS_GUEST_RFLAGS);
	g->cpl = (uint32_t)vmread_always(VMCS_GUEST_SS_AR) >> 5 & 3; /* SS.DPL: SDM "Guest Register State" */
	if (UNLIKELY(g->cr4 & CR4_PKE))
		g->pkru = exit_pkru();
	return g;
}

static NOINLINE void stop_without_root(struct vmx_vcpu *x)
{
	x->rooted = false;
	vm_stop(x->v.vm, "no host memory is left for the shadow page tables of guest %s: lower `memory` of a guest",
		x->v.vm->config->name);
}

static inline void load_root(struct vmx_vcpu *x, bool flush)
{
	int result = mmu_shadow_load(x->v.mmu, &x->paging, flush);

	if (LIKELY(result == MMU_LOAD_SAME && x->rooted))
		return;
	if (UNLIKELY(result < 0)) {
		stop_without_root(x);
		return;
	}
	x->rooted = true;
	vmwrite_always(VMCS_GUEST_CR3, mmu_shadow_cr3(x->v.mmu));
	vmx_shadow_drop_tlb(x);
}

void vmx_shadow_load(struct vmx_vcpu *x, bool flush) { load_root(x, flush); }

void vmx_shadow_flush(struct vmx_vcpu *x)
{
	vmx_shadow_drop_tlb(x);
	if (x->rooted && mmu_shadow_stale(x->v.mmu))
		vmx_shadow_load(x, false);
}

static void forget_translations(struct vmx_vcpu *x)
{
	mmu_shadow_flush(x->v.mmu);
	vmx_shadow_flush(x);
}

void vmx_shadow_changed(struct vmx_vcpu *x, bool root, bool flush)
{
	if (flush)
		forget_translations(x);
	if (!root)
		return;
	vmx_shadow_load(x, flush);
	vmx_shadow_drop_tlb(x); /* cached under other rules of protection, though from the same tables */
}

void vmx_shadow_no_real_mode(struct vcpu *v, const char *how)
{
	vm_stop(v->vm, "vCPU %u is to run in real mode (%s), which shadow paging cannot: start a kernel for "
		"protected or 64-bit mode with wakeup = mailbox, or set mmu = ept on a CPU with unrestricted guest",
		v->index, how);
}

/* ---- exits ---- */

enum exit_result vmx_shadow_mov_to_cr3(struct vmx_vcpu *x, uint64_t value)
{
	struct guest_paging *g = &x->paging;
	struct cr3_load load = shadow_cr3_load(value, g->cr4, g->efer, g->maxphyaddr);
	bool pae = (g->cr0 & CR0_PG) && (g->cr4 & CR4_PAE) && !(g->efer & EFER_LMA);

	if (UNLIKELY(!load.valid) ||
	    UNLIKELY(pae && guest_load_pdptes(x->v.mmu, load.cr3, g->maxphyaddr, g->pdpte))) {
		vmx_inject(&x->v, VEC_GP, 0);
		return EXIT_RESUME;
	}
	g->cr3 = load.cr3;
	if (LIKELY(g->cr0 & CR0_PG))
		load_root(x, load.flush);
	return EXIT_ADVANCE;
}

static void drop_address(const struct vmx_vcpu *x, gva_t gva)
{
	if (!vmx_uses(FEATURE_VPID))
		return;
	if (vmx_caps()->ept_vpid & EPT_CAP_INVVPID_ADDRESS)
		invvpid_address(vmx_vpid(x), gva);
	else
		invvpid(INVVPID_SINGLE, vmx_vpid(x));
}

enum exit_result vmx_exit_invlpg(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);
	gva_t gva = vmread_always(VMCS_EXIT_QUALIFICATION);

	mmu_shadow_invlpg(v->mmu, &x->paging, gva);
	drop_address(x, gva);
	return EXIT_ADVANCE;
}

enum exit_result vmx_exit_invpcid(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);
	uint32_t info = (uint32_t)vmread(VMCS_EXIT_INSN_INFO);
	uint64_t descriptor[2], type;
	struct invpcid_operands o;

	v->gpr[GPR_RSP] = vmread(VMCS_GUEST_RSP);
	o = invpcid_decode(info, vmread(VMCS_EXIT_QUALIFICATION), v->gpr);
	if (!exit_read_operand(v, o.segment, o.offset, descriptor))
		return EXIT_RESUME;
	type = vmx_in_long_mode() ? v->gpr[o.type_gpr] : (uint32_t)v->gpr[o.type_gpr];
	switch (invpcid_judge(type, descriptor, x->paging.cr4)) {
	case INVPCID_FAULT:
		vmx_inject(v, VEC_GP, 0);
		return EXIT_RESUME;
	case INVPCID_ADDRESS:
		mmu_shadow_invlpg(v->mmu, &x->paging, descriptor[1]);
		drop_address(x, descriptor[1]);
		break;
	case INVPCID_MORE:
		forget_translations(x);
		break;
	}
	return EXIT_ADVANCE;
}

/* ---- page faults ---- */

/* Everything that tells one attempt at an instruction from the next. */
static uint64_t attempt(const struct vmx_vcpu *x, gva_t gva)
{
	uint64_t sum = gva * 3 + vmread(VMCS_GUEST_RIP) + vmread(VMCS_GUEST_RSP);

	for (unsigned i = 0; i < GPR_COUNT; i++)
		if (i != GPR_RSP)
			sum = sum * 31 + x->v.gpr[i];
	return sum;
}

#define ATTEMPTS 16

/* The last resort for a write that the emulator cannot carry out: the page is a page table no more,
 * for now. An instruction that makes it one again each time it starts would never end. */
static bool unprotect(struct vmx_vcpu *x, gva_t gva, gpa_t gpa)
{
	uint64_t now = attempt(x, gva);

	x->stuck.count = now == x->stuck.attempt ? x->stuck.count + 1 : 0;
	x->stuck.attempt = now;
	return x->stuck.count < ATTEMPTS && mmu_shadow_unprotect(x->v.mmu, gpa);
}

#define SOON 8 /* exits for exceptions */

/*
 * A string instruction that fills a page table means to make something else of it: most are pages that were
 * freed and are cleared for another use. One iteration is emulated, then the page is a table no more and the
 * CPU may do the rest. But a table that is in use is tracked again at once: not twice soon after each other.
 */
static bool may_give_way(const struct vmx_vcpu *x, gpa_t gpa)
{
	return x->given_way.gfn != gpa >> PAGE_SHIFT || x->v.stats.count[REASON_EXCEPTION_NMI] - x->given_way.at > SOON;
}

static void give_way(struct vmx_vcpu *x, gpa_t gpa)
{
	mmu_shadow_unprotect(x->v.mmu, gpa);
	x->given_way.gfn = gpa >> PAGE_SHIFT;
	x->given_way.at = x->v.stats.count[REASON_EXCEPTION_NMI];
}

static enum exit_result emulate_write(struct vmx_vcpu *x, const struct walk_result *r, enum fault_result why)
{
	bool may_end = why == FAULT_WRITE_TRACKED && may_give_way(x, r->gpa);
	enum exit_emulated done = NOT_EMULATED;
	struct failure f = { 0 };

	/* A write of the CPU's own, to a stack or TSS, is no instruction's. */
	if (x->event.info)
		fail(&f, -ENOTSUP, "an event is delivered through page tables, which lie on its stack");
	else
		done = exit_emulate(&x->v, r->gpa, r->gva, may_end ? 1 : EMU_MAX_ITERATIONS, &f);
	if (done == EMULATED_PART && may_end)
		give_way(x, r->gpa);
	if (done == NOT_EMULATED && !unprotect(x, r->gva, r->gpa))
		vm_stop(x->v.vm, "vCPU %u writes to a page table at guest-physical %lx: %s", x->v.index, r->gpa,
			f.text);
	return EXIT_RESUME;
}

/* PE is 1, and RFLAGS are those of paging_now(). */
static void page_fault(struct vmx_vcpu *x, const struct walk_result *r)
{
	write_cr2(r->gva);
	if (UNLIKELY(x->event.info)) {
		vmx_inject(&x->v, VEC_PF, r->error_code);
		return;
	}
	vmx_queue(x, inject_exception(VEC_PF, r->error_code));
	vmwrite_always(VMCS_GUEST_RFLAGS, x->paging.rflags | RFLAGS_RF);
}

static enum exit_result fault_result(struct vmx_vcpu *x, enum fault_result result, const struct walk_result *r,
				     bool write)
{
	switch (result) {
	case FAULT_MMIO:
		return vmx_device_access(&x->v, r->gpa, r->gva, true, write);
	case FAULT_READONLY_WRITE:
		return vmx_readonly_write(&x->v, r->gpa);
	case FAULT_WRITE_TRACKED:
	case FAULT_EMULATE_WRITE:
		return emulate_write(x, r, result);
	default:
		return vmx_fault_stop(&x->v, r->gpa, result);
	}
}

enum exit_result vmx_exit_page_fault(struct vmx_vcpu *x, uint32_t info)
{
	gva_t gva = vmread_always(VMCS_EXIT_QUALIFICATION);
	uint32_t error = (uint32_t)vmread_always(VMCS_EXIT_ERROR_CODE);
	struct walk_result r;
	enum fault_result result = mmu_shadow_fault(x->v.mmu, paging_now(x), gva, error, &r);

	if (result == FAULT_GUEST) {
		page_fault(x, &r);
		return EXIT_RESUME;
	}
	/* SDM "Information for VM Exits Due to Vectored Events", bit 12: the IRET that faulted runs again. */
	if (UNLIKELY(info & INTR_NMI_UNBLOCK) && !x->event.info)
		vmx_undo_iret(x);
	if (mmu_shadow_widened(x->v.mmu))
		drop_address(x, gva);
	if (LIKELY(result == FAULT_MAPPED || result == FAULT_RETRY))
		return EXIT_RESUME;
	return fault_result(x, result, &r, error & PFERR_WRITE);
}
