/* The TD and the secure EPT entry of a leaf on private memory; see the header. */
#include "tdx/soft/mem.h"

#include "tdx/soft/track.h"

static uint32_t root_level(const struct soft_td *td) { return td->tdcs->ept_levels - 1; }

bool mem_gpa_is_private(const struct soft_tdcs *tdcs, gpa_t gpa) { return gpa < td_shared_bit(tdcs); }

bool mem_walk(struct soft_call *c, const struct soft_td *td, gpa_t gpa, uint32_t level, struct sept_walk *w)
{
	return sept_walk(c->m, td->tdr->tdcx[TDCS_SEPT_ROOT], root_level(td), gpa, level, w);
}

uint64_t mem_fail(struct soft_call *c, const struct mem_page *p, uint64_t status)
{
	call_set(c, TDX_RCX, sept_visible(p->at.value, p->at.level));
	call_set(c, TDX_RDX, sept_info(p->at.value, p->at.level));
	return status | TDX_RCX;
}

static uint64_t open_td(struct soft_call *c, const struct mem_rules *rules, struct mem_page *p)
{
	uint64_t status;

	p->operand_rcx = call_arg(c, TDX_RCX);
	p->operand_rdx = call_arg(c, TDX_RDX);
	p->flags = c->version ? p->operand_rdx & rules->flags : 0;
	call_set(c, TDX_RDX, p->operand_rdx & ~p->flags);
	status = td_open(c, TDX_RDX, rules->td, &p->td);
	call_set(c, TDX_RCX, 0);
	call_set(c, TDX_RDX, 0);
	if (!status && rules->needs_debug && !(p->td.tdcs->attributes & TDX_ATTR_DEBUG))
		return TDX_TD_NON_DEBUG;
	return status;
}

/* "GPA and level": nothing else in it, of a level that the leaf takes, aligned, and private. */
static uint64_t check_page_info(const struct mem_rules *rules, struct mem_page *p, uint32_t *level)
{
	uint32_t highest = rules->highest == MEM_ROOT_LEVEL ? root_level(&p->td) : rules->highest;

	p->gpa = p->operand_rcx & TDX_GPA_MASK;
	*level = p->operand_rcx & TDX_GPA_LEVEL_MASK;
	if ((p->gpa | *level) != p->operand_rcx || *level < rules->lowest || *level > highest)
		return invalid(TDX_RCX);
	if (!is_aligned(p->gpa, level_size(*level)) || !mem_gpa_is_private(p->td.tdcs, p->gpa))
		return invalid(TDX_RCX);
	return TDX_SUCCESS;
}

static uint64_t lock_tree(struct soft_call *c, const struct mem_rules *rules, struct mem_page *p)
{
	if (rules->tree == MEM_TREE_UNLOCKED)
		return TDX_SUCCESS;
	return call_lock(c, &p->td.tdcs->sept_lock,
		rules->tree == MEM_TREE_EXCLUSIVE ? LOCK_EXCLUSIVE : LOCK_SHARED, TDX_OP_SEPT_TREE);
}

/* What the entry says is only certain once it is locked: it is read again. */
static uint64_t lock_entry(struct soft_call *c, const struct mem_rules *rules, struct mem_page *p)
{
	if (rules->tree == MEM_TREE_UNLOCKED || rules->tree == MEM_TREE_READ)
		return TDX_SUCCESS;
	if (call_fault(c, SOFT_FAULT_ENTRY_BUSY, p->at.level) || !sept_lock_host(p->at.entry))
		return mem_fail(c, p, TDX_OPERAND_BUSY);
	p->locked = true;
	p->at.value = sept_load(p->at.entry);
	return TDX_SUCCESS;
}

static uint64_t check_state(struct soft_call *c, const struct mem_rules *rules, const struct mem_page *p)
{
	return sept_is(p->at.value, rules->states) ? TDX_SUCCESS : mem_fail(c, p, TDX_EPT_ENTRY_STATE_INCORRECT);
}

static uint64_t open_page(struct soft_call *c, const struct mem_rules *rules, struct mem_page *p)
{
	uint32_t level = 0;
	uint64_t status = open_td(c, rules, p);

	if (!status)
		status = check_page_info(rules, p, &level);
	if (!status)
		status = lock_tree(c, rules, p);
	if (status)
		return status;
	if (!mem_walk(c, &p->td, p->gpa, level, &p->at))
		return mem_fail(c, p, TDX_EPT_WALK_FAILED);
	status = lock_entry(c, rules, p);
	return status ? status : check_state(c, rules, p);
}

uint64_t mem_call(struct soft_call *c, const struct mem_rules *rules, mem_act_fn act)
{
	struct mem_page p = { 0 };
	uint64_t status = open_page(c, rules, &p);

	if (!status)
		status = act(c, &p);
	mem_close(&p);
	return status;
}

uint64_t mem_open_byte(struct soft_call *c, const struct mem_rules *rules, uint64_t align, struct mem_page *p)
{
	uint64_t status;

	*p = (struct mem_page){ 0 };
	status = open_td(c, rules, p);
	p->gpa = p->operand_rcx;
	if (!status && !is_aligned(p->gpa, align))
		status = invalid(TDX_RCX);
	if (!status)
		status = lock_tree(c, rules, p);
	if (!status && !mem_gpa_is_private(p->td.tdcs, p->gpa))
		status = invalid(TDX_RCX);
	if (status)
		return status;
	mem_walk(c, &p->td, p->gpa, SOFT_4K, &p->at);
	if (!(p->at.value & SEPT_LEAF) || !(p->at.value & SEPT_RWX))
		return mem_fail(c, p, TDX_EPT_ENTRY_NOT_PRESENT);
	status = lock_entry(c, rules, p);
	return status ? status : check_state(c, rules, p);
}

void mem_close(struct mem_page *p)
{
	if (p->locked)
		sept_unlock(p->at.entry);
	p->locked = false;
}

static void *byte_at(struct soft_call *c, const struct sept_walk *at, gpa_t gpa)
{
	hpa_t hpa = sept_hpa(at->value, at->level) + gpa % level_size(at->level);

	return (uint8_t *)hpa_map(c->m, align_down(hpa, PAGE_SIZE)) + (hpa & PAGE_MASK);
}

void *mem_byte(struct soft_call *c, const struct mem_page *p) { return byte_at(c, &p->at, p->gpa); }

void *mem_of_guest(struct soft_call *c, const struct soft_td *td, gpa_t gpa)
{
	struct sept_walk at;

	mem_walk(c, td, gpa, SOFT_4K, &at);
	return sept_is(at.value, SEPT_IN(TDX_SEPT_MAPPED)) ? byte_at(c, &at, gpa) : NULL;
}

/* A table is a 4K page whatever it maps. */
struct pamt_entry *mem_target(struct soft_call *c, const struct mem_page *p)
{
	bool leaf = p->at.value & SEPT_LEAF;

	return pamt_entry(c->m, sept_hpa(p->at.value, p->at.level), leaf ? p->at.level : SOFT_4K);
}

uint64_t mem_lock_target(struct soft_call *c, const struct mem_page *p, struct pamt_entry **e)
{
	*e = mem_target(c, p);
	return call_lock(c, &(*e)->lock, LOCK_EXCLUSIVE, TDX_RCX);
}

uint64_t mem_check_tracked(struct soft_call *c, const struct mem_page *p, const struct pamt_entry *e,
	uint32_t operand)
{
	if (!td_tracks(&p->td))
		return TDX_SUCCESS;
	if (!sept_is(p->at.value, SEPT_ALL_BLOCKED))
		return mem_fail(c, p, TDX_GPA_RANGE_NOT_BLOCKED);
	return track_is_done(p->td.tdcs, e->bepoch) ? TDX_SUCCESS : TDX_TLB_TRACKING_NOT_DONE | operand;
}

void mem_publish(struct mem_page *p, uint64_t value)
{
	sept_store(p->at.entry, value);
	p->locked = false;
}
