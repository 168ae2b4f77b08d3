/*
 * The guest's measurements: TDG.MR.RTMR.EXTEND and TDG.MR.REPORT. TDX Module 1.5 base specification,
 * "Measurement and Attestation".
 *
 * A report of this module says what it is worth: its module measurement is the digest of a name that no
 * genuine module has, its attributes are not those of a production module, its security versions are 0, and
 * its MAC is made with a key of this boot, which nobody outside can check.
 */
#include <string.h>

#include "hv/base/digest.h"
#include "tdx/abi/report.h"
#include "tdx/soft/measure.h"
#include "tdx/soft/mem.h"
#include "tdx/soft/merged.h"
#include "tdx/soft/tdg.h"

#define MODULE_NAME "SOFT-TDX: protects nobody"
#define TCB_VALID 0x1fful      /* every field of TEE_TCB_INFO */
#define TCB_NOT_PRODUCTION 1ul /* attributes */

#define SHARED_READ BIT(0) /* of an entry of the host's tables */
#define SHARED_WRITE BIT(1)

static enum tdg_end done(struct tdg_call *t, uint64_t status)
{
	t->status = status;
	return TDG_DONE;
}

/* The host's page for a shared gpa, by the host's tables. NULL: none that allows the access. */
static void *shared_memory(struct tdg_call *t, gpa_t gpa, bool write)
{
	uint64_t entry, rights = SHARED_READ | (write ? SHARED_WRITE : 0);
	uint32_t level;
	void *page;
	hpa_t hpa;

	if (!merged_walk_shared(t->c->m, t->v->vp->shared_eptp, gpa, &entry, &level) || (entry & rights) != rights)
		return NULL;
	hpa = align_down(entry & SEPT_HPA, level_size(level)) + gpa % level_size(level);
	if (hpa_map_shared(t->c, align_down(hpa, PAGE_SIZE), PAGE_SIZE, 0, &page))
		return NULL;
	return (uint8_t *)page + (hpa & PAGE_MASK);
}

/*
 * The operand in reg, an address aligned to align bytes of the guest's memory, which *at becomes. TDG_DONE
 * with status 0: go on.
 */
static enum tdg_end map_operand(struct tdg_call *t, enum tdx_reg reg, uint64_t align, bool write, void **at)
{
	const struct soft_tdcs *tdcs = t->v->td.tdcs;
	gpa_t gpa = t->v->vp->gpr[reg];

	if (!is_aligned(gpa, align) || gpa >> tdcs->gpa_bits)
		return done(t, invalid(reg));
	*at = mem_gpa_is_private(tdcs, gpa) ? mem_of_guest(t->c, &t->v->td, gpa) : shared_memory(t, gpa, write);
	if (*at)
		return done(t, TDX_SUCCESS);
	t->gpa = gpa;
	t->write = write;
	return TDG_FAULT;
}

enum tdg_end tdg_mr_rtmr_extend(struct tdg_call *t)
{
	struct soft_tdcs *tdcs = t->v->td.tdcs;
	uint64_t index = t->v->vp->gpr[TDX_RDX];
	uint8_t digest[TD_DIGEST];
	void *at = NULL;
	enum tdg_end end;

	if (!mem_gpa_is_private(tdcs, t->v->vp->gpr[TDX_RCX]))
		return done(t, invalid(TDX_RCX));
	end = map_operand(t, TDX_RCX, 64, false, &at);
	if (end != TDG_DONE || t->status)
		return end;
	if (index >= TD_RTMRS)
		return done(t, invalid(TDX_RDX));
	if (!sharex_try(&tdcs->rtmr_lock, LOCK_EXCLUSIVE))
		return done(t, TDX_OPERAND_BUSY | TDX_OP_RTMR);
	memcpy(digest, at, sizeof(digest));
	measure_rtmr(tdcs, (uint32_t)index, digest);
	sharex_release(&tdcs->rtmr_lock, LOCK_EXCLUSIVE);
	return done(t, TDX_SUCCESS);
}

static void fill_tdinfo(const struct soft_tdcs *tdcs, struct tdx_tdinfo *td)
{
	td->attributes = tdcs->attributes;
	td->xfam = tdcs->xfam;
	memcpy(td->mrtd, tdcs->mrtd, sizeof(td->mrtd));
	memcpy(td->mrconfigid, tdcs->mrconfigid, sizeof(td->mrconfigid));
	memcpy(td->mrowner, tdcs->mrowner, sizeof(td->mrowner));
	memcpy(td->mrownerconfig, tdcs->mrownerconfig, sizeof(td->mrownerconfig));
	memcpy(td->rtmr, tdcs->rtmr, sizeof(td->rtmr));
}

static void fill_tcb(struct tdx_tee_tcb_info *tcb)
{
	tcb->valid = TCB_VALID;
	sha384_of(MODULE_NAME, strlen(MODULE_NAME), tcb->mrseam);
	memcpy(tcb->mrsignerseam, tcb->mrseam, sizeof(tcb->mrseam));
	tcb->attributes = TCB_NOT_PRODUCTION;
}

static void sign(const struct soft *m, const void *report_data, struct tdx_report *r)
{
	r->mac.type = TDX_REPORT_TYPE_TDX;
	memcpy(r->mac.report_data, report_data, TDX_REPORT_DATA);
	sha384_of(&r->tcb, TDX_TEE_TCB_INFO_HASHED, r->mac.tee_tcb_info_hash);
	sha384_of(&r->td, sizeof(r->td), r->mac.tee_info_hash);
	hmac_sha256(m->mac_key, sizeof(m->mac_key), &r->mac, offsetof(struct tdx_report_mac, mac), r->mac.mac);
}

/* In the order of the specification: the report's place is looked up last. */
static enum tdg_end check_report(struct tdg_call *t, void **data, void **out)
{
	enum tdg_end end;

	if (!is_aligned(t->v->vp->gpr[TDX_RCX], sizeof(struct tdx_report)))
		return done(t, invalid(TDX_RCX));
	end = map_operand(t, TDX_RDX, TDX_REPORT_DATA, false, data);
	if (end != TDG_DONE || t->status)
		return end;
	if (t->v->vp->gpr[TDX_R8]) /* subtype */
		return done(t, invalid(TDX_R8));
	return map_operand(t, TDX_RCX, sizeof(struct tdx_report), true, out);
}

enum tdg_end tdg_mr_report(struct tdg_call *t)
{
	struct soft_tdcs *tdcs = t->v->td.tdcs;
	struct tdx_report report = { 0 };
	void *data = NULL, *out = NULL;
	enum tdg_end end = check_report(t, &data, &out);

	if (end != TDG_DONE || t->status)
		return end;
	if (!sharex_try(&tdcs->rtmr_lock, LOCK_SHARED))
		return done(t, TDX_OPERAND_BUSY | TDX_OP_RTMR);
	fill_tdinfo(tdcs, &report.td);
	sharex_release(&tdcs->rtmr_lock, LOCK_SHARED);
	fill_tcb(&report.tcb);
	sign(t->c->m, data, &report);
	memcpy(out, &report, sizeof(report));
	return done(t, TDX_SUCCESS);
}
