/*
 * The invariants, recomputed from scratch. What each function proves:
 *   slots   sorted, disjoint, inside the guest's width; every large-page word has its count, and its
 *           mixed flag as the attributes say; attributes take frames only where both kinds occur
 *   entries one of five kinds, none frozen at rest; reserved bits; writable bits; suppress-#VE
 *   leafs   large ones only where no reason forbids them, inside one slot, frame and permission
 *           as the slot says; not executable when large if the CPU needs that; in a slot that is
 *           logged none by which the guest writes unnoticed
 *   MMIO    at 4K, own gfn; no slot at an entry's generation when that is the current one
 *   tables  header agrees with the place (so a table hangs in one place), every table of the pool
 *           is linked, spare or free, and those not linked are empty
 *   counts  the counters agree with what the tables hold
 */
#include "mmu/check.h"

#include <string.h>

#include "mmu/attr.h"
#include "mmu/check_shadow.h"
#include "mmu/check_slot.h"
#include "mmu/flush.h"
#include "mmu/hugepage.h"
#include "mmu/inspect.h"
#include "mmu/mirror.h"
#include "mmu/slot.h"
#include "mmu/sp.h"
#include "mmu/spte.h"

/* In a function whose struct check is c. */
#define BROKEN(...) fail(c->f, -EFAULT, __VA_ARGS__)

/* What was met below one root. */
struct check_tree {
	uint64_t mapped[ROOT_LEVEL];
	uint64_t tables;
};

struct check {
	struct mmu *mmu;
	struct failure *f;
	struct check_tree ordinary, mirror;
	uint64_t mmio_tables, spares;
};

static int check_words(struct check *c, const struct slot *s, int level)
{
	uint64_t count = hugepage_index(s, slot_end(s) - 1, level) + 1;
	gfn_t frame = align_down(s->base, level_pages(level));

	for (uint64_t i = 0; i < count; i++, frame += level_pages(level)) {
		uint32_t word = s->disallow[level - LEVEL_2M][i], want = hugepage_initial(s, i, level);

		if (c->mmu->shadow)
			want += shadow_reasons(c->mmu, s, i, level);
		if (check_mixed(s, frame, level))
			want |= HUGEPAGE_MIXED;
		if (c->mmu->mirror && (word & HUGEPAGE_INHIBIT))
			want |= HUGEPAGE_INHIBIT; /* the guest's word, which follows from nothing else */
		if (word != want)
			return BROKEN("slot at gfn %lx: large-page word %lu of level %d is %x, should be %x",
				    s->base, i, level, word, want);
	}
	return 0;
}

static int check_slot(struct check *c, const struct slot_entry *e, gfn_t after)
{
	const struct slot *s = e->slot;
	gfn_t limit = BIT(c->mmu->config.gpa_bits - PAGE_SHIFT);
	int err;

	if (e->base != s->base)
		return BROKEN("slot at gfn %lx is filed under gfn %lx", s->base, e->base);
	if (s->base < after)
		return BROKEN("slot at gfn %lx overlaps or precedes the one before it", s->base);
	if (s->npages == 0 || s->base >= limit || s->npages > limit - s->base)
		return BROKEN("slot at gfn %lx has the impossible size of %lu pages", s->base, s->npages);
	err = check_attributes(s, c->f);
	if (!err)
		err = check_derived(s, c->f);
	if (!err)
		err = check_words(c, s, LEVEL_2M);
	return err ? err : check_words(c, s, LEVEL_1G);
}

static int check_slots(struct check *c)
{
	const struct slot_set *set = c->mmu->slots;
	gfn_t after = 0;
	int err = 0;

	if (set->count > SLOTS_MAX || set->generation == 0)
		return BROKEN("the slot set has %u slots at generation %lu", set->count, set->generation);
	for (uint32_t i = 0; !err && i < set->count; i++) {
		err = check_slot(c, &set->entry[i], after);
		after = slot_end(set->entry[i].slot);
	}
	return err;
}

static int check_leaf(struct check *c, struct check_tree *tree, gfn_t gfn, int level, uint64_t spte)
{
	const struct slot *s = slot_set_find(c->mmu->slots, gfn);

	if (!s || gfn + level_pages(level) > slot_end(s))
		return BROKEN("leaf %lx of level %d at gfn %lx is not inside one slot", spte, level, gfn);
	if (level > (tree == &c->mirror ? mirror_goal(c->mmu, s, gfn) : hugepage_shape_level(s, gfn)))
		return BROKEN("leaf %lx of level %d at gfn %lx is larger than allowed there", spte, level,
			      gfn);
	if (spte_hpa(spte) != slot_hpa(s, gfn))
		return BROKEN("leaf %lx at gfn %lx maps another frame than %lx", spte, gfn, slot_hpa(s, gfn));
	if (!(spte & SPTE_HOST_WRITABLE) != !!(s->flags & SLOT_READONLY))
		return BROKEN("leaf %lx at gfn %lx disagrees with its slot on writing", spte, gfn);
	if (c->mmu->mirror && attr_is_private(s, gfn) != (tree == &c->mirror))
		return BROKEN("leaf %lx at gfn %lx is %s, but the memory is not", spte, gfn,
			      tree == &c->mirror ? "private" : "shared");
	if (tree == &c->mirror && (spte & EPT_RWX) != EPT_RWX)
		return BROKEN("private leaf %lx at gfn %lx does not allow everything", spte, gfn);
	tree->mapped[level]++;
	if (c->mmu->config.nx_huge && level > LEVEL_4K && tree != &c->mirror && (spte & EPT_EXEC))
		return BROKEN("leaf %lx of level %d at gfn %lx is large and executable", spte, level, gfn);
	return tree == &c->mirror ? 0 : check_logged(c->mmu, s, gfn, level, spte, c->f);
}

static int check_mmio(struct check *c, gfn_t gfn, int level, uint64_t spte)
{
	uint64_t now = c->mmu->slots->generation & SPTE_MMIO_GENERATION_MASK;

	if (level != LEVEL_4K || spte_mmio_gfn(spte) != gfn)
		return BROKEN("MMIO entry %lx stands at gfn %lx, level %d, for gfn %lx", spte, gfn, level,
			    spte_mmio_gfn(spte));
	if (spte_is_mmio_ve(spte) != (c->mmu->mirror != NULL))
		return BROKEN("the MMIO entry of gfn %lx is of the wrong kind for this guest", gfn);
	if (!spte_mmio_is_safe(gfn << PAGE_SHIFT, c->mmu->config.hpa_bits))
		return BROKEN("MMIO entry at gfn %lx holds an address where RAM may be", gfn);
	if (spte_mmio_generation(spte) == now && slot_set_find(c->mmu->slots, gfn))
		return BROKEN("MMIO entry at gfn %lx is current, but a slot covers it", gfn);
	return 0;
}

static int check_table(struct check *c, struct check_tree *tree, struct sp *sp);

static int check_link(struct check *c, struct check_tree *tree, gfn_t gfn, int level, uint64_t spte)
{
	struct sp *child = sp_of(spte_hpa(spte));

	if (child->state != SP_LINKED || sp_hpa(child) != spte_hpa(spte))
		return BROKEN("entry %lx at gfn %lx, level %d, leads to no linked table", spte, gfn, level);
	if (child->gfn != gfn || child->level != level - 1)
		return BROKEN("entry %lx at gfn %lx, level %d, leads to a table of gfn %lx, level %d", spte,
			    gfn, level, child->gfn, child->level);
	if (child->mirror != (tree == &c->mirror) || !child->external != !child->mirror)
		return BROKEN("entry %lx at gfn %lx, level %d, leads to a table of the wrong kind", spte, gfn,
			      level);
	if (child->mirror && child->external->state != SP_EXTERNAL)
		return BROKEN("the twin of the mirror's table at gfn %lx, level %d, is in state %d", gfn,
			      child->level, child->external->state);
	return check_table(c, tree, child);
}

static int check_entry(struct check *c, struct check_tree *tree, gfn_t gfn, int level, uint64_t spte)
{
	enum spte_kind kind = spte_kind(spte, level);
	const char *fault;

	switch (kind) {
	case SPTE_KIND_EMPTY: return 0;
	case SPTE_KIND_MMIO:
		if (tree == &c->mirror)
			return BROKEN("the mirror has the MMIO entry %lx at gfn %lx", spte, gfn);
		return check_mmio(c, gfn, level, spte);
	case SPTE_KIND_FROZEN:
	case SPTE_KIND_BROKEN:
		return BROKEN("entry %lx at gfn %lx, level %d, is %s", spte, gfn, level,
			    spte_kind_names[kind]);
	default: break;
	}
	fault = spte_fault_in(spte, level, &c->mmu->config);
	if (fault)
		return BROKEN("entry %lx at gfn %lx, level %d: %s", spte, gfn, level, fault);
	return kind == SPTE_KIND_LEAF ? check_leaf(c, tree, gfn, level, spte)
				      : check_link(c, tree, gfn, level, spte);
}

static int check_table(struct check *c, struct check_tree *tree, struct sp *sp)
{
	int err = 0;

	tree->tables++;
	c->mmio_tables += sp->for_mmio;
	for (uint32_t i = 0; !err && i < SPTES_PER_TABLE; i++)
		err = check_entry(c, tree, sp->gfn + i * level_pages(sp->level), sp->level,
				  spte_read(&sp->table[i]));
	return err;
}

static int check_unused(struct check *c, const struct sp *sp, enum sp_state state)
{
	if (sp->state != state)
		return BROKEN("an unused table at %lx is in state %d, not %d", sp_hpa(sp), sp->state, state);
	/* Quicker than entry by entry: all are like the next one. */
	if (sp->table[0] == SPTE_EMPTY && !memcmp(sp->table, sp->table + 1, PAGE_SIZE - sizeof(*sp->table)))
		return 0;
	for (uint32_t i = 0; i < SPTES_PER_TABLE; i++)
		if (sp->table[i] != SPTE_EMPTY)
			return BROKEN("an unused table at %lx has entry %u = %lx", sp_hpa(sp), i,
				      sp->table[i]);
	return 0;
}

static int check_spares(struct check *c, const struct mmu_vcpu *mv)
{
	int err = 0;

	uint32_t n = 0;

	for (const struct sp *sp = mv->spare; !err && sp && n <= mv->spare_count; sp = sp->next, n++)
		err = check_unused(c, sp, SP_FREE);
	if (!err && n != mv->spare_count)
		err = BROKEN("a vCPU has %u spare tables and counts %u", n, mv->spare_count);
	c->spares += n;
	return err;
}

/* Every table of every block is linked, spare or free, and each kind is as many as were met. */
static int check_pool(struct check *c)
{
	uint64_t states[SP_BLOCK + 1] = { 0 }, listed = 0, linked = c->ordinary.tables + c->mirror.tables;
	const struct sp_pool *pool = &c->mmu->pool;
	int err = 0;

	for (const struct sp *block = pool->blocks; block; block = block->next)
		for (uint32_t i = 0; i <= sp_tables_per_block(c->mmu); i++)
			states[block[i].state]++;
	for (const struct sp *sp = pool->free; !err && sp && listed <= states[SP_FREE]; sp = sp->next) {
		err = check_unused(c, sp, SP_FREE);
		listed++;
	}
	if (err)
		return err;
	if (states[SP_BLOCK] != pool->block_count || states[SP_DOOMED] != 0)
		return BROKEN("of %lu table blocks %lu were found; %lu tables are doomed at rest",
			    pool->block_count, states[SP_BLOCK], states[SP_DOOMED]);
	if (pool->free_count != listed)
		return BROKEN("%lu tables are in the pool, which counts %u", listed, pool->free_count);
	if (states[SP_LINKED] != linked || states[SP_RESERVED] || states[SP_FREE] != c->spares + listed)
		return BROKEN("tables: %lu linked of %lu met, %lu reserved, %lu free of %lu spare and %lu in the pool",
			      states[SP_LINKED], linked, states[SP_RESERVED], states[SP_FREE], c->spares, listed);
	if (states[SP_EXTERNAL] + !!c->mmu->mirror != c->mirror.tables || (states[SP_LOST] && !c->mmu->broken))
		return BROKEN("the external table has %lu pages of ours for the mirror's %lu tables, and lost %lu",
			      states[SP_EXTERNAL], c->mirror.tables, states[SP_LOST]);
	if (pool->mmio_tables != c->mmio_tables)
		return BROKEN("%u tables are counted for MMIO, %lu were met", pool->mmio_tables,
			      c->mmio_tables);
	return 0;
}

static int check_tree_counts(struct check *c, const int64_t *mapped, int64_t tables,
			     const struct check_tree *tree)
{
	for (int level = LEVEL_4K; level < ROOT_LEVEL; level++)
		if ((uint64_t)mapped[level] != tree->mapped[level])
			return BROKEN("%ld leafs of level %d are counted, %lu were met", (long)mapped[level],
				      level, tree->mapped[level]);
	if ((uint64_t)tables + 1 != tree->tables)
		return BROKEN("%ld tables below the root are counted, %lu were met", (long)tables,
			    tree->tables - 1);
	return 0;
}

static int check_counts(struct check *c, const struct mmu_stats *sum)
{
	int err = check_tree_counts(c, sum->mapped, sum->tables, &c->ordinary);

	if (!err && c->mmu->mirror)
		err = check_tree_counts(c, sum->mirror.mapped, sum->mirror.tables, &c->mirror);
	return err;
}

static int check_vcpus(struct check *c)
{
	struct mmu_stats sum;
	uint32_t users = 0;
	int err = 0;

	memset(&sum, 0, sizeof(sum));
	for (struct rw_reader *r = c->mmu->lock.readers; !err && r; r = r->next) {
		const struct mmu_vcpu *mv = CONTAINER_OF(r, struct mmu_vcpu, reader);

		mmu_stats_add(&sum, &mv->stats);
		err = check_spares(c, mv);
		users++;
	}
	if (!err && c->mmu->root->root_count != users)
		err = BROKEN("the root has %u references from %u users", c->mmu->root->root_count, users);
	return err ? err : check_counts(c, &sum);
}

static int check_ept(struct check *c)
{
	struct mmu *mmu = c->mmu;
	int err;

	if (mmu->root->gfn != 0 || mmu->root->level != ROOT_LEVEL || mmu->root->state != SP_LINKED)
		return BROKEN("the root is a table of gfn %lx, level %d", mmu->root->gfn, mmu->root->level);
	err = check_table(c, &c->ordinary, mmu->root);
	if (!err && mmu->mirror)
		err = check_table(c, &c->mirror, mmu->mirror);
	spin_lock(&mmu->pool.lock); /* vCPUs outside the lock may be fetching spares */
	if (!err)
		err = check_vcpus(c);
	if (!err)
		err = check_pool(c);
	spin_unlock(&mmu->pool.lock);
	return err;
}

int mmu_check(struct mmu *mmu, struct failure *f)
{
	struct check c = { .mmu = mmu, .f = f };
	int err;

	spin_lock(&mmu->changes);
	mmu_exclusive_begin(mmu);
	err = check_slots(&c);
	if (!err)
		err = mmu->shadow ? shadow_check(mmu, f) : check_ept(&c);
	mmu_exclusive_end(mmu);
	spin_unlock(&mmu->changes);
	return err;
}
