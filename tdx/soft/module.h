/*
 * One SEAMCALL inside the module: its operands, the locks that it holds, and the table of leafs.
 *
 * A leaf is a function of struct soft_call that returns the status. It checks in the order of the
 * specification, takes locks by call_lock(), and returns at the first failure: every lock still on the
 * list is released by the dispatcher. It writes to registers through call_set() only what the leaf
 * documents, and changes state only once nothing can fail any more.
 *
 * TDX Module 1.5 base specification, "Interface Function Completion Status" and "Concurrency Control".
 */
#ifndef TDX_SOFT_MODULE_H
#define TDX_SOFT_MODULE_H

#include "tdx/abi/status.h"
#include "tdx/soft/soft.h"

#define CALL_MAX_LOCKS 24

struct soft_call {
	struct soft *m;
	uint32_t lp;
	uint32_t leaf;    /* enum tdh_leaf */
	uint32_t version; /* of the leaf */
	struct tdx_regs *r;
	uint32_t num_locks;
	struct call_lock {
		struct sharex *lock;
		enum lock_mode mode;
	} locks[CALL_MAX_LOCKS];
};

typedef uint64_t (*soft_leaf_fn)(struct soft_call *c);

static inline uint64_t call_arg(const struct soft_call *c, enum tdx_reg reg) { return c->r->gpr[reg]; }
static inline void call_set(struct soft_call *c, enum tdx_reg reg, uint64_t value) { c->r->gpr[reg] = value; }

/* False: busy. For locks whose status has no operand. */
bool call_try_lock(struct soft_call *c, struct sharex *l, enum lock_mode mode, uint32_t operand) MUST_CHECK;
/* 0, or OPERAND_BUSY with that operand's id. */
uint64_t call_lock(struct soft_call *c, struct sharex *l, enum lock_mode mode, uint32_t operand) MUST_CHECK;
/* Before the call ends: VP.ENTER lets go of the op-state lock when the guest runs. */
void call_unlock(struct soft_call *c, struct sharex *l);
void call_unlock_all(struct soft_call *c);

static inline uint32_t call_package(const struct soft_call *c)
{
	return c->m->platform.package_of(c->m->platform.ctx, c->lp);
}
/* One bit for each package. */
static inline uint32_t call_all_packages(const struct soft_call *c)
{
	return (uint32_t)BITS(c->m->platform.packages - 1, 0);
}

/* For tests: whether that fault is to happen now. */
static inline bool call_fault(const struct soft_call *c, enum soft_fault fault, uint32_t operand)
{
	const struct soft_platform *p = &c->m->platform;

	return UNLIKELY(p->fail) && p->fail(p->ctx, fault, operand);
}

/* Whether it is one of the private key ids; no bit above them. */
bool sys_hkid_private(const struct soft *m, uint64_t hkid);

/* "code|operand" as the specification writes it. */
static inline uint64_t invalid(uint32_t operand) { return TDX_OPERAND_INVALID | operand; }

/*
 * The leafs, each in the file that its group has. A leaf that is not in the table of module.c is
 * refused as unknown.
 */
uint64_t tdh_sys_init(struct soft_call *c);
uint64_t tdh_sys_lp_init(struct soft_call *c);
uint64_t tdh_sys_config(struct soft_call *c);
uint64_t tdh_sys_key_config(struct soft_call *c);
uint64_t tdh_sys_tdmr_init(struct soft_call *c);
uint64_t tdh_sys_shutdown(struct soft_call *c);
uint64_t tdh_sys_lp_shutdown(struct soft_call *c);
uint64_t tdh_sys_rd(struct soft_call *c);
uint64_t tdh_sys_rdall(struct soft_call *c);
uint64_t tdh_mng_create(struct soft_call *c);
uint64_t tdh_mng_key_config(struct soft_call *c);
uint64_t tdh_mng_addcx(struct soft_call *c);
uint64_t tdh_mng_init(struct soft_call *c);
uint64_t tdh_mng_rd(struct soft_call *c);
uint64_t tdh_mng_wr(struct soft_call *c);
uint64_t tdh_mng_vpflushdone(struct soft_call *c);
uint64_t tdh_mng_key_freeid(struct soft_call *c);
uint64_t tdh_mng_key_reclaimid(struct soft_call *c);
uint64_t tdh_vp_create(struct soft_call *c);
uint64_t tdh_vp_addcx(struct soft_call *c);
uint64_t tdh_vp_init(struct soft_call *c);
uint64_t tdh_vp_flush(struct soft_call *c);
uint64_t tdh_vp_rd(struct soft_call *c);
uint64_t tdh_vp_wr(struct soft_call *c);
uint64_t tdh_vp_enter(struct soft_call *c);
uint64_t tdh_phymem_page_rdmd(struct soft_call *c);
uint64_t tdh_phymem_page_reclaim(struct soft_call *c);
uint64_t tdh_phymem_page_wbinvd(struct soft_call *c);
uint64_t tdh_phymem_cache_wb(struct soft_call *c);
uint64_t tdh_mem_sept_add(struct soft_call *c);
uint64_t tdh_mem_sept_remove(struct soft_call *c);
uint64_t tdh_mem_sept_rd(struct soft_call *c);
uint64_t tdh_mem_page_add(struct soft_call *c);
uint64_t tdh_mem_page_aug(struct soft_call *c);
uint64_t tdh_mem_page_remove(struct soft_call *c);
uint64_t tdh_mem_page_relocate(struct soft_call *c);
uint64_t tdh_mem_page_demote(struct soft_call *c);
uint64_t tdh_mem_page_promote(struct soft_call *c);
uint64_t tdh_mem_range_block(struct soft_call *c);
uint64_t tdh_mem_range_unblock(struct soft_call *c);
uint64_t tdh_mem_track(struct soft_call *c);
uint64_t tdh_mem_rd(struct soft_call *c);
uint64_t tdh_mem_wr(struct soft_call *c);
uint64_t tdh_mr_extend(struct soft_call *c);
uint64_t tdh_mr_finalize(struct soft_call *c);

#endif
