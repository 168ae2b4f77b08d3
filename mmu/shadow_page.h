/*
 * Shadow pages: found by gfn and role in a hash table, linked below each other, zapped, recycled.
 * Everything here is done under the exclusive lock: shadow faults of different vCPUs take turns.
 * What removes an entry or a right of the guest makes the caller's token owe a flush.
 */
#ifndef MMU_SHADOW_PAGE_H
#define MMU_SHADOW_PAGE_H

#include "mmu/flush.h"
#include "mmu/rmap.h"
#include "mmu/seen.h"
#include "mmu/shadow.h"
#include "mmu/shadow_mmio.h"
#include "mmu/spte.h"

#define SHADOW_BUCKETS 4096
#define SHADOW_BUDGET_MIN 64
#define SHADOW_BUDGET_PART 50  /* of the guest's pages: 2 % */
#define SHADOW_SPARES 4        /* pages one fault or load may need: levels below the root, or four roots */
#define SHADOW_RESERVE 8       /* pages kept within the budget for the next fault */
#define SHADOW_RECYCLE 32      /* pages freed at a time when the budget is used up */

/*
 * How an entry of the guest's 4K table becomes a leaf. Rights, key and XD are at the same places in both, so they are
 * copied as far as the levels above allow them.
 */
struct gpte_format {
	uint64_t usable;  /* bits that must be P and A alone: these, and the reserved ones */
	uint64_t copied;
	uint64_t set;     /* in every leaf */
	uint64_t written; /* R/W and D: both are set in an entry that lets the guest write. Or what no entry has */
	uint64_t same;    /* bits that entry and leaf agree in, but that the leaf has another address; as no leaf has a
			   * reserved bit, so do those that make an entry unusable */
};

struct shadow {
	struct sp *bucket[SHADOW_BUCKETS];
	struct sp *newest, *oldest; /* every live page, by age */
	uint64_t pages;             /* in that list */
	uint64_t budget;
	uint64_t version;           /* from 1; grows when a page is unlinked */
	uint64_t stamp;             /* of the last emulated write to a guest's table */
	uint32_t generation;        /* pages of another one are gone as far as anybody can tell */
	bool skip;                  /* the unsync fast skip is on */
	bool aliased;               /* two gfns have had one host frame: tables may have been written by the other */
	struct shadow_counts counts;
	struct seen_tables seen;
	struct gpte_format format[ROLE_FORMATS]; /* by role_format() */
};

/* The copy that the page has. */
static inline struct seen *seen_entry(const struct mmu *mmu, const struct sp *sp)
{
	return &mmu->shadow->seen.copy[sp->seen - 1];
}

/* Its table; NULL: it has none. */
static inline uint64_t *seen_of(const struct mmu *mmu, const struct sp *sp)
{
	return sp->seen ? seen_entry(mmu, sp)->table : NULL;
}

#define SHADOW_FRAMES ((sizeof(struct shadow) + PAGE_SIZE - 1) >> PAGE_SHIFT)

int shadow_init(struct mmu *mmu);
void shadow_destroy(struct mmu *mmu);
/* What follows from the slots: the budget, unless it is configured, and whether any were aliased. */
void shadow_slots_changed(struct mmu *mmu);

/* A flush is owed. The CPU's cached translations of the guest are dropped as a whole. */
static inline void shadow_owe(struct flush_token *token) { flush_owe(token, 0, 1); }

static inline struct sp **shadow_bucket(const struct mmu *mmu, gfn_t gfn)
{
	return &mmu->shadow->bucket[gfn * 0x9e3779b97f4a7c15 >> 52];
}
_Static_assert(SHADOW_BUCKETS == 1 << 12, "the hash takes 12 bits");

/* Whether sp shadows a guest table and may be found: neither zapped nor of a former generation. */
static inline bool shadow_is_live(const struct mmu *mmu, const struct sp *sp)
{
	return sp->state == SP_LINKED && sp->generation == mmu->shadow->generation;
}

/*
 * The live page of gfn and role: found, or made from a spare, accounted and write-protected. One
 * that is found has been brought up to date. NULL: no spare is left, which the caller saw to.
 */
struct sp *shadow_get(struct mmu_vcpu *mv, gfn_t gfn, union role role, struct flush_token *token);

/* Makes the empty entry lead to child, which is up to date and so is all below it. */
void shadow_link(struct mmu *mmu, struct sp *parent, uint32_t index, struct sp *child);

/* Drops all leafs of a list but the first. */
void shadow_drop_others(struct mmu *mmu, const uint32_t *head, struct flush_token *token);

/* Files a leaf in the empty entry; s has gfn, whose head exists. */
void shadow_set_leaf(struct mmu *mmu, const struct slot *s, struct sp *sp, uint32_t index, gfn_t gfn,
		     uint64_t spte, struct flush_token *token);

/* What entries of one page have in common, kept at hand while several are made. */
struct shadow_run {
	uint64_t *table, *present;
	uint32_t *links;
	uint32_t ref; /* of entry 0 */
};

static inline struct shadow_run shadow_run_of(struct sp *sp)
{
	return (struct shadow_run){ sp->table, sp_present_bits(sp), sp_links(sp), sp_ref(sp, 0) };
}

/* As shadow_set_leaf(), but head is gfn's, and the leaf is not counted yet. */
static inline void shadow_run_leaf(struct mmu *mmu, struct shadow_run r, uint32_t index, uint32_t *head, gfn_t gfn,
				   uint64_t spte, struct flush_token *token)
{
	INVARIANT(r.table[index] == SPTE_EMPTY);
	if (UNLIKELY(!rmap_add(mmu, head, gfn, &r.links[index], r.ref | index)))
		shadow_drop_others(mmu, head, token);
	spte_write(&r.table[index], spte);
	sp_bit_set(r.present, index);
}

static inline void shadow_count_leafs(struct mmu *mmu, int level, uint32_t count)
{
	mmu->host.stats.installed[level] += count;
	mmu->host.stats.mapped[level] += count;
}

/* Empties a present entry, leaf or table; a table below that nobody else uses is zapped. */
void shadow_drop_entry(struct mmu *mmu, struct sp *sp, uint32_t index, struct flush_token *token);

/* Drops leafs of the 4K-level page: those present ones of word w of its bitmap that are given. */
void shadow_drop_word(struct mmu *mmu, struct sp *sp, uint32_t w, uint64_t bits, struct flush_token *token);

/* Drops every leaf of that level that is filed under gfn. */
void shadow_drop_leafs(struct mmu *mmu, const struct slot *s, gfn_t gfn, int level, struct flush_token *token);

/* Removes the page from everything; freed with the token, or when the last vCPU leaves the root. */
void shadow_zap(struct mmu *mmu, struct sp *sp, struct flush_token *token);

/* Every page that shadows a table in the range, and every leaf that maps a gfn of it. */
void shadow_zap_range(struct mmu *mmu, gfn_t first, uint64_t npages, struct flush_token *token);

/* Every page that shadows gfn. True when there was one. */
bool shadow_zap_gfn(struct mmu *mmu, gfn_t gfn, struct flush_token *token);

/* Sees to it that SHADOW_RESERVE pages may be made within the budget. */
void shadow_make_room(struct mmu *mmu, struct flush_token *token);

/* The vCPU's page for the top of gva's translation; NULL: there is none. */
static inline struct sp *shadow_root_for(const struct mmu_vcpu *mv, gva_t gva)
{
	const struct shadow_vcpu *sv = &mv->shadow;

	return sv->is_pae ? sv->root[gva >> 30 & 3] : sv->root[0];
}

/* The lowest page on the way from root to gva, of those that shadow a table of the guest, or of all. They are in
 * use. */
enum shadow_pages { SHADOW_TABLES, SHADOW_ALL };
static inline struct sp *shadow_lowest(struct sp *root, gva_t gva, enum shadow_pages which)
{
	struct sp *sp = root, *child;

	for (uint32_t shift = PAGE_SHIFT + 9u * (sp->level - 1u); shift > PAGE_SHIFT; shift -= 9, sp = child) {
		uint64_t spte = spte_read(&sp->table[(gva >> shift) % SPTES_PER_TABLE]);

		if (!spte_is_table(spte, LEVEL_2M)) /* a table looks the same at all levels above 4K */
			break;
		child = sp_of(spte_hpa(spte));
		if (which == SHADOW_TABLES && child->role.direct)
			break;
		__atomic_store_n(&child->writes, 0, __ATOMIC_RELAXED);
	}
	return sp;
}

/* The vCPU gives up its roots and all it has prepared. */
void shadow_vcpu_leave(struct mmu_vcpu *mv);

/* Drops a reference on a root. */
void shadow_root_put(struct mmu *mmu, struct sp *sp, struct flush_token *token);

#endif
