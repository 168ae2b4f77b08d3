/*
 * A fake guest under shadow paging: its vCPUs and what they do.
 */
#include "tests/unit/shadow_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/base/frame.h"
#include "hv/base/phys.h"
#include "mmu/check.h"
#include "mmu/gpa.h"
#include "tests/unit/shadow_log.h"

#define FAULTS_MAX 6 /* that one access may take: two kinds of page for CR0.WP = 0, an unprotect, a retry */

struct mmu world_mmu;
struct vcpu world_vcpus[VCPUS];
uint64_t world_flushes;
void (*world_before_flush)(void);

static struct failure why;

/* Words that the hypervisor may change just now: what they were goes into the past. */
struct pending {
	bool flags_only;
	uint32_t count;
	hpa_t word[WALK_MAX_LEVELS];
	uint64_t old[WALK_MAX_LEVELS];
};

/* While the hypervisor has one vCPU's exit in hand others still run. */
static struct pending *pending;
static bool raced; /* another vCPU wrote to memory meanwhile */

static void pending_note(struct pending *p)
{
	for (uint32_t i = 0; i < p->count; i++) {
		uint64_t now = mem_read(p->word[i], 8), old = p->old[i];

		p->old[i] = now;
		if (now == old)
			continue;
		if (p->flags_only && (((now ^ old) & ~0x6000000060ul) || (old & ~now)))
			world_fail("the guest's entry at %lx went from %lx to %lx", p->word[i], old, now);
		mem_changed(p->word[i], old, mem_aliased(p->word[i]));
		log_written(p->word[i]);
	}
}

static void pending_end(struct pending *p)
{
	pending_note(p);
	pending = NULL;
}

static void pending_add(struct pending *p, hpa_t word)
{
	for (uint32_t i = 0; i < p->count; i++)
		if (p->word[i] == word)
			return;
	p->word[p->count] = word;
	p->old[p->count++] = mem_read(word, 8);
}

/* The walk may set flags in the guest's entries. */
static void pending_walk(struct pending *p, const struct oracle_walk *w)
{
	*p = (struct pending){ .flags_only = true };
	for (uint32_t i = 0; i < w->count; i++)
		if (w->word[i] != HPA_NONE)
			pending_add(p, w->word[i]);
	pending = p;
}

static void leaf_check(const struct vcpu *v, gva_t gva, const struct cpu_leaf *leaf, const char *what);

/* A vCPU that is still in the guest stores through a translation that is about to be flushed. */
static void last_store(const struct vcpu *v)
{
	uint32_t i = (uint32_t)rnd(CPU_TLB);
	const struct cpu_leaf *leaf = &v->cpu.tlb[i].leaf;
	hpa_t at = leaf->hpa + (rnd(2) ? rnd(4) : rnd(512)) * 8; /* some where tables have entries */

	if (!v->cpu.entered || !v->cpu.tlb[i].valid || !leaf->rights.writable || !leaf->rights.dirty)
		return;
	if (pending)
		pending_note(pending);
	leaf_check(v, v->cpu.tlb[i].page << PAGE_SHIFT, leaf, "the TLB");
	mem_write(at, 8, mem_read(at, 8) ^ BIT(rnd(15)), mem_aliased(at));
	log_written(at);
	for (i = 0; pending && i < pending->count; i++)
		pending->old[i] = mem_read(pending->word[i], 8);
	raced = true;
}

/*
 * The hypervisor takes every vCPU out of the guest and sees to it that none remembers anything. Until
 * then they run.
 */
static void flush_all(void *ctx, const struct flush_range *range)
{
	(void)range;
	if (ctx != &world_mmu)
		world_fail("flush with another context");
	world_flushes++;
	if (world_before_flush)
		world_before_flush();
	for (uint32_t i = 0; i < VCPUS; i++)
		if (rnd(2))
			last_store(&world_vcpus[i]);
	for (uint32_t i = 0; i < VCPUS; i++) {
		cpu_forget(&world_vcpus[i].cpu);
		world_vcpus[i].cpu.entered = false;
	}
}

void guests_start(const struct world_options *o)
{
	struct mmu_config config = {
		.kind = MMU_SHADOW, .vm_id = WORLD_VM, .hpa_bits = cpu_hpa_bits, .gpa_bits = o->maxphyaddr,
		.max_level = o->max_level, .shadow_pages = o->shadow_pages,
		.flush = flush_all, .flush_ctx = &world_mmu,
	};

	cpu_has_1g = o->max_level >= LEVEL_1G;
	world_start_ram(MEM_RAM_HPA + MEM_RAM_BYTES);
	mem_start();
	log_reset();
	if (mmu_init(&world_mmu, &config, &why))
		world_fail("mmu_init: %s", why.text);
	for (uint32_t i = 0; i < VCPUS; i++) {
		struct vcpu *v = &world_vcpus[i];

		memset(v, 0, sizeof(*v));
		v->g.cr0 = CR0_PE;
		v->g.maxphyaddr = o->maxphyaddr;
		v->g.page_1g = true;
		mmu_vcpu_init(&v->mv, &world_mmu);
	}
}

void guests_end(void)
{
	for (uint32_t i = 0; i < VCPUS; i++)
		mmu_vcpu_destroy(&world_vcpus[i].mv);
	mmu_destroy(&world_mmu);
	world_end();
}

uint64_t vcpu_since(const struct vcpu *v, gva_t gva)
{
	uint64_t since = v->flushed[vcpu_pcid(v)];

	for (uint32_t i = 0; i < INVLPGS; i++)
		if (v->invlpg[i].page == gva >> PAGE_SHIFT && v->invlpg[i].pcid == vcpu_pcid(v))
			since = max_u64(since, v->invlpg[i].time);
	return since;
}

void vcpu_flushed(struct vcpu *v, uint32_t pcid) { v->flushed[pcid] = mem_now; }

void vcpu_flushed_all(struct vcpu *v)
{
	for (uint32_t pcid = 0; pcid < PCIDS; pcid++)
		vcpu_flushed(v, pcid);
}

static bool memory_was_short(void)
{
	bool was = world_allocs_left != ~0ul;

	world_allocs_left = ~0ul;
	return was;
}

void vcpu_load(struct vcpu *v, bool flush)
{
	int err;

	v->cpu.entered = false;
	err = mmu_shadow_load(&v->mv, &v->g, flush);
	if (err == -ENOMEM && memory_was_short())
		err = mmu_shadow_load(&v->mv, &v->g, flush);
	if (err < 0)
		world_fail("mmu_shadow_load: %d", err);
	v->has_root = true;
	if (err != MMU_LOAD_SAME)
		cpu_forget(&v->cpu);
}

void vcpu_enter(struct vcpu *v)
{
	if (v->cpu.entered)
		return;
	if (!v->has_root || mmu_shadow_stale(&v->mv))
		vcpu_load(v, false);
	if (mmu_shadow_stale(&v->mv))
		world_fail("the root just loaded is stale");
	cpu_enter(&v->cpu, &v->g, mmu_shadow_cr3(&v->mv));
}

/* gpa_write(), which the past is to know of. */
static int write_by_address(struct mmu_vcpu *mv, gpa_t gpa, uint32_t bytes, uint64_t value)
{
	hpa_t at = mem_hpa(gpa);
	struct pending p = { 0 };
	int err;

	if (at != HPA_NONE)
		pending_add(&p, align_down(at, 8));
	pending = &p;
	err = gpa_write(mv, gpa, &value, bytes);
	pending_end(&p);
	return err;
}

/* One access as the shadow or the TLB lets it through, to be found in the guest's tables. */
struct claim {
	const struct guest_paging *g;
	uint32_t access;
	hpa_t hpa;    /* of the page; HPA_NONE: where no RAM is */
	gpa_t gpa;    /* out; in, too, if it is to be that and no alias of it */
	bool same_gpa;
	bool flags;   /* accessed and dirty flags must have been set */
};

static bool claim_good(void *ctx, gpa_t gpa, const struct rights *r)
{
	struct claim *c = ctx;
	const struct mem_slot *s = mem_slot_of(gpa);
	hpa_t hpa = mem_hpa(gpa);

	if (rights_refuse(c->g, c->access, r))
		return false;
	if (c->flags && (!r->flags_set || ((c->access & WALK_WRITE) && !r->dirty)))
		return false;
	if (c->hpa == HPA_NONE ? hpa != HPA_NONE : hpa == HPA_NONE || align_down(hpa, PAGE_SIZE) != c->hpa)
		return false;
	if (s && s->readonly && (c->access & WALK_WRITE))
		return false;
	if (c->same_gpa && c->gpa != gpa)
		return false;
	c->gpa = gpa;
	return true;
}

static const char *kind_name(uint32_t kind)
{
	return kind & WALK_WRITE ? "write" : kind & WALK_FETCH ? "fetch" : "read";
}

static void claim_check(const struct vcpu *v, gva_t gva, struct claim *c, const char *what)
{
	struct oracle_walk w;

	if (oracle_since(c->g, gva, vcpu_since(v, gva), claim_good, c))
		return;
	oracle_walk(c->g, gva, c->access, &w);
	world_fail("%s lets vCPU %ld %s %lx (CPL %u) at host %lx, which the guest's tables never allowed since its"
		   " last flush; now they say %s gpa %lx error %x", what, (long)(v - world_vcpus),
		   kind_name(c->access), gva, c->g->cpl, c->hpa, w.ok ? "yes" : "no", w.gpa, w.error);
}

/* The guest carries out what it was let do. */
static enum outcome access_done(struct vcpu *v, struct guest_access *a, const struct cpu_leaf *leaf)
{
	struct claim c = { .g = &v->g, .access = a->kind, .hpa = leaf->hpa, .flags = true };
	hpa_t at = leaf->hpa + (a->gva & PAGE_MASK);

	claim_check(v, a->gva, &c, "an access");
	if (a->kind & WALK_WRITE) {
		mem_write(at, a->bytes, a->value, mem_aliased(at));
		log_written(at);
	}
	return DONE;
}

/* The walk of the instruction emulator's own. False: the guest's tables have changed since the fault. */
static bool emulator_walks(struct vcpu *v, const struct guest_access *a, gpa_t gpa)
{
	struct oracle_walk w;
	struct walk_result r;
	struct pending p;

	oracle_walk(&v->g, a->gva, WALK_WRITE, &w);
	if (!w.ok || w.gpa != gpa)
		return false;
	pending_walk(&p, &w);
	if (guest_walk(&v->mv, &v->g, a->gva, WALK_WRITE, &r) != WALK_OK || r.gpa != gpa)
		world_fail("the emulator's walk of %lx does not end at %lx", a->gva, gpa);
	pending_end(&p);
	return true;
}

/* As the instruction emulator does, which goes by its own walk or by that of the fault. False: another vCPU has
 * changed the guest's tables since. */
static bool emulate_write(struct vcpu *v, struct guest_access *a, gpa_t gpa)
{
	int err;

	if (!emulator_walks(v, a, gpa) && raced)
		return false;
	err = write_by_address(&v->mv, gpa, a->bytes, a->value);
	if (err)
		world_fail("gpa_write to %lx: %d", gpa, err);
	return true;
}

static void expect(bool good, const struct guest_access *a, const struct oracle_walk *w, const char *what)
{
	if (!good)
		world_fail("fault of a %s at %lx: %s, but the guest's tables say %s gpa %lx error %x",
			   kind_name(a->kind), a->gva, what, w->ok ? "yes" : "no", w->gpa, w->error);
}

/* Whether all entries of the walk are where their flags can be written. */
static bool flags_can_be_set(const struct oracle_walk *w)
{
	for (uint32_t i = 0; i < w->count; i++) {
		const struct mem_slot *s = mem_slot_of(w->entry[i]);

		if (!s || s->readonly)
			return false;
	}
	return true;
}

/* An entry of the shadow for MMIO may know less than the tables say now. */
static enum outcome fault_device(struct vcpu *v, struct guest_access *a, const struct oracle_walk *w, gpa_t gpa)
{
	struct claim c = { .g = &v->g, .access = a->kind, .hpa = HPA_NONE, .gpa = gpa, .same_gpa = true,
			   .flags = flags_can_be_set(w) };

	claim_check(v, a->gva, &c, "MMIO");
	expect(mem_hpa(gpa) == HPA_NONE, a, w, "MMIO");
	return DEVICE;
}

/* A walk may begin at what is cached of upper levels, which have changed unseen. SDM "Paging-Structure Caches". */
static void fault_emulate(const struct vcpu *v, const struct guest_access *a, const struct oracle_walk *w, gpa_t gpa)
{
	const struct mem_slot *s = mem_slot_of(gpa);
	struct claim c = { .g = &v->g, .access = a->kind, .hpa = align_down(mem_hpa(gpa), PAGE_SIZE), .gpa = gpa,
			   .same_gpa = true, .flags = true };

	expect((a->kind & WALK_WRITE) && s && !s->readonly, a, w, "a write to emulate");
	if (!w->ok || w->gpa != gpa)
		claim_check(v, a->gva, &c, "a write to emulate");
}

#define NOT_WALKED (~(gva_t)0) /* the guest's tables were not asked */

/* The exits that end the access. False: it is to be tried again. */
static bool fault_ends(struct vcpu *v, struct guest_access *a, const struct oracle_walk *w,
		       enum fault_result result, const struct walk_result *r, enum outcome *o)
{
	const struct mem_slot *s = mem_slot_of(w->gpa);

	switch (result) {
	case FAULT_GUEST:
		expect(!w->ok && r->error_code == w->error && r->gva == guest_linear(&v->g, a->gva), a, w, "#PF");
		a->error = r->error_code;
		*o = REFUSED;
		return true;
	case FAULT_MMIO:
		*o = fault_device(v, a, w, r->gpa);
		return true;
	case FAULT_READONLY_WRITE:
		expect(w->ok && s && s->readonly && (a->kind & WALK_WRITE) && r->gpa == w->gpa, a, w, "ROM");
		*o = DROPPED;
		return true;
	case FAULT_EMULATE_WRITE:
		expect(!(v->g.cr0 & CR0_WP) && v->g.cpl != 3 && w->rights.user &&
		       (w->rights.writable ? v->g.cr4 & CR4_PKE : v->g.cr4 & (CR4_SMAP | CR4_PKE)), a, w,
		       "a write for CR0.WP = 0");
		/* fall through */
	case FAULT_WRITE_TRACKED:
		fault_emulate(v, a, w, r->gpa);
		if (a->unprotect && mmu_shadow_unprotect(&v->mv, r->gpa)) {
			a->unprotect = false;
			return false;
		}
		*o = EMULATED;
		return emulate_write(v, a, r->gpa);
	case FAULT_OUT_OF_MEMORY:
		expect(memory_was_short(), a, w, "out of memory");
		*o = NO_MEMORY;
		return true;
	case FAULT_MAPPED: /* perhaps by what was cached: access_done() judges */
	case FAULT_RETRY:
		return false;
	default:
		expect(false, a, w, fault_result_names[result]);
		return true;
	}
}

/* The guest's flags after a fault that mapped the page. */
static void flags_check(const struct vcpu *v, const struct guest_access *a, const struct oracle_walk *before)
{
	struct oracle_walk w;

	oracle_walk(&v->g, a->gva, a->kind, &w);
	if (!flags_can_be_set(before))
		return;
	if (w.count && (!w.rights.flags_set || ((a->kind & WALK_WRITE) && !w.rights.dirty)))
		world_fail("a %s at %lx was mapped, but the guest's flags are not set", kind_name(a->kind), a->gva);
}

static bool access_exit(struct vcpu *v, struct guest_access *a, uint32_t error, enum outcome *o)
{
	struct oracle_walk w;
	struct walk_result r = { .gva = NOT_WALKED };
	struct pending p;
	enum fault_result result;
	bool ends;

	oracle_walk(&v->g, a->gva, a->kind, &w);
	pending_walk(&p, &w);
	v->cpu.entered = false;
	raced = false;
	result = mmu_shadow_fault(&v->mv, &v->g, guest_linear(&v->g, a->gva), error, &r);
	pending_end(&p);
	SAY("  fault %x: %s, gpa %lx\n", error, fault_result_names[result], r.gpa);
	ends = fault_ends(v, a, &w, result, &r, o);
	if (result == FAULT_MAPPED && r.gva != NOT_WALKED && !raced && w.ok && r.gpa == w.gpa)
		flags_check(v, a, &w);
	return ends;
}

enum outcome guest_access(struct vcpu *v, struct guest_access *a)
{
	enum outcome o = DONE;

	if (!guest_canonical(&v->g, a->gva))
		return NO_ADDRESS;
	for (a->faults = 0; a->faults <= FAULTS_MAX; a->faults++) {
		struct cpu_leaf leaf;
		uint32_t error;

		vcpu_enter(v);
		error = cpu_access(&v->cpu, &v->g, a->gva, a->kind, a->tlb, &leaf);
		if (error == CPU_OK)
			return access_done(v, a, &leaf);
		if (access_exit(v, a, error, &o))
			return o;
	}
	world_fail("a %s at %lx still faults after %u exits", kind_name(a->kind), a->gva, FAULTS_MAX);
}

void guest_dma(gpa_t gpa, uint32_t bytes, uint64_t value)
{
	const struct mem_slot *s = mem_slot_of(gpa);
	int err = write_by_address(&world_mmu.host, gpa, bytes, value);

	if (err != (!s ? -EFAULT : s->readonly ? -EACCES : 0))
		world_fail("gpa_write of %u bytes to %lx: %d", bytes, gpa, err);
}

void guest_invlpg(struct vcpu *v, gva_t gva)
{
	uint32_t i = v->invlpg_next++ % INVLPGS;

	v->cpu.entered = false;
	mmu_shadow_invlpg(&v->mv, &v->g, gva);
	cpu_forget_page(&v->cpu, guest_linear(&v->g, gva));
	v->invlpg[i].page = guest_linear(&v->g, gva) >> PAGE_SHIFT;
	v->invlpg[i].pcid = vcpu_pcid(v);
	v->invlpg[i].time = mem_now;
}

void guests_check(void)
{
	static int left_out = -1; /* so that the rest shows what it sees by itself */

	if (left_out < 0)
		left_out = getenv("MMU_TEST_NO_CHECK") != NULL;
	if (left_out)
		return;
	why.text[0] = 0;
	if (mmu_check(&world_mmu, &why))
		world_fail("mmu_check: %s", why.text);
}

/* Every access that the leaf lets through, one translation for all of them if there is one. */
struct leaf_claim {
	struct claim c;
	struct guest_paging g[3]; /* user, supervisor, supervisor with EFLAGS.AC */
	uint8_t allowed[3];       /* WALK_* by register set */
};

static bool leaf_good(void *ctx, gpa_t gpa, const struct rights *r)
{
	struct leaf_claim *l = ctx;

	for (uint32_t i = 0; i < 3; i++)
		for (uint32_t kind = WALK_READ; kind <= WALK_FETCH; kind <<= 1) {
			struct claim c = l->c;

			c.g = &l->g[i];
			c.access = kind;
			if ((l->allowed[i] & kind) && !claim_good(&c, gpa, r))
				return false;
		}
	return true;
}

static void leaf_check(const struct vcpu *v, gva_t gva, const struct cpu_leaf *leaf, const char *what)
{
	struct leaf_claim l = { .c = { .hpa = leaf->hpa, .flags = true }, .g = { v->g, v->g, v->g } };

	l.g[0].cpl = 3;
	l.g[1].cpl = l.g[2].cpl = 0;
	l.g[1].rflags &= ~RFLAGS_AC;
	l.g[2].rflags |= RFLAGS_AC;
	for (uint32_t i = 0; i < 3; i++) {
		struct guest_paging hw = cpu_registers(&l.g[i]);

		for (uint32_t kind = WALK_READ; kind <= WALK_FETCH; kind <<= 1)
			if (!rights_refuse(&hw, kind, &leaf->rights))
				l.allowed[i] |= kind;
	}
	if (oracle_since(&v->g, gva, vcpu_since(v, gva), leaf_good, &l))
		return;
	for (uint32_t i = 0; i < 3; i++)
		for (uint32_t kind = WALK_READ; kind <= WALK_FETCH; kind <<= 1) {
			l.c.g = &l.g[i];
			l.c.access = kind;
			if (l.allowed[i] & kind)
				claim_check(v, gva, &l.c, what);
		}
}

static void shadow_leaf(void *ctx, gva_t gva, const struct cpu_leaf *leaf) { leaf_check(ctx, gva, leaf, "the shadow"); }

void vcpu_check(struct vcpu *v)
{
	for (uint32_t i = 0; i < CPU_TLB; i++)
		if (v->cpu.tlb[i].valid)
			leaf_check(v, v->cpu.tlb[i].page << PAGE_SHIFT, &v->cpu.tlb[i].leaf, "the TLB");
	if (!v->has_root || (!v->cpu.entered && mmu_shadow_stale(&v->mv)))
		return;
	vcpu_enter(v);
	cpu_for_each_leaf(&v->cpu, &v->g, shadow_leaf, v);
}

static void digest_leaf(void *ctx, gva_t gva, const struct cpu_leaf *leaf)
{
	uint64_t *d = ctx, rights = leaf->rights.user | leaf->rights.writable << 1 | leaf->rights.no_exec << 2 |
				    (uint64_t)leaf->rights.pkey << 3 | leaf->shift << 8;

	*d = (*d ^ gva ^ leaf->hpa ^ rights << 20) * 0x9e3779b97f4a7c15ul;
	*d ^= *d >> 29;
}

uint64_t vcpu_digest(struct vcpu *v)
{
	uint64_t digest = 0;

	if (v->has_root && (v->cpu.entered || !mmu_shadow_stale(&v->mv))) {
		vcpu_enter(v);
		cpu_for_each_leaf(&v->cpu, &v->g, digest_leaf, &digest);
	}
	return digest;
}
