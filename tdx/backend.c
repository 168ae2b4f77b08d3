/*
 * The back end of TDs: the operations of hv/vm.h, and what a TD does not show to its host.
 */
#include <string.h>

#include "hv/base/x86.h"
#include "hv/fpu.h"
#include "hv/guest/msr.h"
#include "hv/monitor/line.h"
#include "mmu/walk.h"
#include "tdx/start.h"
#include "tdx/vp.h"
#include "vmx/core/vmcs.h"

/* ---- what is not shown ---- */

/* The module keeps the guest's registers in memory that the host cannot read, and shows of the general ones what
 * a TDG.VP.VMCALL passes. There is nothing to say, and nothing that could be changed. */
static uint64_t get_reg(struct vcpu *v, enum guest_reg r)
{
	(void)v;
	(void)r;
	return 0;
}

static void set_reg(struct vcpu *v, enum guest_reg r, uint64_t value)
{
	(void)v;
	(void)r;
	(void)value;
}

static uint64_t get_code_state(struct vcpu *v, struct guest_paging *g, uint32_t *cs_ar)
{
	(void)v;
	memset(g, 0, sizeof *g);
	*cs_ar = 0;
	return 0;
}

/* Instructions are carried out by the TD itself, as calls: none ends here. */
static void instruction_done(struct vcpu *v, uint64_t rip)
{
	(void)v;
	(void)rip;
}

/* MSRs of these kinds are the module's: hv/guest/msr.h leaves them out for a TD. */
static bool no_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)v;
	(void)msr;
	(void)value;
	return false;
}

static bool no_msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	(void)v;
	(void)msr;
	(void)value;
	return false;
}

/* A TD's TSC and its local APIC's mode stay as they are. */
static void unchanging(struct vcpu *v) { (void)v; }

/* Only the guest's own module injects exceptions; what a call asks wrongly is refused in its answer. */
static void inject(struct vcpu *v, unsigned vector, int64_t error)
{
	(void)error;
	vm_stop(v->vm, "vCPU %u would have to be given exception %u, and a TD takes none from its host", v->index,
		vector);
}

static void vcpu_sipi(struct vcpu *v, uint8_t vector)
{
	(void)v;
	(void)vector;
}

static void dump(struct vcpu *v, struct monitor_out *out)
{
	mon_printf(out, "vCPU %u: TDVPR at %lx; its control structure is the TDX module's\n", v->index,
		   to_tdx(v)->tdvpr);
}

/* ---- the CPU ---- */

/* SDM "Operations that Invalidate Cached Mappings": of all contexts, since the roots that the CPU walks are the
 * module's. */
void tdx_flush_here(void) { invept(INVEPT_ALL, 0); }

/* VMX operation is what a SEAMCALL needs, and the first back end has turned that on; the module itself is
 * started once for all CPUs (tdx/module.h). */
static int cpu_enable(struct cpu *c, struct failure *f)
{
	(void)c;
	(void)f;
	return 0;
}

static void cpu_disable(struct cpu *c) { (void)c; }

/* The FPU's registers were the TD's; what else its module left there, other back ends load anew. But nobody
 * loads IA32_XSS: it is 0 for all other guests. */
static void release(struct cpu *c)
{
	(void)c;
	(void)wrmsr_safe(MSR_XSS, 0);
}

static void load(struct vcpu *v) { fpu_switch_to(v); }
static void put(struct vcpu *v) { (void)v; }

static feature_set_t features(void) { return vmx_backend.features(); }

const struct backend tdx_backend = {
	.name = "TDX",
	.hides_state = true,
	.starts_all = true,
	.cpu_enable = cpu_enable,
	.cpu_disable = cpu_disable,
	.features = features,
	.release = release,
	.vm_create = tdx_vm_create,
	.vm_destroy = tdx_vm_destroy,
	.mmu_limits = tdx_mmu_limits,
	.vm_load = tdx_vm_load,
	.vm_unload = tdx_vm_unload,
	.flush = tdx_flush,
	.vcpu_create = tdx_vcpu_create,
	.vcpu_destroy = tdx_vcpu_destroy,
	.vcpu_reset = tdx_vcpu_reset,
	.vcpu_sipi = vcpu_sipi,
	.run = tdx_run,
	.load = load,
	.put = put,
	.park = tdx_vcpu_park,
	.has_interrupt = tdx_has_interrupt,
	.get_reg = get_reg,
	.set_reg = set_reg,
	.get_code_state = get_code_state,
	.instruction_done = instruction_done,
	.msr_read = no_msr_read,
	.msr_write = no_msr_write,
	.tsc_changed = unchanging,
	.inject = inject,
	.notify = tdx_notify,
	.apic_changed = unchanging,
	.dump = dump,
	.describe = tdx_describe,
	.reason_name = tdx_reason_name,
	.for_each_frame = tdx_for_each_frame,
};
