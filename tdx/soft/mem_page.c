/*
 * Private pages: TDH.MEM.PAGE.ADD before the TD runs, AUG, REMOVE and RELOCATE. TDX Module 1.5 base
 * specification, "TD Private Memory Management".
 */
#include "tdx/soft/mem.h"

#include <string.h>

#include "tdx/soft/measure.h"

/* The TD is had alone, and no vCPU of it has run. */
static const struct mem_rules add_rules = {
	.td = LOCK_EXCLUSIVE, .tree = MEM_TREE_UNLOCKED, .lowest = SOFT_4K, .highest = SOFT_4K,
	.states = SEPT_IN(TDX_SEPT_FREE),
};

static uint64_t add(struct soft_call *c, struct mem_page *p)
{
	hpa_t page = call_arg(c, TDX_R8);
	struct pamt_entry *e = NULL;
	void *source = NULL;
	uint64_t status = hpa_map_shared(c, call_arg(c, TDX_R9), PAGE_SIZE, TDX_R9, &source);

	if (!status)
		status = pamt_lock(c, page, SOFT_4K, TDX_PT_NDA, LOCK_EXCLUSIVE, TDX_R8, &e);
	if (status)
		return status;
	memcpy(hpa_map(c->m, page), source, PAGE_SIZE);
	measure_page(p->td.tdcs, p->gpa);
	pamt_set(e, TDX_PT_REG, p->td.hpa);
	td_count(&p->td, 1);
	mem_publish(p, sept_mapped(page));
	return TDX_SUCCESS;
}

uint64_t tdh_mem_page_add(struct soft_call *c) { return mem_call(c, &add_rules, add); }

static const struct mem_rules aug_rules = {
	.td = LOCK_SHARED, .tree = MEM_TREE_SHARED, .lowest = SOFT_4K, .highest = SOFT_2M,
	.states = SEPT_IN(TDX_SEPT_FREE),
};

/* How many 4K pages a page of that level is. */
static int64_t pages(uint32_t level) { return (int64_t)(level_size(level) / PAGE_SIZE); }

/* Nothing is cleared: the guest cannot read the page before it accepts it, which does that. */
static uint64_t aug(struct soft_call *c, struct mem_page *p)
{
	hpa_t page = call_arg(c, TDX_R8);
	struct pamt_entry *e;
	uint64_t status = pamt_lock(c, page, p->at.level, TDX_PT_NDA, LOCK_EXCLUSIVE, TDX_R8, &e);

	if (status)
		return status;
	pamt_set(e, TDX_PT_REG, p->td.hpa);
	td_count(&p->td, pages(p->at.level));
	mem_publish(p, sept_pending(page));
	return TDX_SUCCESS;
}

uint64_t tdh_mem_page_aug(struct soft_call *c) { return mem_call(c, &aug_rules, aug); }

static const struct mem_rules remove_rules = {
	.td = LOCK_SHARED, .tree = MEM_TREE_SHARED, .lowest = SOFT_4K, .highest = SOFT_1G, .states = SEPT_LEAVES,
};

static uint64_t take(struct soft_call *c, struct mem_page *p)
{
	hpa_t page = sept_hpa(p->at.value, p->at.level);
	struct pamt_entry *e;
	uint64_t status = mem_lock_target(c, p, &e);

	if (!status)
		status = mem_check_tracked(c, p, e, TDX_RCX);
	if (status)
		return status;
	mem_publish(p, SEPT_ENTRY_FREE);
	pamt_free(e);
	td_count(&p->td, -pages(p->at.level));
	call_set(c, TDX_RCX, page);
	return TDX_SUCCESS;
}

uint64_t tdh_mem_page_remove(struct soft_call *c) { return mem_call(c, &remove_rules, take); }

static const struct mem_rules relocate_rules = {
	.td = LOCK_SHARED, .tree = MEM_TREE_SHARED, .lowest = SOFT_4K, .highest = SOFT_4K, .states = SEPT_LEAVES,
};

/* What a guest has not accepted yet has no contents to keep. */
static uint64_t relocate(struct soft_call *c, struct mem_page *p)
{
	hpa_t from = sept_hpa(p->at.value, SOFT_4K), to = call_arg(c, TDX_R8);
	struct pamt_entry *old, *new = NULL;
	uint64_t status;

	if (from == to)
		return invalid(TDX_R8);
	status = mem_lock_target(c, p, &old);
	if (!status)
		status = mem_check_tracked(c, p, old, TDX_RCX);
	if (!status)
		status = pamt_lock(c, to, SOFT_4K, TDX_PT_NDA, LOCK_EXCLUSIVE, TDX_R8, &new);
	if (status)
		return status;
	if (!(p->at.value & SEPT_PENDING))
		memcpy(hpa_map(c->m, to), hpa_map(c->m, from), PAGE_SIZE);
	pamt_set(new, TDX_PT_REG, p->td.hpa);
	mem_publish(p, sept_unblock((p->at.value & ~SEPT_HPA) | to));
	pamt_free(old);
	call_set(c, TDX_RCX, from);
	return TDX_SUCCESS;
}

uint64_t tdh_mem_page_relocate(struct soft_call *c) { return mem_call(c, &relocate_rules, relocate); }
