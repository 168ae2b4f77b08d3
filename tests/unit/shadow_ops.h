/*
 * Random histories of a guest under shadow paging, as data: a history is a seed for its set-up and a list of
 * operations that carry a seed each, so that any part of the list can be left out and the rest carried out.
 */
#ifndef TESTS_UNIT_SHADOW_OPS_H
#define TESTS_UNIT_SHADOW_OPS_H

#include "hv/base/types.h"

struct op {
	uint32_t kind;
	uint64_t seed;
};

struct history {
	uint64_t seed;
	struct op *ops;
	uint32_t count;
	bool no_skip; /* with the unsync fast skip off */
};

/* Fills ops[0..count) from the history's seed. */
void history_make(struct history *h);

/* What a history came to, to compare two of them: one number after every operation. */
struct history_trace {
	uint64_t *digest; /* room for count numbers, or NULL */
	uint64_t faults, skips, calls, mmio_hits;
};

/* Carries it out, checking everything after every operation. Ends the process at the first failure. */
void history_run(const struct history *h, struct history_trace *trace);

const char *op_name(const struct op *op);

#endif
