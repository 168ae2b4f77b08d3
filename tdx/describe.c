/*
 * TDX in words: for `caps`, and the monitor command `tdx`.
 */
#include "hv/monitor/commands.h"
#include "hv/vm_life.h"
#include "tdx/start.h"
#include "tdx/vp.h"

static const char *yes(bool is) { return is ? "yes" : "no"; }

static void describe_machine(struct monitor_out *out)
{
	const struct tdx_facts *t = tdx_facts();

	if (tdx_why_no_hardware()[0])
		mon_printf(out, "TDX of the processor: %s\n", tdx_why_no_hardware());
	else
		mon_printf(out, "TDX of the processor: offered, with %u keys from %u on\n", t->private_keys, t->first_private);
	if (!t->has_seam)
		return;
	mon_printf(out, "  memory for a module: set aside %s, in force %s, %lu MiB at %lx\n", yes(t->seam_configured),
		   yes(t->seam_valid), t->seam_size >> 20, t->seam_base);
	mon_printf(out, "  memory encryption: on %s, key ids of %u bits, %u shared and %u private; addresses of %u bits\n",
		   yes(t->tme_on), t->keyid_bits, t->shared_keys, t->private_keys, t->hpa_bits);
}

static void describe_module(struct monitor_out *out)
{
	const struct tdx_module *m = &tdx_module;

	if (!m->ready) {
		mon_printf(out, "TDX module: none in use: %s\n", m->why_not);
		return;
	}
	mon_printf(out, "TDX module: %s, version %u.%u.%02u, build %u of %u\n", m->machine.ops->name, m->major, m->minor,
		   m->update, m->build, m->build_date);
	if (m->machine.ops->software)
		mon_printf(out, "  it is software and protects nobody: the host can read and change its TDs\n");
	mon_printf(out, "  memory for TDs %lu MiB, for its record of it %lu MiB, given up %lu KiB\n",
		   tdx_memory_bytes() >> 20,
		   frame_count(OWNER_PAMT) >> 8, m->memory.given_up >> 10);
	mon_printf(out, "  keys free %u; shared memory is bit %u of an address; a TD is %u pages, a vCPU %u\n",
		   tdx_hkids_free(), tdx_shared_bit(), 1 + m->tdcx_pages, m->tdvps_pages);
}

void tdx_describe(struct monitor_out *out)
{
	describe_machine(out);
	describe_module(out);
}

static void show_regions(struct monitor_out *out)
{
	for (uint32_t i = 0; i < tdx_module.memory.count; i++) {
		const struct tdx_tdmr_info *t = &tdx_module.memory.tdmr[i];
		uint32_t reserved = 0;

		while (reserved < TDX_MAX_RESERVED && t->reserved[reserved].size)
			reserved++;
		mon_printf(out, "  region %u: %lx to %lx, %u reserved areas, record at %lx\n", i, t->base, t->base + t->size,
			   reserved, t->pamt[TDX_PAMT_4K].base);
	}
}

static void show_td(struct monitor_out *out, const struct vm *vm)
{
	const struct tdx_vm *t = vm->config->type == VM_TYPE_TD ? tdx_vm_of(vm) : NULL;
	uint64_t pages = frame_count(OWNER_TD(vm->id));

	if (vm->config->type != VM_TYPE_TD)
		return;
	mon_printf(out, "TD %s: %s", vm->config->name, td_state_names[t ? t->td.state : TD_NONE]);
	if (t)
		mon_printf(out, ", key %u, %u vCPUs", t->td.hkid, t->td.vcpu_count);
	mon_printf(out, "; the module has %lu KiB of it\n", pages * 4);
	if (t && t->td.broken[0])
		mon_printf(out, "  %s\n", t->td.broken);
}

static void show_calls(struct monitor_out *out)
{
	mon_printf(out, "  %-24s %12s %10s %10s\n", "SEAMCALLs", "made", "repeated", "failed");
	for (uint32_t leaf = 0; leaf < TDH_LEAF_COUNT; leaf++) {
		const struct tdx_leaf_counts *c = &tdx_counts[leaf];

		if (c->calls)
			mon_printf(out, "  %-24s %12lu %10lu %10lu\n", tdx_leaf_name(leaf), c->calls, c->repeats, c->failed);
	}
	mon_printf(out, "  all vCPUs stopped for a busy one %lu times\n", tdx_kicks);
}

static int tdx_command(struct monitor_out *out, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	tdx_describe(out);
	if (!tdx_module.ready)
		return 0;
	show_regions(out);
	for (uint32_t i = 0; i < vms_count(); i++)
		show_td(out, vm_at(i));
	show_calls(out);
	return 0;
}

const struct monitor_command commands_tdx[] = {
	{ "tdx", "", "the TDX module, its memory, its TDs, and how often it was called", tdx_command },
	{ NULL, NULL, NULL, NULL },
};
