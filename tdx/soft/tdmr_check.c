/* The rules that the host's TDMRs must keep; see the header. */
#include "tdx/soft/tdmr_check.h"

#include "tdx/soft/pamt.h"

/* Details of a status: a TDMR, an area or level of it, and another TDMR. */
static uint64_t details(uint32_t i, uint32_t part, uint32_t other)
{
	return i | (uint64_t)part << 8 | (uint64_t)other << 16;
}

/* Whether base..end is inside the ranges, which ascend by base and may touch each other. */
static bool covered(const struct tdx_range *r, uint32_t n, uint64_t base, uint64_t end)
{
	for (uint32_t i = 0; i < n && base < end; i++)
		if (base >= r[i].base && base - r[i].base < r[i].size)
			base = r[i].base + r[i].size;
	return base >= end;
}

static uint64_t check_place(const struct soft_platform *p, const struct soft_tdmr *tdmr, uint32_t i)
{
	const struct tdx_tdmr_info *t = &tdmr[i].info;
	const struct tdx_tdmr_info *before = i ? &tdmr[i - 1].info : NULL;
	uint64_t limit = BIT(p->hpa_bits);

	if (!is_aligned(t->base | t->size, TDX_TDMR_ALIGN) || !t->size || t->size > limit || t->base > limit - t->size)
		return TDX_INVALID_TDMR | i;
	if (before && t->base < before->base + before->size)
		return TDX_NON_ORDERED_TDMR | i;
	return TDX_SUCCESS;
}

static uint64_t check_reserved(const struct tdx_tdmr_info *t, uint32_t i)
{
	uint64_t end = 0;
	bool ended = false;

	for (uint32_t k = 0; k < TDX_MAX_RESERVED; k++) {
		const struct tdx_range *r = &t->reserved[k];

		if (!r->size) {
			ended = true;
			continue;
		}
		if (ended || !is_aligned(r->base | r->size, PAGE_SIZE) || r->size > t->size ||
			r->base > t->size - r->size)
			return TDX_INVALID_RESERVED_IN_TDMR | details(i, k, 0);
		if (r->base < end)
			return TDX_NON_ORDERED_RESERVED_IN_TDMR | details(i, k, 0);
		end = r->base + r->size;
	}
	return TDX_SUCCESS;
}

static uint64_t check_pamt(const struct soft_platform *p, const struct tdx_tdmr_info *t, uint32_t i, uint32_t level)
{
	const struct tdx_range *r = &t->pamt[TDX_PAMT_4K - level];
	uint64_t least = t->size / level_size(level) * sizeof(struct pamt_entry);
	uint64_t limit = BIT(p->hpa_bits);

	if (!is_aligned(r->base | r->size, PAGE_SIZE) || r->size < least || r->size > limit || r->base > limit - r->size)
		return TDX_INVALID_PAMT | details(i, level, 0);
	if (!covered(p->cmrs, p->num_cmrs, r->base, r->base + r->size))
		return TDX_PAMT_OUTSIDE_CMRS | details(i, level, 0);
	return TDX_SUCCESS;
}

/* What is between the reserved areas can become a TD's. */
static bool available_in_cmrs(const struct soft_platform *p, const struct tdx_tdmr_info *t)
{
	hpa_t from = t->base;

	for (uint32_t k = 0; k < TDX_MAX_RESERVED && t->reserved[k].size; k++) {
		hpa_t to = t->base + t->reserved[k].base;

		if (!covered(p->cmrs, p->num_cmrs, from, to))
			return false;
		from = to + t->reserved[k].size;
	}
	return covered(p->cmrs, p->num_cmrs, from, t->base + t->size);
}

uint64_t tdmr_check(const struct soft_platform *p, const struct soft_tdmr *tdmr, uint32_t i)
{
	const struct tdx_tdmr_info *t = &tdmr[i].info;
	uint64_t status = check_place(p, tdmr, i);

	if (!status)
		status = check_reserved(t, i);
	for (int level = SOFT_1G; level >= SOFT_4K && !status; level--)
		status = check_pamt(p, t, i, (uint32_t)level);
	if (status)
		return status;
	return available_in_cmrs(p, t) ? TDX_SUCCESS : TDX_TDMR_OUTSIDE_CMRS | i;
}

static bool overlaps(const struct tdx_range *a, const struct tdx_range *b)
{
	return a->base < b->base + b->size && b->base < a->base + a->size;
}

/* Whether the PAMT lies in what a TD could get of t. */
static bool in_available(const struct tdx_range *pamt, const struct tdx_tdmr_info *t)
{
	uint64_t from = max_u64(pamt->base, t->base), to = min_u64(pamt->base + pamt->size, t->base + t->size);

	return from < to && !covered(t->reserved, TDX_MAX_RESERVED, from - t->base, to - t->base);
}

static bool pamt_conflicts(const struct soft_tdmr *tdmr, uint32_t i, uint32_t k, uint32_t other)
{
	const struct tdx_range *pamt = &tdmr[i].info.pamt[k];

	for (uint32_t j = 0; j < TDX_PAMTS; j++)
		if ((other != i || j != k) && overlaps(pamt, &tdmr[other].info.pamt[j]))
			return true;
	return in_available(pamt, &tdmr[other].info);
}

uint64_t tdmr_check_pamts(const struct soft_tdmr *tdmr, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < TDX_PAMTS; k++)
			for (uint32_t other = 0; other < n; other++)
				if (pamt_conflicts(tdmr, i, k, other))
					return TDX_PAMT_OVERLAP | details(i, TDX_PAMT_4K - k, other);
	return TDX_SUCCESS;
}
