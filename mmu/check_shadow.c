/*
 * The invariants of shadow mode, recomputed from scratch. What each part proves:
 *   pages    found by gfn and role, one of a kind; level, counts and bitmaps agree
 *   leafs    on the list of their key, once; frame and rights as the slot says; large ones only where
 *            no reason forbids them; not writable over a tracked table, nor one in step with its page
 *   links    child and parent agree on each other, on level and role
 *   unsync   only 4K-level pages; every parent above knows
 *   seen     a leaf that is said to be as a copy of its table has it is so; pages and copies agree on each other
 *   MMIO     in 4K-level pages, of a gfn whose entry the CPU refuses; no slot has it when the entry's generation
 *            is the current one; no rights beyond the page's; bits and counts agree
 *   heads    each list holds present leafs filed under its gfn, and all leafs are on lists
 *   tracked  the bits are those of the tables that live pages of level 2 and above shadow
 *   roots    references are held by vCPUs; zapped roots wait for them
 */
#include "mmu/check_shadow.h"

#include <string.h>

#include "mmu/dirty.h"
#include "mmu/hugepage.h"
#include "mmu/rmap.h"
#include "mmu/shadow_gpte.h"
#include "mmu/shadow_page.h"
#include "mmu/shadow_spte.h"
#include "mmu/track.h"

/* In a function whose struct check is c. */
#define BROKEN(...) fail(c->f, -EFAULT, __VA_ARGS__)

struct check {
	struct mmu *mmu;
	struct failure *f;
	uint64_t pages, indirect, unsync, tracked, leafs, mmios;
	uint64_t mapped[ROOT_LEVEL];
};

uint32_t shadow_reasons(const struct mmu *mmu, const struct slot *s, uint64_t index, int level)
{
	uint32_t count = 0;

	for (const struct sp *sp = mmu->shadow->newest; sp; sp = sp->older)
		if (!sp->role.direct && slot_covers(s, sp->gfn) && hugepage_index(s, sp->gfn, level) == index)
			count++;
	return count;
}

const char *shadow_fault_in(uint64_t spte, int level, const struct mmu_config *config)
{
	bool host = spte & SHADOW_HOST_WRITABLE, mmu = spte & SHADOW_MMU_WRITABLE, w = spte & PTE_RW;

	if (!(spte & PTE_P))
		return "it is present to us but not to the CPU";
	if (config->hpa_bits < 52 && (spte & BITS(51, config->hpa_bits)))
		return "it has address bits beyond the host's width";
	if (!spte_is_leaf(spte, level))
		return (spte & (PTE_RW | PTE_US)) != (PTE_RW | PTE_US) || (spte & PTE_XD) ?
			       "it points at a table and takes rights away" : NULL;
	if (level > config->max_level)
		return "a page of this size is not offered by the CPU";
	if (spte_hpa(spte) & ((level_pages(level) << PAGE_SHIFT) - 1))
		return "a large page is not aligned to its size (reserved address bits)";
	if (w != mmu || (mmu && !host))
		return "the writable bits are none of 111, 100, 000";
	if ((w && !(spte & PTE_D)) || ((spte & PTE_D) && !host))
		return "the dirty bit does not say whether the guest may write";
	return NULL;
}

static uint32_t bits_set(uint64_t word)
{
	uint32_t n = 0;

	for (; word; word &= word - 1)
		n++;
	return n;
}

/* ---- lists ---- */

static uint32_t times_on_list(const struct check *c, uint32_t first, uint32_t ref)
{
	uint32_t n = 0, steps = 0;

	for (uint32_t at = first; !(at & RMAP_END) && steps < BIT(20); at = rmap_next(c->mmu, at), steps++)
		n += at == ref;
	return n;
}

static bool is_in_bucket(const struct check *c, const struct sp *sp)
{
	uint32_t self = 0, twins = 0;

	for (const struct sp *p = *shadow_bucket(c->mmu, sp->gfn); p; p = p->hash_next) {
		self += p == sp;
		twins += p != sp && p->gfn == sp->gfn && p->role.word == sp->role.word &&
			 p->generation == sp->generation;
	}
	return self == 1 && twins == 0;
}

/* ---- leafs ---- */

/* A page of that gfn whose entries are taken to be those of its table. */
static bool has_synced_page(const struct check *c, gfn_t gfn)
{
	for (const struct sp *p = *shadow_bucket(c->mmu, gfn); p; p = p->hash_next)
		if (p->gfn == gfn && !p->role.direct && !p->unsync && shadow_is_live(c->mmu, p))
			return true;
	return false;
}

static int check_writable(struct check *c, const struct slot *s, gfn_t gfn, uint64_t spte)
{
	if (s->flags & SLOT_READONLY)
		return BROKEN("leaf %lx lets the guest write to read-only memory at gfn %lx", spte, gfn);
	if (track_is_tracked(s, gfn))
		return BROKEN("leaf %lx lets the guest write to the tracked table at gfn %lx", spte, gfn);
	if ((s->flags & SLOT_LOGGED) && !dirty_is_marked(s, gfn))
		return BROKEN("leaf %lx lets the guest write to gfn %lx, and the log does not have it", spte, gfn);
	if (has_synced_page(c, gfn))
		return BROKEN("leaf %lx lets the guest write to gfn %lx, shadowed by a page in step", spte, gfn);
	return 0;
}

static int check_leaf(struct check *c, const struct sp *sp, uint32_t i, uint64_t spte)
{
	gfn_t gfn = rmap_key(c->mmu, sp, i);
	const struct slot *s = slot_set_find(c->mmu->slots, gfn);

	c->leafs++;
	c->mapped[sp->level]++;
	if (!s || gfn + level_pages(sp->level) > slot_end(s) || gfn % level_pages(sp->level))
		return BROKEN("leaf %lx of level %d is filed under gfn %lx, not inside one slot", spte, sp->level, gfn);
	if (sp->role.direct && gfn != sp->gfn + i * level_pages(sp->level))
		return BROKEN("leaf %u of the direct page for gfn %lx is filed under gfn %lx", i, sp->gfn, gfn);
	if (slot_hpa(s, gfn) != spte_hpa(spte))
		return BROKEN("leaf %lx is filed under gfn %lx, whose frame is %lx", spte, gfn, slot_hpa(s, gfn));
	if (times_on_list(c, rmap_first(rmap_head(s, gfn, sp->level)), sp_ref(sp, i)) != 1)
		return BROKEN("leaf %lx is not once on the list of its gfn %lx", spte, gfn);
	if (sp->level > hugepage_max_level(s, gfn))
		return BROKEN("leaf %lx of level %d at gfn %lx is larger than allowed there", spte, sp->level, gfn);
	return spte & (PTE_RW | SHADOW_MMU_WRITABLE) ? check_writable(c, s, gfn, spte) : 0;
}

static int check_seen(struct check *c, const struct sp *sp, uint32_t i, uint64_t spte)
{
	const struct gpte_format *f = gpte_format_of(c->mmu, sp);
	uint64_t gpte;

	if (sp->role.direct || !sp->seen || !spte_is_present(spte))
		return BROKEN("entry %u of the page for gfn %lx (%lx) cannot be as a copy has it", i, sp->gfn, spte);
	gpte = seen_of(c->mmu, sp)[i];
	if (!gpte_is_usable(f, gpte) || gpte_gfn(gpte) != rmap_key(c->mmu, sp, i) ||
	    gpte_leaf(f, gpte, spte_hpa(spte)) != (spte & ~SHADOW_WRITABLE) ||
	    ((spte & PTE_D) && !gpte_is_written(f, gpte)))
		return BROKEN("entry %u of the page for gfn %lx is %lx, and not as the copy has it (%lx)", i, sp->gfn, spte,
			      gpte);
	return 0;
}

/* ---- links ---- */

static bool role_follows(union role parent, union role child, uint32_t index)
{
	union role want = child.direct ? role_of_part(parent, child.access, child.pkey)
				       : role_of_table(parent, index, child.access & parent.access);

	return want.word == child.word && (!parent.direct || child.direct);
}

static int check_link(struct check *c, const struct sp *sp, uint32_t i, uint64_t spte)
{
	const struct sp *child = sp_of(spte_hpa(spte));

	if (child->state != SP_LINKED || sp_hpa(child) != spte_hpa(spte))
		return BROKEN("entry %u of the page for gfn %lx leads to no live page (%lx)", i, sp->gfn, spte);
	if (!role_follows(sp->role, child->role, i))
		return BROKEN("entry %u of the page for gfn %lx, role %x, leads to role %x", i, sp->gfn, sp->role.word,
			      child->role.word);
	if (times_on_list(c, rmap_first(&child->parents), sp_ref(sp, i)) != 1)
		return BROKEN("the page for gfn %lx does not know entry %u of gfn %lx once", child->gfn, i, sp->gfn);
	if ((child->unsync || child->unsync_children) && !sp_bit(sp_unsync_bits(sp), i))
		return BROKEN("the page for gfn %lx, level %d, does not know of unsync pages below entry %u", sp->gfn,
			      sp->level, i);
	return 0;
}

/* ---- MMIO ---- */

static bool exceeds(uint64_t spte, uint32_t access)
{
	uint32_t given = (uint32_t)(spte & (PTE_RW | PTE_US)) | (spte & PTE_XD ? 0 : ACCESS_EXEC);

	return given & ~access;
}

static int check_mmio(struct check *c, const struct sp *sp, uint32_t i, uint64_t spte)
{
	gfn_t gfn = spte_mmio_gfn(spte);

	c->mmios++;
	if (sp->level != LEVEL_4K || !shadow_mmio_fits(gfn, c->mmu->config.hpa_bits))
		return BROKEN("entry %lx for MMIO at gfn %lx cannot be, in a page of level %d", spte, gfn, sp->level);
	if (shadow_mmio_is_of(spte, c->mmu->slots->generation) && slot_set_find(c->mmu->slots, gfn))
		return BROKEN("entry %lx stands for MMIO at gfn %lx, where memory is", spte, gfn);
	if (sp->role.direct && gfn != sp->gfn + i)
		return BROKEN("entry %u of the direct page for gfn %lx is for MMIO at gfn %lx", i, sp->gfn, gfn);
	if (exceeds(spte, sp->role.access))
		return BROKEN("entry %lx for MMIO has rights that the page for gfn %lx has not", spte, sp->gfn);
	return 0;
}

static int check_entry(struct check *c, const struct sp *sp, uint32_t i)
{
	uint64_t spte = spte_read(&sp->table[i]);
	const char *fault;

	if (sp_bit(sp_mmio_bits(sp), i) != shadow_is_mmio(spte))
		return BROKEN("entry %u of the page for gfn %lx and its bit for MMIO disagree (%lx)", i, sp->gfn, spte);
	if (sp_bit(sp_present_bits(sp), i) != spte_is_present(spte))
		return BROKEN("entry %u of the page for gfn %lx and its bit disagree (%lx)", i, sp->gfn, spte);
	if (sp->level == LEVEL_4K && sp_bit(sp_seen_bits(sp), i) && check_seen(c, sp, i, spte))
		return -EFAULT;
	if (shadow_is_mmio(spte))
		return check_mmio(c, sp, i, spte);
	if (!spte_is_present(spte))
		return spte == SPTE_EMPTY ? 0 : BROKEN("entry %u of the page for gfn %lx is %lx", i, sp->gfn, spte);
	fault = shadow_fault_in(spte, sp->level, &c->mmu->config);
	if (fault)
		return BROKEN("entry %lx of level %d, page for gfn %lx: %s", spte, sp->level, sp->gfn, fault);
	return spte_is_leaf(spte, sp->level) ? check_leaf(c, sp, i, spte) : check_link(c, sp, i, spte);
}

/* ---- pages ---- */

static int check_parents(struct check *c, const struct sp *sp)
{
	for (uint32_t ref = rmap_first(&sp->parents); !(ref & RMAP_END); ref = rmap_next(c->mmu, ref)) {
		uint64_t spte = spte_read(rmap_spte(c->mmu, ref));

		if (!spte_is_present(spte) || spte_hpa(spte) != sp_hpa(sp))
			return BROKEN("a parent entry of the page for gfn %lx does not lead to it (%lx)", sp->gfn, spte);
	}
	return 0;
}

static int check_bits(struct check *c, const struct sp *sp)
{
	uint32_t bits = 0, mmios = 0;

	for (uint32_t w = 0; w < SP_BITMAP_WORDS; w++) {
		bits += sp->level > LEVEL_4K ? bits_set(sp_unsync_bits(sp)[w]) : 0;
		mmios += bits_set(sp_mmio_bits(sp)[w]);
	}
	if (mmios != sp->mmios)
		return BROKEN("the page for gfn %lx counts %u entries for MMIO, %u bits are set", sp->gfn, sp->mmios,
			      mmios);
	if (bits != sp->unsync_children)
		return BROKEN("the page for gfn %lx counts %u unsync children, %u bits are set", sp->gfn,
			      sp->unsync_children, bits);
	if (sp->unsync && (sp->level != LEVEL_4K || sp->role.direct))
		return BROKEN("the page for gfn %lx, level %d, is unsync", sp->gfn, sp->level);
	return 0;
}

/* The first page of its chain that makes gfn tracked stands for the gfn. */
static bool stands_for_tracked(const struct check *c, const struct sp *sp)
{
	const struct sp *p = *shadow_bucket(c->mmu, sp->gfn);

	while (p && (p->gfn != sp->gfn || p->role.direct || p->level == LEVEL_4K))
		p = p->hash_next;
	return p == sp;
}

static int check_indirect(struct check *c, const struct sp *sp)
{
	const struct slot *s = slot_set_find(c->mmu->slots, sp->gfn);

	c->indirect++;
	if (s && sp->unsync && track_is_tracked(s, sp->gfn))
		return BROKEN("the page for gfn %lx is unsync, and its table is tracked", sp->gfn);
	if (!s || sp->level == LEVEL_4K)
		return 0;
	if (!track_is_tracked(s, sp->gfn))
		return BROKEN("the table at gfn %lx, shadowed at level %d, is not tracked", sp->gfn, sp->level);
	c->tracked += stands_for_tracked(c, sp);
	return 0;
}

static int check_page(struct check *c, const struct sp *sp)
{
	int err = 0;

	c->pages++;
	c->unsync += sp->unsync;
	if (sp->state != SP_LINKED || sp->level != sp->role.level || !is_in_bucket(c, sp))
		return BROKEN("the page for gfn %lx, role %x, state %d, level %d, is not once in the hash", sp->gfn,
			      sp->role.word, sp->state, sp->level);
	err = sp->role.direct ? 0 : check_indirect(c, sp);
	if (!err)
		err = check_parents(c, sp);
	if (!err)
		err = check_bits(c, sp);
	for (uint32_t i = 0; !err && i < SPTES_PER_TABLE; i++)
		err = check_entry(c, sp, i);
	return err;
}

/* ---- slots ---- */

static int check_head(struct check *c, const uint32_t *head, gfn_t gfn, int level, uint64_t *met)
{
	for (uint32_t ref = rmap_first(head); !(ref & RMAP_END); ref = rmap_next(c->mmu, ref)) {
		const struct sp *sp = sp_of_ref(c->mmu, ref);

		(*met)++;
		if (sp->state != SP_LINKED || sp->level != level || !spte_is_present(*rmap_spte(c->mmu, ref)) ||
		    rmap_key(c->mmu, sp, ref % SPTES_PER_TABLE) != gfn)
			return BROKEN("the list of gfn %lx, level %d, holds an entry that is none of its leafs", gfn, level);
	}
	return 0;
}

static int check_heads(struct check *c, const struct slot *s, uint64_t *met)
{
	int err = 0;

	for (int level = LEVEL_4K; level <= LEVEL_1G; level++)
		for (gfn_t g = align_down(s->base, level_pages(level)); !err && g < slot_end(s); g += level_pages(level)) {
			const uint32_t *head = rmap_head(s, max_u64(g, s->base), level);

			if (head)
				err = check_head(c, head, g, level, met);
			else /* nor has any other of the frame of heads */
				g |= BIT(RMAP_CHUNK_SHIFT) - 1;
		}
	return err;
}

static uint64_t tracked_bits(const struct slot *s)
{
	uint64_t words = ((slot_end(s) - 1) >> 6) - (s->base >> 6) + 1, n = 0;

	for (uint64_t w = 0; w < words; w++)
		n += bits_set(s->tracked[w]);
	return n;
}

static int check_slots(struct check *c)
{
	uint64_t met = 0, bits = 0;
	int err = 0;

	for (uint32_t i = 0; !err && i < c->mmu->slots->count; i++) {
		err = check_heads(c, c->mmu->slots->entry[i].slot, &met);
		bits += tracked_bits(c->mmu->slots->entry[i].slot);
	}
	if (!err && met != c->leafs)
		return BROKEN("%lu leafs are on lists, %lu were met in pages", met, c->leafs);
	if (!err && bits != c->tracked)
		return BROKEN("%lu gfns are marked tracked, %lu tables are to be", bits, c->tracked);
	return err;
}

/* ---- roots and counts ---- */

static uint32_t references(const struct check *c, const struct sp *sp)
{
	uint32_t n = 0;

	for (const struct rw_reader *r = c->mmu->lock.readers; r; r = r->next) {
		const struct shadow_vcpu *sv = &CONTAINER_OF(r, const struct mmu_vcpu, reader)->shadow;

		for (uint32_t i = 0; i < ARRAY_LEN(sv->root); i++)
			n += sv->root[i] == sp;
		for (uint32_t i = 0; i < SHADOW_PREVIOUS; i++)
			n += sv->previous[i].sp == sp;
	}
	return n;
}

static int check_roots(struct check *c)
{
	for (const struct sp *block = c->mmu->pool.blocks; block; block = block->next)
		for (uint32_t i = 1; i <= SP_SHADOW_TABLES; i++) {
			const struct sp *sp = &block[i];
			bool alive = sp->state == SP_LINKED || sp->state == SP_INVALID;

			if (alive && sp->root_count != references(c, sp))
				return BROKEN("the root for gfn %lx has %u references, vCPUs hold %u", sp->gfn,
					      sp->root_count, references(c, sp));
			if (sp->state == SP_INVALID && !sp->root_count)
				return BROKEN("the zapped page for gfn %lx waits for nobody", sp->gfn);
		}
	return 0;
}

static int check_copies(struct check *c)
{
	const struct seen_tables *t = &c->mmu->shadow->seen;

	for (const struct sp *sp = c->mmu->shadow->newest; sp; sp = sp->older)
		if (sp->seen && (sp->seen > t->count || t->copy[sp->seen - 1].owner != sp))
			return BROKEN("the page for gfn %lx has copy %u, which is not its own", sp->gfn, sp->seen);
	for (uint32_t i = 0; i < t->count; i++) {
		const struct sp *owner = t->copy[i].owner;

		if (owner && (owner->seen != i + 1 || owner->state != SP_LINKED || owner->level != LEVEL_4K))
			return BROKEN("copy %u belongs to the page for gfn %lx, which does not have it", i, owner->gfn);
	}
	return 0;
}

static int check_counts(struct check *c)
{
	const struct shadow *s = c->mmu->shadow;

	if (c->pages != s->pages || c->indirect != s->counts.indirect || c->unsync != s->counts.unsync)
		return BROKEN("pages %lu counted %lu, indirect %lu counted %lu, unsync %lu counted %lu", c->pages, s->pages,
			      c->indirect, s->counts.indirect, c->unsync, s->counts.unsync);
	if (c->mmios != s->counts.mmio_live)
		return BROKEN("%lu entries for MMIO are counted, %lu were met", s->counts.mmio_live, c->mmios);
	if ((uint64_t)c->mmu->host.stats.tables != c->pages)
		return BROKEN("%ld tables are counted, %lu were met", (long)c->mmu->host.stats.tables, c->pages);
	for (int level = LEVEL_4K; level < ROOT_LEVEL; level++)
		if ((uint64_t)c->mmu->host.stats.mapped[level] != c->mapped[level])
			return BROKEN("%ld leafs of level %d are counted, %lu were met",
				      (long)c->mmu->host.stats.mapped[level], level, c->mapped[level]);
	return 0;
}

int shadow_check(struct mmu *mmu, struct failure *f)
{
	struct check c = { .mmu = mmu, .f = f };
	int err = 0;

	for (const struct sp *sp = mmu->shadow->newest; !err && sp; sp = sp->older)
		err = check_page(&c, sp);
	if (!err)
		err = check_slots(&c);
	if (!err)
		err = check_roots(&c);
	if (!err)
		err = check_copies(&c);
	return err ? err : check_counts(&c);
}
