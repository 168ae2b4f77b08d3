/*
 * A slot that a guest can read and not write, which no guest of the shipped build has: the memory that its RAM
 * begins with above 4 GiB, once more.
 */
#include "hv/guest/guest.h"
#include "mmu/mmu.h"
#include "tests/boot/provoke/memory.h"

int __real_mmu_slot_add(struct mmu *mmu, gfn_t gfn, uint64_t npages, hpa_t hpa, uint32_t flags, struct failure *f);
int __wrap_mmu_slot_add(struct mmu *mmu, gfn_t gfn, uint64_t npages, hpa_t hpa, uint32_t flags, struct failure *f);

int __wrap_mmu_slot_add(struct mmu *mmu, gfn_t gfn, uint64_t npages, hpa_t hpa, uint32_t flags, struct failure *f)
{
	int err = __real_mmu_slot_add(mmu, gfn, npages, hpa, flags, f);

	if (err || gfn != GUEST_HIGH_RAM_BASE >> PAGE_SHIFT || npages < PROVOKE_ROM_SIZE >> PAGE_SHIFT)
		return err;
	return __real_mmu_slot_add(mmu, PROVOKE_ROM >> PAGE_SHIFT, PROVOKE_ROM_SIZE >> PAGE_SHIFT, hpa,
				   SLOT_READONLY, f);
}
