/*
 * A TD's end: MNG.VPFLUSHDONE, PHYMEM.CACHE.WB and MNG.KEY.FREEID take its key id from it, after which its
 * pages can be reclaimed. TDX Module 1.5 base specification, "TD Life Cycle Management", "TD Teardown".
 *
 * A key id stays in the caches of the packages after its TD; it is free once each has written them back.
 */
#include "tdx/soft/td.h"

static struct soft_kot_entry *kot_entry(struct soft *m, uint32_t hkid)
{
	return &m->kot[hkid - m->platform.first_private_hkid];
}

static uint64_t lock_kot(struct soft_call *c)
{
	return call_lock(c, &c->m->kot_lock, LOCK_EXCLUSIVE, TDX_OP_KOT);
}

/* A TD that never got its TDCS has no vCPU. */
static bool vcpus_flushed(struct soft *m, const struct soft_td *td)
{
	const struct soft_tdcs *t;

	if (td->tdr->num_tdcx < TDX_TDCS_PAGES)
		return true;
	t = td_page(m, td, TDCS_BASE);
	return !__atomic_load_n(&t->num_associated, __ATOMIC_ACQUIRE);
}

uint64_t tdh_mng_vpflushdone(struct soft_call *c)
{
	struct soft_td td;
	struct soft_kot_entry *e;
	uint64_t status = td_lock(c, TDX_RCX, LOCK_EXCLUSIVE, &td);

	if (status)
		return status;
	if (td.tdr->lifecycle != TDX_HKID_ASSIGNED && td.tdr->lifecycle != TDX_KEYS_CONFIGURED)
		return TDX_LIFECYCLE_STATE_INCORRECT;
	if (!vcpus_flushed(c->m, &td))
		return TDX_FLUSHVP_NOT_DONE;
	status = lock_kot(c);
	if (status)
		return status;
	e = kot_entry(c->m, td.tdr->hkid);
	e->wbinvd_packages = (uint8_t)call_all_packages(c);
	e->state = SOFT_KOT_FLUSHED;
	td.tdr->lifecycle = TDX_BLOCKED;
	return TDX_SUCCESS;
}

/* Key ids, by their place in the KOT, that this package has still to write back. */
static uint64_t flushed_ids(const struct soft *m, uint32_t package)
{
	uint64_t ids = 0;

	for (uint32_t i = 0; i < m->platform.private_hkids; i++)
		if (m->kot[i].state == SOFT_KOT_FLUSHED && (m->kot[i].wbinvd_packages & BIT(package)))
			ids |= BIT(i);
	return ids;
}

/* Those of a start are all that are flushed by then; of a resumption, those that the start left undone. */
static uint64_t choose_ids(struct soft_call *c, uint32_t package, bool resume, uint64_t *ids)
{
	*ids = flushed_ids(c->m, package);
	if (resume) {
		*ids &= c->m->wbcache_hkids[package];
		return *ids ? TDX_SUCCESS : TDX_WBCACHE_RESUME_ERROR;
	}
	return *ids ? TDX_SUCCESS : TDX_NO_HKID_READY_TO_WBCACHE;
}

/*
 * One id at a time, with a look for interrupts before each, as the real one writes back a cache in pieces. A
 * resumption always gets one done.
 */
static uint64_t write_back(struct soft_call *c, uint32_t package, uint64_t ids, bool resume)
{
	const struct soft_platform *p = &c->m->platform;
	uint64_t *left = &c->m->wbcache_hkids[package];

	for (*left = ids; *left; *left &= *left - 1) {
		if (!resume && p->interrupt_pending(p->ctx, c->lp))
			return TDX_INTERRUPTED_RESUMABLE;
		resume = false;
		c->m->kot[__builtin_ctzl(*left)].wbinvd_packages &= (uint8_t)~BIT(package);
	}
	return TDX_SUCCESS;
}

uint64_t tdh_phymem_cache_wb(struct soft_call *c)
{
	uint32_t package = call_package(c);
	bool resume = call_arg(c, TDX_RCX);
	uint64_t status, ids;

	if (call_arg(c, TDX_RCX) > 1)
		return invalid(TDX_RCX);
	status = call_lock(c, &c->m->wbcache_lock[package], LOCK_EXCLUSIVE, TDX_OP_WBCACHE);
	if (!status)
		status = lock_kot(c);
	if (!status)
		status = choose_ids(c, package, resume, &ids);
	return status ? status : write_back(c, package, ids, resume);
}

uint64_t tdh_mng_key_freeid(struct soft_call *c)
{
	struct soft_td td;
	struct soft_kot_entry *e;
	uint64_t status = td_lock(c, TDX_RCX, LOCK_EXCLUSIVE, &td);

	if (status)
		return status;
	if (td.tdr->lifecycle != TDX_BLOCKED)
		return TDX_LIFECYCLE_STATE_INCORRECT;
	status = lock_kot(c);
	if (status)
		return status;
	e = kot_entry(c->m, td.tdr->hkid);
	if (e->wbinvd_packages)
		return TDX_WBCACHE_NOT_COMPLETE;
	e->state = SOFT_KOT_FREE;
	td.tdr->lifecycle = TDX_TEARDOWN;
	return TDX_SUCCESS;
}

/* Kept for hosts of older modules: it always succeeds and does nothing. */
uint64_t tdh_mng_key_reclaimid(struct soft_call *c)
{
	(void)c;
	return TDX_SUCCESS;
}
