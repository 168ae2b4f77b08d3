/*
 * vCPUs of the software TDX module on VMX. The VMCS is the second page of the TDVPS, the guest's extended state
 * the fifth; what VM entry and exit do not switch is switched here around each VP.ENTER.
 */
#include "tdx/soft_vp.h"

#include <string.h>

#include "drivers/lapic.h"
#include "hv/base/log.h"
#include "hv/base/panic.h"
#include "hv/base/trap.h"
#include "hv/base/window.h"
#include "hv/base/x86.h"
#include "hv/fpu.h"
#include "tdx/soft/td_msr.h"
#include "vmx/core/guard.h"
#include "vmx/core/host_state.h"
#include "vmx/core/msrs.h"
#include "vmx/core/vmcs.h"
#include "vmx/core/vmxon.h"

_Static_assert(VMCS_HOST_RSP == 0x6c14, "tdx/soft_enter.S");

#define NO_VMCS (~(hpa_t)0) /* what VMPTRST stores when none is current */

/* What this CPU has at hand of the module. */
struct soft_lp {
	hpa_t before;    /* the VMCS that was current when the call began, or NO_VMCS */
	hpa_t current;   /* the TD's that is, or NO_VMCS */
	uint64_t spec_ctrl; /* the host's while a TD runs */
	bool failed;     /* the last VM entry did not take place */
};
static struct soft_lp lps[MAX_CPUS];

static bool msr_exists[TD_SWITCHED_MSRS];
static unsigned spec_ctrl_at; /* IA32_SPEC_CTRL in td_switched_msrs[] */

static struct soft_lp *this_lp(void) { return &lps[this_cpu()->index]; }

static hpa_t vmcs_of(const struct soft_vp *vp) { return vp->page[TDVPS_VMCS]; }

void soft_vp_init(void)
{
	uint64_t value;

	for (unsigned i = 0; i < TD_SWITCHED_MSRS; i++) {
		msr_exists[i] = rdmsr_safe(td_switched_msrs[i], &value) == 0;
		if (td_switched_msrs[i] == MSR_SPEC_CTRL)
			spec_ctrl_at = i;
	}
}

/* ---- which VMCS is current ---- */

void soft_vp_call_begins(void)
{
	struct soft_lp *l = this_lp();

	l->before = vmcs_current();
	l->current = NO_VMCS;
}

void soft_vp_call_ends(void)
{
	struct soft_lp *l = this_lp();

	if (l->current != NO_VMCS && l->before != NO_VMCS && l->current != l->before)
		INVARIANT(vmptrld(l->before));
}

static void make_current(const struct soft_vp *vp)
{
	struct soft_lp *l = this_lp();

	if (LIKELY(l->current == vmcs_of(vp)))
		return;
	l->current = vmcs_of(vp);
	INVARIANT(vmptrld(l->current));
}

static void clear_vmcs(struct soft_vp *vp)
{
	struct soft_lp *l = this_lp();

	INVARIANT(vmclear(vmcs_of(vp)));
	vp->launched = false;
	if (l->current == vmcs_of(vp))
		l->current = NO_VMCS;
	if (l->before == vmcs_of(vp))
		l->before = NO_VMCS;
	/* Another's is not current any longer once VMPTRLD of this one was made. */
	if (l->current == NO_VMCS && l->before != NO_VMCS)
		INVARIANT(vmptrld(l->before));
}

static void vmcs_create(void *ctx, struct soft_vp *vp)
{
	(void)ctx;
	*(uint32_t *)window_map(vmcs_of(vp)) = VMX_BASIC_REVISION(this_cpu()->vmx->caps.basic);
	clear_vmcs(vp);
}

static uint64_t vmcs_read(void *ctx, struct soft_vp *vp, uint32_t field)
{
	(void)ctx;
	make_current(vp);
	if (UNLIKELY(field == VMCS_EXIT_REASON && this_lp()->failed))
		return REASON_ENTRY_FAILED | REASON_ENTRY_GUEST_STATE;
	return vmread(field);
}

static void vmcs_write(void *ctx, struct soft_vp *vp, uint32_t field, uint64_t value)
{
	(void)ctx;
	make_current(vp);
	vmwrite(field, value);
}

static void flush(void *ctx, struct soft_vp *vp)
{
	(void)ctx;
	clear_vmcs(vp);
}

static void flush_tlb(void *ctx, struct soft_vp *vp)
{
	(void)ctx;
	make_current(vp);
	INVARIANT(invept(INVEPT_SINGLE, vmread(VMCS_EPTP)));
}

/* ---- entry and exit ---- */

/* Only a VMCS that the module has built wrongly is refused. */
static void entry_failed(struct soft_lp *l)
{
	uint64_t error = 0;

	l->failed = true;
	vmcs_try_read(VMCS_INSN_ERROR, &error);
	log_error("TDX: the software module's VM entry failed with VM-instruction error %lu", error);
}

/* A value of the hypervisor's own keeps guests from steering its branches: a TD's is in the MSR only while it runs. */
static void swap_spec_ctrl(const struct vmx_cpu *c, struct soft_vp *vp)
{
	vp->msr[spec_ctrl_at] = rdmsr(MSR_SPEC_CTRL);
	wrmsr(MSR_SPEC_CTRL, c->spec_ctrl);
}

static void run(void *ctx, struct soft_vp *vp)
{
	const struct vmx_cpu *c = this_cpu()->vmx;
	struct soft_lp *l = this_lp();

	(void)ctx;
	make_current(vp);
	if (!vp->launched)
		vmx_host_state((uint32_t)vmread(VMCS_EXIT_CONTROLS), guard_exits(c) ? soft_exit_filling : soft_exit);
	if (c->spec_ctrl)
		wrmsr(MSR_SPEC_CTRL, vp->msr[spec_ctrl_at]);
	if (guard_entries(c))
		guard_entry(c);
	if (soft_enter(vp->gpr, vp->launched))
		vp->launched = true;
	else
		entry_failed(l);
	if (c->spec_ctrl)
		swap_spec_ctrl(c, vp);
}

/* ---- what VM entry and exit do not switch ---- */

static bool has_xsave(void) { return read_cr4() & CR4_OSXSAVE; }

static uint8_t *xsave_area(const struct soft_vp *vp) { return window_map(vp->page[TDVPS_XSAVE]); }

/* All components, also those that the guest has off in its XCR0 just now. */
static void xsave(uint8_t *area)
{
	if (!has_xsave()) {
		__asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
		return;
	}
	xsetbv(0, fpu_guest_xcr0);
	__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"((uint32_t)fpu_guest_xcr0),
					    "d"((uint32_t)(fpu_guest_xcr0 >> 32)) : "memory");
}

static void xrstor(const uint8_t *area)
{
	if (!has_xsave()) {
		__asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
		return;
	}
	xsetbv(0, fpu_guest_xcr0);
	__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"((uint32_t)fpu_guest_xcr0),
					     "d"((uint32_t)(fpu_guest_xcr0 >> 32)) : "memory");
}

struct xmm {
	uint64_t value[16][2];
};

static void xmm_read(struct xmm *x, uint32_t mask)
{
	for (unsigned i = 0; i < 16; i++)
		if (mask & BIT(i))
			fpu_xmm_read(i, x->value[i]);
}

static void xmm_write(const struct xmm *x, uint32_t mask)
{
	for (unsigned i = 0; i < 16; i++)
		if (mask & BIT(i))
			fpu_xmm_write(i, x->value[i]);
}

/* Not IA32_SPEC_CTRL where run() switches it. */
static bool is_switched(unsigned i) { return msr_exists[i] && !(i == spec_ctrl_at && this_cpu()->vmx->spec_ctrl); }

static void load_msrs(struct soft_lp *l, const struct soft_vp *vp)
{
	for (unsigned i = 0; i < TD_SWITCHED_MSRS; i++) {
		if (!is_switched(i))
			continue;
		if (i == spec_ctrl_at)
			l->spec_ctrl = rdmsr(MSR_SPEC_CTRL);
		wrmsr(td_switched_msrs[i], vp->msr[i]);
	}
}

/* Left behind on purpose, as valid as the MSR demands: a host that forgets to load its own shall fail here too. */
#define JUNK 0x5a5a5a5aul

static void save_msrs(const struct soft_lp *l, struct soft_vp *vp)
{
	for (unsigned i = 0; i < TD_SWITCHED_MSRS; i++) {
		if (!is_switched(i))
			continue;
		vp->msr[i] = rdmsr(td_switched_msrs[i]);
		wrmsr(td_switched_msrs[i], i == spec_ctrl_at ? l->spec_ctrl : JUNK);
	}
}

static void load(void *ctx, struct soft_vp *vp, uint32_t mask)
{
	struct soft_lp *l = this_lp();
	struct xmm x;

	(void)ctx;
	l->failed = false;
	guard_turn(this_cpu()->vmx, vp->td);
	xmm_read(&x, mask);
	xrstor(xsave_area(vp));
	xmm_write(&x, mask);
	if (has_xsave())
		xsetbv(0, vp->xcr0);
	load_msrs(l, vp);
	write_dr0(vp->dr[0]);
	write_dr1(vp->dr[1]);
	write_dr2(vp->dr[2]);
	write_dr3(vp->dr[3]);
	write_dr6(vp->dr6);
	write_cr2(vp->cr2);
}

/* Every component in its initial state: XSTATE_BV is 0. FXRSTOR wants the control words. */
static void forget_state(void)
{
	static const struct {
		uint16_t fcw;
		uint8_t unused[22];
		uint32_t mxcsr;
		uint8_t rest[PAGE_SIZE - 28];
	} initial __attribute__((aligned(64))) = { .fcw = 0x37f, .mxcsr = 0x1f80 };

	xrstor((const uint8_t *)&initial);
}

static void save(void *ctx, struct soft_vp *vp, uint32_t mask)
{
	struct xmm x;

	(void)ctx;
	vp->dr[0] = read_dr0();
	vp->dr[1] = read_dr1();
	vp->dr[2] = read_dr2();
	vp->dr[3] = read_dr3();
	vp->dr6 = read_dr6();
	vp->cr2 = read_cr2();
	save_msrs(this_lp(), vp);
	xsave(xsave_area(vp));
	xmm_read(&x, mask);
	forget_state();
	xmm_write(&x, mask);
}

static void apply(void *ctx, struct soft_vp *vp, enum soft_register reg)
{
	(void)ctx;
	switch (reg) {
	case SOFT_XCR0:
		xsetbv(0, vp->xcr0);
		break;
	case SOFT_CR2:
		write_cr2(vp->cr2);
		break;
	case SOFT_DR6:
		write_dr6(vp->dr6);
		break;
	}
}

static void end_of_interrupt(void *ctx)
{
	(void)ctx;
	lapic_eoi();
}

void soft_vp_operations(struct soft_platform *p)
{
	p->vmcs_create = vmcs_create;
	p->vmcs_read = vmcs_read;
	p->vmcs_write = vmcs_write;
	p->run = run;
	p->load = load;
	p->save = save;
	p->apply = apply;
	p->end_of_interrupt = end_of_interrupt;
	p->flush = flush;
	p->flush_tlb = flush_tlb;
}
