/*
 * SYS.CONFIG: the TDMRs that the host wants, and the module's own key id. SYS.TDMR.INIT: their PAMTs, a
 * piece at a time. TDX Module 1.5 base specification, "Physical Memory Management".
 */
#include <string.h>

#include "hv/base/panic.h"
#include "tdx/soft/pamt.h"
#include "tdx/soft/tdmr_check.h"

#define INIT_PIECE MIB(4) /* what one TDMR.INIT initialises: 1024 entries of 4K pages */

/* The ids from RDX or R8: the private ones, nothing above bit 15. */
bool sys_hkid_private(const struct soft *m, uint64_t hkid)
{
	return hkid >= m->platform.first_private_hkid &&
		hkid - m->platform.first_private_hkid < m->platform.private_hkids;
}

static uint64_t check_operands(struct soft_call *c, const uint64_t **array)
{
	void *p;
	uint64_t n = call_arg(c, TDX_RDX);
	uint64_t status = hpa_map_shared(c, call_arg(c, TDX_RCX), TDX_TDMR_INFO_ALIGN, TDX_RCX, &p);

	if (status)
		return status;
	if (!n || n > TDX_MAX_TDMRS)
		return invalid(TDX_RDX);
	*array = p;
	return sys_hkid_private(c->m, call_arg(c, TDX_R8)) ? TDX_SUCCESS : invalid(TDX_R8);
}

/* As the real module does: reserved before the TDMRs are looked at, so that a second try needs another id. */
static uint64_t reserve_hkid(struct soft_call *c)
{
	uint64_t hkid = call_arg(c, TDX_R8);
	struct soft_kot_entry *e = &c->m->kot[hkid - c->m->platform.first_private_hkid];
	uint64_t status = call_lock(c, &c->m->kot_lock, LOCK_EXCLUSIVE, TDX_OP_KOT);

	if (status)
		return status;
	if (e->state != SOFT_KOT_FREE)
		return TDX_HKID_NOT_FREE;
	e->state = SOFT_KOT_RESERVED;
	c->m->global_hkid = (uint32_t)hkid;
	return TDX_SUCCESS;
}

/* The host's structure is read once: what is checked is what is used. */
static uint64_t take_tdmr(struct soft_call *c, hpa_t info, uint32_t i)
{
	struct soft_tdmr *t = &c->m->tdmr[i];
	void *p;
	uint64_t status = hpa_map_shared(c, info, TDX_TDMR_INFO_ALIGN, TDX_OP_TDMR_INFO_PA, &p);

	if (status)
		return status;
	*t = (struct soft_tdmr){ .initialised = 0 };
	memcpy(&t->info, p, sizeof(t->info));
	return tdmr_check(&c->m->platform, c->m->tdmr, i);
}

static uint64_t take_tdmrs(struct soft_call *c, const volatile uint64_t *array, uint32_t n)
{
	uint64_t status = TDX_SUCCESS;

	for (uint32_t i = 0; i < n && !status; i++)
		status = take_tdmr(c, array[i], i);
	return status ? status : tdmr_check_pamts(c->m->tdmr, n);
}

uint64_t tdh_sys_config(struct soft_call *c)
{
	struct soft *m = c->m;
	const uint64_t *array;
	uint64_t status;

	if (!call_try_lock(c, &m->sys_lock, LOCK_EXCLUSIVE, TDX_OP_SYS))
		return TDX_SYS_BUSY;
	if (m->state != SOFT_SYS_INIT_DONE || m->lps_initialised != m->platform.lps)
		return TDX_SYS_CONFIG_NOT_PENDING;
	status = check_operands(c, &array);
	if (!status)
		status = reserve_hkid(c);
	if (!status)
		status = take_tdmrs(c, array, (uint32_t)call_arg(c, TDX_RDX));
	if (status)
		return status;
	m->num_tdmrs = (uint32_t)call_arg(c, TDX_RDX);
	__atomic_store_n(&m->state, SOFT_SYS_CONFIG_DONE, __ATOMIC_RELEASE);
	return TDX_SUCCESS;
}

/* The entries from at on, as far as their page of the PAMT goes but n at most; returns how many. */
static uint64_t fill_page(struct soft *m, hpa_t at, uint64_t n, enum tdx_page_type type)
{
	uint32_t mark = hpa_mark(m);
	struct pamt_entry *e = (struct pamt_entry *)((uint8_t *)hpa_map(m, align_down(at, PAGE_SIZE)) + (at & PAGE_MASK));
	uint64_t fit = min_u64(n, (PAGE_SIZE - (at & PAGE_MASK)) / sizeof(*e));

	for (uint64_t i = 0; i < fit; i++)
		e[i] = (struct pamt_entry){ .type = (uint8_t)type };
	hpa_release(m, mark);
	return fit;
}

/* Pages of that level in from..from + size of the TDMR become type. */
static void fill_pamt(struct soft *m, const struct tdx_tdmr_info *t, uint32_t level, uint64_t from, uint64_t size,
	enum tdx_page_type type)
{
	hpa_t pamt = t->pamt[TDX_PAMT_4K - level].base;
	uint64_t i = from / level_size(level), end = (from + size) / level_size(level);

	while (i < end)
		i += fill_page(m, pamt + i * sizeof(struct pamt_entry), end - i, type);
}

/* What of the reserved areas is in the piece is marked, so that nobody can take it for memory. */
static void mark_reserved(struct soft *m, const struct tdx_tdmr_info *t, uint64_t piece)
{
	for (uint32_t k = 0; k < TDX_MAX_RESERVED && t->reserved[k].size; k++) {
		uint64_t from = max_u64(piece, t->reserved[k].base);
		uint64_t to = min_u64(piece + INIT_PIECE, t->reserved[k].base + t->reserved[k].size);

		if (from < to)
			fill_pamt(m, t, SOFT_4K, from, to - from, TDX_PT_RSVD);
	}
}

static void init_piece(struct soft *m, struct soft_tdmr *t)
{
	uint64_t piece = t->initialised;

	if (is_aligned(piece, level_size(SOFT_1G)))
		fill_pamt(m, &t->info, SOFT_1G, piece, level_size(SOFT_1G), TDX_PT_NDA);
	fill_pamt(m, &t->info, SOFT_2M, piece, INIT_PIECE, TDX_PT_NDA);
	fill_pamt(m, &t->info, SOFT_4K, piece, INIT_PIECE, TDX_PT_NDA);
	mark_reserved(m, &t->info, piece);
	__atomic_store_n(&t->initialised, piece + INIT_PIECE, __ATOMIC_RELEASE);
}

static struct soft_tdmr *tdmr_at(struct soft *m, hpa_t base)
{
	for (uint32_t i = 0; i < m->num_tdmrs; i++)
		if (m->tdmr[i].info.base == base)
			return &m->tdmr[i];
	return NULL;
}

uint64_t tdh_sys_tdmr_init(struct soft_call *c)
{
	struct soft_tdmr *t = tdmr_at(c->m, call_arg(c, TDX_RCX));
	uint64_t status;

	if (!t)
		return invalid(TDX_RCX);
	status = call_lock(c, &t->lock, LOCK_EXCLUSIVE, TDX_RCX);
	if (status)
		return status;
	if (t->initialised == t->info.size)
		return TDX_TDMR_ALREADY_INITIALIZED;
	init_piece(c->m, t);
	call_set(c, TDX_RDX, align_down(t->info.base + t->initialised, TDX_TDMR_ALIGN));
	return TDX_SUCCESS;
}
