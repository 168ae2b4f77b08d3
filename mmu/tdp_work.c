/*
 * Long walks over the direct EPT, hold by hold.
 */
#include "mmu/tdp_work.h"

void tdp_work_run(struct mmu *mmu, struct tdp_work work,
		  struct flush_token (*step)(struct mmu *mmu, struct tdp_work *work))
{
	while (work.next < work.end) {
		work.entries = TDP_WORK_ENTRIES;
		mmu_exclusive_begin(mmu);
		flush_spend(mmu, step(mmu, &work));
		mmu_exclusive_end(mmu);
		mmu_let_in();
	}
}
