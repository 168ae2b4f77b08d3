/*
 * What the guest's own tables say, by the SDM's chapter "Paging" and without a look at mmu/walk.c: now, or at
 * any time since a given one.
 */
#ifndef TESTS_UNIT_SHADOW_ORACLE_H
#define TESTS_UNIT_SHADOW_ORACLE_H

#include "mmu/walk.h"
#include "tests/unit/shadow_mem.h"

enum guest_mode { MODE_NONE, MODE_32, MODE_PAE, MODE_4, MODE_5, GUEST_MODES };
enum guest_mode guest_mode(const struct guest_paging *g);

struct rights {
	bool user, writable, no_exec;
	bool flags_set; /* accessed everywhere */
	bool dirty;
	uint8_t pkey;
};

/* SDM "Determination of Access Rights": 0, or the bits of the error code that say why not. */
uint32_t rights_refuse(const struct guest_paging *g, uint32_t access, const struct rights *r);

/* Whether gva is an address in that mode, and what is left of it there. */
bool guest_canonical(const struct guest_paging *g, gva_t gva);
gva_t guest_linear(const struct guest_paging *g, gva_t gva);

struct oracle_walk {
	bool ok;
	uint32_t error; /* when not: the error code */
	gpa_t gpa;
	struct rights rights;
	uint32_t shift;
	uint32_t count;
	hpa_t word[WALK_MAX_LEVELS]; /* the aligned 8 bytes with each entry used; HPA_NONE: no RAM */
	gpa_t entry[WALK_MAX_LEVELS]; /* and the entry itself */
};

/* By the tables as they are now. Accessed and dirty flags are not set. */
void oracle_walk(const struct guest_paging *g, gva_t gva, uint32_t access, struct oracle_walk *w);

typedef bool oracle_fn(void *ctx, gpa_t gpa, const struct rights *r);

/*
 * True when good() is true of a translation that a CPU could have made since that time: every entry
 * read no earlier than the one above it. Flags need not be set; good() sees whether they were.
 */
bool oracle_since(const struct guest_paging *g, gva_t gva, uint64_t since, oracle_fn *good, void *ctx);

#endif
