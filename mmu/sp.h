/*
 * Table pages. They come in blocks of 32 frames: the first holds a header for each of the others,
 * so the header of a table is found from the table's address by arithmetic, and every frame of a
 * block is on record as the VM's. Blocks are given back when the VM goes.
 *
 * Life of a table: free (in the pool, all entries empty) -> spare (in a vCPU's cache, so that the
 * fault path allocates nothing) -> linked (reachable) -> doomed (unlinked, all entries frozen, still
 * known to TLBs) -> free, when a flush token is spent.
 */
#ifndef MMU_SP_H
#define MMU_SP_H

#include "hv/base/phys.h"
#include "mmu/mmu.h"

#define SP_BLOCK_FRAMES 32
#define SP_BLOCK_BYTES (SP_BLOCK_FRAMES * PAGE_SIZE)
#define SPTES_PER_TABLE 512

/* The most tables one fault can need: every level between the root and a 4K leaf. */
#define SP_PER_FAULT (ROOT_LEVEL - 1)

/* Tables that hold nothing but MMIO entries, per VM: a guest that probes all of its address space
 * gets no more; beyond that its MMIO works without an entry, a little slower. */
#define SP_MMIO_TABLES_MAX 64

enum sp_state { SP_FREE, SP_SPARE, SP_LINKED, SP_DOOMED, SP_BLOCK };

struct sp {
	uint64_t *table;
	gfn_t gfn;           /* first gfn of what it spans */
	struct sp *next;     /* in the pool's free list, its block list, or the doomed list */
	uint32_t root_count; /* a root's users: the mmu itself and each vCPU */
	uint8_t level;       /* of its entries: LEVEL_4K .. ROOT_LEVEL */
	uint8_t state;
	bool for_mmio;       /* was made for an MMIO entry; counted in pool.mmio_tables */
} __attribute__((aligned(PAGE_SIZE / SP_BLOCK_FRAMES)));
_Static_assert(sizeof(struct sp) * SP_BLOCK_FRAMES == PAGE_SIZE, "one frame of headers per block");

static inline hpa_t sp_hpa(const struct sp *sp) { return virt_to_phys(sp->table); }

/* The header of the table at that address, which lies in a block. */
static inline struct sp *sp_of(hpa_t table)
{
	struct sp *headers = phys_to_virt(align_down(table, SP_BLOCK_BYTES));

	return &headers[(table / PAGE_SIZE) % SP_BLOCK_FRAMES];
}

/* Fetches spares until the vCPU's cache is full or memory is out. Outside the lock; takes the pool's. */
void sp_topup(struct mmu_vcpu *mv);
/* Gives the spares back to the pool. */
void sp_drain(struct mmu_vcpu *mv);

/* A spare for a table of that level over gfn, not linked yet; NULL when the cache is empty. */
struct sp *sp_take(struct mmu_vcpu *mv, gfn_t gfn, int level);
/* Returns what sp_take() gave, still all empty, after a lost race. */
void sp_untake(struct mmu_vcpu *mv, struct sp *sp);
/* A doomed table, after the flush. */
void sp_release(struct mmu *mmu, struct sp *sp);

/* Tables set aside for splitting at both ends of a range: 1G to 2M and 2M to 4K, twice. */
#define SP_RESERVE 4
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

/* Frees all blocks; nothing is linked any more. */
void sp_pool_destroy(struct mmu *mmu);

#endif
