/*
 * TDH.MEM.RANGE.BLOCK and UNBLOCK: first and, if the host changes its mind, last step of taking a range from
 * a running TD. TDX Module 1.5 base specification, "Blocking and Unblocking of GPA Ranges".
 */
#include "tdx/soft/mem.h"

static const struct mem_rules block_rules = {
	.td = LOCK_SHARED, .tree = MEM_TREE_EXCLUSIVE, .lowest = SOFT_4K, .highest = MEM_ROOT_LEVEL,
	.states = SEPT_LEAVES | SEPT_TABLES,
};

/*
 * The epoch is read after CPUs can see the entry blocked: else a new epoch could begin in between, a vCPU
 * enter in it and still walk through the entry, and its epoch would seem too late to have done so.
 */
static uint64_t block(struct soft_call *c, struct mem_page *p)
{
	struct pamt_entry *e = mem_target(c, p);

	if (sept_is(p->at.value, SEPT_ALL_BLOCKED))
		return mem_fail(c, p, TDX_GPA_RANGE_ALREADY_BLOCKED);
	sept_store(p->at.entry, sept_block(p->at.value) | SEPT_LOCK);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	e->bepoch = __atomic_load_n(&p->td.tdcs->epoch, __ATOMIC_RELAXED);
	return TDX_SUCCESS;
}

uint64_t tdh_mem_range_block(struct soft_call *c) { return mem_call(c, &block_rules, block); }

static const struct mem_rules unblock_rules = {
	.td = LOCK_SHARED, .tree = MEM_TREE_EXCLUSIVE, .lowest = SOFT_4K, .highest = MEM_ROOT_LEVEL,
	.states = SEPT_ALL_BLOCKED,
};

static uint64_t unblock(struct soft_call *c, struct mem_page *p)
{
	uint64_t status = mem_check_tracked(c, p, mem_target(c, p), TDX_OP_SEPT_TREE);

	if (!status)
		mem_publish(p, sept_unblock(p->at.value));
	return status;
}

uint64_t tdh_mem_range_unblock(struct soft_call *c) { return mem_call(c, &unblock_rules, unblock); }
