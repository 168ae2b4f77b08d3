/*
 * The VMCS in words: every field this CPU has, by the SDM's name.
 */
#include "hv/monitor/line.h"
#include "vmx/core/vmcs.h"
#include "vmx/vmx.h"

static const struct {
	uint32_t encoding;
	const char *name;
} fields[] = {
#define FIELD_ROW(sym, encoding, name) { encoding, name },
	VMCS_FIELDS(FIELD_ROW)
#undef FIELD_ROW
};

void vmx_dump(struct vcpu *v, struct monitor_out *out)
{
	const struct vmx_vcpu *x = to_vmx(v);
	uint64_t value;

	if (v->cpu->vmx->current != x) {
		mon_printf(out, "the VMCS of vCPU %u is not current on CPU %u\n", v->index, v->cpu->index);
		return;
	}
	mon_printf(out, "VMCS of vCPU %u at %lx, queued event %x\n", v->index, x->vmcs, x->event.info);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (vmcs_try_read(fields[i].encoding, &value))
			mon_printf(out, "  %04x %-52s %lx\n", fields[i].encoding, fields[i].name, value);
}
