/*
 * The mitigation of "iTLB multihit": on affected CPUs a guest that changes the size of a page in its own tables
 * while the EPT maps it large can bring the machine down (machine check), unless large EPT leafs are not
 * executable. Intel's "Machine Check Error on Page Size Change"; IA32_ARCH_CAPABILITIES bit 6
 * (IF_PSCHANGE_MC_NO) says that a CPU is not affected.
 *
 * With mmu_config.nx_huge no leaf is executable at first. A fetch splits what is large down to 4K and gives
 * the right to its page (mmu/tdp_grant.c). So a leaf with the right is one that was executed, which gives the
 * rule for the way back: mmu_nx_recover() makes large again what has not been executed since it was there the
 * last time. The large-page counts have no part in this.
 */
#ifndef MMU_NX_H
#define MMU_NX_H

#include "mmu/mmu.h"

/*
 * Goes over npages of the guest's memory, in whole large frames, from where the call before has stopped; the end of
 * memory ends a call, and the next begins anew. Replaces tables by large leafs where nothing was executed since the
 * last visit, and takes the right from all other pages of large frames, so that the next visit can tell. For a
 * switched-off mitigation, and for MMU_SHADOW, it does nothing. Outside the lock, which it takes hold by hold.
 */
void mmu_nx_recover(struct mmu *mmu, uint64_t npages);

#endif
