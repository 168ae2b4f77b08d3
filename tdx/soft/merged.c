/* The merged EPT root; see the header. SDM volume 3C, "The Extended Page Table Mechanism (EPT)". */
#include "tdx/soft/merged.h"

#include "tdx/soft/sept.h"

#define EPTP_WB_4_LEVELS (6ul | 3ul << 3)
#define TABLE_ADDRESS BITS(51, 12)
#define NOT_PRESENT SEPT_SUPPRESS_VE
#define ROOT_SHIFT 39 /* address bits below a root entry */
#define LOW_SHIFT 30
#define LARGE BIT(7)

uint64_t merged_eptp(const struct soft_td *td) { return td->tdr->tdcx[TDCS_MERGED_ROOT] | EPTP_WB_4_LEVELS; }

/* Short and never held by the host: to wait for it is no concern of who calls the module. */
static void lock(struct soft_tdcs *t)
{
	while (__atomic_exchange_n(&t->merged_lock, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

static void unlock(struct soft_tdcs *t) { __atomic_store_n(&t->merged_lock, 0, __ATOMIC_RELEASE); }

static bool put(uint64_t *entry, uint64_t value)
{
	if (*entry == value)
		return false;
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
	return true;
}

static uint64_t *host_table(struct soft *m, uint64_t entry)
{
	return m->platform.map_shared(m->platform.ctx, entry & TABLE_ADDRESS);
}

/* count entries of dst from index on, out of src: an entry is what src has there, less the rights that the entry
 * above src lacks. src NULL: none is present. */
static bool copy(uint64_t *dst, const uint64_t *src, uint32_t index, uint32_t count, uint64_t rights)
{
	bool changed = false;

	for (uint32_t i = index; i < index + count; i++) {
		uint64_t e = src ? sept_load(&src[i]) : NOT_PRESENT;

		changed |= put(&dst[i], e & ~(SEPT_RWX & ~rights));
	}
	return changed;
}

struct sources {
	uint64_t *private_root, *shared_root; /* shared: NULL when the host has set none */
};

/* 2^(gpa_bits - 39) root entries are in use, the upper half of them shared. */
static bool refresh_root(const struct sources *s, uint64_t *root, uint32_t gpa_bits)
{
	uint32_t half = 1u << (gpa_bits - 1 - ROOT_SHIFT);
	bool changed = copy(root, s->private_root, 0, half, SEPT_RWX);

	return copy(root, s->shared_root, half, half, SEPT_RWX) || changed;
}

static const uint64_t *below(struct soft *m, const uint64_t *root, bool private, uint64_t *rights)
{
	uint64_t e = root ? sept_load(&root[0]) : 0;

	*rights = e & SEPT_RWX;
	if (!*rights)
		return NULL;
	return private ? hpa_map(m, e & TABLE_ADDRESS) : host_table(m, e);
}

/* One root entry is in use, and both halves are below it. */
static bool refresh_low(struct soft *m, const struct soft_td *td, const struct sources *s, uint64_t *root)
{
	uint64_t *low = td_page(m, td, TDCS_MERGED_LOW), rights;
	uint32_t half = 1u << (td->tdcs->gpa_bits - 1 - LOW_SHIFT);
	const uint64_t *src = below(m, s->private_root, true, &rights);
	bool changed = copy(low, src, 0, half, rights);

	src = below(m, s->shared_root, false, &rights);
	changed = copy(low, src, half, half, rights) || changed;
	return put(&root[0], sept_table(td->tdr->tdcx[TDCS_MERGED_LOW])) || changed;
}

bool merged_refresh(struct soft *m, const struct soft_td *td, uint64_t shared_eptp)
{
	struct sources s = { .private_root = td_page(m, td, TDCS_SEPT_ROOT),
			     .shared_root = shared_eptp ? host_table(m, shared_eptp) : NULL };
	uint64_t *root = td_page(m, td, TDCS_MERGED_ROOT);
	bool changed;

	lock(td->tdcs);
	changed = td->tdcs->gpa_bits > ROOT_SHIFT ? refresh_root(&s, root, td->tdcs->gpa_bits) :
						    refresh_low(m, td, &s, root);
	unlock(td->tdcs);
	return changed;
}

bool merged_walk_shared(struct soft *m, uint64_t shared_eptp, gpa_t gpa, uint64_t *entry, uint32_t *level)
{
	uint64_t table = shared_eptp;

	for (*level = SOFT_512G;; --*level) {
		const uint64_t *t = host_table(m, table);

		if (!shared_eptp || !t)
			return false;
		*entry = __atomic_load_n(&t[gpa >> (PAGE_SHIFT + 9 * *level) & (SEPT_ENTRIES - 1)], __ATOMIC_ACQUIRE);
		if (!(*entry & SEPT_RWX) || *level == SOFT_4K || ((*entry & LARGE) && *level < SOFT_512G))
			return true;
		table = *entry;
	}
}
