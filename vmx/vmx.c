/*
 * The back end's operations, and VMX per host CPU.
 */
#include "vmx/vmx.h"

#include "hv/base/frame.h"
#include "hv/base/machine.h"
#include "hv/base/phys.h"
#include "hv/base/spin.h"
#include "hv/base/x86.h"
#include "vmx/debug.h"
#include "vmx/core/msrs.h"
#include "vmx/guard.h"

/* What the first CPU that was enabled has; every other one must have as much of it. */
static struct vmx_caps host_caps;
static struct vmx_controls host_controls;
static bool host_known;
static bool host_multihit; /* atomic */

const struct vmx_caps *vmx_caps(void) { return &host_caps; }
const struct vmx_controls *vmx_controls(void) { return &host_controls; }
bool vmx_multihit(void) { return __atomic_load_n(&host_multihit, __ATOMIC_RELAXED); }

static feature_set_t disabled_features(void)
{
	feature_set_t set = 0;

	for (int f = 0; f < FEATURE_COUNT; f++)
		if (!machine_feature_enabled((enum feature)f))
			set |= BIT(f);
	return set;
}

/* VMX decides of those in its scope; the others are the guest's wherever the operator left them on. */
static feature_set_t features(void)
{
	feature_set_t others = BITS(FEATURE_COUNT - 1, 0) & ~vmx_controls_scope();

	return host_controls.used | (others & ~disabled_features());
}

/* Hybrid machines: controls are one set for all CPUs, so the first CPU's choice binds the others. */
static int check_same(const struct vmx_caps *caps, const struct vmx_controls *c, struct failure *f)
{
	feature_set_t lacking = host_controls.used & ~c->present;

	if (lacking)
		return fail(f, -ENODEV, "this CPU lacks %s, which the first CPU has and Gnomon uses: put "
			    "\"%s\" in `disable` to use all CPUs", feature_texts[__builtin_ctzl(lacking)],
			    feature_names[__builtin_ctzl(lacking)]);
	if (!vmx_controls_fit(caps, &host_controls))
		return fail(f, -ENODEV, "this CPU's VMX does not allow the controls that the first CPU's needs");
	if (VMX_BASIC_REVISION(caps->basic) != VMX_BASIC_REVISION(host_caps.basic) ||
	    MISC_TIMER_RATE(caps->misc) != MISC_TIMER_RATE(host_caps.misc))
		return fail(f, -ENODEV, "this CPU's VMCS format differs from the first CPU's");
	return 0;
}

static int judge(const struct vmx_caps *caps, struct failure *f)
{
	struct vmx_controls c;
	int err = vmx_controls_compute(caps, disabled_features(), &c, f);

	if (err)
		return err;
	if (host_known)
		return check_same(caps, &c, f);
	host_caps = *caps;
	host_controls = c;
	host_known = true;
	return 0;
}

static struct vmx_cpu *vmx_cpu_of(struct cpu *c)
{
	if (!c->vmx) {
		hpa_t frame = frame_alloc(OWNER_HV);

		if (frame != HPA_NONE)
			c->vmx = phys_to_virt(frame);
	}
	return c->vmx;
}

static int cpu_enable(struct cpu *c, struct failure *f)
{
	static struct spinlock lock = SPINLOCK_INIT;
	struct vmx_cpu *vc = vmx_cpu_of(c);
	int err;

	if (!vc)
		return fail(f, -ENOMEM, "no memory for VMX");
	err = vmx_unlock(f);
	if (err)
		return err;
	vmx_read_caps(&vc->caps);
	vmx_guard_init(vc);
	if (vmx_guard_multihit())
		__atomic_store_n(&host_multihit, true, __ATOMIC_RELAXED);
	spin_lock(&lock);
	err = judge(&vc->caps, f);
	spin_unlock(&lock);
	return err ? err : vmx_on(vc, f);
}

static void cpu_disable(struct cpu *c)
{
	if (!c->vmx || !c->vmx->on)
		return;
	vmx_release_current(c->vmx);
	vmx_off(c->vmx);
}

static void release(struct cpu *c) { vmx_release_current(c->vmx); }

const struct backend vmx_backend = {
	.name = "VMX",
	.cpu_enable = cpu_enable,
	.cpu_disable = cpu_disable,
	.features = features,
	.release = release,
	.vm_create = vmx_vm_create,
	.vm_destroy = vmx_vm_destroy,
	.mmu_limits = vmx_mmu_limits,
	.flush = vmx_flush,
	.vcpu_create = vmx_vcpu_create,
	.vcpu_destroy = vmx_vcpu_destroy,
	.vcpu_reset = vmx_vcpu_reset,
	.vcpu_sipi = vmx_vcpu_sipi,
	.run = vmx_run,
	.instruction_done = vmx_complete_at,
	.load = vmx_vcpu_load,
	.put = vmx_vcpu_put,
	.get_reg = vmx_get_reg,
	.get_code_state = vmx_get_code_state,
	.debug = vmx_debug,
	.set_reg = vmx_set_reg,
	.msr_read = vmx_msr_read,
	.msr_write = vmx_msr_write,
	.tsc_changed = vmx_tsc_changed,
	.inject = vmx_inject,
	.notify = vmx_notify,
	.apic_changed = vmx_apic_changed,
	.dump = vmx_dump,
	.describe = vmx_describe,
	.reason_name = vmx_reason_name,
	.for_each_frame = vmx_for_each_frame,
};
