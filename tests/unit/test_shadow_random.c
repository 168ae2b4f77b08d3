/* sources: mmu/ -mmu/unsync.c hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/shadow_mem.c tests/unit/shadow_oracle.c tests/unit/shadow_cpu.c tests/unit/shadow_world.c tests/unit/shadow_slots.c tests/unit/shadow_log.c tests/unit/shadow_build.c tests/unit/shadow_ops.c tests/unit/shadow_skip.c tests/unit/history.c */
/*
 * Random histories of guests under shadow paging against the oracle.
 */
#include "tests/unit/shadow_ops.h"
#include "tests/unit/shadow_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STEPS 4000

/* What the processes come to. */
static struct {
	struct history_trace trace;
	uint64_t digest[HISTORY_LENGTH];
} *shared;

static void run(const struct history *h) { shadow_history_run(h, &shared->trace); }

static struct history_kind kind;

static int start(void **state)
{
	(void)state;
	kind = shadow_ops;
	kind.length = HISTORY_LENGTH;
	kind.run = run;
	shared = history_shared(sizeof(*shared));
	shared->trace.digest = shared->digest;
	return 0;
}

static void random_histories(void **state)
{
	(void)state;
	histories_run(&kind, history_steps(STEPS));
	printf("%lu faults, %lu unsync calls, %lu of them skipped, %lu accesses by entries for MMIO\n",
	       shared->trace.faults, shared->trace.calls, shared->trace.skips, shared->trace.mmio_hits);
}

/* The unsync fast skip changes nothing but what is counted: the same histories with it and without. */
static void skip_changes_nothing(void **state)
{
	uint64_t seed = world_seed() + 500, steps = history_steps(STEPS) / 5;
	static uint64_t with[HISTORY_LENGTH];
	struct op ops[HISTORY_LENGTH];
	struct history h = { .ops = ops };
	struct history_trace on = { 0 }, *off = &shared->trace;

	(void)state;
	for (uint64_t done = 0; done < steps; done += h.count) {
		h.seed = seed + done;
		history_make(&h, &kind);
		h.no_skip = false;
		shared->trace.calls = shared->trace.skips = 0;
		history_require_good(&h, &kind);
		on = shared->trace;
		memcpy(with, shared->digest, sizeof(with));
		h.no_skip = true;
		shared->trace.calls = shared->trace.skips = 0;
		history_require_good(&h, &kind);
		assert_memory_equal(with, shared->digest, sizeof(with));
		assert_true(on.calls == off->calls && off->skips == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_histories),
		cmocka_unit_test(skip_changes_nothing),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
