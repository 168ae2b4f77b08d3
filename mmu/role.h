/*
 * The role of a shadow page: with its gfn the key it is found by. Two shadow pages of one gfn may
 * stand for each other exactly when their role words are equal, so whatever changes the meaning of
 * a guest entry, or the entry derived from it, has a bit here.
 */
#ifndef MMU_ROLE_H
#define MMU_ROLE_H

#include "hv/base/x86.h"
#include "mmu/walk.h"

/* Rights of a translation, at the places they have in a page-table entry. */
#define ACCESS_EXEC 1u
#define ACCESS_WRITE 2u
#define ACCESS_USER 4u
#define ACCESS_ALL 7u

union role {
	uint32_t word;
	struct {
		uint32_t level : 3;    /* of its entries, 1 to 5 */
		uint32_t mode : 3;     /* enum paging_mode: how the guest's entries are read */
		uint32_t access : 3;   /* what the guest's entries above allow */
		uint32_t nx : 1;       /* bit 63 is XD; else it is reserved */
		uint32_t direct : 1;   /* shadows no guest table: a guest's large page in parts, or no paging */
		uint32_t quadrant : 2; /* a table of 4-byte entries has 1024: which part of it */
		uint32_t pse : 1;      /* 32-bit paging: bit 7 of a directory entry makes a page */
		uint32_t wp : 1;       /* CR0.WP */
		uint32_t smep_andnot_wp : 1; /* pages made supervisor's for CR0.WP = 0 are not executable */
		uint32_t strict_andnot_wp : 1; /* SMAP or PKE is on, so there are no such pages */
		uint32_t pkey : 4;     /* direct: protection key of the guest's large page */
		uint32_t zero : 10;
	};
};
_Static_assert(sizeof(union role) == sizeof(uint32_t), "a role is compared as a word");

/* What the meaning of an entry of a 4K table depends on, as a number: mode, access and nx. */
#define ROLE_FORMATS 128
static inline uint32_t role_format(union role r) { return r.word >> 3 & (ROLE_FORMATS - 1); }

static inline uint32_t role_levels(enum paging_mode mode)
{
	return mode == PAGING_5 ? 5 : mode == PAGING_4 ? 4 : 2;
}

/* Of the top-level shadow pages for a guest with these registers; in quadrant 0. */
static inline union role role_of_root(const struct guest_paging *g)
{
	enum paging_mode mode = guest_paging_mode(g);
	union role r = { .word = 0 };

	r.mode = mode;
	r.level = role_levels(mode) & 7;
	r.access = ACCESS_ALL;
	r.direct = mode == PAGING_NONE;
	if (r.direct)
		return r;
	r.pse = mode == PAGING_32 && (g->cr4 & CR4_PSE);
	r.nx = mode != PAGING_32 && (g->efer & EFER_NXE);
	r.wp = (g->cr0 & CR0_WP) != 0;
	r.smep_andnot_wp = !r.wp && (g->cr4 & CR4_SMEP);
	r.strict_andnot_wp = !r.wp && (g->cr4 & (CR4_SMAP | CR4_PKE));
	return r;
}

/* Of the shadow of a guest's table below entry `index` of a page with role `parent`. */
static inline union role role_of_table(union role parent, uint32_t index, uint32_t access)
{
	union role r = parent;

	r.level = (parent.level - 1) & 7;
	r.access = access & ACCESS_ALL;
	r.quadrant = parent.mode == PAGING_32 ? index & 1 : 0;
	return r;
}

/* Of a page for a part of a guest's large page, or of memory without paging. pkey: 0 to 15. */
static inline union role role_of_part(union role parent, uint32_t access, uint32_t pkey)
{
	union role r = parent;

	r.level = (parent.level - 1) & 7;
	r.direct = 1;
	r.access = access & ACCESS_ALL;
	r.quadrant = 0;
	r.pkey = pkey & 15;
	return r;
}

#endif
