/* A machine for the software TDX module; see the header. */
#define _GNU_SOURCE /* memfd_create() */
#include "tests/unit/soft_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "tdx/soft/sept.h"
#include "tests/unit/soft_cpu.h"
#include "vmx/core/fields.h"
#include "vmx/core/reasons.h"

#define CMR_BASE MIB(1)
#define PAMT_1 MIB(128) /* of TDMR 1 */

struct world world;
bool world_confined;
struct tdx_regs out;

/* ---- the platform ---- */

static uint32_t package_of(void *ctx, uint32_t lp)
{
	(void)ctx;
	return lp * world.packages / WORLD_LPS;
}

/*
 * What the module has mapped: on the LP that the thread is, and on others whose calls a guest makes while it runs.
 * Those of the call that is made just now begin at first; without a mark it is a test that looks at the module's memory
 * by the module's own functions.
 */
static __thread struct maps {
	uint32_t marks, first, used;
	hpa_t page[SOFT_MAX_MAPS * WORLD_LPS], large;
} maps;

/* Outside the call, as a guest and a test's hook are. */
static void leave_call(void (*fn)(struct soft_vp *vp), struct soft_vp *vp)
{
	uint32_t marks = maps.marks, first = maps.first;

	maps.marks = 0;
	maps.first = maps.used;
	fn(vp);
	maps.marks = marks;
	maps.first = first;
}

static bool is_mapped(hpa_t page)
{
	for (uint32_t i = 0; i < maps.used; i++)
		if (maps.page[i] == page)
			return true;
	return false;
}

static void protect(hpa_t page, uint64_t size, int how)
{
	if (world.window)
		assert_int_equal(mprotect(world.window + page, size, how), 0);
}

static uint8_t *module_view(void) { return world.window ? world.window : world.memory; }

static void *map(void *ctx, hpa_t page)
{
	(void)ctx;
	assert_true(is_aligned(page, PAGE_SIZE) && maps.used - maps.first < SOFT_MAX_MAPS);
	if (page >= WORLD_MEMORY || !maps.marks)
		return page < WORLD_MEMORY ? world.memory + page : NULL;
	maps.page[maps.used++] = page;
	world.most_maps = max_u64(world.most_maps, maps.used - maps.first);
	protect(page, PAGE_SIZE, PROT_READ | PROT_WRITE);
	return module_view() + page;
}

static void drop_large(void)
{
	if (maps.large)
		protect(maps.large, MIB(2), PROT_NONE);
	maps.large = 0;
}

static void *map_large(void *ctx, hpa_t page)
{
	(void)ctx;
	assert_true(is_aligned(page, MIB(2)) && page && page < WORLD_MEMORY);
	drop_large();
	maps.large = page;
	protect(page, MIB(2), PROT_READ | PROT_WRITE);
	return module_view() + page;
}

static uint32_t map_mark(void *ctx)
{
	(void)ctx;
	maps.marks++;
	return maps.used;
}

static void map_release(void *ctx, uint32_t mark)
{
	(void)ctx;
	assert_true(maps.marks-- && mark >= maps.first && mark <= maps.used);
	drop_large();
	while (maps.used > mark) {
		hpa_t page = maps.page[--maps.used];

		if (world.window && !is_mapped(page))
			protect(page, PAGE_SIZE, PROT_NONE);
	}
}

static void *map_shared(void *ctx, hpa_t page)
{
	(void)ctx;
	return page < WORLD_MEMORY ? world.memory + page : NULL;
}

static bool entropy(void *ctx, uint64_t *value)
{
	static uint64_t next;

	(void)ctx;
	*value = ++next * 0x9e3779b97f4a7c15ul;
	return !world.no_entropy;
}

static bool interrupt_pending(void *ctx, uint32_t lp)
{
	(void)ctx;
	return world.interrupt[lp];
}

static uint64_t now(void *ctx)
{
	(void)ctx;
	return __atomic_add_fetch(&world.tsc, 1, __ATOMIC_RELAXED);
}

static bool fail_on_demand(void *ctx, enum soft_fault fault, uint32_t operand)
{
	(void)ctx;
	return world.fault && world.fault(fault, operand);
}

/* ---- vCPUs ---- */

/* Its page holds the fields that were ever touched, found by open addressing. */
struct vmcs {
	struct {
		uint64_t key; /* encoding + 1; 0: none */
		uint64_t value;
	} field[PAGE_SIZE / 16];
};

static struct vmcs *vmcs_of(const struct soft_vp *vp) { return world_at(vp->page[TDVPS_VMCS]); }

static void vmcs_create(void *ctx, struct soft_vp *vp)
{
	(void)ctx;
	memset(vmcs_of(vp), 0, sizeof(struct vmcs));
}

uint64_t *guest_field(struct soft_vp *vp, uint32_t field)
{
	struct vmcs *v = vmcs_of(vp);
	uint32_t n = ARRAY_LEN(v->field), i = field * 97 % n;

	for (uint32_t tries = 0; tries < n; tries++, i = (i + 1) % n) {
		if (!v->field[i].key)
			v->field[i].key = field + 1;
		if (v->field[i].key == field + 1)
			return &v->field[i].value;
	}
	fail_msg("a VMCS has no more than %u fields here", n);
	return NULL;
}

static uint64_t vmcs_read(void *ctx, struct soft_vp *vp, uint32_t field)
{
	(void)ctx;
	return *guest_field(vp, field);
}

static void vmcs_write(void *ctx, struct soft_vp *vp, uint32_t field, uint64_t value)
{
	(void)ctx;
	*guest_field(vp, field) = value;
}

void guest_exits(struct soft_vp *vp, uint32_t reason, uint64_t qualification)
{
	*guest_field(vp, VMCS_EXIT_REASON) = reason;
	*guest_field(vp, VMCS_EXIT_QUALIFICATION) = qualification;
}

static void run(void *ctx, struct soft_vp *vp)
{
	(void)ctx;
	guest_exits(vp, REASON_EXTERNAL_INTERRUPT, 0);
	if (world.guest)
		leave_call(world.guest, vp);
}

static void load(void *ctx, struct soft_vp *vp, uint32_t xmm)
{
	(void)ctx;
	(void)vp;
	world.xmm_in = xmm;
}

static void save(void *ctx, struct soft_vp *vp, uint32_t xmm)
{
	(void)ctx;
	(void)vp;
	world.xmm_out = xmm;
}

static void apply(void *ctx, struct soft_vp *vp, enum soft_register reg)
{
	(void)ctx;
	(void)vp;
	world.applied[reg]++;
}

static void end_of_interrupt(void *ctx)
{
	(void)ctx;
	world.ends_of_interrupt++;
}

static void flush(void *ctx, struct soft_vp *vp)
{
	(void)ctx;
	(void)vp;
	__atomic_fetch_add(&world.flushes, 1, __ATOMIC_RELAXED);
}

static void flush_tlb(void *ctx, struct soft_vp *vp)
{
	(void)ctx;
	__atomic_fetch_add(&world.tlb_flushes, 1, __ATOMIC_RELAXED);
	if (world.on_tlb_flush)
		leave_call(world.on_tlb_flush, vp);
}

/* ---- start and end ---- */

static struct soft_platform platform(void)
{
	return (struct soft_platform){
		.hpa_bits = WORLD_HPA_BITS, .lps = WORLD_LPS, .packages = world.packages,
		.first_private_hkid = WORLD_GLOBAL_HKID, .private_hkids = WORLD_HKIDS,
		.keyid_shift = WORLD_KEYID_SHIFT, .cpu = soft_cpu_fake(SOFT_CPU_FULL),
		.num_cmrs = 2, .cmrs = { { CMR_BASE, GIB(1) - CMR_BASE }, { GIB(1), GIB(3) } },
		.package_of = package_of, .map = map, .map_large = map_large, .map_mark = map_mark,
		.map_release = map_release, .map_shared = map_shared, .entropy = entropy,
		.interrupt_pending = interrupt_pending, .now = now, .vmcs_create = vmcs_create,
		.vmcs_read = vmcs_read, .vmcs_write = vmcs_write, .run = run, .load = load, .save = save,
		.apply = apply, .end_of_interrupt = end_of_interrupt, .flush = flush,
		.flush_tlb = flush_tlb, .fail = fail_on_demand,
	};
}

void world_end(void)
{
	if (world.memory)
		munmap(world.memory, WORLD_MEMORY);
	if (world.window)
		munmap(world.window, WORLD_MEMORY);
	memset(&world, 0, sizeof(world));
	maps.marks = maps.first = maps.used = 0;
	maps.large = 0;
}

static void confine(void)
{
	int memory = memfd_create("memory", 0);
	const int flags = MAP_SHARED | MAP_NORESERVE;

	assert_true(memory >= 0 && ftruncate(memory, WORLD_MEMORY) == 0);
	munmap(world.memory, WORLD_MEMORY);
	world.memory = mmap(NULL, WORLD_MEMORY, PROT_READ | PROT_WRITE, flags, memory, 0);
	world.window = mmap(NULL, WORLD_MEMORY, PROT_NONE, flags, memory, 0);
	assert_true(world.memory != MAP_FAILED && world.window != MAP_FAILED);
	close(memory);
}

void world_start(void)
{
	struct soft_platform p;

	world_end();
	world.packages = WORLD_PACKAGES;
	world.next_page = WORLD_TDMR1;
	world.memory = mmap(NULL, WORLD_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		-1, 0);
	assert_true(world.memory != MAP_FAILED);
	if (world_confined)
		confine();
	p = platform();
	assert_int_equal(soft_init(&world.m, &p, NULL), 0);
}

void *world_at(hpa_t hpa)
{
	assert_true(hpa < WORLD_MEMORY);
	return world.memory + hpa;
}

hpa_t world_page(void)
{
	world.next_page += PAGE_SIZE;
	return world.next_page - PAGE_SIZE;
}

hpa_t world_large_page(void)
{
	hpa_t page = align_up(world.next_page, level_size(SOFT_2M));

	world.next_page = page + level_size(SOFT_2M);
	return page;
}

struct tdx_tdmr_info *world_tdmr_info(uint32_t i) { return world_at(WORLD_TDMR_ARRAY + (i + 1) * 512); }

static void write_tdmr(uint32_t i, hpa_t base, uint64_t size, hpa_t pamt)
{
	struct tdx_tdmr_info *t = world_tdmr_info(i);

	memset(t, 0, sizeof(*t));
	t->base = base;
	t->size = size;
	for (int k = TDX_PAMT_4K; k >= TDX_PAMT_1G; k--) {
		uint64_t bytes = size / level_size((uint32_t)(TDX_PAMT_4K - k)) * sizeof(struct pamt_entry);

		t->pamt[k] = (struct tdx_range){ pamt, align_up(bytes, PAGE_SIZE) };
		pamt += t->pamt[k].size;
	}
}

void world_write_tdmrs(void)
{
	uint64_t *array = world_at(WORLD_TDMR_ARRAY);

	write_tdmr(0, WORLD_TDMR0, GIB(1), WORLD_TDMR1 - WORLD_HOLE);
	world_tdmr_info(0)->reserved[0] = (struct tdx_range){ GIB(1) - WORLD_HOLE, WORLD_HOLE };
	write_tdmr(1, WORLD_TDMR1, GIB(2), PAMT_1);
	for (uint32_t i = 0; i < WORLD_TDMRS; i++)
		array[i] = WORLD_TDMR_ARRAY + (i + 1) * 512;
}

void world_configure(void)
{
	assert_int_equal(sc(0, TDH_SYS_INIT, 0, 0, 0, 0), 0);
	for (uint32_t lp = 0; lp < WORLD_LPS; lp++)
		assert_int_equal(sc(lp, TDH_SYS_LP_INIT, 0, 0, 0, 0), 0);
	world_write_tdmrs();
	assert_int_equal(sc(0, TDH_SYS_CONFIG, WORLD_TDMR_ARRAY, WORLD_TDMRS, WORLD_GLOBAL_HKID, 0), 0);
	for (uint32_t i = 0; i < world.packages; i++)
		assert_int_equal(sc(i * WORLD_LPS / world.packages, TDH_SYS_KEY_CONFIG, 0, 0, 0, 0), 0);
}

void world_init_tdmrs(void)
{
	for (uint32_t i = 0; i < WORLD_TDMRS; i++) {
		const struct tdx_tdmr_info *t = world_tdmr_info(i);

		do
			assert_int_equal(sc(0, TDH_SYS_TDMR_INIT, t->base, 0, 0, 0), 0);
		while (out.gpr[TDX_RDX] != t->base + t->size);
	}
}

void world_ready(void)
{
	world_start();
	world_configure();
	world_init_tdmrs();
}

/* ---- calls ---- */

uint64_t sc(uint32_t lp, uint64_t leaf, uint64_t rcx, uint64_t rdx, uint64_t r8, uint64_t r9)
{
	struct tdx_regs r = { 0 };

	r.gpr[TDX_RAX] = leaf;
	r.gpr[TDX_RCX] = rcx;
	r.gpr[TDX_RDX] = rdx;
	r.gpr[TDX_R8] = r8;
	r.gpr[TDX_R9] = r9;
	soft_seamcall(&world.m, lp, &r);
	out = r;
	return r.gpr[TDX_RAX];
}

uint64_t enter(uint32_t lp, hpa_t tdvpr)
{
	struct tdx_regs r = out;

	r.gpr[TDX_RAX] = TDH_VP_ENTER;
	r.gpr[TDX_RCX] = tdvpr;
	soft_seamcall(&world.m, lp, &r);
	out = r;
	return r.gpr[TDX_RAX];
}

/* ---- TDs ---- */

struct tdx_td_params *world_params(void)
{
	struct tdx_td_params *p = world_at(WORLD_PARAMS);

	memset(p, 0, sizeof(*p));
	p->attributes = TDX_ATTR_SEPT_VE_DISABLE;
	p->xfam = 0x2e7;
	p->max_vcpus = 4;
	p->eptp_controls = 0x1e;
	p->config_flags = TDX_CONFIG_NO_RBP_MOD;
	p->tsc_frequency = (uint16_t)(world.m.platform.cpu.tsc_hz / TDX_TSC_UNIT);
	return p;
}

void td_create(struct world_td *td, uint32_t hkid)
{
	*td = (struct world_td){ .tdr = world_page(), .hkid = hkid };
	assert_int_equal(sc(0, TDH_MNG_CREATE, td->tdr, hkid, 0, 0), 0);
	for (uint32_t i = 0; i < world.packages; i++)
		assert_int_equal(sc(i * WORLD_LPS / world.packages, TDH_MNG_KEY_CONFIG, td->tdr, 0, 0, 0), 0);
}

void td_add_tdcs(struct world_td *td)
{
	for (uint32_t i = 0; i < TDX_TDCS_PAGES; i++) {
		td->tdcx[i] = world_page();
		assert_int_equal(sc(0, TDH_MNG_ADDCX, td->tdcx[i], td->tdr, 0, 0), 0);
	}
}

void td_build(struct world_td *td, uint32_t hkid)
{
	td_create(td, hkid);
	td_add_tdcs(td);
	world_params();
	assert_int_equal(sc(0, TDH_MNG_INIT, td->tdr, WORLD_PARAMS, 0, 0), 0);
}

hpa_t td_add_pages_of_vcpu(struct world_td *td)
{
	hpa_t vp = td->vp[td->vcpus++] = world_page();

	assert_int_equal(sc(0, TDH_VP_CREATE, vp, td->tdr, 0, 0), 0);
	for (uint32_t i = 1; i < TDX_TDVPS_PAGES; i++)
		assert_int_equal(sc(0, TDH_VP_ADDCX, world_page(), vp, 0, 0), 0);
	return vp;
}

hpa_t td_add_vcpu(struct world_td *td, uint32_t lp)
{
	hpa_t vp = td_add_pages_of_vcpu(td);

	assert_int_equal(sc(lp, TDH_VP_INIT, vp, 0x1234, 0, 0), 0);
	return vp;
}

void td_run(struct world_td *td, uint32_t hkid) { td_run_with(td, hkid, 1); }

void td_run_with(struct world_td *td, uint32_t hkid, uint32_t vcpus)
{
	td_build(td, hkid);
	for (uint32_t i = 0; i < vcpus; i++)
		td_add_vcpu(td, i);
	assert_int_equal(sc(0, TDH_MR_FINALIZE, td->tdr, 0, 0, 0), 0);
}

struct soft_tdr *td_tdr(const struct world_td *td) { return world_at(td->tdr); }
struct soft_tdcs *td_tdcs(const struct world_td *td) { return world_at(td->tdcx[TDCS_BASE]); }
struct soft_vp *td_vp(const struct world_td *td, uint32_t i) { return world_at(td->vp[i]); }

struct tree_walk {
	const struct soft_tdcs *tdcs;
	hpa_t tdr;
	void (*fn)(void *ctx, hpa_t page, uint32_t level, bool leaf);
	void *ctx;
};

static void check_entry(const struct tree_walk *w, uint64_t e, hpa_t page, uint32_t level)
{
	const struct pamt_entry *record = pamt_entry(&world.m, page, level);

	assert_false(e & SEPT_LOCK);
	assert_int_equal(!!(e & SEPT_RWX), sept_is(e, SEPT_IN(TDX_SEPT_MAPPED) | SEPT_IN(TDX_SEPT_NL_MAPPED)));
	assert_non_null(record);
	assert_int_equal(record->type, e & SEPT_LEAF ? TDX_PT_REG : TDX_PT_EPT);
	assert_int_equal(pamt_owner(record), w->tdr);
	assert_int_equal(record->lock.word, 0);
	if (sept_is(e, SEPT_ALL_BLOCKED))
		assert_true(record->bepoch <= w->tdcs->epoch);
}

static void walk_table(const struct tree_walk *w, hpa_t table, uint32_t level)
{
	const uint64_t *entries = world_at(table);

	for (uint32_t i = 0; i < SEPT_ENTRIES; i++) {
		uint64_t e = sept_load(&entries[i]);
		bool leaf = e & SEPT_LEAF;
		hpa_t page = sept_hpa(e, level);

		if (sept_is(e, SEPT_IN(TDX_SEPT_FREE))) {
			assert_false(entries[i] & SEPT_LOCK);
			continue;
		}
		check_entry(w, entries[i], page, leaf ? level : SOFT_4K);
		w->fn(w->ctx, page, leaf ? level : SOFT_4K, leaf);
		if (!leaf)
			walk_table(w, page, level - 1);
	}
}

void td_for_each_page(hpa_t hpa, void (*fn)(void *ctx, hpa_t page, uint32_t level, bool leaf), void *ctx)
{
	const struct soft_tdr *tdr = world_at(hpa);
	const struct tree_walk w = { world_at(tdr->tdcx[TDCS_BASE]), hpa, fn, ctx };

	walk_table(&w, tdr->tdcx[TDCS_SEPT_ROOT], w.tdcs->ept_levels - 1);
}
