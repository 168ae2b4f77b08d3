/*
 * Bringing the entries of an unsync page up to date: each leaf gets what the guest's entry says now, or goes.
 */
#include "mmu/unsync.h"

#include "mmu/seen.h"
#include "mmu/shadow_gpte.h"
#include "mmu/shadow_page.h"
#include "mmu/shadow_spte.h"

/* An unsync page whose entries are read again. What is asked for every entry is kept at hand. */
struct refresh {
	struct mmu_vcpu *mv;
	struct sp *sp;
	struct flush_token *token;
	const uint32_t *links;
	const struct gpte_format *format;
	gfn_t base;                /* of the slot that the entry before led into; most lead into one */
	uint64_t npages, offset;
	hpa_t first;               /* frame of base */
	uint64_t *seen;            /* the copy of the guest's table; NULL: none */
};

/* What follows from a slot is set by find_slot(). */
static inline void refresh_begin(struct refresh *r, struct mmu_vcpu *mv, struct sp *sp, struct flush_token *token)
{
	r->mv = mv;
	r->sp = sp;
	r->token = token;
	r->links = sp_links(sp);
	r->format = gpte_format_of(mv->mmu, sp);
	r->npages = 0;
}

/* False: gfn is in no slot. */
static inline bool find_slot(struct refresh *r, gfn_t gfn)
{
	const struct slot *s = slot_find(r->mv, gfn);

	r->npages = 0;
	if (!s)
		return false;
	r->base = s->base;
	r->npages = s->npages;
	r->offset = s->offset;
	r->first = slot_hpa(s, s->base);
	return true;
}

/* Whether the leaf is of the frame that the guest's entry means, and filed under that gfn. */
static inline bool is_same_page(struct refresh *r, uint32_t index, uint64_t spte, gfn_t gfn)
{
	if (UNLIKELY(gfn - r->base >= r->npages) && !find_slot(r, gfn))
		return false;
	if ((gfn << PAGE_SHIFT) + r->offset != spte_hpa(spte))
		return false;
	return LIKELY(r->links[index] == (RMAP_END | gfn)) || rmap_key(r->mv->mmu, r->sp, index) == gfn;
}

/* The leaf as the guest's entry now wants it; the right to write is kept or lost. */
static inline uint64_t wanted(const struct refresh *r, uint64_t gpte, uint64_t spte)
{
	uint64_t kept = gpte_is_written(r->format, gpte) ? SHADOW_WRITABLE : SHADOW_HOST_WRITABLE;

	return gpte_leaf(r->format, gpte, spte_hpa(spte)) | (spte & kept);
}

/* The CPU has set no flag in it: those it may set were set from the start. */
static inline void change_leaf(struct refresh *r, uint64_t *sptep, uint64_t spte)
{
	spte_write(sptep, spte);
	r->mv->mmu->shadow->counts.synced_entries++;
	shadow_owe(r->token);
}

/* The leaf gets the rights that the guest's entry gives now. False: it is to be dropped. */
static bool sync_leaf(struct refresh *r, uint32_t index, uint64_t gpte)
{
	uint64_t *sptep = &r->sp->table[index], spte = *sptep, want;

	if (UNLIKELY(!gpte_is_usable(r->format, gpte)) || UNLIKELY(!is_same_page(r, index, spte, gpte_gfn(gpte))))
		return false;
	want = wanted(r, gpte, spte);
	if (LIKELY(spte == want))
		return true;
	sp_bit_clear(sp_seen_bits(r->sp), index);
	change_leaf(r, sptep, want);
	return true;
}

static void sync_entry(struct refresh *r, uint32_t index, uint64_t gpte)
{
	if (!sync_leaf(r, index, gpte))
		shadow_drop_entry(r->mv->mmu, r->sp, index, r->token);
}

/*
 * Whether the leaf is as the entry wants it but for the right to write, told by a glance: no leaf has a bit that is
 * reserved in an entry, and while no frame has two gfns, a frame of the slot is proof of the gfn. False says nothing.
 */
static inline bool is_same_leaf(const struct refresh *r, uint64_t gpte, uint64_t spte)
{
	return !(((gpte + r->offset) ^ spte) & r->format->same) && (spte_hpa(spte) - r->first) >> PAGE_SHIFT < r->npages;
}

/*
 * Whether an entry for MMIO is as the guest's entry wants it: with another right to write it may have less. Its
 * generation is judged when it is used.
 */
static bool mmio_is_in_step(const struct refresh *r, uint64_t gpte, uint64_t spte)
{
	const uint64_t rights = PTE_US | PTE_PKEY | PTE_XD;

	return gpte_is_usable(r->format, gpte) && gpte_gfn(gpte) == spte_mmio_gfn(spte) &&
	       !((gpte_leaf(r->format, gpte, 0) ^ spte) & rights) &&
	       (!(spte & PTE_RW) || gpte_is_written(r->format, gpte));
}

static void sync_mmio(struct refresh *r, uint32_t index, uint64_t gpte)
{
	if (!mmio_is_in_step(r, gpte, r->sp->table[index]))
		shadow_mmio_drop(r->mv->mmu, r->sp, index);
}

static NOINLINE void refresh_mmio(struct refresh *r)
{
	const uint64_t *there = sp_mmio_bits(r->sp);

	for (uint32_t w = 0; w < SP_BITMAP_WORDS; w++)
		for (uint64_t bits = there[w]; bits; bits &= bits - 1) {
			uint32_t index = w * 64 + (uint32_t)__builtin_ctzl(bits);

			sync_mmio(r, index, gpte_load(r->sp, index));
		}
}

/* What any of eight entries differs in. */
static inline uint64_t difference_8(const uint64_t *a, const uint64_t *b)
{
	return (gpte_at64(a, 0) ^ b[0]) | (gpte_at64(a, 1) ^ b[1]) | (gpte_at64(a, 2) ^ b[2]) | (gpte_at64(a, 3) ^ b[3]) |
	       (gpte_at64(a, 4) ^ b[4]) | (gpte_at64(a, 5) ^ b[5]) | (gpte_at64(a, 6) ^ b[6]) | (gpte_at64(a, 7) ^ b[7]);
}

/* Which of the eight entries from number i on differ. */
static NOINLINE uint64_t differing_8(const uint64_t *a, const uint64_t *b, uint32_t i)
{
	a += i;
	b += i;
	return ((uint64_t)(gpte_at64(a, 0) != b[0]) << 0 | (uint64_t)(gpte_at64(a, 1) != b[1]) << 1 |
		(uint64_t)(gpte_at64(a, 2) != b[2]) << 2 | (uint64_t)(gpte_at64(a, 3) != b[3]) << 3 |
		(uint64_t)(gpte_at64(a, 4) != b[4]) << 4 | (uint64_t)(gpte_at64(a, 5) != b[5]) << 5 |
		(uint64_t)(gpte_at64(a, 6) != b[6]) << 6 | (uint64_t)(gpte_at64(a, 7) != b[7]) << 7) << i;
}

/* Of these those that differ, if any is asked for. */
static ALWAYS_INLINE uint64_t differing_at(uint32_t i, const uint64_t *a, const uint64_t *b, uint64_t asked)
{
	if (!(asked & (uint64_t)0xff << i) || LIKELY(!difference_8(&a[i], &b[i])))
		return 0;
	return differing_8(a, b, i);
}

/* Of 64 entries those that are asked for and differ. */
static inline uint64_t differing(const uint64_t *a, const uint64_t *b, uint64_t asked)
{
	uint64_t out = differing_at(0, a, b, asked) | differing_at(8, a, b, asked) | differing_at(16, a, b, asked) |
		       differing_at(24, a, b, asked) | differing_at(32, a, b, asked) | differing_at(40, a, b, asked) |
		       differing_at(48, a, b, asked) | differing_at(56, a, b, asked);

	return out & asked;
}

/* Entries of word w that may not be in step. Returns those whose leafs are to be dropped. */
static uint64_t refresh_entries(struct refresh *r, uint32_t w, uint64_t bits)
{
	const uint64_t *gptes = (const uint64_t *)r->sp->guest + w * 64;
	uint64_t *sptes = &r->sp->table[w * 64], *seen = r->seen ? &r->seen[w * 64] : NULL, gone = 0;

	for (; bits; bits &= bits - 1) {
		uint32_t i = (uint32_t)__builtin_ctzl(bits);
		uint64_t gpte = gpte_at64(gptes, i);

		if (LIKELY(is_same_leaf(r, gpte, sptes[i]))) {
			if ((sptes[i] & PTE_D) && !gpte_is_written(r->format, gpte))
				change_leaf(r, &sptes[i], sptes[i] & ~(SHADOW_WRITABLE & ~SHADOW_HOST_WRITABLE));
		} else if (!sync_leaf(r, w * 64 + i, gpte)) {
			gone |= bits & -bits;
		}
		if (seen)
			seen[i] = gpte;
	}
	return gone;
}

static inline void refresh_word(struct refresh *r, uint32_t w, uint64_t present, uint64_t *known)
{
	uint64_t bits = present & ~*known, gone;

	if (*known)
		bits |= differing((const uint64_t *)r->sp->guest + w * 64, &r->seen[w * 64], *known);
	if (!bits)
		return;
	gone = refresh_entries(r, w, bits);
	if (r->seen)
		*known |= bits;
	if (gone)
		shadow_drop_word(r->mv->mmu, r->sp, w, gone, r->token);
}

/* Entries of 8 bytes in memory, as nearly all are: the guest's table is read as it stands. */
static void refresh_64(struct refresh *r)
{
	const uint64_t *present = sp_present_bits(r->sp);
	uint64_t *known = sp_seen_bits(r->sp);

	(void)find_slot(r, r->sp->gfn); /* a guess: where the table is, there is what it leads to */
	for (uint32_t w = 0; w < SP_BITMAP_WORDS; w++)
		if (present[w])
			refresh_word(r, w, present[w], &known[w]);
}

static void refresh_any(struct refresh *r)
{
	for (uint32_t index = 0; index < SPTES_PER_TABLE; index++)
		if (sp_bit(sp_present_bits(r->sp), index))
			sync_entry(r, index, gpte_load(r->sp, index));
}

void unsync_refresh(struct mmu_vcpu *mv, struct sp *sp, struct flush_token *token)
{
	struct refresh r;

	refresh_begin(&r, mv, sp, token);
	mv->mmu->shadow->counts.syncs++;
	if (LIKELY(sp->role.mode != PAGING_32 && sp->guest && !mv->mmu->slots->aliased)) {
		r.seen = seen_of(mv->mmu, sp);
		refresh_64(&r);
	} else {
		refresh_any(&r);
	}
	if (UNLIKELY(sp->mmios))
		refresh_mmio(&r);
}

void unsync_sync_entry(struct mmu_vcpu *mv, struct sp *sp, uint32_t index, struct flush_token *token)
{
	struct refresh r;

	if (!sp->unsync || sp->table[index] == SPTE_EMPTY)
		return;
	refresh_begin(&r, mv, sp, token);
	if (LIKELY(spte_is_present(sp->table[index])))
		sync_entry(&r, index, gpte_load(sp, index));
	else
		sync_mmio(&r, index, gpte_load(sp, index));
}
