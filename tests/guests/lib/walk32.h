/*
 * Permissions of two-level walks outside 64-bit mode, as the SDM has them: what a list of accesses under all
 * combinations of two entries' bits must end in, and whether it did.
 */
#ifndef TESTS_GUESTS_LIB_WALK32_H
#define TESTS_GUESTS_LIB_WALK32_H

#include "tests/guests/lib/mode32.h"

/* One combination: the flags (P, W, U, NX as in a 64-bit entry) of the directory's and the table's entry. */
struct walk32 {
	uint64_t directory, table;
	bool large;            /* the directory's entry maps, the table's does not count */
	bool wp, nxe;
	bool reserved;         /* a reserved bit is set in the entry that maps */
	enum op32_kind access; /* OP_LOAD .. OP_USER_CALL */
};

/* What op32_fault() must be: 0, or the page fault with its error code. */
uint32_t walk32_expect(const struct walk32 *w);
/* Whether it ended so, with the flags for accessed and dirty as they must be then. op is the access, of target,
 * followed by loads of the directory's and of the table's entry. */
bool walk32_right(const struct walk32 *w, const struct op32 *op, uint32_t target);

#endif
