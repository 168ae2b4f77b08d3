/* The physical address metadata tables; see the header. */
#include "tdx/soft/pamt.h"

/* Of struct tdx_tdmr_info.pamt[]. */
static uint32_t pamt_index(uint32_t level) { return TDX_PAMT_4K - level; }

static struct soft_tdmr *find_tdmr(struct soft *m, hpa_t hpa)
{
	for (uint32_t i = 0; i < m->num_tdmrs; i++)
		if (hpa - m->tdmr[i].info.base < m->tdmr[i].info.size)
			return &m->tdmr[i];
	return NULL;
}

/* A page can be used once all of its 1G block is initialised. */
static bool initialised(const struct soft_tdmr *t, hpa_t hpa)
{
	uint64_t done = __atomic_load_n(&t->initialised, __ATOMIC_ACQUIRE);

	return hpa - t->info.base < align_down(done, TDX_TDMR_ALIGN);
}

struct pamt_entry *pamt_entry(struct soft *m, hpa_t hpa, uint32_t level)
{
	const struct soft_tdmr *t = find_tdmr(m, hpa);
	hpa_t at;

	if (!t || !initialised(t, hpa))
		return NULL;
	at = t->info.pamt[pamt_index(level)].base +
		(hpa - t->info.base) / level_size(level) * sizeof(struct pamt_entry);
	return (struct pamt_entry *)((uint8_t *)hpa_map(m, align_down(at, PAGE_SIZE)) + (at & PAGE_MASK));
}

hpa_t pamt_owner(const struct pamt_entry *e)
{
	return ((uint64_t)e->owner_high << 32 | e->owner_low) << PAGE_SHIFT;
}

void pamt_set(struct pamt_entry *e, enum tdx_page_type type, hpa_t owner)
{
	uint64_t frame = owner >> PAGE_SHIFT;

	e->owner_high = (uint8_t)(frame >> 32);
	e->owner_low = (uint32_t)frame;
	e->bepoch = 0;
	e->type = type;
}

/*
 * Down to the first entry that is not free, but no lower than lowest: that one is locked in mode, those above
 * are shared. An entry that is not free was seen under a shared lock; when it is free by the time it is
 * locked alone, somebody else was at it.
 */
static uint64_t walk(struct soft_call *c, hpa_t hpa, uint32_t lowest, enum lock_mode mode, uint32_t operand,
	struct pamt_entry **out, uint32_t *level)
{
	for (uint32_t at = SOFT_1G;; at--) {
		struct pamt_entry *e = pamt_entry(c->m, hpa, at);
		bool last = at == lowest;
		uint64_t status;

		if (!e)
			return TDX_OPERAND_ADDR_RANGE_ERROR | operand;
		status = call_lock(c, &e->lock, last ? mode : LOCK_SHARED, operand);
		if (status)
			return status;
		if (!last && e->type == TDX_PT_NDA)
			continue;
		*out = e;
		*level = at;
		if (last || mode == LOCK_SHARED)
			return TDX_SUCCESS;
		call_unlock(c, &e->lock);
		status = call_lock(c, &e->lock, mode, operand);
		if (!status && e->type == TDX_PT_NDA)
			status = TDX_OPERAND_BUSY | operand;
		return status;
	}
}

/* Entries of 4K pages in one page of a PAMT; it begins with the first of 1M, as TDMRs and PAMTs are aligned. */
#define ENTRIES_PER_PAGE (PAGE_SIZE / sizeof(struct pamt_entry))

/* Nobody can be at the smaller pages: their walk needs the 2M entry, which the caller has alone. */
static bool all_free(struct soft *m, hpa_t hpa)
{
	for (hpa_t at = hpa; at < hpa + level_size(SOFT_2M); at += ENTRIES_PER_PAGE * PAGE_SIZE) {
		const struct pamt_entry *e = pamt_entry(m, at, SOFT_4K);

		for (uint32_t i = 0; i < ENTRIES_PER_PAGE; i++)
			if (e[i].type != TDX_PT_NDA)
				return false;
	}
	return true;
}

uint64_t pamt_lock(struct soft_call *c, hpa_t hpa, uint32_t level, uint32_t type, enum lock_mode mode,
	uint32_t operand, struct pamt_entry **out)
{
	uint64_t status = hpa_check_private(c->m, hpa, level_size(level), operand);
	uint32_t found = 0;

	if (!status)
		status = walk(c, hpa, level, mode, operand, out, &found);
	if (status)
		return status;
	if (found != level || (*out)->type != type)
		return TDX_PAGE_METADATA_INCORRECT | operand;
	if (type == TDX_PT_NDA && level == SOFT_2M && !all_free(c->m, hpa))
		return TDX_PAGE_METADATA_INCORRECT | operand;
	return TDX_SUCCESS;
}

uint64_t pamt_lock_any(struct soft_call *c, hpa_t hpa, enum lock_mode mode, uint32_t operand,
	struct pamt_entry **out, uint32_t *level)
{
	uint64_t status = hpa_check_private(c->m, hpa, PAGE_SIZE, operand);

	return status ? status : walk(c, hpa, SOFT_4K, mode, operand, out, level);
}

static bool inside_pamt(const struct soft *m, hpa_t hpa)
{
	for (uint32_t i = 0; i < m->num_tdmrs; i++)
		for (uint32_t k = 0; k < TDX_PAMTS; k++)
			if (hpa - m->tdmr[i].info.pamt[k].base < m->tdmr[i].info.pamt[k].size)
				return true;
	return false;
}

bool pamt_claims(struct soft *m, hpa_t hpa)
{
	for (int level = SOFT_1G; level >= SOFT_4K; level--) {
		struct pamt_entry *e = pamt_entry(m, hpa, (uint32_t)level);

		if (e && e->type != TDX_PT_NDA && e->type != TDX_PT_RSVD)
			return true;
	}
	return inside_pamt(m, hpa);
}
