/*
 * Making SEAMCALLs.
 */
#include "tdx/seamcall.h"

#include <string.h>

#include "hv/base/map_ram.h"
#include "hv/base/panic.h"
#include "hv/base/phys.h"
#include "hv/base/spin.h"

static const struct tdx_ops *used;

struct tdx_leaf_counts tdx_counts[TDH_LEAF_COUNT];
uint64_t tdx_kicks;

void tdx_use(const struct tdx_ops *ops) { used = ops; }

const struct tdx_ops *tdx_ops(void) { return used; }

static void count(uint64_t *counter) { __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED); }

static inline uint64_t once(struct tdx_regs *r)
{
	uint32_t leaf = r->gpr[TDX_RAX] & TDX_LEAF_MASK;

	INVARIANT(used && leaf < TDH_LEAF_COUNT);
	count(&tdx_counts[leaf].calls);
	used->call(used->ctx, r);
	if (UNLIKELY(r->gpr[TDX_RAX] & TDX_ERROR))
		count(&tdx_counts[leaf].failed);
	return r->gpr[TDX_RAX];
}

uint64_t tdx_call_once(struct tdx_regs *r) { return once(r); }

/* The operands are kept: a call that fails returns details in their registers. */
static uint64_t call(uint32_t leaf, const struct tdx_operands *in, struct tdx_operands *out)
{
	struct tdx_regs r = { .gpr = { [TDX_RAX] = leaf, [TDX_RCX] = in->rcx, [TDX_RDX] = in->rdx,
				       [TDX_R8] = in->r8, [TDX_R9] = in->r9 } };
	uint64_t status = once(&r);

	*out = (struct tdx_operands){ r.gpr[TDX_RCX], r.gpr[TDX_RDX], r.gpr[TDX_R8], r.gpr[TDX_R9] };
	return status;
}

/* Only a vCPU that leaves the guest changes this, which waiting here does not bring about. */
static bool waits_for_vcpus(uint64_t status) { return tdx_status_is(status, TDX_PREVIOUS_TLB_EPOCH_BUSY); }

/* in: what was tried, and ended so. */
static uint64_t call_again(uint32_t leaf, const struct tdx_operands *in, struct tdx_operands *o, uint64_t status)
{
	for (int tries = 1; tdx_status_class(status) == TDX_CLASS_BUSY; tries++) {
		if (tries == TDX_BUSY_TRIES || waits_for_vcpus(status))
			break;
		cpu_pause();
		count(&tdx_counts[leaf & TDX_LEAF_MASK].repeats);
		status = call(leaf, in, o);
	}
	return status;
}

uint64_t tdx_call(uint32_t leaf, struct tdx_operands *o)
{
	struct tdx_operands in = *o;
	uint64_t status = call(leaf, &in, o);

	return tdx_is_success(status) ? status : call_again(leaf, &in, o, status);
}

uint64_t tdx_call4(uint32_t leaf, uint64_t rcx, uint64_t rdx, uint64_t r8, uint64_t r9)
{
	struct tdx_regs r = { .gpr = { [TDX_RAX] = leaf, [TDX_RCX] = rcx, [TDX_RDX] = rdx, [TDX_R8] = r8,
				       [TDX_R9] = r9 } };
	uint64_t status = once(&r);
	struct tdx_operands in = { rcx, rdx, r8, r9 }, o;

	return tdx_is_success(status) ? status : call_again(leaf, &in, &o, status);
}

uint64_t tdx_call_alone(uint32_t leaf, struct tdx_operands *o, const struct tdx_kicker *k)
{
	struct tdx_operands in = *o;
	uint64_t status = tdx_call(leaf, o);

	if (LIKELY(tdx_status_class(status) != TDX_CLASS_BUSY) || !k)
		return status;
	count(&tdx_kicks);
	*o = in;
	k->bar(k->ctx, true);
	k->kick(k->ctx);
	count(&tdx_counts[leaf & TDX_LEAF_MASK].repeats);
	status = tdx_call(leaf, o);
	k->bar(k->ctx, false);
	return status;
}

void tdx_page_clear(hpa_t page, uint64_t npages)
{
	INVARIANT(used);
	map_show(page, npages);
	if (used->clear)
		used->clear(used->ctx, page, npages);
	else
		memset(phys_to_virt(page), 0, npages << PAGE_SHIFT);
}
