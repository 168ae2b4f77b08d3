/*
 * TDG.VP.VMCALL<MapGPA>: memory of the guest becomes shared, or private. It is done in pieces, each of which is
 * complete; when the CPU is wanted meanwhile, the guest is told how far it went and asks again for the rest.
 * Guest-Host-Communication Interface for TDX 1.5, "TDG.VP.VMCALL<MapGPA>".
 */
#include "hv/base/x86.h"
#include "mmu/mirror.h"
#include "tdx/abi/ghci.h"
#include "tdx/vp.h"

#define PIECE_PAGES (MIB(2) >> PAGE_SHIFT)
#define CALL_PAGES (MIB(64) >> PAGE_SHIFT) /* the most in one call */
/* How often a piece that interrupts keep from being done is tried: Linux gives up on a call that gets nowhere
 * three times. */
#define INTERRUPTED_MAX 1000

static enum exit_result answer(struct tdx_vcpu *x, uint64_t status, gpa_t next)
{
	x->answer.gpr[TDX_R10] = status;
	x->answer.gpr[TDX_R11] = next;
	return EXIT_RESUME;
}

static int convert(struct tdx_vcpu *x, gfn_t gfn, uint64_t npages, bool private, struct failure *f)
{
	int err;

	for (unsigned i = 0; i < INTERRUPTED_MAX; i++) {
		err = mmu_set_attributes(x->v.vm->mmu, gfn, npages, private, f);
		if (err != -EAGAIN || sched_tick(rdtsc())) /* which takes the interrupt */
			return err;
	}
	return err;
}

/* The next piece, up to a multiple of its size. */
static uint64_t piece_of(gfn_t gfn, uint64_t left) { return min_u64(PIECE_PAGES - gfn % PIECE_PAGES, left); }

/* What is told to the guest, at, is the address of the first page that was not converted, as the guest said it. */
static enum exit_result failed(struct tdx_vcpu *x, int err, gpa_t at, const struct failure *f)
{
	if (err == -EAGAIN)
		return answer(x, GHCI_RETRY, at);
	if (err == -EINVAL || err == -ENOENT)
		return answer(x, GHCI_INVALID_OPERAND, at);
	vm_stop(x->v.vm, "memory at guest-physical %lx could not be converted: %s", at, f->text);
	return EXIT_YIELD;
}

static enum exit_result map(struct tdx_vcpu *x, gfn_t gfn, uint64_t npages, bool private)
{
	gpa_t shared = private ? 0 : BIT(x->v.vm->mmu->config.shared_bit);
	uint64_t done = 0, piece;
	struct failure f = { 0 };
	int err;

	while (done < npages) {
		if (done >= CALL_PAGES || (done && tdx_must_leave(x)))
			return answer(x, GHCI_RETRY, ((gfn + done) << PAGE_SHIFT) | shared);
		piece = piece_of(gfn + done, npages - done);
		err = convert(x, gfn + done, piece, private, &f);
		if (err)
			return failed(x, err, ((gfn + done) << PAGE_SHIFT) | shared, &f);
		done += piece;
	}
	return answer(x, GHCI_OK, 0);
}

enum exit_result tdx_vmcall_map_gpa(struct tdx_vcpu *x)
{
	const struct mmu *mmu = x->v.vm->mmu;
	uint64_t gpa = x->regs.gpr[TDX_R12], size = x->regs.gpr[TDX_R13];
	uint64_t limit = BIT(mmu->config.gpa_bits), start = gpa & ~BIT(mmu->config.shared_bit);

	if (!is_aligned(gpa, PAGE_SIZE) || !is_aligned(size, PAGE_SIZE))
		return answer(x, GHCI_ALIGN_ERROR, gpa);
	if (!size || start >= limit || size > limit - start)
		return answer(x, GHCI_INVALID_OPERAND, gpa);
	return map(x, start >> PAGE_SHIFT, size >> PAGE_SHIFT, mirror_is_meant(mmu, gpa));
}
