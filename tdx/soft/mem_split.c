/*
 * One large page or 512 small ones: TDH.MEM.PAGE.DEMOTE and PROMOTE. The contents stay where they are. TDX
 * Module 1.5 base specification, "Page Promotion" and "Page Demotion".
 */
#include "tdx/soft/mem.h"

static const struct mem_rules demote_rules = {
	.td = LOCK_SHARED, .tree = MEM_TREE_SHARED, .lowest = SOFT_2M, .highest = SOFT_1G, .states = SEPT_LEAVES,
};

/* Nothing has changed yet: the host may make the same call again. */
static uint64_t interrupted(struct soft_call *c, const struct mem_page *p)
{
	call_set(c, TDX_RCX, p->operand_rcx);
	call_set(c, TDX_RDX, p->operand_rdx);
	return TDX_INTERRUPTED_RESTARTABLE;
}

static bool interrupt_pending(const struct soft_call *c)
{
	return c->m->platform.interrupt_pending(c->m->platform.ctx, c->lp);
}

/* 512 children as the large page is, but not blocked; acceptance of a pending one begins anew. */
static void fill_children(uint64_t *table, uint64_t entry, uint32_t level)
{
	uint64_t child = sept_unblock(sept_without_count(entry, level));

	for (uint32_t i = 0; i < SEPT_ENTRIES; i++)
		table[i] = child + i * level_size(level - 1);
}

/* The record of a small page: one of many, which are not to be mapped all at once. */
static void set_small(struct soft_call *c, hpa_t page, uint32_t level, enum tdx_page_type type, hpa_t owner)
{
	uint32_t mark = hpa_mark(c->m);

	pamt_set(pamt_entry(c->m, page, level), type, owner);
	hpa_release(c->m, mark);
}

/* The large page's record goes last: who finds it free looks at those of the small pages. */
static void split_pamt(struct soft_call *c, const struct mem_page *p, struct pamt_entry *large)
{
	hpa_t page = sept_hpa(p->at.value, p->at.level);

	for (uint32_t i = 0; i < SEPT_ENTRIES; i++, page += level_size(p->at.level - 1))
		set_small(c, page, p->at.level - 1, TDX_PT_REG, p->td.hpa);
	pamt_free(large);
}

static uint64_t demote(struct soft_call *c, struct mem_page *p)
{
	hpa_t table = call_arg(c, TDX_R8);
	struct pamt_entry *large = mem_target(c, p), *new = NULL;
	uint64_t status = mem_check_tracked(c, p, large, TDX_RCX);

	if (!status)
		status = pamt_lock(c, table, SOFT_4K, TDX_PT_NDA, LOCK_EXCLUSIVE, TDX_R8, &new);
	if (!status && interrupt_pending(c))
		return interrupted(c, p);
	if (!status)
		status = mem_lock_target(c, p, &large);
	if (status)
		return status;
	fill_children(hpa_map(c->m, table), p->at.value, p->at.level);
	pamt_set(new, TDX_PT_EPT, p->td.hpa);
	split_pamt(c, p, large);
	td_count(&p->td, 1);
	mem_publish(p, sept_table(table));
	return TDX_SUCCESS;
}

uint64_t tdh_mem_page_demote(struct soft_call *c) { return mem_call(c, &demote_rules, demote); }

static const struct mem_rules promote_rules = {
	.td = LOCK_SHARED, .tree = MEM_TREE_SHARED, .lowest = SOFT_2M, .highest = SOFT_1G, .states = SEPT_TABLES,
};

/*
 * Locks the children one by one; each must be the first one's twin, a page further on. *locked counts those
 * that are locked, *first becomes the first one's value.
 */
static uint64_t check_children(struct soft_call *c, uint64_t *table, uint32_t level, uint32_t *locked,
	uint64_t *first)
{
	for (uint32_t i = 0; i < SEPT_ENTRIES; i++) {
		uint64_t child;

		if (call_fault(c, SOFT_FAULT_ENTRY_BUSY, level - 1) || !sept_lock_host(&table[i]))
			return TDX_OPERAND_BUSY;
		*locked = i + 1;
		child = sept_without_count(sept_load(&table[i]), level - 1);
		if (i == 0)
			*first = child;
		if (!sept_is(child, SEPT_IN(TDX_SEPT_MAPPED) | SEPT_IN(TDX_SEPT_PENDING)) ||
			!is_aligned(*first & SEPT_HPA, level_size(level)) ||
			child != *first + i * level_size(level - 1))
			return TDX_EPT_INVALID_PROMOTE_CONDITIONS;
	}
	return TDX_SUCCESS;
}

static void merge_pamt(struct soft_call *c, const struct mem_page *p, hpa_t page, struct pamt_entry *large)
{
	for (uint32_t i = 0; i < SEPT_ENTRIES; i++)
		set_small(c, page + i * level_size(p->at.level - 1), p->at.level - 1, TDX_PT_NDA, 0);
	pamt_set(large, TDX_PT_REG, p->td.hpa);
}

/* With the children locked and alike: what else can fail, then the change. */
static uint64_t merge(struct soft_call *c, struct mem_page *p, struct pamt_entry *table_entry, uint64_t first)
{
	hpa_t table = sept_hpa(p->at.value, p->at.level), page = first & SEPT_HPA;
	struct pamt_entry *large = pamt_entry(c->m, page, p->at.level);
	uint64_t status;

	if (interrupt_pending(c))
		return interrupted(c, p);
	status = call_lock(c, &large->lock, LOCK_EXCLUSIVE, TDX_RCX);
	if (status)
		return status;
	merge_pamt(c, p, page, large);
	mem_publish(p, first);
	pamt_free(table_entry);
	td_count(&p->td, -1);
	call_set(c, TDX_RCX, table);
	return TDX_SUCCESS;
}

static uint64_t promote(struct soft_call *c, struct mem_page *p)
{
	uint64_t *table = hpa_map(c->m, sept_hpa(p->at.value, p->at.level)), first = 0, status;
	struct pamt_entry *e;
	uint32_t locked = 0;

	status = mem_lock_target(c, p, &e);
	if (!status)
		status = mem_check_tracked(c, p, e, TDX_RCX);
	if (status)
		return status;
	status = check_children(c, table, p->at.level, &locked, &first);
	status = status ? mem_fail(c, p, status) : merge(c, p, e, first);
	while (locked)
		sept_unlock(&table[--locked]);
	return status;
}

uint64_t tdh_mem_page_promote(struct soft_call *c)
{
	for (uint32_t reg = TDX_R9; c->version && reg <= TDX_R11; reg++)
		call_set(c, reg, ~0ul); /* no pages of L2 VMs come free */
	return mem_call(c, &promote_rules, promote);
}
