/* Addresses and pages that the host names; see the header. */
#include "tdx/soft/hpa.h"

#include "hv/base/panic.h"
#include "tdx/soft/pamt.h"

void *hpa_map(struct soft *m, hpa_t page)
{
	void *p = m->platform.map(m->platform.ctx, page);

	INVARIANT(p);
	return p;
}

void *hpa_map_large(struct soft *m, hpa_t page)
{
	void *p = m->platform.map_large(m->platform.ctx, page);

	INVARIANT(p);
	return p;
}

/* Each call may name many buffers. */
static bool is_claimed(struct soft *m, hpa_t hpa)
{
	uint32_t mark = hpa_mark(m);
	bool claimed = pamt_claims(m, hpa);

	hpa_release(m, mark);
	return claimed;
}

uint64_t hpa_check_private(const struct soft *m, hpa_t hpa, uint64_t align, uint32_t operand)
{
	return is_aligned(hpa, align) && !(hpa >> m->platform.hpa_bits) ? TDX_SUCCESS : invalid(operand);
}

uint64_t hpa_map_shared(struct soft_call *c, hpa_t hpa, uint64_t size, uint32_t operand, void **out)
{
	const struct soft_platform *p = &c->m->platform;
	uint64_t hkid = hpa >> p->keyid_shift;
	hpa_t address = hpa & BITS(p->keyid_shift - 1, 0);
	uint8_t *page;

	if (hpa_check_private(c->m, address, size, operand) || hkid >= p->first_private_hkid)
		return invalid(operand);
	if (is_claimed(c->m, address))
		return invalid(operand);
	page = p->map_shared(p->ctx, align_down(address, PAGE_SIZE));
	if (!page)
		return invalid(operand);
	*out = page + (address & PAGE_MASK);
	return TDX_SUCCESS;
}
