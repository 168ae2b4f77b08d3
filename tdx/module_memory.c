/*
 * What the TDX module gets of the machine's memory, and what TDs get of that.
 */
#include "tdx/module_memory.h"

#include <string.h>

#include "hv/base/log.h"
#include "hv/base/map_ram.h"
#include "hv/base/phys.h"
#include "tdx/module.h"
#include "tdx/tdh.h"

static struct tdx_module *const m = &tdx_module;

struct memory {
	struct tdx_range ram[TDMR_MAX_INPUT];
	uint32_t count;
	bool too_many;
	struct tdx_range cmr[TDX_MAX_CMRS];
	uint32_t cmr_count;
	struct tdx_range pamt[TDX_MAX_TDMRS]; /* runs that were allocated */
	uint32_t pamt_count;
};

static struct memory memory;

/* Whoever has it: all of it may be a TD's one day. */
static void add_run(void *ctx, hpa_t first, uint64_t npages, frame_owner_t owner)
{
	struct tdx_range *last = memory.count ? &memory.ram[memory.count - 1] : NULL;

	(void)ctx;
	(void)owner;
	if (last && last->base + last->size == first)
		last->size += npages << PAGE_SHIFT;
	else if (memory.count < TDMR_MAX_INPUT)
		memory.ram[memory.count++] = (struct tdx_range){ first, npages << PAGE_SHIFT };
	else
		memory.too_many = true;
}

static int read_cmrs(struct failure *f)
{
	uint64_t n, base, size;
	int err = module_read_field(TDX_SYS_NUM_CMRS, &n, f);

	for (uint64_t i = 0; !err && i < n && i < TDX_MAX_CMRS; i++) {
		err = module_read_field(TDX_SYS_CMR_BASE + i, &base, f);
		if (!err)
			err = module_read_field(TDX_SYS_CMR_SIZE + i, &size, f);
		if (!err && size)
			memory.cmr[memory.cmr_count++] = (struct tdx_range){ base, size };
	}
	return err;
}

/* CMRs that touch count as one. */
static bool is_convertible(hpa_t base, uint64_t bytes)
{
	for (uint32_t i = 0; bytes && i < memory.cmr_count; i++) {
		const struct tdx_range *c = &memory.cmr[i];

		if (base >= c->base && base < c->base + c->size) {
			uint64_t inside = min_u64(bytes, c->base + c->size - base);

			base += inside;
			bytes -= inside;
		}
	}
	return bytes == 0;
}

#define PLACE_TRIES 16

/* Runs that are not convertible are kept while looking for another. */
static hpa_t place_pamt(void *ctx, uint64_t bytes)
{
	hpa_t unfit[PLACE_TRIES], run;
	uint64_t npages = bytes >> PAGE_SHIFT;
	int n = 0;

	(void)ctx;
	do {
		run = frame_alloc_run(npages, 1, OWNER_PAMT);
		if (run == HPA_NONE || is_convertible(run, bytes))
			break;
		unfit[n++] = run;
		run = HPA_NONE;
	} while (n < PLACE_TRIES);
	while (n > 0)
		frame_free_run(unfit[--n], npages, OWNER_PAMT);
	if (run != HPA_NONE)
		memory.pamt[memory.pamt_count++] = (struct tdx_range){ run, bytes };
	return run;
}

static void free_pamts(void)
{
	while (memory.pamt_count) {
		const struct tdx_range *r = &memory.pamt[--memory.pamt_count];

		map_show(r->base, r->size >> PAGE_SHIFT);
		frame_free_run(r->base, r->size >> PAGE_SHIFT, OWNER_PAMT);
	}
}

static int hide_pamts(struct failure *f)
{
	for (uint32_t i = 0; i < memory.pamt_count; i++)
		if (map_hide(memory.pamt[i].base, memory.pamt[i].size >> PAGE_SHIFT))
			return fail(f, -ENOMEM, "no memory for the page tables that leave the TDX module's own memory out");
	return 0;
}

static int build_tdmrs(struct failure *f)
{
	struct tdmr_limits limits = { min_u64(m->max_tdmrs, TDX_MAX_TDMRS), min_u64(m->max_reserved, TDX_MAX_RESERVED),
				      { m->pamt_entry[0], m->pamt_entry[1], m->pamt_entry[2] } };
	int err = read_cmrs(f);

	if (err)
		return err;
	frame_for_each_run(add_run, NULL);
	if (memory.too_many)
		return fail(f, -ENOSPC, "the machine's memory is in more than %u pieces", TDMR_MAX_INPUT);
	err = tdmr_build(&m->memory, &limits, memory.ram, memory.count, memory.cmr, memory.cmr_count, place_pamt, NULL,
			 f);
	if (!err && m->memory.given_up)
		log_warn("TDX: memory is so scattered that TDs cannot use %lu KiB of it", m->memory.given_up >> 10);
	return err;
}

/* ---- SYS.CONFIG ---- */

#define INFO_SLOT 512u /* a TDMR_INFO is 320 bytes, aligned to 512 */
#define INFO_FRAMES (1 + TDX_MAX_TDMRS * INFO_SLOT / PAGE_SIZE)

static int sys_config(struct failure *f)
{
	hpa_t frames = frame_alloc_run(INFO_FRAMES, 1, OWNER_HV);
	uint64_t status, *addresses;

	if (frames == HPA_NONE)
		return fail(f, -ENOMEM, "no memory for the list of TDMRs");
	addresses = phys_to_virt(frames);
	for (uint32_t i = 0; i < m->memory.count; i++) {
		addresses[i] = frames + PAGE_SIZE + i * INFO_SLOT;
		memcpy(phys_to_virt(addresses[i]), &m->memory.tdmr[i], sizeof(m->memory.tdmr[i]));
	}
	status = tdh_sys_config(frames, m->memory.count, m->global_hkid);
	frame_free_run(frames, INFO_FRAMES, OWNER_HV);
	return tdx_is_done(status) ? 0 : tdx_fail(f, "the TDX module did not take its memory", TDH_SYS_CONFIG, status);
}

int module_memory_give(struct failure *f)
{
	int err;

	memset(&memory, 0, sizeof(memory));
	err = build_tdmrs(f);
	if (!err)
		err = hide_pamts(f);
	if (!err)
		err = sys_config(f);
	/* Once it has taken them the PAMTs are the module's, come what may. */
	if (err)
		free_pamts();
	return err;
}

/* ---- SYS.TDMR.INIT ---- */

#define TDMR_INIT_STEP MIB(4) /* the least that a call does: 1024 entries of a PAMT */

static int tdmr_init(const struct tdx_tdmr_info *t, struct failure *f)
{
	uint64_t said = t->base, most = t->size / TDMR_INIT_STEP + 1;
	hpa_t next = t->base;

	while (next < t->base + t->size) {
		uint64_t status = most-- ? tdh_sys_tdmr_init(t->base, &next) : TDX_SYS_STATE_INCORRECT;

		m->tdmr_calls++;
		if (!tdx_is_done(status))
			return tdx_fail(f, "memory was not made ready for TDs", TDH_SYS_TDMR_INIT, status);
		if (tdx_status_is(status, TDX_TDMR_ALREADY_INITIALIZED))
			break;
		if (next - said >= GIB(64) && next < t->base + t->size) {
			said = next;
			log_info("TDX: memory is ready for TDs up to %lu GiB", next >> 30);
		}
	}
	return 0;
}

int module_memory_init(struct failure *f)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < m->memory.count; i++)
		err = tdmr_init(&m->memory.tdmr[i], f);
	return err;
}

/* ---- what TDs get ---- */

uint64_t tdx_memory_bytes(void)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < m->memory.memory_count; i++)
		bytes += m->memory.memory[i].size;
	return bytes;
}

bool tdx_memory_fits(hpa_t first, uint64_t npages) { return tdmr_covers(&m->memory, first, npages << PAGE_SHIFT); }

#define UNFIT_MAX 64

hpa_t tdx_frame_alloc(frame_owner_t owner)
{
	hpa_t unfit[UNFIT_MAX], frame = HPA_NONE;
	int n = 0;

	while (n < UNFIT_MAX) {
		frame = frame_alloc(OWNER_HV);
		if (frame == HPA_NONE || tdx_memory_fits(frame, 1))
			break;
		unfit[n++] = frame;
		frame = HPA_NONE;
	}
	while (n > 0)
		frame_free(unfit[--n], OWNER_HV);
	if (frame == HPA_NONE)
		return frame;
	if (map_hide(frame, 1)) {
		frame_free(frame, OWNER_HV);
		return HPA_NONE;
	}
	frame_change_owner(frame, 1, OWNER_HV, owner);
	return frame;
}
