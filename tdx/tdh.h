/*
 * The leafs of SEAMCALL, each with its operands by name. All return the status and repeat what is busy
 * (tdx/seamcall.h). Levels are the module's: 0 is 4K. TDX Module 1.5 ABI, "Host-Side (SEAMCALL)
 * Interface Functions".
 */
#ifndef TDX_TDH_H
#define TDX_TDH_H

#include "hv/base/types.h"
#include "tdx/abi/leaf.h"
#include "tdx/seamcall.h"

/* ---- the module ---- */

static inline uint64_t tdh_sys_init(void) { return tdx_call4(TDH_SYS_INIT, 0, 0, 0, 0); }
/* On each CPU. For a CPU that differs, *o says where: RCX leaf and subleaf, RDX and R8 the bits. */
static inline uint64_t tdh_sys_lp_init(struct tdx_operands *o)
{
	*o = (struct tdx_operands){ 0 };
	return tdx_call(TDH_SYS_LP_INIT, o);
}

static inline uint64_t tdh_sys_rd(uint64_t field, uint64_t *value)
{
	struct tdx_operands o = { .rdx = field };
	uint64_t status = tdx_call(TDH_SYS_RD, &o);

	*value = o.r8;
	return status;
}

/* infos: where an array of n addresses of TDMR_INFOs lies. */
static inline uint64_t tdh_sys_config(hpa_t infos, uint64_t n, uint32_t hkid)
{
	return tdx_call4(TDH_SYS_CONFIG, infos, n, hkid, 0);
}

/* On one CPU of each package. */
static inline uint64_t tdh_sys_key_config(void) { return tdx_call4(TDH_SYS_KEY_CONFIG, 0, 0, 0, 0); }

static inline uint64_t tdh_sys_tdmr_init(hpa_t base, hpa_t *next)
{
	struct tdx_operands o = { .rcx = base };
	uint64_t status = tdx_call(TDH_SYS_TDMR_INIT, &o);

	*next = o.rdx;
	return status;
}

/* ---- a TD ---- */

static inline uint64_t tdh_mng_create(hpa_t tdr, uint32_t hkid) { return tdx_call4(TDH_MNG_CREATE, tdr, hkid, 0, 0); }
/* On one CPU of each package. */
static inline uint64_t tdh_mng_key_config(hpa_t tdr) { return tdx_call4(TDH_MNG_KEY_CONFIG, tdr, 0, 0, 0); }
static inline uint64_t tdh_mng_addcx(hpa_t page, hpa_t tdr) { return tdx_call4(TDH_MNG_ADDCX, page, tdr, 0, 0); }

/* o gets RCX, which for CPUID_CONFIG says which leaf and subleaf are wrong. */
static inline uint64_t tdh_mng_init(hpa_t tdr, hpa_t params, struct tdx_operands *o)
{
	*o = (struct tdx_operands){ .rcx = tdr, .rdx = params };
	return tdx_call(TDH_MNG_INIT, o);
}

static inline uint64_t tdh_mng_rd(hpa_t tdr, uint64_t field, uint64_t *value)
{
	struct tdx_operands o = { .rcx = tdr, .rdx = field };
	uint64_t status = tdx_call(TDH_MNG_RD, &o);

	*value = o.r8;
	return status;
}

/* 256 bytes at gpa. */
static inline uint64_t tdh_mr_extend(hpa_t tdr, gpa_t gpa) { return tdx_call4(TDH_MR_EXTEND, gpa, tdr, 0, 0); }
static inline uint64_t tdh_mr_finalize(hpa_t tdr) { return tdx_call4(TDH_MR_FINALIZE, tdr, 0, 0, 0); }
static inline uint64_t tdh_mng_vpflushdone(hpa_t tdr, const struct tdx_kicker *k)
{
	struct tdx_operands o = { .rcx = tdr };

	return tdx_call_alone(TDH_MNG_VPFLUSHDONE, &o, k);
}
static inline uint64_t tdh_mng_key_freeid(hpa_t tdr) { return tdx_call4(TDH_MNG_KEY_FREEID, tdr, 0, 0, 0); }

/* ---- physical memory ---- */

/* On one CPU of each package. */
static inline uint64_t tdh_phymem_cache_wb(bool resume) { return tdx_call4(TDH_PHYMEM_CACHE_WB, resume, 0, 0, 0); }
/* The page of which this is the first 4K; *level is its size. */
static inline uint64_t tdh_phymem_page_reclaim(hpa_t page, uint32_t *level)
{
	struct tdx_operands o = { .rcx = page };
	uint64_t status = tdx_call(TDH_PHYMEM_PAGE_RECLAIM, &o);

	*level = o.r8 & 3;
	return status;
}
/* Address with its key id. */
static inline uint64_t tdh_phymem_page_wbinvd(hpa_t keyed) { return tdx_call4(TDH_PHYMEM_PAGE_WBINVD, keyed, 0, 0, 0); }

/* *type is enum tdx_page_type, *owner the TDR's address. */
static inline uint64_t tdh_phymem_page_rdmd(hpa_t page, uint64_t *type, hpa_t *owner)
{
	struct tdx_operands o = { .rcx = page };
	uint64_t status = tdx_call(TDH_PHYMEM_PAGE_RDMD, &o);

	*type = o.rcx;
	*owner = o.rdx;
	return status;
}

/* ---- a vCPU ---- */

static inline uint64_t tdh_vp_create(hpa_t page, hpa_t tdr) { return tdx_call4(TDH_VP_CREATE, page, tdr, 0, 0); }
static inline uint64_t tdh_vp_addcx(hpa_t page, hpa_t tdvpr) { return tdx_call4(TDH_VP_ADDCX, page, tdvpr, 0, 0); }
/* The vCPU is the running CPU's from here on. rcx: what it finds in RCX and R8. */
static inline uint64_t tdh_vp_init(hpa_t tdvpr, uint64_t rcx) { return tdx_call4(TDH_VP_INIT, tdvpr, rcx, 0, 0); }
/* On the CPU that has it. */
static inline uint64_t tdh_vp_flush(hpa_t tdvpr, const struct tdx_kicker *k)
{
	struct tdx_operands o = { .rcx = tdvpr };

	return tdx_call_alone(TDH_VP_FLUSH, &o, k);
}

static inline uint64_t tdh_vp_rd(hpa_t tdvpr, uint64_t field, uint64_t *value)
{
	struct tdx_operands o = { .rcx = tdvpr, .rdx = field };
	uint64_t status = tdx_call(TDH_VP_RD, &o);

	*value = o.r8;
	return status;
}

static inline uint64_t tdh_vp_wr(hpa_t tdvpr, uint64_t field, uint64_t value, uint64_t mask)
{
	return tdx_call4(TDH_VP_WR, tdvpr, field, value, mask);
}

/* ---- private memory ---- */

static inline uint64_t tdh_page_info(gpa_t gpa, uint32_t level) { return (gpa & TDX_GPA_MASK) | level; }

/* The entry of that level gets page as its table. */
static inline uint64_t tdh_mem_sept_add(hpa_t tdr, gpa_t gpa, uint32_t level, hpa_t page)
{
	return tdx_call4(TDH_MEM_SEPT_ADD, tdh_page_info(gpa, level), tdr, page, 0);
}

static inline uint64_t tdh_mem_page_add(hpa_t tdr, gpa_t gpa, hpa_t page, hpa_t source)
{
	return tdx_call4(TDH_MEM_PAGE_ADD, tdh_page_info(gpa, 0), tdr, page, source);
}

static inline uint64_t tdh_mem_page_aug(hpa_t tdr, gpa_t gpa, uint32_t level, hpa_t page)
{
	return tdx_call4(TDH_MEM_PAGE_AUG, tdh_page_info(gpa, level), tdr, page, 0);
}

static inline uint64_t tdh_mem_range_block(hpa_t tdr, gpa_t gpa, uint32_t level)
{
	return tdx_call4(TDH_MEM_RANGE_BLOCK, tdh_page_info(gpa, level), tdr, 0, 0);
}

static inline uint64_t tdh_mem_track(hpa_t tdr) { return tdx_call4(TDH_MEM_TRACK, tdr, 0, 0, 0); }

static inline uint64_t tdh_mem_range_unblock(hpa_t tdr, gpa_t gpa, uint32_t level)
{
	return tdx_call4(TDH_MEM_RANGE_UNBLOCK, tdh_page_info(gpa, level), tdr, 0, 0);
}

/* *page is what was mapped. */
static inline uint64_t tdh_mem_page_remove(hpa_t tdr, gpa_t gpa, uint32_t level, hpa_t *page)
{
	struct tdx_operands o = { .rcx = tdh_page_info(gpa, level), .rdx = tdr };
	uint64_t status = tdx_call(TDH_MEM_PAGE_REMOVE, &o);

	*page = o.rcx;
	return status;
}

static inline uint64_t tdh_mem_page_demote(hpa_t tdr, gpa_t gpa, uint32_t level, hpa_t table)
{
	return tdx_call4(TDH_MEM_PAGE_DEMOTE, tdh_page_info(gpa, level), tdr, table, 0);
}

/* *entry as hardware has it; *info: tdx_sept_level(), tdx_sept_state(), also when the walk ended before. */
static inline uint64_t tdh_mem_sept_rd(hpa_t tdr, gpa_t gpa, uint32_t level, uint64_t *entry, uint64_t *info)
{
	struct tdx_operands o = { .rcx = tdh_page_info(gpa, level), .rdx = tdr };
	uint64_t status = tdx_call(TDH_MEM_SEPT_RD, &o);

	*entry = o.rcx;
	*info = o.rdx;
	return status;
}

#endif
