/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c tests/unit/soft_tree.c */
/*
 * Random histories of a TD's memory in the software TDX module: the host's calls and the guest's on the same few
 * addresses, with up to three vCPUs inside, against a second statement of the rules. After every call: the
 * status is the one expected; PAMT, tables and page count agree; a call that failed has changed nothing;
 * what a vCPU inside knows is memory of the TD; the guest finds in a page what it left there, and zeros in a new
 * one; SEPT.RD agrees with the second statement. SOFT_TEST_SEED and SOFT_TEST_STEPS choose another history.
 */
#include "tests/unit/soft_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmx/core/reasons.h"

#define BASE GIB(5)
#define REGIONS 3u  /* of 2M */
#define SMALL 512u
#define VCPUS 3u
#define LARGE_PAGES 8u
#define SMALL_PAGES 64u
#define POISON 0xeeeeeeeeeeeeeeeeul

/* ---- the second statement of the rules ---- */

struct entry {
	enum { FREE, LEAF, TABLE } kind;
	bool pending, blocked;
	uint64_t bepoch;
	hpa_t hpa;
	uint64_t contents; /* of an accepted leaf: its first word, in each of its 4K pages */
};

static struct entry big[REGIONS], small[REGIONS][SMALL];
static uint64_t contents[REGIONS][SMALL]; /* the guest's first word of each 4K page, where it is accepted */
static uint64_t epoch;
static struct {
	bool inside;
	uint64_t epoch;
	hpa_t tlb[REGIONS][SMALL];
} vcpu[VCPUS];

static struct world_td td;
static uint64_t random_state;
static unsigned steps, depth;

static uint32_t pick(uint32_t n)
{
	random_state = random_state * 6364136223846793005ul + 1442695040888963407ul;
	return (uint32_t)(random_state >> 33) % n;
}

static bool tracked(uint64_t bepoch)
{
	for (uint32_t i = 0; i < VCPUS; i++)
		if (vcpu[i].inside && vcpu[i].epoch <= bepoch)
			return false;
	return epoch > bepoch;
}

static bool track_is_busy(void)
{
	for (uint32_t i = 0; i < VCPUS; i++)
		if (vcpu[i].inside && vcpu[i].epoch < epoch)
			return true;
	return false;
}

/* ---- where a call works, and with what ---- */

struct place {
	uint32_t region, index, level;
	gpa_t gpa;
	struct entry *e;
};

static struct place pick_place(void)
{
	struct place p = { .region = pick(REGIONS), .level = pick(3) ? SOFT_2M : SOFT_4K };

	/* Few of the small ones, so that calls meet. */
	p.index = p.level == SOFT_4K ? pick(4) * 170 : 0;
	p.gpa = BASE + p.region * MIB(2) + p.index * PAGE_SIZE;
	p.e = p.level == SOFT_4K ? &small[p.region][p.index] : &big[p.region];
	return p;
}

static bool reachable(const struct place *p)
{
	return p->level == SOFT_2M || (big[p->region].kind == TABLE && !big[p->region].blocked);
}

static hpa_t large_pages[LARGE_PAGES], small_pages[SMALL_PAGES];

static bool is_free(hpa_t page, uint32_t level)
{
	for (hpa_t at = page; at < page + level_size(level); at += PAGE_SIZE)
		for (uint32_t k = SOFT_4K; k <= SOFT_2M; k++)
			if (pamt_entry(&world.m, at, k)->type != TDX_PT_NDA)
				return false;
	return true;
}

/* 0: there is none. */
static hpa_t pick_page(uint32_t level)
{
	uint32_t count = level == SOFT_2M ? LARGE_PAGES : SMALL_PAGES, from = pick(count);

	for (uint32_t i = 0; i < count; i++) {
		hpa_t page = level == SOFT_2M ? large_pages[(from + i) % count] : small_pages[(from + i) % count];

		if (is_free(page, level)) {
			for (hpa_t at = page; at < page + level_size(level); at += PAGE_SIZE)
				*(uint64_t *)world_at(at) = POISON;
			return page;
		}
	}
	return 0;
}

/* ---- what must hold ---- */

static uint64_t mix(uint64_t hash, const void *data, size_t bytes)
{
	const uint64_t *words = data;

	for (size_t i = 0; i < bytes / 8; i++)
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ul + (hash >> 29);
	return hash;
}

/* All that the module knows of the TD, but for the bits by which host and guest agree on who is first. */
static uint64_t state_hash(void)
{
	uint64_t hash = mix(mix(0, td_tdr(&td), sizeof(struct soft_tdr)), td_tdcs(&td), sizeof(struct soft_tdcs));

	for (uint32_t i = 0; i < REGIONS; i++)
		if (big[i].kind == TABLE)
			hash = mix(hash, world_at(big[i].hpa), PAGE_SIZE);
	for (uint32_t i = 0; i < SMALL_PAGES; i++)
		hash = mix(hash, pamt_entry(&world.m, small_pages[i], SOFT_4K), sizeof(struct pamt_entry));
	for (uint32_t i = 0; i < LARGE_PAGES; i++) {
		hash = mix(hash, pamt_entry(&world.m, large_pages[i], SOFT_2M), sizeof(struct pamt_entry));
		hash = mix(hash, pamt_entry(&world.m, large_pages[i], SOFT_4K), SMALL * sizeof(struct pamt_entry));
	}
	return hash;
}

/* As SEPT.RD has it. */
static void entry_is(const struct place *p)
{
	const struct entry *e = p->e;
	uint64_t leaf = e->pending || e->blocked ? SEEN_NO_ACCESS(e->hpa) : SEEN_MAPPED(e->hpa);
	uint32_t state = e->kind == TABLE ? (e->blocked ? TDX_SEPT_NL_BLOCKED : TDX_SEPT_NL_MAPPED) :
		e->kind == FREE ? TDX_SEPT_FREE : e->pending ? (e->blocked ? TDX_SEPT_PENDING_BLOCKED : TDX_SEPT_PENDING) :
		e->blocked ? TDX_SEPT_BLOCKED : TDX_SEPT_MAPPED;

	if (!reachable(p))
		return;
	tree_is(&td, p->gpa, p->level, e->kind == TABLE ? (e->blocked ? 0 : 7) : e->kind == FREE ? SEEN_FREE : leaf,
		(enum tdx_sept_state)state);
}

static void all_entries_are(void)
{
	for (uint32_t r = 0; r < REGIONS; r++) {
		entry_is(&(struct place){ r, 0, SOFT_2M, BASE + r * MIB(2), &big[r] });
		for (uint32_t i = 0; i < SMALL; i += 17)
			entry_is(&(struct place){ r, i, SOFT_4K, BASE + r * MIB(2) + i * PAGE_SIZE, &small[r][i] });
	}
}

/* p2: memory of the TD, whatever else it is by now. */
static void known_memory_is_the_tds(void)
{
	for (uint32_t i = 0; i < VCPUS; i++)
		for (uint32_t k = 0; vcpu[i].inside && k < REGIONS * SMALL; k++) {
			hpa_t page = vcpu[i].tlb[k / SMALL][k % SMALL];
			struct pamt_entry *e;

			if (!page)
				continue;
			e = pamt_entry(&world.m, page, SOFT_2M);
			if (e->type == TDX_PT_NDA)
				e = pamt_entry(&world.m, page, SOFT_4K);
			assert_int_equal(e->type, TDX_PT_REG);
			assert_int_equal(pamt_owner(e), td.tdr);
		}
}

/* ---- the host's calls ---- */

static uint64_t before;
static bool worked; /* the last call */

static uint64_t expect(uint64_t status, uint64_t expected)
{
	assert_int_equal(status, expected);
	worked = !status;
	if (status & TDX_ERROR)
		assert_int_equal(state_hash(), before);
	return status;
}

static uint64_t gone(const struct place *p)
{
	if (!p->e->blocked)
		return ST(0xc0000b06, 1);
	return tracked(p->e->bepoch) ? SUCCESS : ST(0xc0000b08, 1);
}

static void host_add_table(struct place *p)
{
	hpa_t page = pick_page(SOFT_4K);

	if (!page || p->level != SOFT_2M)
		return;
	if (expect(mem(&td, TDH_MEM_SEPT_ADD, p->gpa, p->level, page), p->e->kind == FREE ? SUCCESS : ST(0xc0000b0d, 1)))
		return;
	*p->e = (struct entry){ .kind = TABLE, .hpa = page };
	memset(small[p->region], 0, sizeof(small[p->region]));
}

static void host_aug(struct place *p)
{
	hpa_t page = pick_page(p->level);
	uint64_t expected = !reachable(p) ? ST(0xc0000b00, 1) : p->e->kind == FREE ? SUCCESS : ST(0xc0000b0d, 1);

	if (page && !expect(mem(&td, TDH_MEM_PAGE_AUG, p->gpa, p->level, page), expected))
		*p->e = (struct entry){ .kind = LEAF, .pending = true, .hpa = page };
}

static void host_block(struct place *p)
{
	uint64_t expected = !reachable(p) ? ST(0xc0000b00, 1) : p->e->kind == FREE ? ST(0xc0000b0d, 1) :
		p->e->blocked ? ST(0x00000b07, 1) : SUCCESS;

	if (expect(mem(&td, TDH_MEM_RANGE_BLOCK, p->gpa, p->level, 0), expected))
		return;
	p->e->blocked = true;
	p->e->bepoch = epoch;
}

static void host_unblock(struct place *p)
{
	uint64_t expected = !reachable(p) ? ST(0xc0000b00, 1) : !p->e->blocked ? ST(0xc0000b0d, 1) :
		tracked(p->e->bepoch) ? SUCCESS : ST(0xc0000b08, 0x92);

	if (!expect(mem(&td, TDH_MEM_RANGE_UNBLOCK, p->gpa, p->level, 0), expected))
		p->e->blocked = false;
}

static void host_track(struct place *p)
{
	(void)p;
	if (!expect(sc(0, TDH_MEM_TRACK, td.tdr, 0, 0, 0), track_is_busy() ? ST(0x80000201, 0) : SUCCESS))
		epoch++;
}

static void host_remove(struct place *p)
{
	uint64_t expected = !reachable(p) ? ST(0xc0000b00, 1) : p->e->kind != LEAF ? ST(0xc0000b0d, 1) : gone(p);

	if (expect(mem(&td, TDH_MEM_PAGE_REMOVE, p->gpa, p->level, 0), expected))
		return;
	assert_int_equal(out.gpr[TDX_RCX], p->e->hpa);
	*p->e = (struct entry){ .kind = FREE };
}

static uint32_t children_of_kind(uint32_t region, int kind)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < SMALL; i++)
		count += (int)small[region][i].kind == kind;
	return count;
}

static void host_remove_table(struct place *p)
{
	uint64_t expected = p->e->kind != TABLE ? ST(0xc0000b0d, 1) : gone(p);

	if (p->level != SOFT_2M)
		return;
	if (!expected && children_of_kind(p->region, FREE) != SMALL)
		expected = ST(0xc0000b0e, 1);
	if (expect(mem(&td, TDH_MEM_SEPT_REMOVE, p->gpa, p->level, 0), expected))
		return;
	assert_int_equal(out.gpr[TDX_RCX], p->e->hpa);
	*p->e = (struct entry){ .kind = FREE };
}

static void host_demote(struct place *p)
{
	uint64_t expected = p->e->kind != LEAF ? ST(0xc0000b0d, 1) : gone(p);
	hpa_t table = pick_page(SOFT_4K);

	if (p->level != SOFT_2M || !table || expect(mem(&td, TDH_MEM_PAGE_DEMOTE, p->gpa, p->level, table), expected))
		return;
	for (uint32_t i = 0; i < SMALL; i++)
		small[p->region][i] = (struct entry){
			.kind = LEAF, .pending = p->e->pending, .hpa = p->e->hpa + i * PAGE_SIZE
		};
	*p->e = (struct entry){ .kind = TABLE, .hpa = table };
}

static bool can_promote(uint32_t region)
{
	const struct entry *first = &small[region][0];

	for (uint32_t i = 0; i < SMALL; i++) {
		const struct entry *e = &small[region][i];

		if (e->kind != LEAF || e->blocked || e->pending != first->pending || e->hpa != first->hpa + i * PAGE_SIZE)
			return false;
	}
	return is_aligned(first->hpa, MIB(2));
}

static void host_promote(struct place *p)
{
	uint64_t expected = p->e->kind != TABLE ? ST(0xc0000b0d, 1) : gone(p);

	if (p->level != SOFT_2M)
		return;
	if (!expected && !can_promote(p->region))
		expected = ST(0xc0000b09, 1);
	if (expect(mem(&td, TDH_MEM_PAGE_PROMOTE, p->gpa, p->level, 0), expected))
		return;
	assert_int_equal(out.gpr[TDX_RCX], p->e->hpa);
	*p->e = small[p->region][0];
	memset(small[p->region], 0, sizeof(small[p->region]));
}

static void host_relocate(struct place *p)
{
	uint64_t expected = !reachable(p) ? ST(0xc0000b00, 1) : p->e->kind != LEAF ? ST(0xc0000b0d, 1) : gone(p);
	hpa_t to = pick_page(SOFT_4K);

	if (!to || p->level != SOFT_4K || expect(mem(&td, TDH_MEM_PAGE_RELOCATE, p->gpa, SOFT_4K, to), expected))
		return;
	assert_int_equal(out.gpr[TDX_RCX], p->e->hpa);
	p->e->hpa = to;
	p->e->blocked = false;
}

/* All small pages of a region go, so that its table can; with no vCPU inside. */
static void host_sweep(struct place *p)
{
	for (uint32_t i = 0; i < SMALL && !depth && big[p->region].kind == TABLE && !big[p->region].blocked; i++) {
		struct place at = { p->region, i, SOFT_4K, BASE + p->region * MIB(2) + i * PAGE_SIZE, &small[p->region][i] };

		if (at.e->kind == FREE)
			continue;
		if (!at.e->blocked)
			host_block(&at);
		host_track(&at);
		host_remove(&at);
	}
}

/* ---- the guest's doings, by the vCPU that entered last ---- */

static uint32_t inside_now; /* its number */

static uint64_t accept_inside(const struct place *p, enum tdg_end *how)
{
	struct soft_call c = { .m = &world.m, .lp = inside_now };
	struct soft_vp *vp = td_vp(&td, inside_now);
	struct soft_vcpu v = { .vp = vp, .td = { .hpa = td.tdr, .tdr = td_tdr(&td), .tdcs = td_tdcs(&td) } };
	struct tdg_call t = { .c = &c, .v = &v };

	vp->gpr[TDX_RCX] = p->gpa | p->level;
	*how = tdg_mem_page_accept(&t);
	return *how == TDG_DONE ? t.status : 0;
}

static void accepted(const struct place *p)
{
	uint32_t pages = p->level == SOFT_2M ? SMALL : 1;

	p->e->pending = false;
	for (uint32_t i = 0; i < pages; i++)
		contents[p->region][p->index + i] = 0;
}

static void guest_accepts(struct place *p)
{
	const struct entry *above = &big[p->region];
	bool mapped_above = p->level == SOFT_4K && above->kind == LEAF && !above->pending && !above->blocked;
	enum tdg_end how;
	uint64_t status = accept_inside(p, &how);

	if (!reachable(p)) {
		assert_int_equal(how, mapped_above ? TDG_DONE : TDG_EXIT);
		assert_int_equal(status, mapped_above ? ST(0x00000b0a, 1) : 0);
	} else if (p->e->kind == TABLE) {
		assert_int_equal(status, ST(0xc0000b0b, 1));
	} else if (p->e->kind == LEAF && !p->e->blocked && p->e->pending) {
		assert_int_equal(how, TDG_DONE);
		assert_int_equal(status, SUCCESS);
		accepted(p);
	} else if (p->e->kind == LEAF && !p->e->blocked) {
		assert_int_equal(status, ST(0x00000b0a, p->level));
	} else {
		assert_int_equal(how, TDG_EXIT);
	}
}

/* A look and a write through what it knows, else through a walk, as the CPU would. */
static void guest_uses(struct place *p)
{
	uint32_t index = p->level == SOFT_2M ? pick(SMALL) : p->index;
	hpa_t *known = &vcpu[inside_now].tlb[p->region][index];
	gpa_t gpa = BASE + p->region * MIB(2) + index * PAGE_SIZE;
	struct sept_walk at;

	if (!*known) {
		sept_walk(&world.m, td.tdcx[TDCS_SEPT_ROOT], SOFT_512G, gpa, SOFT_4K, &at);
		if (!(at.value & SEPT_LEAF) || (at.value & SEPT_RWX) != SEPT_RWX)
			return;
		*known = sept_hpa(at.value, at.level) + gpa % level_size(at.level);
	}
	assert_int_equal(*(uint64_t *)world_at(*known), contents[p->region][index]);
	contents[p->region][index] = *(uint64_t *)world_at(*known) = (uint64_t)pick(1u << 30) + 1;
}

static void forget_all(struct soft_vp *vp)
{
	memset(vcpu[vp->index].tlb, 0, sizeof(vcpu[vp->index].tlb));
}

static void history(struct soft_vp *vp);

/* Another vCPU enters, makes its part of the history, and leaves. */
static void enter_one(struct place *p)
{
	uint32_t i = pick(VCPUS), outer = inside_now;

	(void)p;
	if (vcpu[i].inside)
		return;
	vcpu[i].inside = true;
	vcpu[i].epoch = epoch;
	inside_now = i;
	world.guest = history;
	assert_int_equal(enter(i, td.vp[i]), REASON_EXTERNAL_INTERRUPT);
	vcpu[i].inside = false;
	inside_now = outer;
}

typedef void (*doing_fn)(struct place *p);
static const doing_fn host[] = {
	host_add_table, host_aug, host_block, host_unblock, host_track, host_remove, host_remove_table, host_demote,
	host_promote, host_relocate, enter_one,
};
static unsigned succeeded[ARRAY_LEN(host)];
static const doing_fn guest[] = { guest_accepts, guest_accepts, guest_uses, guest_uses, guest_uses };

/* A call of the host that may well succeed at that entry: histories of refusals alone show little. */
static doing_fn likely(const struct place *p)
{
	static const doing_fn leaf[] = { host_remove, host_demote, host_relocate, host_unblock };
	static const doing_fn table[] = { host_remove_table, host_promote, host_unblock };

	if (!reachable(p) && big[p->region].kind == TABLE)
		return tracked(big[p->region].bepoch) ? host_unblock : host_track;
	if (p->e->kind == FREE)
		return pick(2) ? host_aug : host_add_table;
	if (!p->e->blocked && p->e->kind == TABLE && !can_promote(p->region) && pick(4))
		return pick(4) ? enter_one : host_sweep;
	if (!p->e->blocked)
		return host_block;
	if (!tracked(p->e->bepoch))
		return host_track;
	return p->e->kind == TABLE ? table[pick(ARRAY_LEN(table))] : leaf[pick(ARRAY_LEN(leaf))];
}

static void by_host(struct place *p)
{
	doing_fn what = pick(3) ? likely(p) : host[pick(ARRAY_LEN(host))];

	worked = false;
	what(p);
	for (uint32_t i = 0; i < ARRAY_LEN(host) && worked; i++)
		if (host[i] == what) {
			succeeded[i]++;
			break;
		}
}

static void step(void)
{
	struct place p = pick_place();

	steps--;
	before = state_hash();
	if (depth && !pick(2))
		guest[pick(ARRAY_LEN(guest))](&p);
	else
		by_host(&p);
	tree_check(&td);
	known_memory_is_the_tds();
	entry_is(&p);
	if (steps % 64 == 0)
		all_entries_are();
}

static void history(struct soft_vp *vp)
{
	(void)vp;
	depth++;
	for (uint32_t n = pick(20); n && steps; n--)
		step();
	depth--;
}

static void random_histories(void **state)
{
	const char *seed = getenv("SOFT_TEST_SEED"), *count = getenv("SOFT_TEST_STEPS");

	(void)state;
	random_state = seed ? strtoul(seed, NULL, 0) : 20;
	steps = count ? (unsigned)strtoul(count, NULL, 0) : 6000;
	world_ready();
	td_run_with(&td, WORLD_HKID(0), VCPUS);
	tree_to(&td, BASE, SOFT_2M);
	for (uint32_t i = 0; i < SMALL_PAGES; i++)
		small_pages[i] = world_page();
	for (uint32_t i = 0; i < LARGE_PAGES; i++)
		large_pages[i] = world_large_page();
	epoch = td_tdcs(&td)->epoch;
	world.on_tlb_flush = forget_all;
	while (steps)
		step();
	for (uint32_t i = 0; i < ARRAY_LEN(host) && host[i] != enter_one; i++)
		assert_true(succeeded[i] || count); /* a history that shows something */
	if (getenv("SOFT_TEST_COUNTS"))
		for (uint32_t i = 0; i < ARRAY_LEN(host); i++)
			printf("host call %u succeeded %u times\n", i, succeeded[i]);
	tree_tear_down(&td);
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(random_histories) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
