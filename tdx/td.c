/*
 * The life of a TD.
 */
#include "tdx/td.h"

#include <string.h>

#include "hv/base/panic.h"
#include "hv/base/phys.h"
#include "mmu/mirror.h"
#include "tdx/sept.h"
#include "tdx/tdh.h"

const char *const td_state_names[] = {
	[TD_NONE] = "none",         [TD_CREATED] = "created",   [TD_INITIALIZED] = "being built",
	[TD_RUNNABLE] = "runnable", [TD_RELEASED] = "released", [TD_LOST] = "lost",
};

static frame_owner_t owner_of(const struct td *td) { return OWNER_TD(td->id); }

static int no_frame(struct failure *f)
{
	return fail(f, -ENOMEM, "no memory that the TDX module knows is left for the control pages of a TD");
}

/* ---- creation ---- */

static uint64_t key_config(void *arg)
{
	const struct td *td = arg;

	return tdh_mng_key_config(td->tdr);
}

static int create_key(struct td *td, struct failure *f)
{
	uint64_t status;

	td->hkid = tdx_hkid_alloc();
	if (!td->hkid)
		return fail(f, -EBUSY, "every key the processor has for TDs is in use: stop another TD");
	td->tdr = tdx_frame_alloc(owner_of(td));
	if (td->tdr == HPA_NONE)
		return no_frame(f);
	td->state = TD_CREATED;
	status = tdh_mng_create(td->tdr, td->hkid);
	if (!tdx_is_done(status))
		return tdx_fail(f, "the TD was not created", TDH_MNG_CREATE, status);
	status = tdx_on_packages(key_config, td);
	return tdx_is_done(status) ? 0 : tdx_fail(f, "the TD got no key", TDH_MNG_KEY_CONFIG, status);
}

static int add_tdcx(struct td *td, struct failure *f)
{
	while (td->tdcx_count < tdx_module.tdcx_pages) {
		hpa_t page = tdx_frame_alloc(owner_of(td));
		uint64_t status;

		if (page == HPA_NONE)
			return no_frame(f);
		td->tdcx[td->tdcx_count++] = page;
		status = tdh_mng_addcx(page, td->tdr);
		if (!tdx_is_done(status))
			return tdx_fail(f, "the TD got no control pages", TDH_MNG_ADDCX, status);
	}
	return 0;
}

/* ---- TD_PARAMS ---- */

/* Bits the module does not allow, or insists on. */
static int judge_bits(const char *what, uint64_t wanted, uint64_t fixed0, uint64_t *value, struct failure *f)
{
	if (wanted & ~fixed0)
		return fail(f, -EINVAL, "the TDX module allows no TD with bits %lx of %s", wanted & ~fixed0, what);
	*value = wanted;
	return 0;
}

/* EPTP_CONTROLS: write-back, four levels, no accessed and dirty flags. SDM "Extended-Page-Table Pointer (EPTP)". */
#define EPTP_WRITE_BACK 6u
#define EPTP_FOUR_LEVELS (3u << 3)

static void fill_cpuid(struct tdx_td_params *p, const struct td_config *c)
{
	for (uint32_t i = 0; i < tdx_module.cpuid_configs && c->cpuid; i++) {
		const struct tdx_cpuid_values *mask = &tdx_module.cpuid[i].mask;
		struct tdx_cpuid_values v = { 0 };

		c->cpuid(c->cpuid_ctx, tdx_module.cpuid[i].leaf, tdx_module.cpuid[i].subleaf, &v);
		p->cpuid[i] = (struct tdx_cpuid_values){ v.eax & mask->eax, v.ebx & mask->ebx, v.ecx & mask->ecx,
							 v.edx & mask->edx };
	}
}

static int fill_params(struct tdx_td_params *p, const struct td_config *c, struct failure *f)
{
	const struct tdx_module *m = &tdx_module;
	int err = judge_bits("ATTRIBUTES", c->attributes | m->attributes_fixed1, m->attributes_fixed0, &p->attributes, f);

	if (!err)
		err = judge_bits("XFAM", (c->xfam & m->xfam_fixed0) | m->xfam_fixed1, m->xfam_fixed0, &p->xfam, f);
	if (err)
		return err;
	if (c->tsc_units < TDX_TSC_UNITS_MIN || c->tsc_units > TDX_TSC_UNITS_MAX)
		return fail(f, -EINVAL, "a TD's TSC runs at 100 MHz to 10 GHz; %lu MHz is not possible",
			    c->tsc_units * TDX_TSC_UNIT / 1000000);
	p->max_vcpus = (uint16_t)c->max_vcpus;
	p->eptp_controls = EPTP_WRITE_BACK | EPTP_FOUR_LEVELS;
	p->tsc_frequency = (uint16_t)c->tsc_units;
	p->config_flags = m->features & TDX_FEATURES0_NO_RBP_MOD ? TDX_CONFIG_NO_RBP_MOD : 0;
	fill_cpuid(p, c);
	return 0;
}

static int init_with(struct td *td, hpa_t params, const struct td_config *c, struct failure *f)
{
	int err = fill_params(phys_to_virt(params), c, f);
	struct tdx_operands o;
	uint64_t status;

	if (err)
		return err;
	status = tdh_mng_init(td->tdr, params, &o);
	if (tdx_is_done(status)) {
		td->state = TD_INITIALIZED;
		return 0;
	}
	if (status == (TDX_OPERAND_INVALID | TDX_OP_CPUID_CONFIG))
		return fail(f, -EIO, "the TDX module does not take what CPUID leaf %x, subleaf %x shall say",
			    (uint32_t)o.rcx, (uint32_t)(o.rcx >> 32));
	return tdx_fail(f, "the TD was not initialised", TDH_MNG_INIT, status);
}

static int init(struct td *td, const struct td_config *c, struct failure *f)
{
	hpa_t params = frame_alloc(OWNER_HV);
	int err;

	if (params == HPA_NONE)
		return no_frame(f);
	err = init_with(td, params, c, f);
	frame_free(params, OWNER_HV);
	return err;
}

int td_create(struct td *td, uint32_t id, const struct td_config *config, struct failure *f)
{
	int err;

	if (!tdx_module.ready)
		return fail(f, -ENODEV, "%s", tdx_module.why_not);
	INVARIANT(td->state == TD_NONE || td->state == TD_LOST);
	memset(td, 0, sizeof(*td));
	td->id = id;
	td->kicker = config->kicker;
	sept_init(td);
	err = create_key(td, f);
	if (!err)
		err = add_tdcx(td, f);
	if (!err)
		err = init(td, config, f);
	if (err)
		(void)td_end(td, NULL, NULL);
	return err;
}

/* ---- the first memory ---- */

#define EXTEND_BYTES 256u

static int measure_page(struct td *td, gfn_t gfn, struct failure *f)
{
	for (uint64_t at = 0; at < PAGE_SIZE; at += EXTEND_BYTES) {
		uint64_t status = tdh_mr_extend(td->tdr, (gfn << PAGE_SHIFT) + at);

		if (!tdx_is_done(status))
			return tdx_fail(f, "a page of the image was not measured", TDH_MR_EXTEND, status);
	}
	return 0;
}

int td_add_page(struct td *td, struct mmu_vcpu *mv, gfn_t gfn, hpa_t source, bool measure, struct failure *f)
{
	int err;

	INVARIANT(td->state == TD_INITIALIZED && source);
	td->source = source;
	err = mmu_mirror_build(mv, gfn, f);
	td->source = 0;
	if (err && td->broken[0])
		return fail(f, err, "%s", td->broken);
	return err || !measure ? err : measure_page(td, gfn, f);
}

int td_finalize(struct td *td, struct failure *f)
{
	uint64_t status = tdh_mr_finalize(td->tdr);

	if (!tdx_is_done(status))
		return tdx_fail(f, "the TD was not finalized", TDH_MR_FINALIZE, status);
	td->state = TD_RUNNABLE;
	return 0;
}

int td_read(struct td *td, uint64_t field, uint64_t *value, struct failure *f)
{
	uint64_t status = tdh_mng_rd(td->tdr, field, value);

	return tdx_is_done(status) ? 0 : tdx_fail(f, "a field of the TD was not read", TDH_MNG_RD, status);
}

/* ---- the end ---- */

#define RESUMPTIONS 100000 /* more than there are pieces of a cache */

static uint64_t cache_wb(void *arg)
{
	uint64_t status = tdh_phymem_cache_wb(false);

	(void)arg;
	/* Each goes on where the last was interrupted. */
	for (int i = 0; tdx_status_is(status, TDX_INTERRUPTED_RESUMABLE) && i < RESUMPTIONS; i++)
		status = tdh_phymem_cache_wb(true);
	return status;
}

static void flush_vcpus(struct td *td)
{
	for (uint32_t i = 0; i < td->vcpu_count; i++)
		(void)td_vcpu_flush(td, i, NULL); /* VPFLUSHDONE tells when one was not */
}

/* Having been done before is as good. */
static bool is_passed(uint64_t status)
{
	return tdx_is_done(status) || tdx_status_is(status, TDX_LIFECYCLE_STATE_INCORRECT);
}

/* Each step twice when the first time goes wrong: a key that is not released costs all of the TD's memory. */
static uint64_t release_key(struct td *td, enum tdh_leaf *leaf)
{
	uint64_t status = TDX_SUCCESS;

	*leaf = TDH_MNG_VPFLUSHDONE;
	for (int tries = 0; tries == 0 || (tries < 2 && !is_passed(status)); tries++) {
		flush_vcpus(td);
		status = tdh_mng_vpflushdone(td->tdr, &td->kicker);
	}
	for (int tries = 0; tries == 0 || (tries < 2 && !is_passed(status)); tries++) {
		*leaf = TDH_PHYMEM_CACHE_WB;
		status = tdx_on_packages(cache_wb, NULL);
		if (!tdx_is_done(status))
			continue;
		*leaf = TDH_MNG_KEY_FREEID;
		status = tdh_mng_key_freeid(td->tdr);
	}
	return status;
}

static bool is_created(const struct td *td)
{
	uint64_t type;
	hpa_t owner;

	return !tdx_is_done(tdh_phymem_page_rdmd(td->tdr, &type, &owner)) || type != TDX_PT_NDA;
}

/* False: the module keeps it. */
static bool free_page(struct td *td, hpa_t page)
{
	if (!sept_take_back(td, page, 1, OWNER_HV))
		return false;
	frame_free(page, OWNER_HV);
	return true;
}

static bool free_control_pages(struct td *td)
{
	bool good = true;

	for (; td->vcpu_count; td->vcpu_count--)
		for (struct td_vcpu *v = &td->vcpu[td->vcpu_count - 1]; v->count; v->count--)
			good &= free_page(td, v->page[v->count - 1]);
	for (; td->tdcx_count; td->tdcx_count--)
		good &= free_page(td, td->tdcx[td->tdcx_count - 1]);
	return good;
}

/* Last of all pages: caches may hold lines of it under the module's own key. */
static bool free_tdr(struct td *td)
{
	hpa_t tdr = td->tdr, keyed = tdx_keyed(tdr, tdx_module.global_hkid);

	if (!sept_reclaim(tdr, 1))
		return false;
	if (!tdx_is_done(tdh_phymem_page_wbinvd(keyed)) && !tdx_is_done(tdh_phymem_page_wbinvd(keyed)))
		return false;
	sept_give_back(td, tdr, 1, OWNER_HV);
	frame_free(tdr, OWNER_HV);
	td->tdr = HPA_NONE;
	return true;
}

static int report_loss(const struct td *td, enum tdh_leaf leaf, uint64_t status, struct failure *f)
{
	uint64_t lost = frame_count(owner_of(td));

	if (td->state == TD_NONE)
		return 0;
	if (!tdx_is_done(status))
		return tdx_fail(f, "the TD's key was not released and its memory is lost until the machine restarts",
				leaf, status);
	return fail(f, -EIO, "the TDX module kept %lu pages of the TD, which are lost until the machine restarts", lost);
}

/* Its key has been released, if that was possible. False: something is lost. */
static bool free_all(struct td *td, struct mmu *mmu)
{
	bool good = !mmu || mmu_mirror_reclaim(mmu, NULL) == 0;

	good &= sept_settle_doubts(td);
	good &= free_control_pages(td);
	return good & (!td->tdr || free_tdr(td));
}

int td_end(struct td *td, struct mmu *mmu, struct failure *f)
{
	enum tdh_leaf leaf = TDH_MNG_KEY_FREEID;
	uint64_t status = TDX_SUCCESS;
	bool good;

	if (td->state == TD_LOST)
		return report_loss(td, leaf, status, f);
	if (td->tdr && is_created(td))
		status = release_key(td, &leaf);
	if (is_passed(status))
		status = TDX_SUCCESS;
	td->state = TD_RELEASED;
	good = free_all(td, mmu);
	if (td->hkid && (good || tdx_is_done(status)))
		tdx_hkid_free(td->hkid);
	td->hkid = 0;
	td->state = good ? TD_NONE : TD_LOST;
	return report_loss(td, leaf, status, f);
}
