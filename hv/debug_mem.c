/*
 * A debugged guest's memory at linear addresses, and the INT3s that software breakpoints are. They are noted
 * by guest-physical address: whatever address leads there, and in whatever process, meets them.
 */
#include "hv/debug_mem.h"

#include <errno.h>
#include <string.h>

#include "hv/base/x86.h"
#include "mmu/gpa.h"
#include "mmu/walk.h"

#define INT3 0xcc

/* ---- linear addresses ---- */

/* Rights are looked through: protection keys, SMAP and CPL do not count. */
static void paging_of(const struct debug *d, uint32_t index, struct guest_paging *g)
{
	const uint64_t *reg = d->vcpu[index].regs.reg;

	*g = (struct guest_paging){
		.cr0 = reg[REG_CR0],
		.cr3 = reg[REG_CR3],
		.cr4 = reg[REG_CR4] & ~(CR4_PKE | CR4_SMAP),
		.efer = reg[REG_EFER],
		.maxphyaddr = d->vm->mmu->config.gpa_bits,
		.page_1g = d->vm->vcpus[index]->page_1g,
	};
	memcpy(g->pdpte, &reg[REG_PDPTE0], sizeof g->pdpte);
}

static void paging_now(struct vcpu *v, struct guest_paging *g)
{
	uint32_t cs_ar;

	v->vm->backend->get_code_state(v, g, &cs_ar);
	g->cr4 &= ~(CR4_PKE | CR4_SMAP);
	g->cpl = 0;
	g->maxphyaddr = v->vm->mmu->config.gpa_bits;
	g->page_1g = v->page_1g;
	for (unsigned i = 0; i < 4; i++)
		g->pdpte[i] = v->vm->backend->get_reg(v, REG_PDPTE0 + i);
}

static bool translate(struct mmu_vcpu *mv, const struct guest_paging *g, gva_t gva, gpa_t *gpa)
{
	struct walk_result r;

	if (guest_walk(mv, g, gva, WALK_READ | WALK_PEEK, &r) != WALK_OK)
		return false;
	*gpa = r.gpa;
	return true;
}

/* Bytes from gva to the end of its page, at most len. */
static size_t in_page(gva_t gva, size_t len) { return (size_t)min_u64(len, PAGE_SIZE - (gva & PAGE_MASK)); }

/* ---- memory with the breakpoints hidden ---- */

/* A byte that is no INT3 any more is the guest's own. */
static void hide(const struct debug *d, gpa_t gpa, uint8_t *buf, size_t len)
{
	for (unsigned i = 0; i < DEBUG_SOFT; i++) {
		const struct debug_soft *s = &d->soft[i];

		if (s->used && s->gpa - gpa < len && buf[s->gpa - gpa] == INT3)
			buf[s->gpa - gpa] = s->byte;
	}
}

static size_t read_linear(const struct debug *d, struct mmu_vcpu *mv, const struct guest_paging *g, gva_t address,
			  uint8_t *buf, size_t len)
{
	size_t done = 0, n;
	gpa_t gpa;

	for (; done < len; done += n) {
		n = in_page(address + done, len - done);
		if (!translate(mv, g, address + done, &gpa) || gpa_read(mv, gpa, buf + done, n))
			break;
		hide(d, gpa, buf + done, n);
	}
	return done;
}

size_t debug_read(struct debug *d, uint32_t index, gva_t address, void *buf, size_t len)
{
	struct guest_paging g;

	paging_of(d, index, &g);
	return read_linear(d, &d->vm->mmu->host, &g, address, buf, len);
}

size_t debug_fetch(struct vcpu *v, gva_t address, uint8_t *buf, size_t len)
{
	struct guest_paging g;

	paging_now(v, &g);
	return read_linear(v->vm->debug, v->mmu, &g, address, buf, len);
}

/* Where a breakpoint is, what was written is what it hides from now on. */
static void keep_breakpoints(struct debug *d, gpa_t gpa, uint8_t *bytes, size_t len)
{
	for (unsigned i = 0; i < DEBUG_SOFT; i++) {
		struct debug_soft *s = &d->soft[i];

		if (!s->used || s->gpa - gpa >= len)
			continue;
		s->byte = bytes[s->gpa - gpa];
		bytes[s->gpa - gpa] = INT3;
	}
}

size_t debug_write(struct debug *d, uint32_t index, gva_t address, const void *buf, size_t len)
{
	struct mmu_vcpu *mv = &d->vm->mmu->host;
	struct guest_paging g;
	uint8_t part[256];
	size_t done = 0, n;
	gpa_t gpa;

	paging_of(d, index, &g);
	for (; done < len; done += n) {
		n = in_page(address + done, min_u64(len - done, sizeof part));
		memcpy(part, (const uint8_t *)buf + done, n);
		if (!translate(mv, &g, address + done, &gpa))
			break;
		keep_breakpoints(d, gpa, part, n);
		if (gpa_write(mv, gpa, part, n))
			break;
	}
	return done;
}

void debug_clear_bits(struct vcpu *v, gva_t address, uint8_t bits)
{
	struct guest_paging g;
	uint8_t byte;
	gpa_t gpa;

	paging_now(v, &g);
	if (!translate(v->mmu, &g, address, &gpa) || gpa_read(v->mmu, gpa, &byte, 1))
		return;
	byte &= (uint8_t)~bits;
	gpa_write(v->mmu, gpa, &byte, 1);
}

/* ---- software breakpoints ---- */

/* A breakpoint at gpa, or the first free place; NULL when there is neither. */
static struct debug_soft *soft_at(struct debug *d, gpa_t gpa)
{
	struct debug_soft *room = NULL;

	for (unsigned i = 0; i < DEBUG_SOFT; i++) {
		if (d->soft[i].used && d->soft[i].gpa == gpa)
			return &d->soft[i];
		if (!d->soft[i].used && !room)
			room = &d->soft[i];
	}
	return room;
}

int debug_insert_soft(struct debug *d, uint32_t index, gva_t address)
{
	struct mmu_vcpu *mv = &d->vm->mmu->host;
	const uint8_t int3 = INT3;
	struct debug_soft *s;
	struct guest_paging g;
	uint8_t byte;
	gpa_t gpa;

	paging_of(d, index, &g);
	if (!translate(mv, &g, address, &gpa) || gpa_read(mv, gpa, &byte, 1))
		return -EFAULT;
	s = soft_at(d, gpa);
	if (!s)
		return -ENOSPC;
	if (s->used && byte == INT3)
		return 0;
	if (gpa_write(mv, gpa, &int3, 1))
		return -EFAULT;
	*s = (struct debug_soft){ address, gpa, byte, true };
	return 0;
}

static void take_out(struct debug *d, struct debug_soft *s)
{
	struct mmu_vcpu *mv = &d->vm->mmu->host;
	uint8_t byte;

	if (!gpa_read(mv, s->gpa, &byte, 1) && byte == INT3)
		gpa_write(mv, s->gpa, &s->byte, 1);
	s->used = false;
}

int debug_remove_soft(struct debug *d, gva_t address)
{
	for (unsigned i = 0; i < DEBUG_SOFT; i++)
		if (d->soft[i].used && d->soft[i].address == address) {
			take_out(d, &d->soft[i]);
			return 0;
		}
	return -ENOENT;
}

void debug_remove_all_soft(struct debug *d)
{
	for (unsigned i = 0; i < DEBUG_SOFT; i++)
		if (d->soft[i].used)
			take_out(d, &d->soft[i]);
}

bool debug_owns_int3(struct vcpu *v, gva_t address)
{
	const struct debug *d = v->vm->debug;
	struct guest_paging g;
	gpa_t gpa;

	paging_now(v, &g);
	if (!translate(v->mmu, &g, address, &gpa))
		return false;
	for (unsigned i = 0; i < DEBUG_SOFT; i++)
		if (d->soft[i].used && d->soft[i].gpa == gpa)
			return true;
	return false;
}
