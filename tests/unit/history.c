/*
 * Random histories: how they are made, carried out and cut down.
 */
#include "tests/unit/history.h"
#include "tests/unit/mmu_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SECONDS 120 /* for one history */

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

uint64_t history_steps(uint64_t otherwise) { return number("MMU_TEST_STEPS", otherwise); }

void *history_shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	INVARIANT(p != MAP_FAILED);
	return p;
}

static uint32_t choose_kind(const struct history_kind *kind)
{
	uint64_t total = 0, at;
	uint32_t chosen = 0;

	for (size_t i = 0; i < kind->op_count; i++)
		total += kind->ops[i].weight;
	for (at = rnd(total); at >= kind->ops[chosen].weight; chosen++)
		at -= kind->ops[chosen].weight;
	return chosen;
}

void history_make(struct history *h, const struct history_kind *kind)
{
	rnd_seed(h->seed);
	h->count = (uint32_t)min_u64(number("MMU_TEST_LENGTH", kind->length), HISTORY_LENGTH);
	for (uint32_t i = 0; i < h->count; i++)
		h->ops[i] = (struct op){ choose_kind(kind), rnd(BIT(40)) };
}

void history_step(const struct history *h, const struct history_kind *kind, uint32_t i)
{
	const struct op_kind *op = &kind->ops[h->ops[i].kind];

	SAY("%u: %s\n", i, op->name);
	rnd_seed(h->ops[i].seed);
	op->run();
}

static bool child_ends_well(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		abort();
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool is_good(const struct history *h, const struct history_kind *kind, bool quiet)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		alarm(SECONDS);
		setenv("CMOCKA_TEST_ABORT", "1", 1); /* what fails here ends this process, not the test alone */
		setvbuf(stdout, NULL, _IOLBF, 0);
		if (quiet && (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)))
			_exit(1);
		kind->run(h);
		fflush(NULL);
		_exit(0);
	}
	return child_ends_well(pid);
}

/* The history without ops[at..at+len); true, and it is that now, when it still fails. */
static bool cut(struct history *h, const struct history_kind *kind, uint32_t at, uint32_t len)
{
	struct op *kept = malloc(h->count * sizeof(*kept));
	struct history shorter = *h;
	bool good;

	shorter.ops = kept;
	shorter.count = h->count - len;
	memcpy(kept, h->ops, at * sizeof(*kept));
	memcpy(kept + at, h->ops + at + len, (h->count - at - len) * sizeof(*kept));
	good = is_good(&shorter, kind, true);
	if (!good) {
		memcpy(h->ops, kept, shorter.count * sizeof(*kept));
		h->count = shorter.count;
	}
	free(kept);
	return !good;
}

static void shrink(struct history *h, const struct history_kind *kind)
{
	for (uint32_t len = h->count / 2; len > 0; len /= 2)
		for (uint32_t at = 0; at + len <= h->count;)
			if (!cut(h, kind, at, len))
				at += len;
}

static void report(struct history *h, const struct history_kind *kind)
{
	printf("history with seed %lu fails\n", h->seed);
	if (getenv("MMU_TEST_NO_SHRINK"))
		return;
	shrink(h, kind);
	printf("cut down to %u operations:\n", h->count);
	world_verbose = true;
	is_good(h, kind, false);
	world_verbose = false;
}

void history_require_good(struct history *h, const struct history_kind *kind)
{
	world_verbose = getenv("MMU_TEST_TELL") != NULL;
	if (is_good(h, kind, !world_verbose))
		return;
	report(h, kind);
	fail_msg("MMU_TEST_SEED=%lu MMU_TEST_STEPS=1 runs this history alone", h->seed);
}

void histories_run(const struct history_kind *kind, uint64_t steps)
{
	uint64_t seed = world_seed();
	struct op ops[HISTORY_LENGTH];
	struct history h = { .ops = ops };

	for (uint64_t done = 0; done < steps; done += h.count) {
		h.seed = seed + done;
		history_make(&h, kind);
		history_require_good(&h, kind);
	}
}
