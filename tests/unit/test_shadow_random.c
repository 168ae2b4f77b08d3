/* sources: mmu/ -mmu/unsync.c hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/shadow_mem.c tests/unit/shadow_oracle.c tests/unit/shadow_cpu.c tests/unit/shadow_world.c tests/unit/shadow_log.c tests/unit/shadow_build.c tests/unit/shadow_ops.c tests/unit/shadow_skip.c */
/*
 * Random histories of guests under shadow paging against the oracle. Every history runs in a process of its
 * own; one that fails is cut down to the operations that matter and told in full.
 * MMU_TEST_SEED repeats a run, MMU_TEST_STEPS says how many operations, MMU_TEST_LENGTH how many a history has;
 * MMU_TEST_TELL=1 tells all of them, MMU_TEST_NO_SHRINK=1 leaves a failing history as it is.
 */
#include "tests/unit/shadow_ops.h"
#include "tests/unit/shadow_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LENGTH 1000
#define HISTORY_SECONDS 120

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* What the children come to, in memory shared with them. */
static struct {
	struct history_trace trace;
	uint64_t digest[LENGTH];
} *shared;

static bool child_ends_well(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		abort();
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Carries the history out in a child. */
static bool history_is_good(const struct history *h, bool quiet)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		alarm(HISTORY_SECONDS);
		setvbuf(stdout, NULL, _IOLBF, 0);
		if (quiet && (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)))
			_exit(1);
		history_run(h, &shared->trace);
		fflush(NULL);
		_exit(0);
	}
	return child_ends_well(pid);
}

/* The history without ops[at..at+len); true, and it is that now, when it still fails. */
static bool cut(struct history *h, uint32_t at, uint32_t len)
{
	struct op *kept = malloc(h->count * sizeof(*kept));
	struct history shorter = *h;
	bool good;

	shorter.ops = kept;
	shorter.count = h->count - len;
	memcpy(kept, h->ops, at * sizeof(*kept));
	memcpy(kept + at, h->ops + at + len, (h->count - at - len) * sizeof(*kept));
	good = history_is_good(&shorter, true);
	if (!good) {
		memcpy(h->ops, kept, shorter.count * sizeof(*kept));
		h->count = shorter.count;
	}
	free(kept);
	return !good;
}

static void shrink(struct history *h)
{
	for (uint32_t len = h->count / 2; len > 0; len /= 2)
		for (uint32_t at = 0; at + len <= h->count;)
			if (!cut(h, at, len))
				at += len;
}

static void report(struct history *h)
{
	printf("history with seed %lu fails\n", h->seed);
	if (getenv("MMU_TEST_NO_SHRINK"))
		return;
	shrink(h);
	printf("cut down to %u operations:\n", h->count);
	world_verbose = true;
	history_is_good(h, false);
	world_verbose = false;
}

/* Reports the history when it is not good. */
static void require_good(struct history *h)
{
	if (history_is_good(h, !world_verbose))
		return;
	report(h);
	fail_msg("MMU_TEST_SEED=%lu MMU_TEST_STEPS=1 runs this history alone", h->seed);
}

static int start(void **state)
{
	(void)state;
	world_verbose = getenv("MMU_TEST_TELL") != NULL;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	shared->trace.digest = shared->digest;
	return shared == MAP_FAILED;
}

static void random_histories(void **state)
{
	uint64_t seed = world_seed(), steps = number("MMU_TEST_STEPS", 8000);
	struct op ops[LENGTH];
	struct history h = { .ops = ops };

	(void)state;
	for (uint64_t done = 0; done < steps; done += h.count) {
		h.seed = seed + done;
		h.count = (uint32_t)min_u64(number("MMU_TEST_LENGTH", LENGTH), LENGTH);
		history_make(&h);
		require_good(&h);
	}
	printf("%lu faults, %lu unsync calls, %lu of them skipped, %lu accesses by entries for MMIO\n",
	       shared->trace.faults, shared->trace.calls, shared->trace.skips, shared->trace.mmio_hits);
}

/* The unsync fast skip changes nothing but what is counted: the same histories with it and without. */
static void skip_changes_nothing(void **state)
{
	uint64_t seed = world_seed() + 500, steps = number("MMU_TEST_STEPS", 8000) / 5;
	static uint64_t with[LENGTH];
	struct op ops[LENGTH];
	struct history h = { .ops = ops, .count = LENGTH };
	struct history_trace on = { 0 }, *off = &shared->trace;

	(void)state;
	for (uint64_t done = 0; done < steps; done += h.count) {
		h.seed = seed + done;
		history_make(&h);
		h.no_skip = false;
		shared->trace.calls = shared->trace.skips = 0;
		require_good(&h);
		on = shared->trace;
		memcpy(with, shared->digest, sizeof(with));
		h.no_skip = true;
		shared->trace.calls = shared->trace.skips = 0;
		require_good(&h);
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
