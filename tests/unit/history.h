/*
 * Random histories as data: a seed for the set-up and a list of operations that carry a seed each, so that any
 * part of the list can be left out and the rest carried out. Each runs in a process of its own; one that fails is
 * cut down to the operations that matter and told in full.
 * MMU_TEST_SEED repeats a run, MMU_TEST_STEPS says how many operations, MMU_TEST_LENGTH how many a history has;
 * MMU_TEST_TELL=1 tells all of them, MMU_TEST_NO_SHRINK=1 leaves a failing history as it is.
 */
#ifndef TESTS_UNIT_HISTORY_H
#define TESTS_UNIT_HISTORY_H

#include "hv/base/types.h"

#define HISTORY_LENGTH 1000

struct op {
	uint32_t kind;
	uint64_t seed;
};

struct history {
	uint64_t seed;
	struct op *ops;
	uint32_t count;
	bool no_skip; /* of a guest under shadow paging: with the unsync fast skip off */
};

/* What can happen, and how often it does beside the others. */
struct op_kind {
	const char *name;
	void (*run)(void);
	uint32_t weight;
};

struct history_kind {
	const struct op_kind *ops;
	size_t op_count;
	uint32_t length; /* of one history, at most HISTORY_LENGTH */
	void (*run)(const struct history *h); /* all of it, to the first failure, which ends the process */
};

/* Memory of zeros that the processes share. */
void *history_shared(size_t bytes);

/* Fills ops[0..HISTORY_LENGTH) from the seed, and says how many they are. */
void history_make(struct history *h, const struct history_kind *kind);

/* Operation i, told if the world is verbose. */
void history_step(const struct history *h, const struct history_kind *kind, uint32_t i);

/* Carries it out in a process of its own; when that does not end well, cuts it down, tells it and fails the test. */
void history_require_good(struct history *h, const struct history_kind *kind);

/* MMU_TEST_STEPS, or what is given. */
uint64_t history_steps(uint64_t otherwise);

/* As many histories as steps ask for. */
void histories_run(const struct history_kind *kind, uint64_t steps);

#endif
