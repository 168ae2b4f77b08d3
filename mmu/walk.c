/*
 * The guest's own page tables: the walk, the permission check, the flags.
 */
#include "mmu/walk.h"

#include "hv/base/x86.h"
#include "mmu/gpa.h"
#include "mmu/shadow_write.h"

#define FLAG_RETRIES 8 /* lost races for a flag before the guest is let run again */

/* levels in memory, bits of the address that index a table, bytes of an entry */
static const struct {
	uint8_t levels, index_bits, entry_bytes;
} formats[] = {
	[PAGING_32] = { 2, 10, 4 },
	[PAGING_PAE] = { 2, 9, 8 },
	[PAGING_4] = { 4, 9, 8 },
	[PAGING_5] = { 5, 9, 8 },
};

struct walk {
	struct mmu_vcpu *mv;
	const struct guest_paging *g;
	const struct walk_start *start; /* NULL: CR3 */
	struct walk_result *r;
	gva_t gva;
	uint32_t access;
	enum paging_mode mode;
	bool user;         /* a user-mode access */
	uint64_t flags_due; /* not 0: an accessed or dirty flag is to be set */
	uint64_t no_exec;  /* the bit that forbids fetches: PTE_XD, or 0 */
	uint64_t reserved; /* bits that are reserved in every entry */
};

static uint32_t level_shift(const struct walk *w, int level)
{
	return PAGE_SHIFT + formats[w->mode].index_bits * (uint32_t)(level - 1);
}

/* SDM "Formats of ... Paging-Structure Entries": address bits beyond the width, and XD without NXE. */
static uint64_t reserved_always(const struct walk *w)
{
	uint64_t addresses = w->mode == PAGING_PAE ? BITS(62, 12) : BITS(51, 12);

	if (w->mode == PAGING_32)
		return 0;
	return (addresses & -BIT(w->g->maxphyaddr)) | (w->no_exec ? 0 : PTE_XD);
}

/* Whether bit 7, set above level 1, makes a large page; else it is reserved or, in 32-bit paging, ignored. */
static bool is_large(const struct walk *w, int level)
{
	if (level == 2)
		return w->mode != PAGING_32 || (w->g->cr4 & CR4_PSE);
	return level == 3 && w->g->page_1g;
}

/* What else is reserved in an entry above level 1 with bit 7 set. */
static uint64_t reserved_ps(const struct walk *w, int level)
{
	if (w->mode == PAGING_32) /* PSE-36: address bits 39:32 are in bits 20:13, up to the width */
		return is_large(w, level) ? BITS(21, min_u64(w->g->maxphyaddr, 40) - 19) : 0;
	return is_large(w, level) ? BITS(level_shift(w, level) - 1, 13) : PTE_PS; /* bit 12 is PAT */
}

/*
 * The entry at gpa, which lies within a page; all ones where no RAM answers. *s is the slot that held
 * the entry before: mostly all tables are in one. Inside the lock.
 */
static inline uint64_t entry_read(struct walk *w, gpa_t gpa, const struct slot **s)
{
	void *hva;

	if (!*s || !slot_covers(*s, gpa >> PAGE_SHIFT)) {
		*s = slot_find(w->mv, gpa >> PAGE_SHIFT);
		if (!*s)
			return w->mode == PAGING_32 ? ~(uint32_t)0 : ~(uint64_t)0;
	}
	hva = phys_to_virt(gpa + (*s)->offset);
	if (w->mode == PAGING_32)
		return __atomic_load_n((uint32_t *)hva, __ATOMIC_RELAXED);
	return __atomic_load_n((uint64_t *)hva, __ATOMIC_RELAXED);
}

/* Physical address of the first table, and the level it has. */
static gpa_t walk_start(const struct walk *w, int *level)
{
	uint64_t cr3 = w->g->cr3;

	if (w->start) {
		*level = w->start->level;
		return w->start->table;
	}
	*level = formats[w->mode].levels;
	if (w->mode == PAGING_32)
		return cr3 & BITS(31, 12);
	if (w->mode == PAGING_PAE)
		return w->g->pdpte[(w->gva >> 30) & 3] & BITS(51, 12);
	return cr3 & BITS(51, 12);
}

static gpa_t leaf_gpa(const struct walk *w, int level, uint64_t entry)
{
	uint32_t shift = level_shift(w, level);
	uint64_t within = BIT(shift) - 1;
	gpa_t frame = entry & BITS(51, 12) & ~within;

	if (w->mode == PAGING_32 && level == 2)
		frame |= (entry & BITS(20, 13)) << 19;
	return frame | (w->gva & within);
}

static enum walk_status page_fault(const struct walk *w, uint32_t cause)
{
	uint32_t code = cause;

	if (w->access & WALK_WRITE)
		code |= PFERR_WRITE;
	if (w->user)
		code |= PFERR_USER;
	if (w->access & WALK_FETCH)
		code |= walk_fetch_code(w->g, PFERR_FETCH);
	w->r->error_code = code;
	return WALK_PAGE_FAULT;
}

/* Takes in the translation that ends with the entry of that level; all is the AND of the entries. */
static enum walk_status walk_found(struct walk *w, int level, uint64_t all, uint64_t any)
{
	struct walk_result *r = w->r;

	r->user = all & PTE_US;
	r->writable = all & PTE_RW;
	r->executable = !(any & w->no_exec);
	r->page_shift = level_shift(w, level);
	r->gpa = leaf_gpa(w, level, r->entry[level]);
	w->flags_due = (~all & PTE_A) | (w->access & WALK_WRITE ? ~r->entry[level] & PTE_D : 0);
	return WALK_OK;
}

/* Reads the tables from the top to the leaf. Inside the lock. */
static enum walk_status walk_tables(struct walk *w)
{
	struct walk_result *r = w->r;
	uint32_t index_bits = formats[w->mode].index_bits, shift;
	uint64_t all = ~(uint64_t)0, any = 0;
	const struct slot *slot = NULL;
	int level;
	gpa_t table = walk_start(w, &level);

	if (w->start) {
		all = w->start->rights | ~(uint64_t)(PTE_RW | PTE_US);
		any = w->start->executable ? 0 : w->no_exec;
	} else if (w->mode == PAGING_PAE && !(w->g->pdpte[(w->gva >> 30) & 3] & PTE_P)) {
		return page_fault(w, 0);
	}
	r->top = level;
	for (shift = level_shift(w, level);; level--, shift -= index_bits) {
		uint64_t index = (w->gva >> shift) & (BIT(index_bits) - 1), entry;

		r->leaf = level;
		r->entry_gpa[level] = table + (index << (12 - index_bits));
		r->entry[level] = entry = entry_read(w, r->entry_gpa[level], &slot);
		if (!(entry & PTE_P))
			return page_fault(w, 0);
		if (UNLIKELY(entry & w->reserved))
			return page_fault(w, PFERR_PRESENT | PFERR_RESERVED);
		if (level > 1 && (entry & PTE_PS) && UNLIKELY(entry & reserved_ps(w, level)))
			return page_fault(w, PFERR_PRESENT | PFERR_RESERVED);
		all &= entry;
		any |= entry;
		if (level == 1 || ((entry & PTE_PS) && is_large(w, level)))
			return walk_found(w, level, all, any);
		table = entry & BITS(51, 12);
	}
}

/* SDM "Protection Keys": data accesses to user-mode addresses, in the 64-bit paging modes. */
static inline bool pkey_denies(struct walk *w)
{
	const struct guest_paging *g = w->g;
	uint32_t rights;

	if (w->mode < PAGING_4 || !(g->cr4 & CR4_PKE) || !w->r->user)
		return false;
	w->r->pkey = (w->r->entry[w->r->leaf] >> 59) & 15;
	if (w->access & WALK_FETCH)
		return false;
	rights = g->pkru >> (2 * w->r->pkey);
	if (rights & 1)
		return true;
	return (rights & 2) && (w->access & WALK_WRITE) && (w->user || (g->cr0 & CR0_WP));
}

/* SDM "Determination of Access Rights", in its order: supervisor or user access, then the kind. */
static inline bool rights_deny(const struct walk *w)
{
	const struct guest_paging *g = w->g;
	const struct walk_result *r = w->r;

	if (w->access & WALK_FETCH) {
		if (w->user ? !r->user : r->user && (g->cr4 & CR4_SMEP))
			return true;
		return !r->executable;
	}
	if (w->user)
		return !r->user || ((w->access & WALK_WRITE) && !r->writable);
	if (r->user && (g->cr4 & CR4_SMAP) && ((w->access & WALK_IMPLICIT) || !(g->rflags & RFLAGS_AC)))
		return true;
	return (w->access & WALK_WRITE) && (g->cr0 & CR0_WP) && !r->writable;
}

bool guest_may(const struct guest_paging *g, uint32_t access, struct walk_result *r)
{
	struct walk w = { .g = g, .r = r, .access = access, .mode = guest_paging_mode(g),
			  .user = g->cpl == 3 && !(access & WALK_IMPLICIT) };

	return w.mode == PAGING_NONE || (!pkey_denies(&w) && !rights_deny(&w));
}

static enum walk_status walk_permissions(struct walk *w)
{
	bool pkey = pkey_denies(w);

	if (LIKELY(!pkey && !rights_deny(w)))
		return WALK_OK;
	return page_fault(w, PFERR_PRESENT | (pkey ? PFERR_PKEY : 0));
}

/* Sets bits in the entry of that level if it is still what was read; false when it has changed. */
static bool entry_set(struct walk *w, int level, uint64_t bits)
{
	uint64_t old = w->r->entry[level], wide = old;
	uint32_t narrow = (uint32_t)old, bytes = formats[w->mode].entry_bytes;
	void *hva = gpa_to_hva_writable(w->mv, w->r->entry_gpa[level], bytes);
	bool done;

	if (!hva)
		return true; /* no RAM, or ROM: a write there is lost */
	if (bytes == 4)
		done = __atomic_compare_exchange_n((uint32_t *)hva, &narrow, narrow | (uint32_t)bits, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	else
		done = __atomic_compare_exchange_n((uint64_t *)hva, &wide, wide | bits, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	if (!done)
		return false;
	w->r->entry[level] = old | bits;
	if (bytes == 4 && w->mv->mmu->shadow)
		shadow_note_flag(w->mv, w->r->entry_gpa[level], level);
	return true;
}

/* Accessed in every entry used, dirty in the leaf of a write. False when an entry has changed. */
static bool walk_set_flags(struct walk *w)
{
	const struct walk_result *r = w->r;

	for (int level = r->top; level >= r->leaf; level--) {
		uint64_t want = PTE_A;

		if (level == r->leaf && (w->access & WALK_WRITE))
			want |= PTE_D;
		if ((r->entry[level] & want) != want && !entry_set(w, level, want))
			return false;
	}
	return true;
}

/* Inside the lock. */
static enum walk_status walk_once(struct walk *w)
{
	enum walk_status status = walk_tables(w);

	if (status == WALK_OK)
		status = walk_permissions(w);
	if (status == WALK_OK && w->flags_due && !(w->access & WALK_PEEK) && !walk_set_flags(w))
		status = WALK_RETRY;
	return status;
}

static enum walk_status walk_without_paging(struct walk *w)
{
	w->r->gpa = (uint32_t)w->gva;
	w->r->page_shift = PAGE_SHIFT;
	w->r->user = w->r->writable = w->r->executable = true;
	w->r->top = w->r->leaf = 0;
	return WALK_OK;
}

enum walk_status guest_walk_inside(struct mmu_vcpu *mv, const struct guest_paging *g, gva_t gva, uint32_t access,
				   const struct walk_start *start, struct walk_result *r)
{
	struct walk w = { .mv = mv, .g = g, .r = r, .gva = gva, .access = access, .start = start,
			  .mode = guest_paging_mode(g) };
	enum walk_status status = WALK_RETRY;

	r->gva = gva;
	r->gpa = 0;
	r->pkey = 0;
	r->error_code = 0;
	r->top = r->leaf = 0;
	if (w.mode >= PAGING_4) {
		if (!is_canonical(gva, w.mode == PAGING_5 ? 57 : 48))
			return WALK_NON_CANONICAL;
	} else {
		w.gva = (uint32_t)gva;
	}
	if (w.mode == PAGING_NONE)
		return walk_without_paging(&w);
	w.no_exec = (g->efer & EFER_NXE) && w.mode != PAGING_32 ? PTE_XD : 0;
	w.reserved = reserved_always(&w);
	w.user = g->cpl == 3 && !(access & WALK_IMPLICIT);
	for (int i = 0; status == WALK_RETRY && i < FLAG_RETRIES; i++)
		status = walk_once(&w);
	return status;
}

enum walk_status guest_walk(struct mmu_vcpu *mv, const struct guest_paging *g, gva_t gva, uint32_t access,
			    struct walk_result *r)
{
	enum walk_status status;

	mmu_enter(mv);
	status = guest_walk_inside(mv, g, gva, access, NULL, r);
	mmu_leave(mv);
	shadow_tell_flags(mv);
	return status;
}

int guest_load_pdptes(struct mmu_vcpu *mv, uint64_t cr3, uint32_t maxphyaddr, uint64_t pdpte[4])
{
	uint64_t loaded[4], reserved = BITS(2, 1) | BITS(8, 5) | BITS(63, maxphyaddr);

	if (gpa_read(mv, cr3 & BITS(31, 5), loaded, sizeof(loaded)))
		return -EINVAL; /* an empty bus reads as ones: present, with reserved bits set */
	for (int i = 0; i < 4; i++)
		if ((loaded[i] & PTE_P) && (loaded[i] & reserved))
			return -EINVAL;
	for (int i = 0; i < 4; i++)
		pdpte[i] = loaded[i];
	return 0;
}
