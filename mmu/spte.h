/*
 * The EPT entry format, hardware and software bits, in one place.
 * SDM volume 3C, "The Extended Page Table Mechanism (EPT)": formats and "EPT Misconfigurations".
 *
 * An entry is one of five things, told apart without looking anywhere else:
 *   empty    SPTE_EMPTY, in every slot of a table that maps nothing
 *   frozen   SPTE_FROZEN, while its owner changes what is below; whoever meets it backs off
 *   MMIO     write and execute without read: every access is an EPT misconfiguration. Beside a mirror root, no
 *            right at all and suppress #VE clear: every access is a #VE to the guest, which then asks for it
 *   table    present, points at the next level
 *   leaf     present, maps a page
 * Bit 63 (suppress #VE) is set in all others.
 */
#ifndef MMU_SPTE_H
#define MMU_SPTE_H

#include "mmu/mmu.h"

#define EPT_READ BIT(0)
#define EPT_WRITE BIT(1)
#define EPT_EXEC BIT(2)
#define EPT_RWX BITS(2, 0)
#define EPT_MEMTYPE BITS(5, 3)
#define EPT_MEMTYPE_WB ((uint64_t)6 << 3)
#define EPT_IGNORE_PAT BIT(6)
#define EPT_LARGE BIT(7) /* a leaf above level 1 */
#define EPT_ACCESSED BIT(8)
#define EPT_DIRTY BIT(9)
#define EPT_SUPPRESS_VE BIT(63)

/* Software bits: ignored by the CPU as long as MBEC, HLAT and paging-write control are off. */
#define SPTE_PRESENT BIT(11)       /* a table or a leaf; what the CPU thinks is in bits 2:0 */
#define SPTE_HOST_WRITABLE BIT(57) /* leaf: the slot lets the guest write; constant while present */
#define SPTE_MMU_WRITABLE BIT(58)  /* leaf: write permission may be given back without asking further */

#define SPTE_ADDR BITS(51, 12)

#define SPTE_EMPTY EPT_SUPPRESS_VE
#define SPTE_FROZEN (EPT_SUPPRESS_VE | BIT(52))

/* MMIO: generation 10:3 and 62:52, the complement of the gfn in the address field. */
#define SPTE_MMIO (EPT_SUPPRESS_VE | EPT_WRITE | EPT_EXEC)
#define SPTE_MMIO_TEST (EPT_SUPPRESS_VE | SPTE_PRESENT | EPT_RWX)
#define SPTE_MMIO_LOW_SHIFT 3
#define SPTE_MMIO_LOW_BITS 8
#define SPTE_MMIO_HIGH_SHIFT 52
#define SPTE_MMIO_GENERATION_BITS 19
#define SPTE_MMIO_GENERATION_MASK (BIT(SPTE_MMIO_GENERATION_BITS) - 1)

static inline uint64_t spte_read(const uint64_t *sptep) { return __atomic_load_n(sptep, __ATOMIC_ACQUIRE); }

static inline void spte_write(uint64_t *sptep, uint64_t spte)
{
	__atomic_store_n(sptep, spte, __ATOMIC_RELEASE);
}

/* Old to new in one step; false when another CPU was faster. */
static inline bool spte_try_change(uint64_t *sptep, uint64_t from, uint64_t to)
{
	return __atomic_compare_exchange_n(sptep, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static inline bool spte_is_present(uint64_t spte) { return spte & SPTE_PRESENT; }
/* The complement of a gfn is never 0. */
static inline bool spte_is_mmio_ve(uint64_t spte) { return (spte & SPTE_MMIO_TEST) == 0 && (spte & SPTE_ADDR); }
static inline bool spte_is_mmio(uint64_t spte)
{
	return (spte & SPTE_MMIO_TEST) == SPTE_MMIO || spte_is_mmio_ve(spte);
}
static inline hpa_t spte_hpa(uint64_t spte) { return spte & SPTE_ADDR; }

/* Of a present entry. */
static inline bool spte_is_leaf(uint64_t spte, int level) { return level == LEVEL_4K || (spte & EPT_LARGE); }

static inline bool spte_is_table(uint64_t spte, int level)
{
	return (spte & (SPTE_PRESENT | EPT_LARGE)) == SPTE_PRESENT && level > LEVEL_4K;
}

/* Whether a present leaf lets an access of that kind through. MMU_* are the bits of EPT_RWX. */
static inline bool spte_allows(uint64_t spte, uint32_t access) { return (access & ~spte & EPT_RWX) == 0; }

static inline uint32_t spte_index(gfn_t gfn, int level) { return (gfn >> (9 * (level - 1))) & 511; }

/* Permissions are cut at the leafs; a table lets everything through. */
static inline uint64_t spte_make_table(hpa_t table)
{
	return table | EPT_SUPPRESS_VE | SPTE_PRESENT | EPT_RWX;
}

/* RAM is write-back, and ignores the guest's PAT as long as no device is passed through. */
static inline uint64_t spte_make_leaf(hpa_t page, int level, bool writable)
{
	uint64_t spte = page | EPT_SUPPRESS_VE | SPTE_PRESENT | EPT_READ | EPT_EXEC;

	spte |= EPT_MEMTYPE_WB | EPT_IGNORE_PAT;
	if (level > LEVEL_4K)
		spte |= EPT_LARGE;
	if (writable)
		spte |= EPT_WRITE | SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE;
	return spte;
}

/*
 * The gfn is stored complemented. A CPU with the L1 terminal fault reads the L1 cache at the address
 * in an entry it will refuse; the complement of a low address lies in the upper half of the physical
 * space, where no RAM is. spte_mmio_is_safe() says for which addresses that holds.
 */
static inline uint64_t spte_make_mmio(gfn_t gfn, uint64_t generation)
{
	uint64_t low = generation & (BIT(SPTE_MMIO_LOW_BITS) - 1);
	uint64_t high = (generation & SPTE_MMIO_GENERATION_MASK) >> SPTE_MMIO_LOW_BITS;

	return SPTE_MMIO | (~(gfn << PAGE_SHIFT) & SPTE_ADDR) | low << SPTE_MMIO_LOW_SHIFT |
	       high << SPTE_MMIO_HIGH_SHIFT;
}

/* Of that, the kind that gives the guest a #VE. SDM "Convertible EPT Violations". */
static inline uint64_t spte_mmio_to_ve(uint64_t mmio) { return mmio & ~(EPT_SUPPRESS_VE | EPT_RWX); }

static inline bool spte_mmio_is_safe(gpa_t gpa, uint32_t hpa_bits) { return gpa >> (hpa_bits - 1) == 0; }
static inline gfn_t spte_mmio_gfn(uint64_t spte) { return (~spte & SPTE_ADDR) >> PAGE_SHIFT; }

static inline uint64_t spte_mmio_generation(uint64_t spte)
{
	uint64_t low = (spte >> SPTE_MMIO_LOW_SHIFT) & (BIT(SPTE_MMIO_LOW_BITS) - 1);
	uint64_t high = (spte & ~EPT_SUPPRESS_VE) >> SPTE_MMIO_HIGH_SHIFT;

	return high << SPTE_MMIO_LOW_BITS | low;
}

enum spte_kind {
	SPTE_KIND_EMPTY, SPTE_KIND_FROZEN, SPTE_KIND_MMIO, SPTE_KIND_TABLE, SPTE_KIND_LEAF, SPTE_KIND_BROKEN
};
extern const char *const spte_kind_names[];

/* What the entry is; SPTE_KIND_BROKEN for a value that is none of the five. */
enum spte_kind spte_kind(uint64_t spte, int level);

/*
 * Whether a present entry breaks a rule of "EPT Misconfigurations" for its level, or one of the
 * software bits' own: NULL, or the rule in words.
 */
const char *spte_fault_in(uint64_t spte, int level, const struct mmu_config *config);

#endif
