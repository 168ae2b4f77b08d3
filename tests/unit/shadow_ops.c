/*
 * Random histories of a guest under shadow paging.
 */
#include "tests/unit/shadow_ops.h"

#include <stdio.h>
#include <string.h>

#include "hv/base/frame.h"
#include "mmu/gpa.h"
#include "tests/unit/shadow_build.h"
#include "tests/unit/shadow_log.h"

#define RECENT 12

static struct {
	bool untracked; /* memory changes behind the hypervisor's back */
	bool alloc_fails;
	uint64_t digest, faults;
	gva_t recent[RECENT]; /* addresses that led somewhere */
	uint32_t recent_next;
} run;

static void digest_add(uint64_t value) { run.digest = (run.digest ^ value) * 0x9e3779b97f4a7c15ul; }

static struct vcpu *random_vcpu(void) { return &world_vcpus[rnd(3) ? 0 : rnd(VCPUS)]; }

static uint64_t random_value(void)
{
	const struct table *t = table_random();

	return table_entry(t, table_index(t));
}

/* An address of late, or any. */
static gva_t choose_gva(const struct vcpu *v)
{
	return rnd(10) < 7 ? run.recent[rnd(RECENT)] : build_gva(guest_mode(&v->g));
}

struct target {
	const struct table *t;
	uint32_t index;
};

/* An entry to write: mostly one on the way to an address of late, and of these mostly the last. */
static struct target choose_entry(const struct vcpu *v)
{
	struct target any = { .t = table_random() };
	struct oracle_walk w;
	const struct table *t;
	gpa_t gpa;

	any.index = table_index(any.t);
	oracle_walk(&v->g, choose_gva(v), WALK_READ, &w);
	if (rnd(4) == 0 || w.count == 0)
		return any;
	gpa = w.entry[rnd(4) ? w.count - 1 : rnd(w.count)];
	t = table_at(gpa);
	return t ? (struct target){ t, (uint32_t)(gpa & PAGE_MASK) / table_entry_bytes(t) } : any;
}

static enum outcome access(struct vcpu *v, struct guest_access *a)
{
	enum outcome o;

	SAY("  vCPU %ld mode %d CPL %u cr0 %lx cr4 %lx efer %lx cr3 %lx: access %u at %lx\n", (long)(v - world_vcpus),
	    guest_mode(&v->g), v->g.cpl, v->g.cr0, v->g.cr4, v->g.efer, v->g.cr3, a->kind, a->gva);
	o = guest_access(v, a);
	SAY("  outcome %d after %u faults\n", o, a->faults);
	digest_add((uint64_t)o << 32 | a->error);
	run.faults += a->faults;
	if (o != REFUSED && o != NO_ADDRESS)
		run.recent[run.recent_next++ % RECENT] = a->gva;
	if (o == NO_MEMORY && (o = guest_access(v, a)) == NO_MEMORY)
		world_fail("no memory, although there is");
	return o;
}

/* Whatever it may do, at addresses that are mapped and others; guest_access() judges both ways. */
static void access_any(struct vcpu *v)
{
	struct guest_access a = { .kind = WALK_READ << rnd(3), .bytes = 8, .tlb = rnd(3), .unprotect = rnd(4) == 0 };

	v->g.cpl = rnd(2) ? 3 : 0;
	v->g.rflags = rnd(2) ? RFLAGS_AC : 0;
	v->g.pkru = rnd(3) ? 0 : (uint32_t)rnd(BIT(32));
	a.gva = align_down(choose_gva(v), 8);
	a.value = random_value();
	access(v, &a);
}

static void op_access(void) { access_any(random_vcpu()); }

/* A kernel's store of len bytes at gpa through some mapping of that table; by a device when there is none. */
static void kernel_store(struct vcpu *v, const struct table *t, gpa_t gpa, uint32_t bytes, uint64_t value)
{
	struct guest_access a = { .kind = WALK_WRITE, .bytes = bytes, .value = value, .tlb = rnd(3),
				  .unprotect = rnd(6) == 0 };

	v->g.cpl = 0;
	v->g.rflags = RFLAGS_AC;
	v->g.pkru = 0;
	for (int i = 0; i < 8 && guest_mode(&v->g) != MODE_NONE; i++) {
		struct oracle_walk w;

		a.gva = build_window(guest_mode(&v->g), (uint32_t)(t - tables)) + (gpa & PAGE_MASK);
		oracle_walk(&v->g, a.gva, WALK_WRITE, &w);
		if (w.ok && w.gpa == gpa) {
			SAY("  store %lx to gpa %lx\n", value, gpa);
			access(v, &a);
			return;
		}
	}
	SAY("  device writes %lx to gpa %lx\n", value, gpa);
	guest_dma(gpa, bytes, value);
}

static void op_store_entry(void)
{
	struct vcpu *v = random_vcpu();
	struct target at = choose_entry(v);

	kernel_store(v, at.t, table_gpa(at.t, at.index), table_entry_bytes(at.t), table_entry(at.t, at.index));
}

/* An entry for the same frame by another gfn. */
static uint64_t with_alias(uint64_t e, uint32_t bytes)
{
	uint64_t frame = bytes == 4 ? BITS(31, 12) : BITS(51, 12);
	gfn_t gfn = build_alias((e & frame) >> PAGE_SHIFT);

	return (e & ~frame) | (gfn << PAGE_SHIFT & frame);
}

/* Only rights and flags change, as mprotect() and reclaim do it, or what is large. */
static void op_change_rights(void)
{
	struct vcpu *v = random_vcpu();
	struct target e = choose_entry(v);
	uint32_t bytes = table_entry_bytes(e.t);
	gpa_t gpa = table_gpa(e.t, e.index);
	hpa_t at = mem_hpa(gpa);

	if (at != HPA_NONE)
		kernel_store(v, e.t, gpa, bytes,
			     (rnd(4) ? mem_read(at, bytes) : with_alias(mem_read(at, bytes), bytes)) ^ BIT(rnd(8)));
}

/* A run of entries, as fork() and mmap() write them. */
static void op_store_run(void)
{
	struct vcpu *v = random_vcpu();
	const struct table *t = table_random();
	uint32_t first = (uint32_t)rnd(8);

	for (uint32_t i = first; i < first + 8; i++)
		kernel_store(v, t, table_gpa(t, i), table_entry_bytes(t), table_entry(t, i));
}

/* The same entry again and again: no longer a page table, perhaps. */
static void op_flood(void)
{
	struct vcpu *v = random_vcpu();
	struct target e = choose_entry(v);

	for (int i = 0; i < 5; i++)
		kernel_store(v, e.t, table_gpa(e.t, e.index), table_entry_bytes(e.t), table_entry(e.t, e.index));
}

/* Less than an entry, or both halves at once. */
static void op_store_odd(void)
{
	struct vcpu *v = random_vcpu();
	struct target e = choose_entry(v);
	uint32_t bytes = 1u << rnd(4);
	gpa_t gpa = table_gpa(e.t, e.index) + rnd(8);

	kernel_store(v, e.t, align_down(gpa, bytes), bytes, random_value());
}

static void op_device_store(void)
{
	struct target e = choose_entry(&world_vcpus[0]);

	guest_dma(table_gpa(e.t, e.index), table_entry_bytes(e.t), table_entry(e.t, e.index));
}

static void op_untracked_store(void)
{
	struct target e = choose_entry(&world_vcpus[0]);
	hpa_t at = mem_hpa(table_gpa(e.t, e.index));
	uint64_t value;

	if (!run.untracked || !world_mmu.slots->aliased || at == HPA_NONE)
		return;
	value = rnd(2) ? table_entry(e.t, e.index) : mem_read(at, table_entry_bytes(e.t)) ^ BIT(rnd(8));
	SAY("  untracked store of %lx to gpa %lx\n", value, table_gpa(e.t, e.index));
	mem_write(at, table_entry_bytes(e.t), value, true);
}

/* False when the load would be a #GP. */
static bool set_cr3(struct vcpu *v, uint64_t cr3)
{
	uint64_t pdpte[4];

	if (guest_mode(&v->g) == MODE_PAE) {
		if (guest_load_pdptes(&v->mv, cr3, v->g.maxphyaddr, pdpte))
			return false;
		memcpy(v->g.pdpte, pdpte, sizeof(pdpte));
	}
	v->g.cr3 = cr3;
	return true;
}

/* A root of another vCPU in that mode, as threads share it, or any. */
static uint64_t choose_root(const struct vcpu *v, enum guest_mode mode)
{
	const struct vcpu *other = &world_vcpus[rnd(VCPUS)];

	return other != v && guest_mode(&other->g) == mode && rnd(2) ? other->g.cr3 & ~(uint64_t)(PCIDS - 1)
								    : build_root(mode);
}

static void op_mov_cr3(void)
{
	struct vcpu *v = random_vcpu();
	bool pcide = v->g.cr4 & CR4_PCIDE, flush = !pcide || rnd(2);
	uint64_t pcid = pcide ? rnd(PCIDS) : 0;

	if (guest_mode(&v->g) == MODE_NONE || !set_cr3(v, choose_root(v, guest_mode(&v->g)) | pcid))
		return;
	SAY("  vCPU %ld: cr3 %lx%s\n", (long)(v - world_vcpus), v->g.cr3, flush ? "" : " without flush");
	vcpu_load(v, flush);
	if (flush)
		vcpu_flushed(v, vcpu_pcid(v));
}

static void flush_everything(struct vcpu *v)
{
	v->cpu.entered = false;
	mmu_shadow_flush(&v->mv);
	cpu_forget(&v->cpu);
	vcpu_flushed_all(v);
}

static void op_invlpg(void)
{
	struct vcpu *v = random_vcpu();
	gva_t gva = rnd(2) ? choose_gva(v) : v->cpu.tlb[rnd(CPU_TLB)].page << PAGE_SHIFT;

	SAY("  vCPU %ld: invlpg %lx\n", (long)(v - world_vcpus), gva);
	guest_invlpg(v, gva);
}

static void op_invpcid(void)
{
	struct vcpu *v = random_vcpu();
	uint32_t pcid = (uint32_t)rnd(PCIDS);

	SAY("  vCPU %ld: flush of PCID %u, or more\n", (long)(v - world_vcpus), pcid);
	if (rnd(2) || !(v->g.cr4 & CR4_PCIDE)) {
		flush_everything(v);
		return;
	}
	v->cpu.entered = false;
	mmu_shadow_flush(&v->mv);
	cpu_forget(&v->cpu);
	vcpu_flushed(v, pcid);
}

/* What the SDM lets stand without a flush, under "Operations that Invalidate TLBs". */
static void op_rights_registers(void)
{
	struct vcpu *v = random_vcpu();

	switch (rnd(5)) {
	case 0:
	case 1: v->g.cr0 ^= CR0_WP; break;
	case 2: v->g.cr4 ^= CR4_SMAP; break;
	case 3:
		if (guest_mode(&v->g) < MODE_4)
			return;
		v->g.cr4 ^= CR4_PKE;
		break;
	default:
		v->g.cr4 ^= CR4_SMEP;
		vcpu_flushed_all(v);
		vcpu_load(v, true);
		flush_everything(v);
		return;
	}
	SAY("  vCPU %ld: cr0 %lx cr4 %lx\n", (long)(v - world_vcpus), v->g.cr0, v->g.cr4);
	vcpu_load(v, false);
}

static void paging_off(struct vcpu *v)
{
	v->g.cr4 &= ~CR4_PCIDE;
	v->g.cr3 &= ~PAGE_MASK;
	v->g.cr0 &= ~CR0_PG;
	v->g.efer &= ~EFER_LMA;
	vcpu_load(v, true);
	flush_everything(v);
}

/* The registers of a guest in that mode, but for CR0.PG and CR3. */
static void choose_registers(struct vcpu *v, enum guest_mode mode)
{
	uint64_t rights = (rnd(2) ? CR4_SMEP : 0) | (rnd(3) ? 0 : CR4_SMAP);

	v->g.cr0 = CR0_PE | (rnd(3) ? CR0_WP : 0);
	v->g.cr4 = rights | (rnd(2) ? CR4_PGE : 0) | (rnd(3) ? CR4_PSE : 0);
	v->g.efer = rnd(3) ? EFER_NXE : 0;
	if (mode >= MODE_PAE)
		v->g.cr4 |= CR4_PAE;
	if (mode >= MODE_4) {
		v->g.efer |= EFER_LME | EFER_LMA;
		v->g.cr4 |= (rnd(2) ? CR4_PKE : 0) | (mode == MODE_5 ? CR4_LA57 : 0);
	}
}

static void change_mode(struct vcpu *v, enum guest_mode mode)
{
	paging_off(v);
	choose_registers(v, mode);
	if (mode == MODE_NONE) {
		v->g.cr4 &= ~(CR4_PKE | CR4_PAE);
		vcpu_load(v, true);
		return;
	}
	v->g.cr0 |= CR0_PG;
	if (!set_cr3(v, choose_root(v, mode))) {
		v->g.efer &= ~EFER_LMA;
		v->g.cr0 &= ~CR0_PG;
		return;
	}
	if (mode >= MODE_4 && rnd(2))
		v->g.cr4 |= CR4_PCIDE;
	SAY("  vCPU %ld: mode %d\n", (long)(v - world_vcpus), mode);
	vcpu_load(v, true);
	vcpu_flushed_all(v);
}

static void op_mode(void)
{
	enum guest_mode other = guest_mode(&world_vcpus[rnd(VCPUS)].g);

	change_mode(random_vcpu(), rnd(2) ? other : (enum guest_mode)rnd(GUEST_MODES));
}

static void op_no_execute(void)
{
	struct vcpu *v = random_vcpu();

	v->g.efer ^= EFER_NXE;
	vcpu_load(v, true);
	flush_everything(v);
}

static void op_slots(void) { build_change_slots(); }

static void op_zap(void)
{
	gfn_t gfn = build_gfn();

	SAY("  zap from gfn %lx\n", gfn);
	if (rnd(4) == 0)
		mmu_shadow_zap_all(&world_mmu);
	else
		mmu_zap_range(&world_mmu, gfn, 1 + rnd(1024));
}

static void op_memory(void)
{
	world_allocs_left = run.alloc_fails && rnd(2) ? rnd(5) : ~(uint64_t)0;
	SAY("  %ld allocations left\n", (long)world_allocs_left);
}

static void op_log(void)
{
	if (rnd(4) == 0)
		log_switch();
	else
		log_fetch();
}

static void op_unprotect(void)
{
	struct vcpu *v = random_vcpu();

	v->cpu.entered = false;
	mmu_shadow_unprotect(&v->mv, table_gpa(table_random(), 0));
}

static void op_vcpu(void)
{
	struct vcpu *v = random_vcpu();

	v->cpu.entered = false;
	mmu_vcpu_destroy(&v->mv);
	v->has_root = false;
	cpu_forget(&v->cpu);
	mmu_vcpu_init(&v->mv, &world_mmu);
	vcpu_flushed_all(v);
}

static const struct op_kind kinds[] = {
	{ "access", op_access, 400 },
	{ "store of an entry", op_store_entry, 200 },
	{ "change of rights", op_change_rights, 80 },
	{ "stores in a row", op_store_run, 15 },
	{ "stores to one entry", op_flood, 15 },
	{ "odd store", op_store_odd, 10 },
	{ "store by a device", op_device_store, 20 },
	{ "untracked store", op_untracked_store, 20 },
	{ "CR3", op_mov_cr3, 80 },
	{ "INVLPG", op_invlpg, 60 },
	{ "INVPCID", op_invpcid, 20 },
	{ "rights in CR0 and CR4", op_rights_registers, 20 },
	{ "mode", op_mode, 12 },
	{ "EFER.NXE", op_no_execute, 6 },
	{ "slot", op_slots, 8 },
	{ "zap", op_zap, 6 },
	{ "memory", op_memory, 12 },
	{ "dirty log", op_log, 12 },
	{ "unprotect", op_unprotect, 6 },
	{ "vCPU", op_vcpu, 3 },
};

const struct history_kind shadow_ops = { .ops = kinds, .op_count = ARRAY_LEN(kinds) };

static void set_up(const struct history *h)
{
	static const uint64_t budgets[] = { 0, 0, 0, 0, 10, 24 };
	static const uint32_t widths[] = { 36, 40, 46 };
	struct world_options w;
	struct build_options b;
	enum guest_mode mode;

	rnd_seed(~h->seed);
	w.max_level = rnd(2) ? LEVEL_1G : LEVEL_2M;
	w.shadow_pages = budgets[rnd(ARRAY_LEN(budgets))];
	w.maxphyaddr = widths[rnd(ARRAY_LEN(widths))];
	run.untracked = rnd(4) == 0;
	run.alloc_fails = rnd(3) == 0;
	b.alias_slots = run.untracked || rnd(2);
	b.alias_tables = run.untracked;
	b.maxphyaddr = w.maxphyaddr;
	SAY("set up: max_level %d, %lu shadow pages, maxphyaddr %u\n", w.max_level, w.shadow_pages, w.maxphyaddr);
	guests_start(&w);
	mmu_shadow_set_skip(&world_mmu, !h->no_skip);
	build_guest(&b);
	memset(run.recent, 0, sizeof(run.recent));
	mode = (enum guest_mode)rnd(GUEST_MODES);
	for (uint32_t i = 0; i < VCPUS; i++)
		change_mode(&world_vcpus[i], mode);
}

/* What the shadow allows the oracle allows; what the oracle allows is reached, and nothing else. */
static void after_op(void)
{
	guests_check();
	for (uint32_t i = 0; i < VCPUS; i++) {
		vcpu_check(&world_vcpus[i]);
		digest_add(vcpu_digest(&world_vcpus[i]));
	}
	for (uint32_t i = 0; i < VCPUS; i++)
		access_any(&world_vcpus[i]);
}

static void count_up(struct history_trace *trace)
{
	struct shadow_counts c;

	mmu_shadow_count(&world_mmu, &c);
	trace->faults += run.faults;
	trace->mmio_hits += c.mmio_hits;
	for (size_t i = 0; i < ARRAY_LEN(c.unsync_calls); i++) {
		trace->calls += c.unsync_calls[i];
		trace->skips += c.unsync_skips[i];
	}
}

void shadow_history_run(const struct history *h, struct history_trace *trace)
{
	run.digest = run.faults = 0;
	set_up(h);
	for (uint32_t i = 0; i < h->count; i++) {
		history_step(h, &shadow_ops, i);
		after_op();
		if (trace && trace->digest)
			trace->digest[i] = run.digest;
	}
	if (trace)
		count_up(trace);
	guests_end();
}
