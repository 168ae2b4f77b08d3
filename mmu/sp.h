/*
 * Table pages. They come in blocks of 32 frames: the first holds a header for each of the others,
 * so the header of a table is found from the table's address by arithmetic, and every frame of a
 * block is on record as the VM's. Blocks are given back when the VM goes.
 *
 * A block of the EPT holds 31 tables. One of shadow pages holds 20, then their links (a number per
 * entry, mmu/rmap.h, two tables a frame), and in the last frame their bitmaps. Entries of shadow
 * pages are known by number, so that the lists through them take 4 bytes an entry.
 *
 * Life of a table: free (all entries empty; in the pool, or spare in a vCPU's cache, so that the fault
 * path allocates nothing) -> linked (reachable) -> doomed (unlinked, all entries frozen, still known to
 * TLBs) -> free, when a flush token is spent. Whoever splits large pages reserves tables beforehand.
 */
#ifndef MMU_SP_H
#define MMU_SP_H

#include "hv/base/phys.h"
#include "mmu/hugepage.h"
#include "mmu/mmu.h"
#include "mmu/role.h"

#define SP_BLOCK_FRAMES 32
#define SP_BLOCK_BYTES (SP_BLOCK_FRAMES * PAGE_SIZE)
#define SPTES_PER_TABLE 512
#define SP_SHADOW_TABLES 20
#define SP_LINKS_FRAME (1 + SP_SHADOW_TABLES)
#define SP_BITS_FRAME (SP_LINKS_FRAME + SP_SHADOW_TABLES / 2)
_Static_assert(SP_BITS_FRAME == SP_BLOCK_FRAMES - 1, "tables, links and bitmaps fill a block");

/* The most tables one fault can need: every level between the root and a 4K leaf. */
#define SP_PER_FAULT (ROOT_LEVEL - 1)

/* Tables that hold nothing but MMIO entries, per VM: a guest that probes all of its address space
 * gets no more; beyond that its MMIO works without an entry, a little slower. */
#define SP_MMIO_TABLES_MAX 64

/* A shadow page zapped while a vCPU runs on it is INVALID until the last of those has left. EXTERNAL: given
 * away as a table of an external one. LOST: given away, and did not come back. */
enum sp_state { SP_FREE, SP_RESERVED, SP_LINKED, SP_INVALID, SP_DOOMED, SP_EXTERNAL, SP_LOST, SP_BLOCK };

struct sp {
	uint64_t *table;
	gfn_t gfn;           /* first gfn of what it spans */
	struct sp *next;     /* in the pool's free list, a vCPU's spares, the block list, or the doomed list */
	uint32_t root_count; /* a root's users: the mmu itself and each vCPU */
	uint8_t level;       /* of its entries: LEVEL_4K .. ROOT_LEVEL */
	uint8_t state;
	bool for_mmio;       /* was made for an MMIO entry; counted in pool.mmio_tables */
	bool mirror;         /* of a mirror root, and never unlinked while the guest lives */
	struct sp *external; /* of a mirror's table: the page behind its twin in the external table */
	/* Shadow pages only; under the exclusive lock. */
	bool unsync;               /* the guest writes its table freely: entries are as stale as a TLB's */
	uint8_t seen;              /* number, from 1, of the copy of its table that it has: mmu/seen.h */
	uint8_t light_syncs;       /* since it has become so, those that left it unsync */
	uint16_t mmios;            /* bits set in the third bitmap */
	union role role;
	uint32_t id;               /* number of the block and of the frame in it */
	uint32_t parents;          /* first of the entries that lead here: mmu/rmap.h */
	uint32_t generation;       /* valid while it is the VM's */
	uint16_t unsync_children;  /* bits set in the second bitmap */
	uint8_t unsync_words;      /* of that the words that have some; maybe more */
	uint16_t writes;           /* emulated writes to its table since a fault last came through */
	struct sp *hash_next;
	struct sp *newer, *older;  /* in the list of all shadow pages */
	uint64_t written;          /* stamp of the emulated write last seen */
	uint32_t *links;           /* in the block */
	uint64_t *bits;
	const void *guest;         /* the table of the guest's that it shadows; NULL: that is no memory, or none */
} __attribute__((aligned(PAGE_SIZE / SP_BLOCK_FRAMES)));
_Static_assert(sizeof(struct sp) * SP_BLOCK_FRAMES == PAGE_SIZE, "one frame of headers per block");

static inline hpa_t sp_hpa(const struct sp *sp) { return virt_to_phys(sp->table); }

/* The header of the table at that address, which lies in a block. */
static inline struct sp *sp_of(hpa_t table)
{
	struct sp *headers = phys_to_virt(align_down(table, SP_BLOCK_BYTES));

	return &headers[(table / PAGE_SIZE) % SP_BLOCK_FRAMES];
}

/* ---- shadow pages ---- */

/* Entry numbers: 22 bits of page, 9 of index. No entry has a number below 512. */
#define REF_BITS 31

static inline uint32_t sp_ref(const struct sp *sp, uint32_t index) { return sp->id << 9 | index; }

static inline struct sp *sp_of_ref(const struct mmu *mmu, uint32_t ref)
{
	uint32_t block = ref >> 14;

	return &mmu->pool.directory[block >> 9][block & 511][ref >> 9 & (SP_BLOCK_FRAMES - 1)];
}

/* One number per entry: the next in the list the entry is in. */
static inline uint32_t *sp_links(const struct sp *sp) { return sp->links; }

/* Bitmaps of 512 bits. Two beside each other: entries that are present; above level 4K children that are unsync or lead
 * to such, at level 4K leafs that are as a copy of the guest's table has them (mmu/seen.h). Behind those of all pages a
 * third: entries for MMIO. */
#define SP_BITMAP_WORDS (SPTES_PER_TABLE / 64)

static inline uint64_t *sp_present_bits(const struct sp *sp) { return sp->bits; }
static inline uint64_t *sp_unsync_bits(const struct sp *sp) { return sp->bits + SP_BITMAP_WORDS; }
static inline uint64_t *sp_seen_bits(const struct sp *sp) { return sp->bits + SP_BITMAP_WORDS; }

static inline uint64_t *sp_mmio_bits(const struct sp *sp)
{
	uint32_t table = (sp->id & (SP_BLOCK_FRAMES - 1)) - 1;

	return sp->bits + (2 * SP_SHADOW_TABLES - table) * SP_BITMAP_WORDS;
}
_Static_assert(3 * SP_SHADOW_TABLES * SP_BITMAP_WORDS * sizeof(uint64_t) <= PAGE_SIZE, "the bitmaps fit a frame");

static inline bool sp_bit(const uint64_t *bits, uint32_t i) { return bits[i / 64] >> (i % 64) & 1; }
static inline void sp_bit_set(uint64_t *bits, uint32_t i) { bits[i / 64] |= BIT(i % 64); }
static inline void sp_bit_clear(uint64_t *bits, uint32_t i) { bits[i / 64] &= ~BIT(i % 64); }

/* Whether no more than `few` entries are present. */
static inline bool sp_has_at_most(const struct sp *sp, uint32_t few)
{
	const uint64_t *present = sp_present_bits(sp);

	for (uint32_t w = 0; w < SP_BITMAP_WORDS; w++)
		for (uint64_t bits = present[w]; bits; bits &= bits - 1)
			if (few-- == 0)
				return false;
	return true;
}

/* ---- the pool ---- */

/*
 * Fetches spares until the vCPU's cache has at least count or memory is out: all that the pool has, if those
 * are no more than SP_CACHE, else SP_PART of them, and new ones when that is not enough. Outside the lock;
 * takes the pool's.
 */
#define SP_CACHE 64
#define SP_PART 16
void sp_topup(struct mmu_vcpu *mv, uint32_t count);
/* The same ahead of need: fills the cache, and the pool by a block when that has less than SP_STOCK. */
#define SP_STOCK 16
_Static_assert(SP_STOCK + SP_BLOCK_FRAMES <= SP_CACHE, "what is prepared is taken in one piece");
void sp_stock(struct mmu_vcpu *mv);
/* Gives the spares back to the pool. */
void sp_drain(struct mmu_vcpu *mv);

static inline struct sp *sp_place(struct sp *sp, gfn_t gfn, int level)
{
	sp->gfn = align_down(gfn, level_pages(level + 1));
	sp->level = (uint8_t)level;
	sp->state = SP_LINKED;
	return sp;
}

/* A spare for a table of that level over gfn, not linked yet; NULL when the cache is empty. */
static inline struct sp *sp_take(struct mmu_vcpu *mv, gfn_t gfn, int level)
{
	struct sp *sp = mv->spare;

	if (UNLIKELY(!sp))
		return NULL;
	mv->spare = sp->next;
	mv->spare_count--;
	return sp_place(sp, gfn, level);
}

/* Returns what sp_take() gave, still all empty, after a lost race. */
void sp_untake(struct mmu_vcpu *mv, struct sp *sp);
/* Empties all entries of a table that is not linked. */
void sp_clear(struct sp *sp);
/* A doomed table, after the flush. */
void sp_release(struct mmu *mmu, struct sp *sp);

/* Tables set aside for splitting at both ends of a range: 1G to 2M and 2M to 4K, twice; and as many pages
 * for their twins, if a mirror is split. */
#define SP_RESERVE 8
struct sp_reserve {
	uint32_t count;
	struct sp *sp[SP_RESERVE];
};
/* Fetches them; false: memory is out, and none was taken. Outside the lock; takes the pool's. */
bool sp_reserve_fill(struct mmu *mmu, struct sp_reserve *r);
/* As sp_take(). */
struct sp *sp_reserve_take(struct sp_reserve *r, gfn_t gfn, int level);
/* Gives back what was not taken. Takes the pool's lock. */
void sp_reserve_return(struct mmu *mmu, struct sp_reserve *r);

/* Tables in a block of this VM. */
static inline uint32_t sp_tables_per_block(const struct mmu *mmu)
{
	return mmu->config.kind == MMU_SHADOW ? SP_SHADOW_TABLES : SP_BLOCK_FRAMES - 1;
}

/* Frees all blocks; nothing is linked any more. */
void sp_pool_destroy(struct mmu *mmu);

#endif
