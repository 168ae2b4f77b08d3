/*
 * Table pages: blocks, the pool, and the vCPUs' caches of spares.
 */
#include "mmu/sp.h"

#include <string.h>

#include "hv/base/frame.h"
#include "mmu/spte.h"

static void table_fill(uint64_t *table, uint64_t value)
{
	uint64_t count = SPTES_PER_TABLE;

	__asm__ volatile("rep stosq" : "+D"(table), "+c"(count) : "a"(value) : "memory");
}

/* All that a table begins with but its place is set here, not in the fault that takes it. */
static void pool_push(struct sp_pool *pool, struct sp *sp)
{
	sp->state = SP_FREE;
	sp->root_count = 0;
	sp->for_mmio = false;
	sp->mirror = false;
	sp->external = NULL;
	sp->next = pool->free;
	if (!pool->free)
		pool->free_last = sp;
	pool->free = sp;
	pool->free_count++;
}

/* The pool is not empty; its lock is held. */
static inline struct sp *pool_pop(struct sp_pool *pool)
{
	struct sp *sp = pool->free;

	pool->free = sp->next;
	pool->free_count--;
	sp->state = SP_RESERVED;
	return sp;
}

/* Where in the block the links and bitmaps of a shadow page are. */
static void place_links(struct sp *sp, hpa_t block, uint32_t i)
{
	uint32_t *links = phys_to_virt(block + SP_LINKS_FRAME * PAGE_SIZE);
	uint64_t *bits = phys_to_virt(block + SP_BITS_FRAME * PAGE_SIZE);

	sp->links = links + (i - 1) * SPTES_PER_TABLE;
	sp->bits = bits + (i - 1) * 2 * SP_BITMAP_WORDS;
}

static void pool_add_block(struct sp_pool *pool, hpa_t block, uint32_t tables)
{
	struct sp *headers = phys_to_virt(block);

	headers[0].state = SP_BLOCK;
	headers[0].next = pool->blocks;
	pool->blocks = headers;
	for (uint32_t i = tables; i > 0; i--) {
		headers[i].table = phys_to_virt(block + i * PAGE_SIZE);
		headers[i].id = (uint32_t)(pool->block_count * SP_BLOCK_FRAMES + i);
		if (tables == SP_SHADOW_TABLES)
			place_links(&headers[i], block, i);
		pool_push(pool, &headers[i]);
	}
	pool->block_count++;
}

/* The first SP_PART of many free tables; the last of them. The pool's lock is held. */
static NOINLINE struct sp *pool_cut(struct sp_pool *pool)
{
	struct sp *last = pool->free;

	for (uint32_t i = 1; i < SP_PART; i++)
		last = last->next;
	pool->free = last->next;
	pool->free_count -= SP_PART;
	return last;
}

/* A chain of tables joins the vCPU's cache. */
static inline void cache_add(struct mmu_vcpu *mv, struct sp *first, struct sp *last, uint32_t count)
{
	last->next = mv->spare;
	mv->spare = first;
	mv->spare_count += count;
}

/* Free tables go to the vCPU's cache, of many a part; of none, nothing. The pool's lock is held, and released. */
static void pool_take_locked(struct sp_pool *pool, struct mmu_vcpu *mv)
{
	struct sp *first = pool->free, *last = pool->free_last;
	uint32_t count = pool->free_count;

	if (count <= SP_CACHE) {
		pool->free = NULL;
		pool->free_count = 0;
	} else {
		last = pool_cut(pool);
		count = SP_PART;
	}
	spin_unlock(&pool->lock);
	if (count)
		cache_add(mv, first, last, count);
}

/* Where the next block's address is kept; *spare is used for a new part of the directory. */
static bool directory_add(struct sp_pool *pool, struct sp *headers, hpa_t *spare)
{
	uint64_t block = pool->block_count;

	if (block >> 9 >= SP_DIRECTORY)
		return false;
	if (!pool->directory[block >> 9]) {
		if (*spare == HPA_NONE)
			return false;
		pool->directory[block >> 9] = phys_to_virt(*spare);
		*spare = HPA_NONE;
	}
	pool->directory[block >> 9][block & 511] = headers;
	return true;
}

/* A prepared block joins the pool; false: no room in the directory. */
static bool pool_join(struct mmu *mmu, hpa_t block)
{
	struct sp_pool *pool = &mmu->pool;
	frame_owner_t owner = OWNER_VM_META(mmu->config.vm_id);
	bool shadow = mmu->config.kind == MMU_SHADOW, joined = true;
	/* Others may join blocks until the lock is held. */
	bool near = (pool->block_count + 16) % 512 <= 16;
	hpa_t spare = shadow && near ? frame_alloc(owner) : HPA_NONE;

	spin_lock(&pool->lock);
	if (shadow)
		joined = directory_add(pool, phys_to_virt(block), &spare);
	if (joined)
		pool_add_block(pool, block, sp_tables_per_block(mmu));
	spin_unlock(&pool->lock);
	if (spare != HPA_NONE)
		frame_free(spare, owner);
	return joined;
}

static bool pool_grow(struct mmu *mmu)
{
	frame_owner_t owner = OWNER_VM_META(mmu->config.vm_id);
	hpa_t block = frame_alloc_run(SP_BLOCK_FRAMES, SP_BLOCK_FRAMES, owner);

	if (block == HPA_NONE)
		return false;
	for (uint64_t i = 1; i <= sp_tables_per_block(mmu); i++)
		table_fill(phys_to_virt(block + i * PAGE_SIZE), SPTE_EMPTY);
	if (pool_join(mmu, block))
		return true;
	frame_free_run(block, SP_BLOCK_FRAMES, owner);
	return false;
}

static NOINLINE void grow_and_take(struct mmu_vcpu *mv, uint32_t count)
{
	struct sp_pool *pool = &mv->mmu->pool;

	while (mv->spare_count < count && pool_grow(mv->mmu)) {
		spin_lock(&pool->lock);
		pool_take_locked(pool, mv);
	}
}

/* Lock held. */
static NOINLINE void topup_otherwise(struct mmu_vcpu *mv, uint32_t count)
{
	pool_take_locked(&mv->mmu->pool, mv);
	grow_and_take(mv, count);
}

/* The usual case, which lies in the way of a fault: the pool has some, and not many. */
void sp_topup(struct mmu_vcpu *mv, uint32_t count)
{
	struct sp_pool *pool = &mv->mmu->pool;
	struct sp *first, *last;
	uint32_t got;

	spin_lock(&pool->lock);
	got = pool->free_count;
	if (UNLIKELY(got - 1 >= SP_CACHE)) {
		topup_otherwise(mv, count);
		return;
	}
	first = pool->free;
	last = pool->free_last;
	pool->free = NULL;
	pool->free_count = 0;
	spin_unlock(&pool->lock);
	cache_add(mv, first, last, got);
	if (UNLIKELY(mv->spare_count < count))
		grow_and_take(mv, count);
}

void sp_stock(struct mmu_vcpu *mv)
{
	if (mv->spare_count < MMU_SPARES)
		sp_topup(mv, MMU_SPARES);
	if (__atomic_load_n(&mv->mmu->pool.free_count, __ATOMIC_RELAXED) < SP_STOCK)
		(void)pool_grow(mv->mmu); /* a fault that finds none says so */
}

void sp_drain(struct mmu_vcpu *mv)
{
	struct sp_pool *pool = &mv->mmu->pool;
	struct sp *sp;

	spin_lock(&pool->lock);
	while ((sp = mv->spare)) {
		mv->spare = sp->next;
		pool_push(pool, sp);
	}
	spin_unlock(&pool->lock);
	mv->spare_count = 0;
}

void sp_untake(struct mmu_vcpu *mv, struct sp *sp)
{
	sp->state = SP_FREE;
	sp->for_mmio = false;
	sp->mirror = false;
	sp->external = NULL;
	sp->next = mv->spare;
	mv->spare = sp;
	mv->spare_count++;
}

void sp_clear(struct sp *sp) { table_fill(sp->table, SPTE_EMPTY); }

void sp_release(struct mmu *mmu, struct sp *sp)
{
	INVARIANT(sp->state == SP_DOOMED);
	if (mmu->config.kind == MMU_EPT) /* a shadow page was emptied when it was zapped */
		table_fill(sp->table, SPTE_EMPTY);
	if (sp->for_mmio)
		__atomic_fetch_sub(&mmu->pool.mmio_tables, 1, __ATOMIC_RELAXED);
	spin_lock(&mmu->pool.lock);
	pool_push(&mmu->pool, sp);
	spin_unlock(&mmu->pool.lock);
}

bool sp_reserve_fill(struct mmu *mmu, struct sp_reserve *r)
{
	struct sp_pool *pool = &mmu->pool;

	r->count = 0;
	do {
		spin_lock(&pool->lock);
		while (pool->free && r->count < SP_RESERVE)
			r->sp[r->count++] = pool_pop(pool);
		spin_unlock(&pool->lock);
	} while (r->count < SP_RESERVE && pool_grow(mmu));
	if (r->count == SP_RESERVE)
		return true;
	sp_reserve_return(mmu, r);
	return false;
}

struct sp *sp_reserve_take(struct sp_reserve *r, gfn_t gfn, int level)
{
	return r->count == 0 ? NULL : sp_place(r->sp[--r->count], gfn, level);
}

void sp_reserve_return(struct mmu *mmu, struct sp_reserve *r)
{
	spin_lock(&mmu->pool.lock);
	while (r->count > 0)
		pool_push(&mmu->pool, r->sp[--r->count]);
	spin_unlock(&mmu->pool.lock);
}

/* A frame that the external table has kept must not get a new owner, and a block goes whole. */
static bool block_is_lost(const struct sp *block)
{
	for (uint32_t i = 1; i < SP_BLOCK_FRAMES; i++)
		if (block[i].state == SP_LOST)
			return true;
	return false;
}

void sp_pool_destroy(struct mmu *mmu)
{
	struct sp *next;

	for (struct sp *block = mmu->pool.blocks; block; block = next) {
		next = block->next;
		if (!block_is_lost(block))
			frame_free_run(virt_to_phys(block), SP_BLOCK_FRAMES, OWNER_VM_META(mmu->config.vm_id));
	}
	for (uint32_t i = 0; i < SP_DIRECTORY; i++)
		if (mmu->pool.directory[i])
			frame_free(virt_to_phys(mmu->pool.directory[i]), OWNER_VM_META(mmu->config.vm_id));
	memset(mmu->pool.directory, 0, sizeof(mmu->pool.directory));
	mmu->pool.blocks = NULL;
	mmu->pool.free = NULL;
	mmu->pool.free_count = 0;
	mmu->pool.block_count = 0;
}
