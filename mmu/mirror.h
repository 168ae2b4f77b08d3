/*
 * Mirror roots. The private memory of a guest like a TD is translated by a table that is not ours to
 * write; the mirror is our copy of it, page for page, and says what is in it. Each change is carried
 * out there first (mmu/transition.h); no CPU walks the mirror.
 *
 * A gfn is private or shared, never both: private ones are mapped in the mirror, shared ones in the
 * ordinary root, and an access says which it means by config.shared_bit of its address. Tables of both hold
 * the gfn without that bit: where hardware walks the ordinary root with it set, the back end puts the root's
 * entries where that leads. Private mappings allow everything, so a private fault is handled as a write.
 *
 * No promotion: where the mirror has a table it keeps it, so a 2M frame once mapped by 4K pages stays
 * so. Pages of a mirror are never zapped but to leave the guest, since what they held is lost. Hence
 * zap_range, dirty log, accessed and dirty flags and everything else that makes entries come back
 * leave it alone.
 */
#ifndef MMU_MIRROR_H
#define MMU_MIRROR_H

#include "mmu/external.h"
#include "mmu/hugepage.h"
#include "mmu/mmu.h"
#include "mmu/sp.h"
#include "mmu/tdp.h"
#include "mmu/transition.h"

/*
 * The guest accepts its private page of that level at gpa, or is about to: makes an entry of at most
 * that level, now and whenever the page is mapped again, splitting a larger one. Results as mmu_fault();
 * FAULT_RETRY also when the split was interrupted.
 */
enum fault_result mmu_mirror_accept(struct mmu_vcpu *mv, gpa_t gpa, int level);

/*
 * Maps one 4K page of the guest's first image. -EEXIST: something is mapped there; -ENOENT: no private
 * memory there; -ENOMEM; -EAGAIN: the external table was busy; -EIO: it failed, the guest is broken.
 */
int mmu_mirror_build(struct mmu_vcpu *mv, gfn_t gfn, struct failure *f);

/*
 * Takes all pages back from the external table, which must be ready to give them (the guest is no
 * more); nothing private is mapped any more after it. mmu_destroy() does it when it has not been done.
 * -EIO: pages were lost; of the guest's memory nothing may be given to anybody else. Takes the lock.
 */
int mmu_mirror_reclaim(struct mmu *mmu, struct failure *f);

/* After a reclaim that lost nothing: private memory can be mapped again, in another external table of the
 * same kind, which is empty. What the guest that is no more said about the size of its pages is forgotten.
 * Takes the lock. */
void mmu_mirror_renew(struct mmu *mmu);

/* Whether the external table has failed, and why: the guest must be stopped. Takes the lock. */
bool mmu_is_broken(struct mmu *mmu, struct failure *why);

/* The access means private memory. */
static inline bool mirror_is_meant(const struct mmu *mmu, gpa_t gpa)
{
	return mmu->mirror && !(gpa & BIT(mmu->config.shared_bit));
}

/* What follows is for mmu/ itself. */

/* The most spares one private fault can need: a table, and a page for its twin, on each level. */
#define MIRROR_PER_FAULT (2 * (ROOT_LEVEL - 1))
_Static_assert(MIRROR_PER_FAULT <= MMU_SPARES, "a private fault finds the tables it needs");

/* The root; -ENOMEM. And its end: everything is taken back. */
int mirror_init(struct mmu *mmu);
void mirror_destroy(struct mmu *mmu);

/* A fault at f->gfn, of which f says the access and what is accepted: what mmu_fault() makes of it, but counts
 * nothing. Takes the lock. */
enum fault_result mmu_fault_in(struct mmu_vcpu *mv, struct fault *f, bool private);

/* Maps f->gfn, which is private, at f->goal or below. Between mmu_enter() and mmu_leave(), with a slot. */
enum fault_result mirror_map(struct mmu_vcpu *mv, struct fault *f);

/* The level that a fault at gfn aims for. Inside the lock. */
static inline int mirror_goal(const struct mmu *mmu, const struct slot *s, gfn_t gfn)
{
	int level = hugepage_private_level(s, gfn), most = mmu->config.external->max_level;

	return level < most ? level : most;
}

/* Makes a table that was just taken the mirror's, and another one its twin in the external table. */
static inline struct sp *mirror_pair(struct sp *sp, struct sp *twin)
{
	twin->state = SP_EXTERNAL;
	sp->mirror = true;
	sp->external = twin;
	return sp;
}

/* The entry that decides about gfn, as old of a transition that is nothing yet. Inside the lock. */
struct transition mirror_find(struct mmu *mmu, gfn_t gfn);

/*
 * Takes exactly these gfns out of the mirror: first what reaches beyond them is split, then all of it is
 * removed with one TRACK. Their contents are lost. 0; -EAGAIN (interrupted), -ENOMEM (the tables set aside
 * were used up): nothing was removed; -EIO: the guest is broken. Exclusive lock.
 */
int mirror_remove(struct mmu *mmu, gfn_t first, uint64_t npages, struct sp_reserve *tables) MUST_CHECK;

/* Splits what maps gfn until it is no larger than level. Errors as mirror_remove(). Exclusive lock. */
int mirror_demote(struct mmu *mmu, gfn_t gfn, int level, struct sp_reserve *tables) MUST_CHECK;

#endif
