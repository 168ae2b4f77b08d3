/* The guest's instruction bytes; see the header. SDM volume 3A, chapter "Paging". */
#include "tdx/soft/guest_code.h"

#include "tdx/soft/mem.h"

#include <string.h>

#define PRESENT BIT(0)
#define LARGE BIT(7)
#define ADDRESS BITS(51, 12)
#define PSE_HIGH_SHIFT 13 /* bits 20:13 of a 4M entry are bits 39:32 of the address */

struct walk {
	struct run *r;
	uint64_t linear;
};

static enum guest_code read_bytes(struct run *r, gpa_t gpa, void *out, unsigned n)
{
	uint32_t mark;
	const void *at;

	if (!mem_gpa_is_private(r->tdcs, gpa))
		return GUEST_CODE_OUTSIDE;
	mark = hpa_mark(r->m);
	at = mem_of_guest(r->c, &r->v->td, gpa);
	if (at)
		memcpy(out, at, n);
	hpa_release(r->m, mark);
	return at ? GUEST_CODE_READ : GUEST_CODE_GONE;
}

/* The entry for the walk's address in the table at gpa: `size` bytes each, indexed by `bits` from `shift` on. */
static enum guest_code entry_of(const struct walk *w, gpa_t table, unsigned shift, unsigned bits, unsigned size,
				uint64_t *entry)
{
	uint64_t index = w->linear >> shift & (BIT(bits) - 1);
	enum guest_code c;

	*entry = 0;
	c = read_bytes(w->r, table + index * size, entry, size);
	if (c == GUEST_CODE_READ && !(*entry & PRESENT))
		c = GUEST_CODE_GONE;
	return c;
}

static enum guest_code walk_32bit(const struct walk *w, uint64_t cr3, uint64_t cr4, gpa_t *gpa)
{
	uint64_t e;
	enum guest_code c = entry_of(w, cr3 & 0xfffff000, 22, 10, 4, &e);

	if (c != GUEST_CODE_READ)
		return c;
	if ((e & LARGE) && (cr4 & CR4_PSE)) {
		*gpa = (e & 0xffc00000) | (e >> PSE_HIGH_SHIFT & 0xff) << 32 | (w->linear & 0x3fffff);
		return c;
	}
	c = entry_of(w, e & 0xfffff000, 12, 10, 4, &e);
	*gpa = (e & 0xfffff000) | (w->linear & PAGE_MASK);
	return c;
}

/* From a table whose entries map 2^shift bytes. */
static enum guest_code walk_64bit(const struct walk *w, gpa_t table, unsigned shift, gpa_t *gpa)
{
	for (;; shift -= 9) {
		uint64_t e, below = BIT(shift) - 1;
		enum guest_code c = entry_of(w, table, shift, 9, 8, &e);

		if (c != GUEST_CODE_READ)
			return c;
		if (shift == PAGE_SHIFT || ((e & LARGE) && shift < 39)) {
			*gpa = (e & ADDRESS & ~below) | (w->linear & below);
			return c;
		}
		table = e & ADDRESS;
	}
}

static enum guest_code walk_pae(const struct walk *w, gpa_t *gpa)
{
	uint64_t pdpte = run_read(w->r, VMCS_GUEST_PDPTE0 + 2 * (w->linear >> 30 & 3));

	return pdpte & PRESENT ? walk_64bit(w, pdpte & ADDRESS, 21, gpa) : GUEST_CODE_GONE;
}

/* The profile has no 57-bit linear addresses. */
static enum guest_code translate(struct run *r, uint64_t linear, gpa_t *gpa)
{
	struct walk w = { .r = r, .linear = linear };
	uint64_t cr4 = run_read(r, VMCS_GUEST_CR4), cr3 = run_read(r, VMCS_GUEST_CR3);

	*gpa = linear;
	if (!(run_read(r, VMCS_GUEST_CR0) & CR0_PG))
		return GUEST_CODE_READ;
	if (!(cr4 & CR4_PAE))
		return walk_32bit(&w, cr3, cr4, gpa);
	if (!(run_read(r, VMCS_GUEST_EFER) & EFER_LMA))
		return walk_pae(&w, gpa);
	return walk_64bit(&w, cr3 & ADDRESS, 39, gpa);
}

enum guest_code guest_code_read(struct run *r, uint8_t *bytes, unsigned n)
{
	bool wide = run_in_64bit(r);
	uint64_t linear = run_read(r, VMCS_GUEST_RIP);
	enum guest_code c = GUEST_CODE_READ;

	if (!wide)
		linear = (uint32_t)(linear + run_read(r, VMCS_GUEST_CS_BASE));
	while (n && c == GUEST_CODE_READ) {
		unsigned part = (unsigned)min_u64(n, PAGE_SIZE - (linear & PAGE_MASK));
		gpa_t gpa;

		c = translate(r, linear, &gpa);
		if (c == GUEST_CODE_READ)
			c = read_bytes(r, gpa, bytes, part);
		bytes += part;
		n -= part;
		linear = wide ? linear + part : (uint32_t)(linear + part);
	}
	return c;
}
