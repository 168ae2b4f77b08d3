/*
 * The one entry for faults of every kind: what the address is, what it may be mapped as, and the
 * two exits that lead here, EPT violation and EPT misconfiguration.
 */
#include "hv/base/trace.h"
#include "mmu/attr.h"
#include "mmu/dirty.h"
#include "mmu/hugepage.h"
#include "mmu/mirror.h"
#include "mmu/mmu.h"
#include "mmu/shadow_page.h"
#include "mmu/slot.h"
#include "mmu/sp.h"
#include "mmu/spte.h"
#include "mmu/tdp.h"
#include "mmu/tdp_work.h"

const char *const fault_result_names[FAULT_RESULTS] = {
	[FAULT_MAPPED] = "mapped",
	[FAULT_RETRY] = "retried",
	[FAULT_MMIO] = "MMIO",
	[FAULT_READONLY_WRITE] = "write to read-only memory",
	[FAULT_OUT_OF_MEMORY] = "out of memory",
	[FAULT_BAD_ADDRESS] = "address too wide",
	[FAULT_GUEST] = "the guest's own",
	[FAULT_WRITE_TRACKED] = "write to a page table",
	[FAULT_EMULATE_WRITE] = "write with CR0.WP clear",
	[FAULT_WRONG_KIND] = "private taken for shared or the reverse",
	[FAULT_BROKEN] = "secure page table failed",
};

void mmu_vcpu_topup(struct mmu_vcpu *mv) { sp_stock(mv); }

static void mmio_remember(struct mmu_vcpu *mv, gfn_t gfn, uint64_t generation)
{
	uint32_t i = (gfn >> 9) % MMU_MMIO_HINTS; /* tells a local APIC's page from an I/O APIC's */

	mv->mmio[i].gfn = gfn;
	mv->mmio[i].generation = generation;
}

static bool mmio_remembered(const struct mmu_vcpu *mv, gfn_t gfn, uint64_t generation)
{
	uint32_t i = (gfn >> 9) % MMU_MMIO_HINTS;

	return mv->mmio[i].gfn == gfn && mv->mmio[i].generation == generation;
}

static __attribute__((noinline)) enum fault_result fault_mmio(struct mmu_vcpu *mv, const struct fault *f)
{
	if (!spte_mmio_is_safe(f->gfn << PAGE_SHIFT, mv->mmu->config.hpa_bits))
		return FAULT_MMIO;
	return tdp_map_mmio(mv, f);
}

/*
 * A write to a slot that takes no writes, or logs them. A leaf made for the write lacks the right at first
 * unless the CPU logs; what CPUs log they do when they set the dirty flag, and here it is set already.
 */
static NOINLINE enum fault_result fault_special_write(struct mmu_vcpu *mv, struct fault *f)
{
	enum fault_result result;

	if (f->slot->flags & SLOT_READONLY)
		return FAULT_READONLY_WRITE;
	f->goal = LEVEL_4K;
	result = tdp_map(mv, f);
	if (result == FAULT_MAPPED && !mv->mmu->config.pml)
		result = tdp_map(mv, f);
	if (result == FAULT_MAPPED)
		dirty_mark(f->slot, f->gfn);
	return result;
}

/* A leaf made for the fetch lacks the right at first: mmu/nx.h. */
static NOINLINE enum fault_result fault_fetch(struct mmu_vcpu *mv, struct fault *f)
{
	enum fault_result result = tdp_map(mv, f);

	return result == FAULT_MAPPED ? tdp_map(mv, f) : result;
}

/* Inside the lock. */
static inline enum fault_result fault_handle(struct mmu_vcpu *mv, struct fault *f)
{
	f->slot = slot_find(mv, f->gfn);
	if (UNLIKELY(!f->slot))
		return fault_mmio(mv, f);
	if (UNLIKELY((f->access & MMU_WRITE) && (f->slot->flags & (SLOT_READONLY | SLOT_LOGGED))))
		return fault_special_write(mv, f);
	f->goal = hugepage_max_level(f->slot, f->gfn);
	if (UNLIKELY((f->access & MMU_FETCH) && mv->mmu->config.nx_huge))
		return fault_fetch(mv, f);
	return tdp_map(mv, f);
}

/* Private memory, which is mapped for everything or not at all. Inside the lock. */
static inline enum fault_result fault_private(struct mmu_vcpu *mv, struct fault *f)
{
	if (UNLIKELY(__atomic_load_n(&mv->mmu->broken, __ATOMIC_RELAXED)))
		return FAULT_BROKEN;
	if (UNLIKELY(!f->slot))
		return FAULT_MMIO;
	if (UNLIKELY(f->slot->flags & SLOT_READONLY))
		return FAULT_READONLY_WRITE;
	f->goal = mirror_goal(mv->mmu, f->slot, f->gfn);
	f->too_large = f->accept && f->goal > f->accept;
	return UNLIKELY(f->too_large) ? FAULT_RETRY : mirror_map(mv, f);
}

enum fault_result mmu_fault_in(struct mmu_vcpu *mv, struct fault *f, bool private)
{
	enum fault_result result;

	if (f->gfn >> (mv->mmu->config.gpa_bits - PAGE_SHIFT))
		return FAULT_BAD_ADDRESS;
	if (UNLIKELY(mv->spare_count < MIRROR_PER_FAULT))
		sp_topup(mv, MMU_SPARES);
	mmu_enter(mv);
	f->slot = slot_find(mv, f->gfn);
	if (UNLIKELY(f->slot && attr_is_private(f->slot, f->gfn) != private))
		result = FAULT_WRONG_KIND;
	else
		result = private ? fault_private(mv, f) : fault_handle(mv, f);
	mmu_leave(mv);
	return result;
}

/* A fault where memory is private or shared, and the address says which is meant. */
static NOINLINE enum fault_result fault_either(struct mmu_vcpu *mv, gpa_t gpa, uint32_t access)
{
	const struct mmu *mmu = mv->mmu;
	struct fault f = { .gfn = (gpa & ~BIT(mmu->config.shared_bit)) >> PAGE_SHIFT, .access = access };

	return mmu_fault_in(mv, &f, mirror_is_meant(mmu, gpa));
}

enum fault_result mmu_fault(struct mmu_vcpu *mv, gpa_t gpa, uint32_t access)
{
	struct fault f = { .gfn = gpa >> PAGE_SHIFT, .access = access };
	enum fault_result result = FAULT_BAD_ADDRESS;

	if (UNLIKELY(mv->mmu->mirror)) {
		result = fault_either(mv, gpa, access);
	} else if (LIKELY(gpa >> mv->mmu->config.gpa_bits == 0)) {
		/* Not enough spares is no error yet: the tables may all be there. No more than are needed: when
		 * there is time, mmu_vcpu_topup() fetches the rest. */
		if (UNLIKELY(mv->spare_count < SP_PER_FAULT))
			sp_topup(mv, SP_PER_FAULT);
		mmu_enter(mv);
		result = fault_handle(mv, &f);
		mmu_leave(mv);
	}
	mv->stats.faults[result]++;
	return result;
}

/* Inside the lock. */
static enum mmio_result mmio_judge(struct mmu_vcpu *mv, gfn_t gfn, uint64_t generation)
{
	int level;
	uint64_t spte = tdp_lookup(mv->mmu, gfn, &level);

	if (!spte_is_mmio(spte))
		return spte_kind(spte, level) == SPTE_KIND_BROKEN ||
				       (spte_is_present(spte) && spte_fault_in(spte, level, &mv->mmu->config))
			       ? MMIO_BROKEN
			       : MMIO_STALE;
	if (spte_mmio_gfn(spte) != gfn)
		return MMIO_BROKEN;
	return spte_mmio_generation(spte) == (generation & SPTE_MMIO_GENERATION_MASK) ? MMIO_HIT : MMIO_STALE;
}

enum mmio_result mmu_mmio_hit(struct mmu_vcpu *mv, gpa_t gpa)
{
	const struct mmu *mmu = mv->mmu;
	enum mmio_result result;
	uint64_t generation;
	gpa_t shared;

	/* Memory that appears just now would be seen no better inside the lock: the exit came before it. */
	if (LIKELY(mmio_remembered(mv, gpa >> PAGE_SHIFT, __atomic_load_n(&mv->mmu->generation, __ATOMIC_ACQUIRE))))
		return MMIO_HIT;
	/* Of two kinds of addresses, only shared ones can be in the ordinary root. */
	shared = UNLIKELY(mmu->mirror) ? gpa ^ BIT(mmu->config.shared_bit) : gpa;
	if (UNLIKELY(shared >> mmu->config.gpa_bits))
		return MMIO_BROKEN;
	mmu_enter(mv);
	generation = slot_set_of(mmu)->generation;
	result = mmio_judge(mv, shared >> PAGE_SHIFT, generation);
	mmu_leave(mv);
	if (result == MMIO_HIT)
		mmio_remember(mv, gpa >> PAGE_SHIFT, generation);
	return result;
}

/* One large frame, or less, of the slot; *next is where to go on. */
static enum fault_result premap_step(struct mmu *mmu, gfn_t slot_gfn, gfn_t *next)
{
	struct mmu_vcpu *mv = &mmu->host;
	struct fault f = { .gfn = *next };
	enum fault_result result = FAULT_MMIO;

	if (mv->spare_count < MMU_SPARES)
		sp_topup(mv, MMU_SPARES);
	mmu_enter(mv);
	f.slot = slot_find(mv, *next);
	if (f.slot && f.slot->base == slot_gfn) {
		f.goal = hugepage_max_level(f.slot, f.gfn);
		result = mmu->mirror && attr_is_private(f.slot, f.gfn) ? fault_private(mv, &f) : tdp_map(mv, &f);
	}
	mmu_leave(mv);
	if (result == FAULT_MAPPED)
		*next = align_down(f.gfn, level_pages(f.level)) + level_pages(f.level);
	return result;
}

int mmu_premap_slot(struct mmu *mmu, gfn_t gfn, struct failure *f)
{
	gfn_t next = gfn;
	enum fault_result result;

	if (mmu->shadow)
		return fail(f, -ENOTSUP, "premap needs mmu = ept: shadow pages follow the guest's own tables");
	do {
		result = premap_step(mmu, gfn, &next);
	} while (result == FAULT_MAPPED || result == FAULT_RETRY);
	sp_drain(&mmu->host);
	if (result == FAULT_OUT_OF_MEMORY)
		return fail(f, -ENOMEM,
			    "no memory is left for page tables: the slot at gfn %lx is mapped up to gfn %lx",
			    gfn, next);
	if (result == FAULT_BROKEN)
		return fail(f, -EIO, "%s", mmu->broken_why.text);
	/* The step that finds no such slot at its gfn has come to the end, or never had a start. */
	if (next == gfn)
		return fail(f, -ENOENT, "no memory slot starts at gfn %lx", gfn);
	return 0;
}

static void zap_range_shadow(struct mmu *mmu, gfn_t first, uint64_t npages)
{
	struct flush_token token;

	mmu_exclusive_begin(mmu);
	token = flush_token_new(mmu);
	shadow_zap_range(mmu, first, npages, &token);
	flush_spend(mmu, token);
	mmu_exclusive_end(mmu);
}

static void zap_range_ept(struct mmu *mmu, gfn_t first, uint64_t npages)
{
	struct sp_reserve tables;
	bool enough = sp_reserve_fill(mmu, &tables);

	tdp_work_run(mmu, tdp_work_of(first, npages, enough ? &tables : NULL), tdp_zap_some);
	sp_reserve_return(mmu, &tables);
}

void mmu_zap_range(struct mmu *mmu, gfn_t first, uint64_t npages)
{
	gfn_t limit = BIT(mmu->config.gpa_bits - PAGE_SHIFT);

	if (first >= limit || npages == 0)
		return;
	npages = min_u64(npages, limit - first);
	trace_mmu(TRACE_MMU_ZAP, mmu->config.vm_id, first, npages);
	spin_lock(&mmu->changes);
	if (mmu->shadow)
		zap_range_shadow(mmu, first, npages);
	else
		zap_range_ept(mmu, first, npages);
	spin_unlock(&mmu->changes);
}
