/* TLB tracking: TDH.MEM.TRACK, and the question it answers. */
#include "tdx/soft/track.h"

static uint32_t inside(const struct soft_tdcs *tdcs, uint64_t epoch)
{
	return __atomic_load_n(&tdcs->refcount[epoch & 1], __ATOMIC_ACQUIRE);
}

/*
 * Those of the epoch before the current one are counted by themselves; older ones had left before the
 * current epoch could begin. The epoch is read first: should it grow meanwhile, the count may be one of
 * newer vCPUs, which makes the answer no, never a wrong yes.
 */
bool track_is_done(const struct soft_tdcs *tdcs, uint64_t bepoch)
{
	uint64_t epoch = __atomic_load_n(&tdcs->epoch, __ATOMIC_ACQUIRE);

	return bepoch + 1 < epoch || (bepoch + 1 == epoch && !inside(tdcs, bepoch));
}

uint64_t tdh_mem_track(struct soft_call *c)
{
	struct soft_td td;
	uint64_t status = td_open(c, TDX_RCX, LOCK_SHARED, &td);

	if (!status)
		status = call_lock(c, &td.tdcs->epoch_lock, LOCK_EXCLUSIVE, TDX_OP_TD_EPOCH);
	if (status)
		return status;
	if (inside(td.tdcs, td.tdcs->epoch + 1) || call_fault(c, SOFT_FAULT_EPOCH_BUSY, 0))
		return TDX_PREVIOUS_TLB_EPOCH_BUSY;
	__atomic_store_n(&td.tdcs->epoch, td.tdcs->epoch + 1, __ATOMIC_RELEASE);
	return TDX_SUCCESS;
}
