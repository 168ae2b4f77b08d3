/*
 * What this host's VMX offers and what of it is used, for the monitor's `caps`.
 */
#include "hv/monitor/line.h"
#include "vmx/core/msrs.h"
#include "vmx/guard.h"
#include "vmx/vmx.h"

static const char *state_of(enum feature f)
{
	if (vmx_uses(f))
		return "used";
	return feature_in(vmx_controls()->present, f) ? "offered, not used" : "not offered";
}

static void describe_features(struct monitor_out *out)
{
	for (int f = 0; f < FEATURE_COUNT; f++)
		if (feature_in(vmx_controls_scope(), (enum feature)f))
			mon_printf(out, "  %-18s %-18s %s\n", feature_names[f], state_of((enum feature)f),
				   feature_texts[f]);
}

static void describe_controls(struct monitor_out *out)
{
	const char *name;
	bool offered, on;

	for (unsigned i = 0; vmx_controls_describe(vmx_caps(), vmx_controls(), i, &name, &offered, &on); i++)
		mon_printf(out, "  %-36s %s\n", name, on ? "on" : offered ? "offered" : "not offered");
}

void vmx_describe(struct monitor_out *out)
{
	const struct vmx_caps *c = vmx_caps();

	mon_printf(out, "VMX revision %x, preemption timer counts TSC >> %u, EPT and VPID capabilities %lx\n",
		   VMX_BASIC_REVISION(c->basic), MISC_TIMER_RATE(c->misc), c->ept_vpid);
	mon_printf(out, "optional features:\n");
	describe_features(out);
	vmx_guard_describe(out);
	mon_printf(out, "large EPT pages with nx_huge = auto: %s\n", vmx_multihit() ? "not executable, this CPU can stop "
		   "with a machine check when a guest changes the size of a page" : "executable");
	mon_printf(out, "controls:\n");
	describe_controls(out);
}
