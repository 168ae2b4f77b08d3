/*
 * Random histories of a guest under shadow paging.
 */
#ifndef TESTS_UNIT_SHADOW_OPS_H
#define TESTS_UNIT_SHADOW_OPS_H

#include "tests/unit/history.h"

/* What a history came to, to compare two of them: one number after every operation. */
struct history_trace {
	uint64_t *digest; /* room for count numbers, or NULL */
	uint64_t faults, skips, calls, mmio_hits;
};

/* Carries it out, checking everything after every operation. Ends the process at the first failure. */
void shadow_history_run(const struct history *h, struct history_trace *trace);

/* What can happen to it; length and run are not set. */
extern const struct history_kind shadow_ops;

#endif
