/*
 * What the CPU does with a shadow. Bits are numbers here, as in the SDM's tables.
 */
#include "tests/unit/shadow_cpu.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hv/base/phys.h"
#include "tests/unit/mmu_world.h"

uint32_t cpu_hpa_bits = 46;
bool cpu_has_1g;

void world_fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fflush(stdout);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	_exit(1);
}

static bool bit(uint64_t v, uint32_t n) { return v >> n & 1; }

static uint64_t mask(uint32_t high, uint32_t low) { return high < low ? 0 : (~0ul >> (63 - high)) & (~0ul << low); }

/* CR0.PG = PE = WP = 1, CR4.PAE = 1, EFER.NXE = 1; SMEP, SMAP, PKE only mean something to a guest with paging. */
struct guest_paging cpu_registers(const struct guest_paging *g)
{
	struct guest_paging hw = *g;

	hw.cr0 |= 1ul << 31 | 1ul << 16 | 1;
	if (guest_mode(g) == MODE_NONE)
		hw.cr4 &= ~(1ul << 20 | 1ul << 21 | 1ul << 22);
	hw.cr4 |= 1ul << 5;
	hw.efer |= 1ul << 11;
	return hw;
}

static uint64_t *table_of(uint64_t e)
{
	hpa_t at = e & mask(51, 12);

	if (at < WORLD_FIRST_HPA || at >= WORLD_FIRST_HPA + WORLD_BYTES)
		world_fail("a shadow entry %lx points at no table", e);
	return phys_to_virt(at);
}

void cpu_enter(struct cpu *c, const struct guest_paging *g, uint64_t cr3)
{
	bool pae = guest_mode(g) < MODE_4;

	c->entered = true;
	c->cr3 = cr3;
	if (cr3 & (mask(63, cpu_hpa_bits) | (pae ? mask(63, 32) | mask(4, 0) : mask(11, 0))))
		world_fail("CR3 of the shadow is %lx", cr3);
	for (uint32_t i = 0; pae && i < 4; i++) {
		uint64_t e = table_of(cr3)[(cr3 & 0xfff) / 8 + i];

		if (bit(e, 0) && (e & (mask(63, cpu_hpa_bits) | mask(8, 5) | mask(2, 1))))
			world_fail("PDPTE %u of the shadow is %lx", i, e);
		c->pdpte[i] = e;
	}
}

static bool large(uint32_t level, uint64_t e) { return level == 1 || ((level == 2 || level == 3) && bit(e, 7)); }

/* The shadow's reserved bits are used on purpose, for MMIO, so breaking them is a fault and no failure. */
static bool breaks_format(uint32_t level, uint64_t e, bool pae)
{
	if (e & mask(pae ? 62 : 51, cpu_hpa_bits))
		return true;
	if (bit(e, 7) && (level > 3 || (level == 3 && !cpu_has_1g)))
		return true;
	return level > 1 && large(level, e) && (e & mask(9 * level + 2, 13));
}

static struct rights rights_below(struct rights above, uint64_t e)
{
	above.user = above.user && bit(e, 2);
	above.writable = above.writable && bit(e, 1);
	above.no_exec = above.no_exec || bit(e, 63);
	above.pkey = e >> 59 & 15;
	return above;
}

static void fill_leaf(struct cpu_leaf *leaf, uint32_t level, uint64_t e, gva_t gva, struct rights r)
{
	uint64_t low = mask(9 * level + 2, 0);

	leaf->shift = 9 * level + 3;
	leaf->rights = r;
	leaf->hpa = ((e & mask(51, 12) & ~low) | (gva & low)) & ~PAGE_MASK;
}

static uint64_t *first_table(const struct cpu *c, const struct guest_paging *g, gva_t gva, uint32_t *level)
{
	*level = guest_mode(g) == MODE_5 ? 5 : guest_mode(g) == MODE_4 ? 4 : 2;
	if (*level != 2)
		return table_of(c->cr3);
	return bit(c->pdpte[gva >> 30 & 3], 0) ? table_of(c->pdpte[gva >> 30 & 3]) : NULL;
}

/* In one step, as CPUs do it; false when the entry is no longer e. */
static bool set_flag(uint64_t *at, uint64_t e, uint32_t n)
{
	return bit(e, n) || __atomic_compare_exchange_n(at, &e, e | 1ul << n, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* The entry that decides, NULL when a PDPTE does; *cause has the P and RSVD bits of a #PF that it causes. */
static uint64_t *shadow_walk(const struct cpu *c, const struct guest_paging *g, gva_t gva, struct cpu_leaf *leaf,
			     uint32_t *cause)
{
	struct rights r = { .user = true, .writable = true };
	bool pae = guest_mode(g) < MODE_4;
	uint32_t level;
	uint64_t *table = first_table(c, g, gva, &level);

	*cause = 0;
	for (; table; level--) {
		uint64_t *at = &table[gva >> (9 * level + 3) & 511], e = __atomic_load_n(at, __ATOMIC_SEQ_CST);

		if (!bit(e, 0) || breaks_format(level, e, pae)) {
			*cause = bit(e, 0) ? 1 | 8 : 0;
			return at;
		}
		if (!set_flag(at, e, 5)) {
			level++; /* again */
			continue;
		}
		*cause = CPU_OK;
		r = rights_below(r, e);
		if (large(level, e)) {
			fill_leaf(leaf, level, e, gva, r);
			leaf->rights.dirty = bit(e, 6);
			leaf->entry = e | 1u << 5;
			return at;
		}
		table = table_of(e);
	}
	return NULL;
}

static uint32_t error_code(const struct guest_paging *hw, uint32_t access, uint32_t why)
{
	return why | (access & WALK_WRITE ? 2 : 0) | (hw->cpl == 3 ? 4 : 0) | (access & WALK_FETCH ? 16 : 0);
}

static bool tlb_find(struct cpu *c, const struct guest_paging *hw, gva_t gva, uint32_t access, struct cpu_leaf *leaf)
{
	for (uint32_t i = 0; i < CPU_TLB; i++) {
		const struct cpu_leaf *l = &c->tlb[i].leaf;

		if (!c->tlb[i].valid || c->tlb[i].page != gva >> PAGE_SHIFT || rights_refuse(hw, access, &l->rights) ||
		    ((access & WALK_WRITE) && !l->rights.dirty))
			continue;
		*leaf = *l;
		c->hits++;
		return true;
	}
	return false;
}

static void tlb_add(struct cpu *c, gva_t gva, const struct cpu_leaf *leaf)
{
	uint32_t i = c->tlb_next++ % CPU_TLB;

	c->tlb[i].valid = true;
	c->tlb[i].page = gva >> PAGE_SHIFT;
	c->tlb[i].leaf = *leaf;
}

uint32_t cpu_access(struct cpu *c, const struct guest_paging *g, gva_t gva, uint32_t access, bool tlb,
		    struct cpu_leaf *leaf)
{
	struct guest_paging hw = cpu_registers(g);
	uint32_t why;
	uint64_t *entry;

	gva = guest_linear(g, gva);
	if (tlb && tlb_find(c, &hw, gva, access, leaf))
		return CPU_OK;
	c->walks++;
	entry = shadow_walk(c, g, gva, leaf, &why);
	if (why == CPU_OK) {
		why = rights_refuse(&hw, access, &leaf->rights);
		if (!why) {
			if ((access & WALK_WRITE) && !set_flag(entry, leaf->entry, 6))
				return cpu_access(c, g, gva, access, tlb, leaf);
			leaf->rights.dirty |= access & WALK_WRITE;
			tlb_add(c, gva, leaf);
			return CPU_OK;
		}
	}
	cpu_forget_page(c, gva);
	return error_code(&hw, access, why);
}

void cpu_forget(struct cpu *c)
{
	for (uint32_t i = 0; i < CPU_TLB; i++)
		c->tlb[i].valid = false;
}

void cpu_forget_page(struct cpu *c, gva_t gva)
{
	for (uint32_t i = 0; i < CPU_TLB; i++)
		if (c->tlb[i].page == gva >> PAGE_SHIFT)
			c->tlb[i].valid = false;
}

struct visit {
	cpu_leaf_fn *fn;
	void *ctx;
	bool pae;
	uint32_t unused; /* high bits of an address that repeat the highest used */
};

static void visit_leaf(const struct visit *v, gva_t gva, uint32_t level, uint64_t e, struct rights r)
{
	uint64_t pages = 1ul << (9 * (level - 1)), at[] = { 0, pages - 1, pages / 2 + 3 };
	struct cpu_leaf leaf;

	r.dirty = bit(e, 6);
	for (uint32_t i = 0; i < (level == 1 ? 1 : 3); i++) {
		gva_t where = (gva_t)((int64_t)((gva + (at[i] << PAGE_SHIFT)) << v->unused) >> v->unused);

		fill_leaf(&leaf, level, e, where, r);
		leaf.rights.dirty = r.dirty;
		v->fn(v->ctx, v->pae ? where & 0xffffffff : where, &leaf);
	}
}

static void visit_table(const struct visit *v, const uint64_t *table, gva_t gva, uint32_t level, struct rights above)
{
	for (uint64_t i = 0; i < 512; i++) {
		uint64_t e = table[i];
		gva_t at = gva + (i << (9 * level + 3));

		if (!bit(e, 0) || breaks_format(level, e, v->pae))
			continue;
		if (large(level, e))
			visit_leaf(v, at, level, e, rights_below(above, e));
		else
			visit_table(v, table_of(e), at, level - 1, rights_below(above, e));
	}
}

void cpu_for_each_leaf(struct cpu *c, const struct guest_paging *g, cpu_leaf_fn *fn, void *ctx)
{
	struct rights r = { .user = true, .writable = true };
	struct visit v = { fn, ctx, guest_mode(g) < MODE_4, guest_mode(g) == MODE_5 ? 7 : 16 };

	if (!v.pae) {
		visit_table(&v, table_of(c->cr3), 0, guest_mode(g) == MODE_5 ? 5 : 4, r);
		return;
	}
	for (uint64_t i = 0; i < 4; i++)
		if (bit(c->pdpte[i], 0))
			visit_table(&v, table_of(c->pdpte[i]), i << 30, 2, r);
}
