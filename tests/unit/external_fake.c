/*
 * The strict external table.
 */
#include "tests/unit/external_fake.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mmu/sp.h"
#include "mmu/spte.h"
#include "tests/unit/mmu_world.h"

#define ENTRIES 512
#define FAKE_ROOT 4

/* Page metadata. */
enum { NOBODYS, A_PAGE, A_TABLE };

struct fake_table {
	struct fake_entry entry[ENTRIES];
	hpa_t page;
};

static uint64_t pages_of(int level) { return 1ul << (9 * (level - 1)); }
static uint32_t index_of(gfn_t gfn, int level) { return gfn >> (9 * (level - 1)) & (ENTRIES - 1); }

static bool is_leaf(const struct fake_entry *e) { return e->state >= FAKE_MAPPED; }
static bool is_blocked(const struct fake_entry *e)
{
	return e->state == FAKE_BLOCKED || e->state == FAKE_PENDING_BLOCKED;
}

static int reject(struct fake *f, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(f->why, sizeof(f->why), fmt, args);
	va_end(args);
	f->rejected++;
	return -EIO;
}

/* The entry of that level; NULL when the walk ends before, and *end is where. */
static struct fake_entry *walk(struct fake *f, gfn_t gfn, int level, int *end)
{
	struct fake_table *table = f->root;

	for (*end = FAKE_ROOT; *end > level; (*end)--) {
		struct fake_entry *e = &table->entry[index_of(gfn, *end)];

		if (e->state != FAKE_TABLE)
			return NULL;
		table = e->table;
	}
	return &table->entry[index_of(gfn, level)];
}

/* Whether all frames of the page belong to nobody; then they become what they are used for. */
static bool take_page(struct fake *f, hpa_t page, int level, uint8_t use)
{
	uint64_t first = page >> PAGE_SHIFT, count = pages_of(level);

	if (page % (count << PAGE_SHIFT) || first + count > FAKE_FRAMES)
		return false;
	for (uint64_t i = 0; i < count; i++)
		if (f->metadata[first + i] != NOBODYS)
			return false;
	memset(&f->metadata[first], use, count);
	return true;
}

static void drop_page(struct fake *f, hpa_t page, int level)
{
	memset(&f->metadata[page >> PAGE_SHIFT], NOBODYS, pages_of(level));
}

/* Whether what was blocked in that epoch can be in no TLB. */
static bool is_tracked(const struct fake *f, uint64_t blocked)
{
	return (blocked == f->epoch - 1 && f->inside[blocked & 1] == 0) || blocked < f->epoch - 1;
}

static bool tlb_knows(const struct fake *f, gfn_t gfn, int level)
{
	for (int v = 0; v < FAKE_VCPUS; v++)
		for (int i = 0; i < FAKE_TLB; i++)
			if (f->vcpu[v].epoch == f->epoch && f->vcpu[v].tlb[i].page &&
			    f->vcpu[v].tlb[i].gfn - gfn < pages_of(level))
				return true;
	return false;
}

/* ---- the operations ---- */

static int do_link(struct fake *f, struct fake_entry *e, int level, hpa_t page)
{
	if (level == LEVEL_4K || level > FAKE_ROOT)
		return reject(f, "LINK at level %d", level);
	if (e->state != FAKE_FREE)
		return reject(f, "LINK over state %d", e->state);
	if (!take_page(f, page, 1, A_TABLE))
		return reject(f, "LINK of page %lx, which is in use", page);
	e->table = calloc(1, sizeof(*e->table));
	e->table->page = page;
	e->state = FAKE_TABLE;
	return 0;
}

static int do_map(struct fake *f, struct fake_entry *e, int level, hpa_t page)
{
	if (level > f->ops.max_level || (f->adding && (level != LEVEL_4K || f->running)))
		return reject(f, "MAP at level %d", level);
	if (e->state == FAKE_TABLE) {
		f->promotions++;
		return reject(f, "MAP at level %d over a table", level);
	}
	if (e->state != FAKE_FREE)
		return reject(f, "MAP over state %d", e->state);
	if (!take_page(f, page, level, A_PAGE))
		return reject(f, "MAP of page %lx, which is in use", page);
	e->page = page;
	e->state = f->adding ? FAKE_MAPPED : FAKE_PENDING;
	return 0;
}

static int do_block(struct fake *f, struct fake_entry *e)
{
	if (e->state != FAKE_MAPPED && e->state != FAKE_PENDING)
		return reject(f, "BLOCK of state %d", e->state);
	e->state = e->state == FAKE_MAPPED ? FAKE_BLOCKED : FAKE_PENDING_BLOCKED;
	e->epoch = f->epoch;
	return 0;
}

static int do_track(struct fake *f)
{
	if (f->inside[(f->epoch & 1) ^ 1])
		return -EBUSY; /* vCPUs of the previous epoch are still inside */
	f->epoch++;
	return 0;
}

static int do_unblock(struct fake *f, struct fake_entry *e)
{
	if (!is_blocked(e))
		return reject(f, "UNBLOCK of state %d", e->state);
	if (f->running && !is_tracked(f, e->epoch))
		return reject(f, "UNBLOCK before tracking");
	e->state = e->state == FAKE_BLOCKED ? FAKE_MAPPED : FAKE_PENDING;
	return 0;
}

/* The rules that REMOVE and DEMOTE share. */
static int judge_leaf(struct fake *f, const struct fake_entry *e, const char *what, gfn_t gfn, int level)
{
	if (!is_leaf(e))
		return reject(f, "%s of state %d", what, e->state);
	if (f->running && !is_blocked(e))
		return reject(f, "%s of what is not blocked", what);
	if (f->running && !is_tracked(f, e->epoch))
		return reject(f, "%s before tracking", what);
	if (f->running && tlb_knows(f, gfn, level))
		return reject(f, "%s of what a vCPU still has in its TLB", what);
	return 0;
}

static int do_remove(struct fake *f, struct fake_entry *e, gfn_t gfn, int level, hpa_t page)
{
	int err = judge_leaf(f, e, "REMOVE", gfn, level);

	if (err)
		return err;
	if (page != e->page)
		return reject(f, "REMOVE of page %lx where %lx is mapped", page, e->page);
	drop_page(f, e->page, level);
	*e = (struct fake_entry){ .state = FAKE_FREE };
	return 0;
}

static int do_demote(struct fake *f, struct fake_entry *e, gfn_t gfn, int level, hpa_t page)
{
	int err = judge_leaf(f, e, "DEMOTE", gfn, level);
	bool pending = e->state == FAKE_PENDING || e->state == FAKE_PENDING_BLOCKED;

	if (err)
		return err;
	if (level == LEVEL_4K)
		return reject(f, "DEMOTE of a 4K page");
	if (!take_page(f, page, 1, A_TABLE))
		return reject(f, "DEMOTE with page %lx, which is in use", page);
	e->table = calloc(1, sizeof(*e->table));
	e->table->page = page;
	for (uint32_t i = 0; i < ENTRIES; i++) {
		e->table->entry[i].state = pending ? FAKE_PENDING : FAKE_MAPPED;
		e->table->entry[i].page = e->page + (i * pages_of(level - 1) << PAGE_SHIFT);
	}
	e->state = FAKE_TABLE;
	return 0;
}

static int do_reclaim(struct fake *f, int level, hpa_t page)
{
	uint64_t first = page >> PAGE_SHIFT, count = level ? pages_of(level) : 1;

	if (!f->dead)
		return reject(f, "RECLAIM while the guest lives");
	if (f->keeps)
		return -EIO;
	for (uint64_t i = 0; i < count; i++)
		if (f->metadata[first + i] != (level ? A_PAGE : A_TABLE))
			return reject(f, "RECLAIM of page %lx, which is something else", page);
	drop_page(f, page, level ? level : 1);
	return 0;
}

static int do_entry(struct fake *f, enum external_op op, gfn_t gfn, int level, hpa_t page)
{
	int end;
	struct fake_entry *e = walk(f, gfn, level, &end);

	if (!e)
		return reject(f, "operation %d at gfn %lx, level %d: the walk ends at level %d", op, gfn, level, end);
	if (gfn % pages_of(level) || f->dead)
		return reject(f, "operation %d at gfn %lx, level %d, is not possible", op, gfn, level);
	switch (op) {
	case EXTERNAL_LINK: return do_link(f, e, level, page);
	case EXTERNAL_MAP: return do_map(f, e, level, page);
	case EXTERNAL_BLOCK: return do_block(f, e);
	case EXTERNAL_UNBLOCK: return do_unblock(f, e);
	case EXTERNAL_REMOVE: return do_remove(f, e, gfn, level, page);
	case EXTERNAL_DEMOTE: return do_demote(f, e, gfn, level, page);
	default: return reject(f, "operation %d", op);
	}
}

static int do_any(struct fake *f, enum external_op op, gfn_t gfn, int level, hpa_t page)
{
	if (op == EXTERNAL_TRACK)
		return do_track(f);
	return op == EXTERNAL_RECLAIM ? do_reclaim(f, level, page) : do_entry(f, op, gfn, level, page);
}

static bool is_busy(const struct fake *f)
{
	return f->stuck || (!f->barred && !f->dead && rnd(100) < f->busy_percent);
}

static int fake_act(void *ctx, enum external_op op, gfn_t gfn, int level, hpa_t page)
{
	struct fake *f = ctx;
	bool fails;
	int err = 0;

	if (f->meanwhile && (op == EXTERNAL_LINK || op == EXTERNAL_MAP))
		f->meanwhile(f, op, gfn, level);
	pthread_mutex_lock(&f->lock);
	fails = f->fail_in && --f->fail_in == 0;
	if (is_busy(f))
		err = -EBUSY;
	else if (op == EXTERNAL_DEMOTE && rnd(100) < f->interrupt_percent)
		err = -EINTR;
	else if (!fails || f->fail_late)
		err = do_any(f, op, gfn, level, page);
	if (fails)
		err = -EIO;
	f->busy += err == -EBUSY;
	f->ops_done[op] += !err;
	pthread_mutex_unlock(&f->lock);
	return err;
}

/* ---- vCPUs ---- */

static void enter(struct fake *f, struct fake_vcpu *v)
{
	if (v->epoch != f->epoch)
		memset(v->tlb, 0, sizeof(v->tlb));
	v->epoch = f->epoch;
	f->inside[v->epoch & 1]++;
	v->inside = true;
}

static void leave(struct fake *f, struct fake_vcpu *v)
{
	f->inside[v->epoch & 1]--;
	v->inside = false;
}

bool fake_enter(struct fake *f, uint32_t vcpu)
{
	bool good;

	pthread_mutex_lock(&f->lock);
	good = !f->barred;
	if (good && !f->vcpu[vcpu].inside)
		enter(f, &f->vcpu[vcpu]);
	pthread_mutex_unlock(&f->lock);
	return good;
}

void fake_exit(struct fake *f, uint32_t vcpu)
{
	pthread_mutex_lock(&f->lock);
	if (f->vcpu[vcpu].inside)
		leave(f, &f->vcpu[vcpu]);
	pthread_mutex_unlock(&f->lock);
}

/* All out; those that may, are back at once. */
static void fake_kick(void *ctx)
{
	struct fake *f = ctx;

	pthread_mutex_lock(&f->lock);
	f->kicks++;
	for (int i = 0; i < FAKE_VCPUS; i++) {
		if (!f->vcpu[i].inside)
			continue;
		leave(f, &f->vcpu[i]);
		if (!f->barred)
			enter(f, &f->vcpu[i]);
	}
	pthread_mutex_unlock(&f->lock);
}

static void fake_bar(void *ctx, bool barred)
{
	struct fake *f = ctx;

	pthread_mutex_lock(&f->lock);
	f->barred = barred;
	pthread_mutex_unlock(&f->lock);
}

static struct fake_entry lookup(struct fake *f, gfn_t gfn, int *level)
{
	struct fake_entry *e = walk(f, gfn, 1, level);

	return e ? *e : *walk(f, gfn, *level, level);
}

struct fake_entry fake_lookup(struct fake *f, gfn_t gfn, int *level)
{
	struct fake_entry e;

	pthread_mutex_lock(&f->lock);
	e = lookup(f, gfn, level);
	pthread_mutex_unlock(&f->lock);
	return e;
}

static bool from_tlb(const struct fake_vcpu *v, gfn_t gfn, hpa_t *page)
{
	for (int i = 0; i < FAKE_TLB; i++)
		if (v->tlb[i].page && v->tlb[i].gfn == gfn) {
			*page = v->tlb[i].page;
			return true;
		}
	return false;
}

static enum fake_access touch(struct fake *f, struct fake_vcpu *v, gfn_t gfn, hpa_t *page)
{
	struct fake_entry e;
	int level;

	if (from_tlb(v, gfn, page))
		return FAKE_GOOD;
	e = lookup(f, gfn, &level);
	if (e.state == FAKE_PENDING)
		return FAKE_NOT_ACCEPTED;
	if (e.state != FAKE_MAPPED)
		return FAKE_VIOLATION;
	*page = e.page + (gfn % pages_of(level) << PAGE_SHIFT);
	v->tlb[v->next % FAKE_TLB].gfn = gfn;
	v->tlb[v->next++ % FAKE_TLB].page = *page;
	return FAKE_GOOD;
}

enum fake_access fake_touch(struct fake *f, uint32_t vcpu, gfn_t gfn, hpa_t *page)
{
	enum fake_access result;

	pthread_mutex_lock(&f->lock);
	result = touch(f, &f->vcpu[vcpu], gfn, page);
	pthread_mutex_unlock(&f->lock);
	return result;
}

static enum fake_accept accept(struct fake *f, gfn_t gfn, int level)
{
	int at, end;
	struct fake_entry *e = walk(f, gfn, level, &end);

	if (e && e->state == FAKE_TABLE)
		return FAKE_SIZE_MISMATCH;
	if (!e) {
		struct fake_entry above = lookup(f, gfn, &at);

		return above.state == FAKE_MAPPED ? FAKE_ALREADY : FAKE_ACCEPT_EXIT;
	}
	if (e->state == FAKE_MAPPED)
		return FAKE_ALREADY;
	if (e->state != FAKE_PENDING)
		return FAKE_ACCEPT_EXIT;
	e->state = FAKE_MAPPED;
	return FAKE_ACCEPTED;
}

enum fake_accept fake_accept(struct fake *f, gfn_t gfn, int level)
{
	enum fake_accept result;

	pthread_mutex_lock(&f->lock);
	result = accept(f, gfn - gfn % pages_of(level), level);
	pthread_mutex_unlock(&f->lock);
	return result;
}

/* ---- comparing ---- */

static const char *table_differs(const struct fake_table *table, const struct sp *sp);

static const char *entry_differs(const struct fake_entry *e, uint64_t spte, int level)
{
	const struct sp *child;

	if (spte == SPTE_EMPTY)
		return e->state == FAKE_FREE ? NULL : "an entry is empty in the mirror alone";
	if (!spte_is_present(spte))
		return "an entry of the mirror is frozen";
	if (spte_is_leaf(spte, level)) {
		if (e->state != FAKE_MAPPED && e->state != FAKE_PENDING)
			return "a leaf of the mirror is none, or blocked, in the external table";
		return e->page == spte_hpa(spte) ? NULL : "a leaf maps another page than the mirror's";
	}
	if (e->state != FAKE_TABLE)
		return "a table is in the mirror alone";
	child = sp_of(spte_hpa(spte));
	return e->table->page == sp_hpa(child->external) ? table_differs(e->table, child)
							 : "a table lies in another page than the mirror's says";
}

static const char *table_differs(const struct fake_table *table, const struct sp *sp)
{
	const char *differs = NULL;

	for (uint32_t i = 0; !differs && i < ENTRIES; i++)
		differs = entry_differs(&table->entry[i], spte_read(&sp->table[i]), sp->level);
	return differs;
}

const char *fake_differs(struct fake *f, struct mmu *mmu)
{
	const char *differs;

	pthread_mutex_lock(&f->lock);
	differs = table_differs(f->root, mmu->mirror);
	pthread_mutex_unlock(&f->lock);
	return differs;
}

static void each_leaf(struct fake_table *table, gfn_t gfn, int level,
		      void (*fn)(void *ctx, gfn_t gfn, int level, enum fake_state state), void *ctx)
{
	for (uint32_t i = 0; i < ENTRIES; i++, gfn += pages_of(level)) {
		if (table->entry[i].state == FAKE_TABLE)
			each_leaf(table->entry[i].table, gfn, level - 1, fn, ctx);
		else if (table->entry[i].state != FAKE_FREE)
			fn(ctx, gfn, level, table->entry[i].state);
	}
}

void fake_for_each_leaf(struct fake *f, void (*fn)(void *ctx, gfn_t gfn, int level, enum fake_state state),
			void *ctx)
{
	each_leaf(f->root, 0, FAKE_ROOT, fn, ctx);
}

/* ---- life ---- */

void fake_start(struct fake *f, int max_level)
{
	memset(f, 0, sizeof(*f));
	f->ops = (struct mmu_external){ max_level, fake_act, fake_bar, fake_kick, f };
	pthread_mutex_init(&f->lock, NULL);
	f->root = calloc(1, sizeof(*f->root));
	f->metadata = calloc(FAKE_FRAMES, 1);
	f->epoch = 1;
}

static void free_table(struct fake_table *table)
{
	for (uint32_t i = 0; i < ENTRIES; i++)
		if (table->entry[i].state == FAKE_TABLE)
			free_table(table->entry[i].table);
	free(table);
}

void fake_renew(struct fake *f)
{
	for (uint64_t i = 0; i < FAKE_FRAMES; i++)
		INVARIANT(f->metadata[i] == NOBODYS);
	free_table(f->root);
	f->root = calloc(1, sizeof(*f->root));
	f->dead = f->running = false;
}

void fake_end(struct fake *f, bool may_lose)
{
	for (uint64_t i = 0; !may_lose && i < FAKE_FRAMES; i++)
		INVARIANT(f->metadata[i] == NOBODYS);
	free_table(f->root);
	free(f->metadata);
	pthread_mutex_destroy(&f->lock);
}
