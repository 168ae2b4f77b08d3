/*
 * Carrying out transitions of mirror entries on the external table.
 */
#include "mmu/transition.h"

#include "hv/base/format.h"
#include "mmu/external.h"
#include "mmu/hugepage.h"
#include "mmu/sp.h"
#include "mmu/spte.h"

const char *const external_op_names[EXTERNAL_OPS] = {
	[EXTERNAL_LINK] = "link",       [EXTERNAL_MAP] = "map",       [EXTERNAL_BLOCK] = "block",
	[EXTERNAL_TRACK] = "track",     [EXTERNAL_UNBLOCK] = "unblock", [EXTERNAL_REMOVE] = "remove",
	[EXTERNAL_DEMOTE] = "demote",   [EXTERNAL_RECLAIM] = "reclaim",
};

uint64_t transition_frozen(uint64_t leaf) { return SPTE_FROZEN | (leaf & SPTE_ADDR); }

uint64_t transition_thawed(uint64_t spte, int level) { return spte_make_leaf(spte_hpa(spte), level, true); }

void mmu_break(struct mmu *mmu, const char *fmt, ...)
{
	va_list args;

	if (__atomic_exchange_n(&mmu->broken, 1, __ATOMIC_SEQ_CST))
		return;
	va_start(args, fmt);
	vformat(mmu->broken_why.text, sizeof(mmu->broken_why.text), fmt, args);
	va_end(args);
}

/* What the external table has to do for a transition; EXTERNAL_OPS: it is not allowed. */
static ALWAYS_INLINE enum external_op transition_judge(const struct transition *t)
{
	bool to_table = spte_is_table(t->new, t->level);
	bool to_leaf = !to_table && spte_is_present(t->new);

	if (t->old == SPTE_EMPTY)
		return to_table ? EXTERNAL_LINK : to_leaf ? EXTERNAL_MAP : EXTERNAL_OPS;
	/* A table stays as long as the guest lives: neither promoted nor unlinked. */
	if (!spte_is_present(t->old) || spte_is_table(t->old, t->level))
		return EXTERNAL_OPS;
	return to_table ? EXTERNAL_DEMOTE : t->new == SPTE_EMPTY ? EXTERNAL_REMOVE : EXTERNAL_OPS;
}

static int refuse(const struct transition *t)
{
	__atomic_fetch_add(&t->mmu->mirror_refused, 1, __ATOMIC_RELAXED);
	return -EPERM;
}

static int act(const struct transition *t, enum external_op op, hpa_t page)
{
	const struct mmu_external *x = t->mmu->config.external;

	return x->act(x->ctx, op, t->gfn, t->level, page);
}

static void broke(const struct transition *t, enum external_op op, int err)
{
	mmu_break(t->mmu, "the secure page table %s at gfn %lx, level %d, on %s; its guest must be stopped",
		  err == -EBUSY ? "stayed busy with every vCPU out of the guest" : "failed in an unknown way", t->gfn,
		  t->level, external_op_names[op]);
}

/* The page that the external table makes its own table of. */
static hpa_t external_page(uint64_t table) { return sp_hpa(sp_of(spte_hpa(table))->external); }

int transition_install(const struct transition *t)
{
	enum external_op op = transition_judge(t);
	int err;

	if (UNLIKELY(op != EXTERNAL_LINK && op != EXTERNAL_MAP))
		return refuse(t);
	if (UNLIKELY(!spte_try_change(t->sptep, t->old, SPTE_FROZEN)))
		return -EAGAIN;
	err = act(t, op, op == EXTERNAL_LINK ? external_page(t->new) : spte_hpa(t->new));
	if (UNLIKELY(err && err != -EBUSY))
		broke(t, op, err);
	spte_write(t->sptep, err ? t->old : t->new);
	return err == -EBUSY ? -EAGAIN : err ? -EIO : 0;
}

/*
 * Busy is a vCPU at work on the same entry: with all of them out it cannot be, absent bugs. 0, -EIO,
 * or -EAGAIN for a DEMOTE that was interrupted.
 */
static int act_alone(const struct transition *t, enum external_op op, hpa_t page)
{
	const struct mmu_external *x = t->mmu->config.external;
	int err = act(t, op, page);

	if (err == -EBUSY) {
		t->mmu->mirror_kicks++;
		x->bar(x->ctx, true);
		x->kick(x->ctx);
		err = act(t, op, page);
		x->bar(x->ctx, false);
	}
	if (err == -EINTR && op == EXTERNAL_DEMOTE)
		return -EAGAIN;
	if (err)
		broke(t, op, err);
	return err ? -EIO : 0;
}

int transition_begin(const struct transition *t, struct flush_token *token)
{
	enum external_op op = transition_judge(t);

	if (op != EXTERNAL_REMOVE && op != EXTERNAL_DEMOTE)
		return refuse(t);
	INVARIANT(spte_read(t->sptep) == t->old);
	if (t->mmu->broken)
		return -EIO;
	spte_write(t->sptep, transition_frozen(t->old));
	if (act_alone(t, EXTERNAL_BLOCK, 0)) {
		spte_write(t->sptep, t->old);
		return -EIO;
	}
	token->track = true;
	t->mmu->flush.blocked++;
	return 0;
}

void transition_track(struct mmu *mmu)
{
	struct transition t = { .mmu = mmu };
	const struct mmu_external *x = mmu->config.external;

	mmu->flush.blocked = 0;
	if (mmu->broken || act_alone(&t, EXTERNAL_TRACK, 0))
		return;
	x->kick(x->ctx);
	mmu->flush.tracks++;
}

static int publish_old(const struct transition *t, int err)
{
	spte_write(t->sptep, t->old);
	return err;
}

int transition_finish(const struct transition *t)
{
	enum external_op op = transition_judge(t);
	int err;

	INVARIANT(t->mmu->flush.blocked == 0); /* else the token has not been spent */
	INVARIANT(op == EXTERNAL_REMOVE || op == EXTERNAL_DEMOTE);
	INVARIANT(spte_read(t->sptep) == transition_frozen(t->old));
	if (t->mmu->broken)
		return publish_old(t, -EIO);
	err = act_alone(t, op, op == EXTERNAL_DEMOTE ? external_page(t->new) : spte_hpa(t->old));
	if (err == -EAGAIN)
		return err; /* still blocked */
	spte_write(t->sptep, err ? t->old : t->new);
	return err;
}

int transition_abandon(const struct transition *t)
{
	INVARIANT(t->mmu->flush.blocked == 0);
	if (t->mmu->broken)
		return publish_old(t, -EIO);
	return publish_old(t, act_alone(t, EXTERNAL_UNBLOCK, 0));
}

int transition_reclaim(const struct transition *t, hpa_t page)
{
	const struct mmu_external *x = t->mmu->config.external;
	bool leaf = spte_is_leaf(t->old, t->level);

	spte_write(t->sptep, SPTE_EMPTY);
	return x->act(x->ctx, EXTERNAL_RECLAIM, t->gfn, leaf ? t->level : 0, page) ? -EIO : 0;
}
