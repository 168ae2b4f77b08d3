/* The host's look into a TD that is being debugged: TDH.MEM.RD and WR, 8 bytes at a time. */
#include "tdx/soft/mem.h"

static const struct mem_rules rules = {
	.td = LOCK_SHARED, .tree = MEM_TREE_SHARED, .states = SEPT_IN(TDX_SEPT_MAPPED),
	.needs_debug = true,
};

/* The guest may use the 8 bytes at the same time: they are read and written as one. */
static uint64_t access(struct soft_call *c, bool write)
{
	uint64_t data = call_arg(c, TDX_R8), *at, status;
	struct mem_page p;

	call_set(c, TDX_R8, 0);
	status = mem_open_byte(c, &rules, sizeof(data), &p);
	if (!status) {
		at = mem_byte(c, &p);
		call_set(c, TDX_R8, write ? __atomic_exchange_n(at, data, __ATOMIC_SEQ_CST) :
			__atomic_load_n(at, __ATOMIC_RELAXED));
	}
	mem_close(&p);
	return status;
}

uint64_t tdh_mem_rd(struct soft_call *c) { return access(c, false); }
uint64_t tdh_mem_wr(struct soft_call *c) { return access(c, true); }
