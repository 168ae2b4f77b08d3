/*
 * The guest's own page tables, walked in software: 32-bit, PAE, 4-level, 5-level, or none, with the
 * permission rules of SDM volume 3A, "Paging": WP, SMEP, SMAP, NX, protection keys for user pages,
 * reserved bits, accessed and dirty flags. Protection keys for supervisor pages and shadow stacks
 * are not offered to guests, so CR4.PKS and CR4.CET change nothing here.
 */
#ifndef MMU_WALK_H
#define MMU_WALK_H

#include "hv/base/x86.h"
#include "mmu/mmu.h"

#define WALK_MAX_LEVELS 5

/* The registers that decide, as the guest has them. */
struct guest_paging {
	uint64_t cr0, cr3, cr4, efer;
	uint64_t rflags;
	uint64_t pdpte[4];   /* PAE only: the PDPTE registers, loaded and checked when CR3 was */
	uint32_t pkru;
	uint32_t cpl;
	uint32_t maxphyaddr; /* the guest's CPUID 80000008h, 32..52 */
	bool page_1g;        /* the guest's CPUID has 1-GByte pages */
};

/* How the guest's tables are read. SDM "Paging Modes and Control Bits". */
enum paging_mode { PAGING_NONE, PAGING_32, PAGING_PAE, PAGING_4, PAGING_5 };

static inline enum paging_mode guest_paging_mode(const struct guest_paging *g)
{
	if (!(g->cr0 & CR0_PG))
		return PAGING_NONE;
	if (!(g->cr4 & CR4_PAE))
		return PAGING_32;
	if (!(g->efer & EFER_LMA))
		return PAGING_PAE;
	return g->cr4 & CR4_LA57 ? PAGING_5 : PAGING_4;
}

/* What the access is. Exactly one of READ, WRITE, FETCH; the others may be added. */
#define WALK_READ 1u
#define WALK_WRITE 2u
#define WALK_FETCH 4u
#define WALK_IMPLICIT 8u /* the CPU's own access to a descriptor table or TSS: supervisor at any CPL */
#define WALK_PEEK 16u    /* leaves accessed and dirty flags alone: for reports */

/* Bits of a guest's entry. SDM "Formats of CR3 and Paging-Structure Entries". */
#define PTE_P BIT(0)
#define PTE_RW BIT(1)
#define PTE_US BIT(2)
#define PTE_A BIT(5)
#define PTE_D BIT(6)
#define PTE_PS BIT(7)
#define PTE_PKEY_SHIFT 59
#define PTE_PKEY BITS(62, 59)
#define PTE_XD BIT(63)
#define PTE_ADDR BITS(51, 12)

#define PFERR_PRESENT BIT(0)
#define PFERR_WRITE BIT(1)
#define PFERR_USER BIT(2)
#define PFERR_RESERVED BIT(3)
#define PFERR_FETCH BIT(4)
#define PFERR_PKEY BIT(5)

/* What the access is that a page fault's error code tells of. The CPU's own accesses to descriptor tables are
 * supervisor's at any CPL. */
static inline uint32_t walk_kind_of(const struct guest_paging *g, uint32_t error_code)
{
	uint32_t kind = error_code & PFERR_FETCH ? WALK_FETCH : error_code & PFERR_WRITE ? WALK_WRITE : WALK_READ;

	return g->cpl == 3 && !(error_code & PFERR_USER) ? kind | WALK_IMPLICIT : kind;
}

/* Of a page fault's error code for a fetch, whose bit PFERR_FETCH is: SDM "Page-Fault Exceptions". Else 0. */
static inline uint32_t walk_fetch_code(const struct guest_paging *g, uint32_t error_code)
{
	bool told = (g->cr4 & CR4_SMEP) || ((g->cr4 & CR4_PAE) && (g->efer & EFER_NXE));

	return told ? error_code & PFERR_FETCH : 0;
}

enum walk_status {
	WALK_OK,
	WALK_PAGE_FAULT,    /* result.error_code goes with #PF, result.gva in CR2 */
	WALK_NON_CANONICAL, /* no page fault: #GP or #SS, as the instruction demands */
	WALK_RETRY,         /* the guest kept changing its tables meanwhile: resume it */
};

struct walk_result {
	gva_t gva;           /* the address translated: CR2 on a page fault */
	gpa_t gpa;           /* WALK_OK: of the byte at gva */
	uint32_t page_shift; /* 12, 21, 22 or 30; 12 without paging */
	uint32_t error_code; /* WALK_PAGE_FAULT */
	bool user, writable, executable; /* rights of the translation, all levels together */
	uint8_t pkey;
	int top, leaf;       /* levels walked, top >= leaf; both 0 without paging */
	uint64_t entry[WALK_MAX_LEVELS + 1];   /* by level, as read; 4-byte ones zero-extended */
	gpa_t entry_gpa[WALK_MAX_LEVELS + 1];  /* where it was; no address for a PDPTE register */
};

/*
 * Translates gva for the access and, unless it is a peek, sets accessed and dirty flags as the CPU
 * would. Tables outside RAM read as ones, as an empty bus does; flags in read-only memory stay as
 * they are. On WALK_PAGE_FAULT the entries read so far are in the result. Takes the lock itself.
 */
enum walk_status guest_walk(struct mmu_vcpu *mv, const struct guest_paging *g, gva_t gva, uint32_t access,
			    struct walk_result *r);

/*
 * Whether a translation lets the access through: SDM "Determination of Access Rights". *r has user, writable,
 * executable, and leaf with its entry for the key; it gets the key.
 */
bool guest_may(const struct guest_paging *g, uint32_t access, struct walk_result *r);

/* A table that a walk may start at, as the CPU does from its paging-structure caches. */
struct walk_start {
	gpa_t table;
	int level;
	uint64_t rights; /* PTE_RW and PTE_US of the levels above, together */
	bool executable; /* and whether they allow fetches */
};

/*
 * As guest_walk(), between mmu_enter() and mmu_leave(), after which the caller calls shadow_tell_flags().
 * start: NULL, or where to; the result has its level and those below alone. Paging is on then.
 */
enum walk_status guest_walk_inside(struct mmu_vcpu *mv, const struct guest_paging *g, gva_t gva, uint32_t access,
				   const struct walk_start *start, struct walk_result *r);

/*
 * The PDPTEs that a load of CR3 under PAE takes (SDM "PDPTE Registers"): reads them and checks their
 * reserved bits. -EINVAL: the load is a #GP; nothing is stored then.
 */
int guest_load_pdptes(struct mmu_vcpu *mv, uint64_t cr3, uint32_t maxphyaddr, uint64_t pdpte[4]);

#endif
