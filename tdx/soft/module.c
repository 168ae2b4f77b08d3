/* Dispatch of SEAMCALL leafs, and the start of the module; see the headers. */
#include "tdx/soft/module.h"

#include <string.h>

#include "hv/base/panic.h"
#include "tdx/soft/hpa.h"

/* A leaf, the highest version of it, and whether it may be called before the module is ready. */
struct leaf {
	soft_leaf_fn run;
	uint8_t version;
	bool before_ready;
};

static const struct leaf leafs[TDH_LEAF_COUNT] = {
	[TDH_SYS_INIT] = { tdh_sys_init, 0, true },
	[TDH_SYS_LP_INIT] = { tdh_sys_lp_init, 0, true },
	[TDH_SYS_CONFIG] = { tdh_sys_config, 0, true },
	[TDH_SYS_KEY_CONFIG] = { tdh_sys_key_config, 0, true },
	[TDH_SYS_TDMR_INIT] = { tdh_sys_tdmr_init, 0, false },
	[TDH_SYS_SHUTDOWN] = { tdh_sys_shutdown, 0, false },
	[TDH_SYS_LP_SHUTDOWN] = { tdh_sys_lp_shutdown, 0, true },
	[TDH_MEM_SEPT_ADD] = { tdh_mem_sept_add, 1, false },
	[TDH_MEM_SEPT_REMOVE] = { tdh_mem_sept_remove, 1, false },
	[TDH_MEM_SEPT_RD] = { tdh_mem_sept_rd, 0, false },
	[TDH_MEM_PAGE_ADD] = { tdh_mem_page_add, 0, false },
	[TDH_MEM_PAGE_AUG] = { tdh_mem_page_aug, 0, false },
	[TDH_MEM_PAGE_REMOVE] = { tdh_mem_page_remove, 0, false },
	[TDH_MEM_PAGE_RELOCATE] = { tdh_mem_page_relocate, 0, false },
	[TDH_MEM_PAGE_DEMOTE] = { tdh_mem_page_demote, 0, false },
	[TDH_MEM_PAGE_PROMOTE] = { tdh_mem_page_promote, 1, false },
	[TDH_MEM_RANGE_BLOCK] = { tdh_mem_range_block, 0, false },
	[TDH_MEM_RANGE_UNBLOCK] = { tdh_mem_range_unblock, 0, false },
	[TDH_MEM_TRACK] = { tdh_mem_track, 0, false },
	[TDH_MEM_RD] = { tdh_mem_rd, 0, false },
	[TDH_MEM_WR] = { tdh_mem_wr, 0, false },
	[TDH_MR_EXTEND] = { tdh_mr_extend, 0, false },
	[TDH_MR_FINALIZE] = { tdh_mr_finalize, 0, false },
	[TDH_SYS_RD] = { tdh_sys_rd, 0, true },
	[TDH_SYS_RDALL] = { tdh_sys_rdall, 0, true },
	[TDH_MNG_RD] = { tdh_mng_rd, 1, false },
	[TDH_MNG_WR] = { tdh_mng_wr, 0, false },
	[TDH_VP_RD] = { tdh_vp_rd, 1, false },
	[TDH_VP_WR] = { tdh_vp_wr, 0, false },
	[TDH_MNG_CREATE] = { tdh_mng_create, 0, false },
	[TDH_MNG_KEY_CONFIG] = { tdh_mng_key_config, 0, false },
	[TDH_MNG_ADDCX] = { tdh_mng_addcx, 0, false },
	[TDH_MNG_INIT] = { tdh_mng_init, 0, false },
	[TDH_MNG_VPFLUSHDONE] = { tdh_mng_vpflushdone, 0, false },
	[TDH_MNG_KEY_FREEID] = { tdh_mng_key_freeid, 0, false },
	[TDH_MNG_KEY_RECLAIMID] = { tdh_mng_key_reclaimid, 0, false },
	[TDH_VP_CREATE] = { tdh_vp_create, 0, false },
	[TDH_VP_ADDCX] = { tdh_vp_addcx, 0, false },
	[TDH_VP_INIT] = { tdh_vp_init, 0, false },
	[TDH_VP_FLUSH] = { tdh_vp_flush, 0, false },
	[TDH_VP_ENTER] = { tdh_vp_enter, 0, false },
	[TDH_PHYMEM_PAGE_RDMD] = { tdh_phymem_page_rdmd, 0, false },
	[TDH_PHYMEM_PAGE_RECLAIM] = { tdh_phymem_page_reclaim, 0, false },
	[TDH_PHYMEM_PAGE_WBINVD] = { tdh_phymem_page_wbinvd, 0, false },
	[TDH_PHYMEM_CACHE_WB] = { tdh_phymem_cache_wb, 0, false },
};

bool call_try_lock(struct soft_call *c, struct sharex *l, enum lock_mode mode, uint32_t operand)
{
	INVARIANT(c->num_locks < CALL_MAX_LOCKS);
	if (call_fault(c, SOFT_FAULT_BUSY, operand) || !sharex_try(l, mode))
		return false;
	c->locks[c->num_locks++] = (struct call_lock){ l, mode };
	return true;
}

uint64_t call_lock(struct soft_call *c, struct sharex *l, enum lock_mode mode, uint32_t operand)
{
	return call_try_lock(c, l, mode, operand) ? TDX_SUCCESS : TDX_OPERAND_BUSY | operand;
}

void call_unlock(struct soft_call *c, struct sharex *l)
{
	uint32_t i = 0;

	while (c->locks[i].lock != l)
		INVARIANT(++i < c->num_locks);
	sharex_release(l, c->locks[i].mode);
	c->locks[i] = c->locks[--c->num_locks];
}

void call_unlock_all(struct soft_call *c)
{
	while (c->num_locks) {
		struct call_lock *held = &c->locks[--c->num_locks];

		sharex_release(held->lock, held->mode);
	}
}

/* In the order of the specification: the version, the module's state, the leaf. */
static uint64_t dispatch(struct soft_call *c, uint64_t rax)
{
	const struct leaf *leaf;
	uint32_t state;

	c->leaf = rax & TDX_LEAF_MASK;
	c->version = (rax >> TDX_VERSION_SHIFT) & TDX_VERSION_MASK;
	leaf = c->leaf < TDH_LEAF_COUNT ? &leafs[c->leaf] : NULL;
	if ((rax & TDX_LEAF_RESERVED) || c->version > (leaf ? leaf->version : 0))
		return invalid(TDX_RAX);
	state = __atomic_load_n(&c->m->state, __ATOMIC_ACQUIRE);
	if (state == SOFT_SYS_SHUTDOWN && c->leaf != TDH_SYS_LP_SHUTDOWN)
		return TDX_SYS_SHUTDOWN;
	if (state != SOFT_SYS_READY && !(leaf && leaf->before_ready))
		return TDX_SYS_NOT_READY;
	return leaf && leaf->run ? leaf->run(c) : invalid(TDX_RAX);
}

void soft_seamcall(struct soft *m, uint32_t lp, struct tdx_regs *r)
{
	struct soft_call c = { .m = m, .lp = lp, .r = r };
	uint32_t mark = hpa_mark(m);
	uint64_t status;

	INVARIANT(lp < m->platform.lps);
	status = dispatch(&c, r->gpr[TDX_RAX]);
	call_unlock_all(&c);
	hpa_release(m, mark);
	r->gpr[TDX_RAX] = status;
}

static int check_machine(const struct soft_platform *p, struct failure *why)
{
	if (p->hpa_bits < 36 || p->hpa_bits > 52)
		return fail(why, -EINVAL, "physical addresses of %u bits cannot be those of a TD", p->hpa_bits);
	if (!p->lps || p->lps > SOFT_MAX_LPS || !p->packages || p->packages > SOFT_MAX_PACKAGES)
		return fail(why, -EINVAL, "the software TDX module takes up to %u CPUs in %u packages, not %u in %u",
			SOFT_MAX_LPS, SOFT_MAX_PACKAGES, p->lps, p->packages);
	if (p->private_hkids < 2 || p->private_hkids > SOFT_MAX_HKIDS || !p->first_private_hkid)
		return fail(why, -EINVAL, "the software TDX module needs 2 to %u private key ids, not %u",
			SOFT_MAX_HKIDS, p->private_hkids);
	if (p->keyid_shift < p->hpa_bits || p->keyid_shift > 56)
		return fail(why, -EINVAL, "a key id at bit %u lies inside the address", p->keyid_shift);
	return 0;
}

static int check_cmrs(const struct soft_platform *p, struct failure *why)
{
	hpa_t end = 0;

	if (!p->num_cmrs || p->num_cmrs > TDX_MAX_CMRS)
		return fail(why, -EINVAL, "%u convertible memory ranges; 1 to %u are possible", p->num_cmrs,
			TDX_MAX_CMRS);
	for (uint32_t i = 0; i < p->num_cmrs; i++) {
		const struct tdx_range *r = &p->cmrs[i];

		if (!is_aligned(r->base | r->size, PAGE_SIZE) || !r->size || r->base < end ||
			r->size > BIT(p->hpa_bits) || r->base > BIT(p->hpa_bits) - r->size)
			return fail(why, -EINVAL, "convertible memory range %u is no range of pages above the last", i);
		end = r->base + r->size;
	}
	return 0;
}

int soft_init(struct soft *m, const struct soft_platform *p, struct failure *why)
{
	int err = check_machine(p, why);

	if (!err)
		err = check_cmrs(p, why);
	if (err)
		return err;
	memset(m, 0, sizeof(*m));
	m->platform = *p;
	return soft_controls_compute(&p->cpu.caps, &m->controls, why);
}
