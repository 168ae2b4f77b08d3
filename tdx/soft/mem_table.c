/*
 * Tables of the secure EPT: TDH.MEM.SEPT.ADD, REMOVE and RD. TDX Module 1.5 base specification, "Secure EPT
 * Management".
 */
#include "tdx/soft/mem.h"

#define NO_PAGE (~0ul)        /* in R8 to R11 */
#define NOT_USED BIT(63)      /* R8 on return: the host keeps its page */
#define ALLOW_EXISTING BIT(0) /* RDX */

static const struct mem_rules add_rules = {
	.td = LOCK_SHARED, .tree = MEM_TREE_SHARED, .lowest = SOFT_2M, .highest = MEM_ROOT_LEVEL,
	.states = SEPT_IN(TDX_SEPT_FREE) | SEPT_IN(TDX_SEPT_NL_MAPPED), .flags = ALLOW_EXISTING,
};

/* Version 1 has a page for each of three L2 VMs too; no TD here has such VMs. */
static uint64_t check_l2_pages(const struct soft_call *c)
{
	for (uint32_t reg = TDX_R9; c->version && reg <= TDX_R11; reg++)
		if (call_arg(c, reg) != NO_PAGE)
			return invalid(reg);
	return TDX_SUCCESS;
}

static uint64_t add_new(struct soft_call *c, struct mem_page *p, hpa_t table)
{
	struct pamt_entry *e;
	uint64_t status = pamt_lock(c, table, SOFT_4K, TDX_PT_NDA, LOCK_EXCLUSIVE, TDX_R8, &e);

	if (!status)
		status = check_l2_pages(c);
	if (status)
		return status;
	sept_fill_free(hpa_map(c->m, table));
	pamt_set(e, TDX_PT_EPT, p->td.hpa);
	td_count(&p->td, 1);
	mem_publish(p, sept_table(table));
	if (c->version)
		call_set(c, TDX_R8, NO_PAGE);
	return TDX_SUCCESS;
}

/* There is a table: no error if the host says so, by a flag or by having no page for one. */
static uint64_t keep_existing(struct soft_call *c, struct mem_page *p, hpa_t table)
{
	uint64_t status;

	if (table != NO_PAGE && !(p->flags & ALLOW_EXISTING))
		return mem_fail(c, p, TDX_EPT_ENTRY_STATE_INCORRECT);
	status = check_l2_pages(c);
	if (!status)
		call_set(c, TDX_R8, table | NOT_USED);
	return status;
}

static uint64_t add(struct soft_call *c, struct mem_page *p)
{
	hpa_t table = call_arg(c, TDX_R8);
	bool is_free = sept_is(p->at.value, SEPT_IN(TDX_SEPT_FREE));

	if (table == NO_PAGE && !c->version)
		return invalid(TDX_R8);
	if (table == NO_PAGE && is_free)
		return mem_fail(c, p, TDX_EPT_ENTRY_STATE_INCORRECT);
	return is_free ? add_new(c, p, table) : keep_existing(c, p, table);
}

uint64_t tdh_mem_sept_add(struct soft_call *c)
{
	/* A page that came back as not used may be given as it came. */
	if (c->version && call_arg(c, TDX_R8) != NO_PAGE)
		call_set(c, TDX_R8, call_arg(c, TDX_R8) & ~NOT_USED);
	return mem_call(c, &add_rules, add);
}

static const struct mem_rules remove_rules = {
	.td = LOCK_SHARED, .tree = MEM_TREE_EXCLUSIVE, .lowest = SOFT_2M, .highest = MEM_ROOT_LEVEL,
	.states = SEPT_TABLES,
};

static bool table_is_free(const uint64_t *table)
{
	for (uint32_t i = 0; i < SEPT_ENTRIES; i++)
		if (!sept_is(sept_load(&table[i]), SEPT_IN(TDX_SEPT_FREE)))
			return false;
	return true;
}

static uint64_t take(struct soft_call *c, struct mem_page *p)
{
	hpa_t table = sept_hpa(p->at.value, p->at.level);
	struct pamt_entry *e;
	uint64_t status = mem_lock_target(c, p, &e);

	if (!status)
		status = mem_check_tracked(c, p, e, TDX_RCX);
	if (status)
		return status;
	if (!table_is_free(hpa_map(c->m, table)))
		return mem_fail(c, p, TDX_EPT_PAGE_NOT_FREE);
	mem_publish(p, SEPT_ENTRY_FREE);
	pamt_free(e);
	td_count(&p->td, -1);
	call_set(c, TDX_RCX, table);
	for (uint32_t reg = TDX_R9; c->version && reg <= TDX_R11; reg++)
		call_set(c, reg, NO_PAGE);
	return TDX_SUCCESS;
}

uint64_t tdh_mem_sept_remove(struct soft_call *c) { return mem_call(c, &remove_rules, take); }

static const struct mem_rules read_rules = {
	.td = LOCK_SHARED, .tree = MEM_TREE_READ, .lowest = SOFT_4K, .highest = MEM_ROOT_LEVEL,
	.states = SEPT_IN(TDX_SEPT_FREE) | SEPT_LEAVES | SEPT_TABLES,
};

static uint64_t show(struct soft_call *c, struct mem_page *p)
{
	call_set(c, TDX_RCX, sept_visible(p->at.value, p->at.level));
	call_set(c, TDX_RDX, sept_info(p->at.value, p->at.level));
	return TDX_SUCCESS;
}

uint64_t tdh_mem_sept_rd(struct soft_call *c) { return mem_call(c, &read_rules, show); }
