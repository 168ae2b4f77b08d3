/*
 * The life of an address space and of its vCPUs' share in it.
 */
#include "mmu/mmu.h"

#include <string.h>

#include "mmu/flush.h"
#include "mmu/inspect.h"
#include "mmu/mirror.h"
#include "mmu/shadow_page.h"
#include "mmu/slot.h"
#include "mmu/sp.h"
#include "mmu/spte.h"
#include "mmu/tdp.h"

static int config_judge(const struct mmu_config *c, struct failure *f)
{
	if (c->hpa_bits < 32 || c->hpa_bits > 52)
		return fail(f, -EINVAL, "a host physical address width of %u bits is outside 32 to 52",
			    c->hpa_bits);
	if (c->gpa_bits < 32 || c->gpa_bits > 48)
		return fail(f, -EINVAL, "a guest physical address width of %u bits is outside 32 to 48",
			    c->gpa_bits);
	if (c->pml && (!c->ept_ad || !c->pml_switch || !c->pml_sync))
		return fail(f, -EINVAL, "page-modification logging works only with accessed and dirty flags");
	if (c->max_level < LEVEL_4K || c->max_level > LEVEL_1G)
		return fail(f, -EINVAL, "the largest page level is %d; right is 1 (4K), 2 (2M) or 3 (1G)",
			    c->max_level);
	if (c->external && c->kind != MMU_EPT)
		return fail(f, -EINVAL, "private memory needs a guest on EPT");
	if (c->external && (c->shared_bit < c->gpa_bits || c->shared_bit > 51))
		return fail(f, -EINVAL, "the shared bit is bit %u of a guest address; right is %u to 51",
			    c->shared_bit, c->gpa_bits);
	return 0;
}

static int root_alloc(struct mmu *mmu)
{
	sp_topup(&mmu->host, MMU_SPARES);
	mmu->root = sp_take(&mmu->host, 0, ROOT_LEVEL);
	if (!mmu->root)
		return -ENOMEM;
	mmu->root->root_count = 1;
	return mmu->config.external ? mirror_init(mmu) : 0;
}

int mmu_init(struct mmu *mmu, const struct mmu_config *config, struct failure *f)
{
	int err = config_judge(config, f);

	if (err)
		return err;
	memset(mmu, 0, sizeof(*mmu));
	mmu->config = *config;
	mmu->host.mmu = mmu;
	rw_add_reader(&mmu->lock, &mmu->host.reader);
	if (slot_sets_init(mmu))
		return fail(f, -ENOMEM, "no memory is left for the guest's address space");
	err = mmu->config.kind == MMU_SHADOW ? shadow_init(mmu) : root_alloc(mmu);
	sp_drain(&mmu->host); /* the vCPUs have more use for them */
	if (err) {
		sp_pool_destroy(mmu);
		slot_sets_destroy(mmu);
		return fail(f, -ENOMEM,
			    "no memory is left for the guest's first page tables (%lu KiB in one piece)",
			    SP_BLOCK_BYTES / KIB(1));
	}
	return 0;
}

void mmu_destroy(struct mmu *mmu)
{
	if (mmu->shadow) {
		mmu_shadow_zap_all(mmu);
		shadow_destroy(mmu);
	} else {
		INVARIANT(mmu->root->root_count == 1);
		mmu_exclusive_begin(mmu);
		flush_spend(mmu, tdp_zap(mmu, 0, BIT(mmu->config.gpa_bits - PAGE_SHIFT), NULL));
		mmu_exclusive_end(mmu);
		mmu->root = NULL;
	}
	INVARIANT(mmu->host.stats.tables == 0);
	mirror_destroy(mmu);
	slot_sets_destroy(mmu);
	sp_pool_destroy(mmu);
}

void mmu_vcpu_init(struct mmu_vcpu *mv, struct mmu *mmu)
{
	memset(mv, 0, sizeof(*mv));
	mv->mmu = mmu;
	mmu_exclusive_begin(mmu);
	rw_add_reader(&mmu->lock, &mv->reader);
	if (mmu->root)
		mmu->root->root_count++;
	mmu_exclusive_end(mmu);
}

void mmu_vcpu_destroy(struct mmu_vcpu *mv)
{
	struct mmu *mmu = mv->mmu;

	mmu_exclusive_begin(mmu);
	rw_remove_reader(&mmu->lock, &mv->reader);
	mmu_stats_add(&mmu->host.stats, &mv->stats);
	if (mmu->root)
		mmu->root->root_count--;
	else
		shadow_vcpu_leave(mv);
	sp_drain(mv);
	mmu_exclusive_end(mmu);
	mv->mmu = NULL;
}

uint64_t mmu_eptp(const struct mmu *mmu)
{
	/* Memory type of the tables 2:0, page-walk length minus one 5:3, accessed and dirty flags 6. */
	return sp_hpa(mmu->root) | 6 | (ROOT_LEVEL - 1) << 3 | (mmu->config.ept_ad ? BIT(6) : 0);
}
