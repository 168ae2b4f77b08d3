/*
 * Table pages: blocks, the pool, and the vCPUs' caches of spares.
 */
#include "mmu/sp.h"

#include "hv/base/frame.h"
#include "mmu/hugepage.h"
#include "mmu/spte.h"

static void table_fill(uint64_t *table, uint64_t value)
{
	uint64_t count = SPTES_PER_TABLE;

	__asm__ volatile("rep stosq" : "+D"(table), "+c"(count) : "a"(value) : "memory");
}

static void pool_push(struct sp_pool *pool, struct sp *sp)
{
	sp->state = SP_FREE;
	sp->next = pool->free;
	pool->free = sp;
}

static void pool_add_block(struct sp_pool *pool, hpa_t block)
{
	struct sp *headers = phys_to_virt(block);

	headers[0].state = SP_BLOCK;
	headers[0].next = pool->blocks;
	pool->blocks = headers;
	pool->block_count++;
	for (uint32_t i = SP_BLOCK_FRAMES - 1; i > 0; i--) {
		headers[i].table = phys_to_virt(block + i * PAGE_SIZE);
		pool_push(pool, &headers[i]);
	}
}

/* Moves free tables to the vCPU's cache until that is full or there are none. */
static void pool_take(struct sp_pool *pool, struct mmu_vcpu *mv)
{
	spin_lock(&pool->lock);
	while (pool->free && mv->spare_count < MMU_SPARES) {
		struct sp *sp = pool->free;

		pool->free = sp->next;
		sp->state = SP_SPARE;
		mv->spare[mv->spare_count++] = sp;
	}
	spin_unlock(&pool->lock);
}

static bool pool_grow(struct mmu *mmu)
{
	hpa_t block = frame_alloc_run(SP_BLOCK_FRAMES, SP_BLOCK_FRAMES, OWNER_VM_META(mmu->config.vm_id));

	if (block == HPA_NONE)
		return false;
	for (uint64_t i = 1; i < SP_BLOCK_FRAMES; i++)
		table_fill(phys_to_virt(block + i * PAGE_SIZE), SPTE_EMPTY);
	spin_lock(&mmu->pool.lock);
	pool_add_block(&mmu->pool, block);
	spin_unlock(&mmu->pool.lock);
	return true;
}

void sp_topup(struct mmu_vcpu *mv)
{
	do {
		pool_take(&mv->mmu->pool, mv);
	} while (mv->spare_count < MMU_SPARES && pool_grow(mv->mmu));
}

void sp_drain(struct mmu_vcpu *mv)
{
	struct sp_pool *pool = &mv->mmu->pool;

	spin_lock(&pool->lock);
	while (mv->spare_count > 0)
		pool_push(pool, mv->spare[--mv->spare_count]);
	spin_unlock(&pool->lock);
}

static inline struct sp *prepare(struct sp *sp, gfn_t gfn, int level)
{
	sp->gfn = align_down(gfn, level_pages(level + 1));
	sp->level = (uint8_t)level;
	sp->state = SP_LINKED;
	sp->root_count = 0;
	sp->for_mmio = false;
	return sp;
}

struct sp *sp_take(struct mmu_vcpu *mv, gfn_t gfn, int level)
{
	if (UNLIKELY(mv->spare_count == 0))
		return NULL;
	return prepare(mv->spare[--mv->spare_count], gfn, level);
}

void sp_untake(struct mmu_vcpu *mv, struct sp *sp)
{
	sp->state = SP_SPARE;
	mv->spare[mv->spare_count++] = sp;
}

void sp_release(struct mmu *mmu, struct sp *sp)
{
	INVARIANT(sp->state == SP_DOOMED);
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
		while (pool->free && r->count < SP_RESERVE) {
			r->sp[r->count++] = pool->free;
			pool->free->state = SP_SPARE;
			pool->free = pool->free->next;
		}
		spin_unlock(&pool->lock);
	} while (r->count < SP_RESERVE && pool_grow(mmu));
	if (r->count == SP_RESERVE)
		return true;
	sp_reserve_return(mmu, r);
	return false;
}

struct sp *sp_reserve_take(struct sp_reserve *r, gfn_t gfn, int level)
{
	return r->count == 0 ? NULL : prepare(r->sp[--r->count], gfn, level);
}

void sp_reserve_return(struct mmu *mmu, struct sp_reserve *r)
{
	spin_lock(&mmu->pool.lock);
	while (r->count > 0)
		pool_push(&mmu->pool, r->sp[--r->count]);
	spin_unlock(&mmu->pool.lock);
}

void sp_pool_destroy(struct mmu *mmu)
{
	struct sp *next;

	for (struct sp *block = mmu->pool.blocks; block; block = next) {
		next = block->next;
		frame_free_run(virt_to_phys(block), SP_BLOCK_FRAMES, OWNER_VM_META(mmu->config.vm_id));
	}
	mmu->pool.blocks = NULL;
	mmu->pool.free = NULL;
	mmu->pool.block_count = 0;
}
