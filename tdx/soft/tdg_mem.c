/*
 * TDG.MEM.PAGE.ACCEPT: the guest takes a page that the host added while it ran, and finds it zeroed. TDX Module
 * 1.5 base specification, "Dynamic Page Addition"; ABI specification, "TDG.MEM.PAGE.ACCEPT".
 */
#include <string.h>

#include "tdx/soft/mem.h"
#include "tdx/soft/tdg.h"
#include "vmx/core/reasons.h"

#define QUALIFICATION_WRITE BIT(1)
#define PAGES_2M 512u

static enum tdg_end done(struct tdg_call *t, uint64_t status)
{
	t->status = status;
	return TDG_DONE;
}

/* The host has to do something about the entry: an EPT violation by a write, with what was asked and found. */
static enum tdg_end violation(struct tdg_call *t, gpa_t gpa, uint32_t level, const struct sept_walk *at)
{
	uint64_t info = level | at->level << 3 | (uint64_t)sept_state(at->value) << 6 |
		(at->value & SEPT_LEAF ? BIT(14) : 0);

	t->exit = (struct vp_exit){
		.reason = REASON_EPT_VIOLATION,
		.qualification = QUALIFICATION_WRITE | (at->value & SEPT_RWX) << 3,
		.extended = TDX_EEQ_ACCEPT | info << 32,
		.gpa = gpa,
	};
	return TDG_EXIT;
}

static bool interrupt_pending(const struct tdg_call *t)
{
	const struct soft_platform *p = &t->c->m->platform;

	return p->interrupt_pending(p->ctx, t->c->lp);
}

/* From the entry's count on. Whether all is zeroed; else the entry counts what is, and an interrupt is due. */
static bool zero(struct tdg_call *t, uint32_t level, uint64_t *value)
{
	hpa_t page = sept_hpa(*value, level);
	uint8_t *at = level == SOFT_2M ? hpa_map_large(t->c->m, page) : hpa_map(t->c->m, page);
	uint32_t pages = level == SOFT_2M ? PAGES_2M : 1;
	uint32_t i = (uint32_t)((*value - sept_without_count(*value, level)) / PAGE_SIZE);

	for (;;) {
		memset(at + i * PAGE_SIZE, 0, PAGE_SIZE);
		if (++i == pages)
			return true;
		if (interrupt_pending(t)) {
			*value = sept_without_count(*value, level) | i * PAGE_SIZE;
			return false;
		}
	}
}

/* The entry is pending, and locked: nobody else changes it, and nobody reads the page. */
static enum tdg_end accept(struct tdg_call *t, const struct sept_walk *at)
{
	uint64_t value = at->value;

	if (!zero(t, at->level, &value)) {
		sept_store(at->entry, value);
		return TDG_AGAIN;
	}
	sept_store(at->entry, sept_mapped(sept_hpa(value, at->level)));
	return done(t, TDX_SUCCESS);
}

/* The entry of the wanted level, locked. */
static enum tdg_end accept_entry(struct tdg_call *t, gpa_t gpa, struct sept_walk *at)
{
	uint64_t status = sept_lock_guest(at->entry);

	if (status)
		return done(t, status | TDX_RCX);
	at->value = sept_load(at->entry);
	if (sept_is(at->value, SEPT_IN(TDX_SEPT_PENDING)))
		return accept(t, at);
	sept_unlock(at->entry);
	if (sept_is(at->value, SEPT_TABLES))
		return done(t, TDX_PAGE_SIZE_MISMATCH | at->level);
	if (sept_is(at->value, SEPT_IN(TDX_SEPT_MAPPED)))
		return done(t, TDX_PAGE_ALREADY_ACCEPTED | at->level);
	return violation(t, gpa, at->level, at);
}

enum tdg_end tdg_mem_page_accept(struct tdg_call *t)
{
	uint64_t info = t->v->vp->gpr[TDX_RCX];
	gpa_t gpa = info & TDX_GPA_MASK;
	uint32_t level = info & TDX_GPA_LEVEL_MASK;
	struct sept_walk at;

	if ((gpa | level) != info || level > SOFT_2M || !is_aligned(gpa, level_size(level)) ||
		!mem_gpa_is_private(t->v->td.tdcs, gpa))
		return done(t, invalid(TDX_RCX));
	if (mem_walk(t->c, &t->v->td, gpa, level, &at))
		return accept_entry(t, gpa, &at);
	if (sept_is(at.value, SEPT_IN(TDX_SEPT_MAPPED)))
		return done(t, TDX_PAGE_ALREADY_ACCEPTED | at.level);
	return violation(t, gpa, level, &at);
}
