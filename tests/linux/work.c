/*
 * What a Linux guest does to its page tables, by ordinary system calls: touching memory, mmap, munmap,
 * mprotect, fork, exec, switches between processes. `work check` looks at the results and prints the same
 * on every machine, `work bench` (or as init) prints the median ticks of each and then waits for a line, so that
 * the counters of the hypervisor can be read in between. Linked statically.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB 1024ul
#define MIB (1024 * KIB)
#define PAGE 4096ul
#define REGION (2 * MIB)
#define MAX_RUNS 1000

static uint64_t ticks(void) { return __builtin_ia32_rdtsc(); }

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static char *map(size_t size, int more)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | more, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

/* Memory at a 2 MiB boundary, with large pages or without. */
static char *map_regions(size_t size, int advice)
{
	char *p = map(size + REGION, MAP_NORESERVE);

	p += -(uintptr_t)p % REGION;
	madvise(p, size, advice);
	return p;
}

static void touch(volatile char *p, size_t size, size_t step)
{
	for (size_t at = 0; at < size; at += step)
		p[at] = (char)(at / step);
}

static uint64_t sum(const char *p, size_t size, size_t step)
{
	uint64_t s = 0;

	for (size_t at = 0; at < size; at += step)
		s = s * 31 + (unsigned char)p[at];
	return s;
}

/* ---- what is measured and checked: each returns a number that does not depend on the machine ---- */

static uint64_t touch_4k(void)
{
	char *p = map_regions(64 * MIB, MADV_NOHUGEPAGE);
	uint64_t s;

	touch(p, 64 * MIB, PAGE);
	s = sum(p, 64 * MIB, PAGE);
	munmap(p, 64 * MIB);
	return s;
}

static char *large;

static uint64_t touch_2m(void)
{
	large = map_regions(64 * MIB, MADV_HUGEPAGE);
	touch(large, 64 * MIB, PAGE);
	return sum(large, 64 * MIB, PAGE);
}

static uint64_t touch_2m_again(void)
{
	touch(large, 64 * MIB, PAGE);
	return sum(large, 64 * MIB, PAGE);
}

static uint64_t touch_sparse(void)
{
	char *p = map_regions(512 * REGION, MADV_NOHUGEPAGE);
	uint64_t s;

	touch(p, 512 * REGION, REGION);
	s = sum(p, 512 * REGION, REGION);
	munmap(p, 512 * REGION);
	return s;
}

static uint64_t map_unmap(void)
{
	uint64_t s = 0;

	for (unsigned i = 0; i < 100; i++) {
		char *p = map(16 * PAGE, 0);

		touch(p, 16 * PAGE, PAGE);
		s += sum(p, 16 * PAGE, PAGE);
		munmap(p, 16 * PAGE);
	}
	return s;
}

static uint64_t protect(bool touching)
{
	char *p = map_regions(REGION, MADV_NOHUGEPAGE);
	uint64_t s = 0;

	touch(p, REGION, PAGE);
	for (unsigned i = 0; i < 20; i++) {
		if (mprotect(p, REGION, i % 2 ? PROT_READ | PROT_WRITE : PROT_READ))
			die("mprotect");
		if (touching && i % 2)
			touch(p, REGION, PAGE);
		else if (touching)
			s += sum(p, REGION, PAGE);
	}
	munmap(p, REGION);
	return s;
}

static uint64_t protect_alone(void) { return protect(false); }
static uint64_t protect_touched(void) { return protect(true); }

static char *heap; /* 16 MiB that a fork copies the tables of */

static uint64_t wait_for(pid_t child)
{
	int status;

	if (child < 0 || waitpid(child, &status, 0) != child)
		die("fork");
	return WIFEXITED(status) ? (uint64_t)WEXITSTATUS(status) : 1000 + (uint64_t)WTERMSIG(status);
}

static uint64_t fork_exit(void)
{
	pid_t child = fork();

	if (child == 0)
		_exit(sum(heap, PAGE, 1) % 100);
	return wait_for(child);
}

/* The child writes to every page; the parent's stay as they were. */
static uint64_t fork_write(void)
{
	uint64_t before = sum(heap, 16 * MIB, PAGE);
	pid_t child = fork();

	if (child == 0) {
		touch(heap, 16 * MIB, PAGE);
		_exit(sum(heap, 16 * MIB, PAGE) % 100);
	}
	return wait_for(child) * 2 + (sum(heap, 16 * MIB, PAGE) == before);
}

static uint64_t fork_exec(void)
{
	pid_t child = fork();

	if (child == 0) {
		execl("/proc/self/exe", "work", "true", (char *)NULL);
		_exit(99);
	}
	return wait_for(child);
}

/* 100 words to another process and back. */
static uint64_t ping_pong(void)
{
	int to[2], from[2];
	uint64_t word = 0;
	pid_t child;

	if (pipe(to) || pipe(from))
		die("pipe");
	child = fork();
	if (child == 0) {
		while (close(to[1]), read(to[0], &word, sizeof(word)) == sizeof(word)) {
			word = word * 3 + 1;
			if (write(from[1], &word, sizeof(word)) != sizeof(word))
				break;
		}
		_exit(0);
	}
	close(to[0]);
	for (unsigned i = 0; i < 100; i++)
		if (write(to[1], &word, sizeof(word)) != sizeof(word) || read(from[0], &word, sizeof(word)) != sizeof(word))
			die("pipe");
	close(to[1]);
	close(from[0]);
	close(from[1]);
	return word % 1000 + wait_for(child);
}

static char *guarded;
static volatile sig_atomic_t signals;

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	if (info->si_addr == guarded && mprotect(guarded, PAGE, PROT_READ | PROT_WRITE) == 0)
		signals++;
}

static uint64_t fault_signal(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	if (!guarded)
		guarded = map(PAGE, 0);
	sigaction(SIGSEGV, &action, NULL);
	signals = 0;
	mprotect(guarded, PAGE, PROT_NONE);
	*(volatile char *)guarded = 7;
	return (uint64_t)signals * 10 + (uint64_t)*guarded;
}

static void *add_up(void *arg)
{
	char *p = map(64 * KIB, 0);

	touch(p, 64 * KIB, PAGE);
	__atomic_add_fetch((uint64_t *)arg, sum(p, 64 * KIB, PAGE) % 1000, __ATOMIC_RELAXED);
	munmap(p, 64 * KIB);
	return NULL;
}

static void *no_work(void *arg) { return arg; }

/* 20 of them, at once or each after the other, on stacks too small for a large page. */
static uint64_t run_threads(void *(*body)(void *arg), bool at_once)
{
	pthread_t thread[20];
	pthread_attr_t attributes;
	uint64_t total = 0;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 * KIB);
	for (unsigned i = 0; i < 20; i++) {
		if (pthread_create(&thread[i], &attributes, body, &total))
			die("pthread_create");
		if (!at_once)
			pthread_join(thread[i], NULL);
	}
	for (unsigned i = 0; at_once && i < 20; i++)
		pthread_join(thread[i], NULL);
	return total;
}

static uint64_t threads(void) { return run_threads(no_work, false); }
static uint64_t threads_at_once(void) { return run_threads(no_work, true); }
static uint64_t threads_touching(void) { return run_threads(add_up, true); }

/* Random mappings come, change their rights, are written, shrink and go; a shadow of what they hold is kept
 * in `want`. */
#define AREAS 32
static uint64_t churn(void)
{
	static char *area[AREAS];
	static size_t size[AREAS];
	static unsigned char want[AREAS];
	uint64_t state = 1, s = 0;

	for (unsigned i = 0; i < 2000; i++) {
		unsigned n = (state = state * 6364136223846793005ul + 1442695040888963407ul) >> 33 & (AREAS - 1);

		if (!area[n]) {
			size[n] = (1 + (state >> 40 & 63)) * PAGE;
			area[n] = map(size[n], 0);
			want[n] = 0;
		} else if (state >> 50 & 1) {
			want[n] = (unsigned char)(state >> 55);
			mprotect(area[n], size[n], PROT_READ | PROT_WRITE);
			memset(area[n], want[n], size[n]);
			mprotect(area[n], size[n], PROT_READ);
		} else if (state >> 51 & 1) {
			s += (unsigned char)area[n][size[n] - 1] == want[n] && (unsigned char)area[n][0] == want[n];
			munmap(area[n], size[n]);
			area[n] = NULL;
		} else if (size[n] > PAGE) {
			munmap(area[n] + size[n] - PAGE, PAGE);
			size[n] -= PAGE;
		} else {
			madvise(area[n], size[n], MADV_DONTNEED);
			want[n] = 0;
		}
	}
	for (unsigned n = 0; n < AREAS; n++) {
		s += area[n] && (unsigned char)area[n][0] == want[n];
		munmap(area[n], size[n]);
		area[n] = NULL;
	}
	return s;
}

static const struct job {
	const char *name;
	uint64_t (*run)(void);
	unsigned runs; /* of the bench */
} jobs[] = {
	{ "touch-64m-by-4k", touch_4k, 3 },
	{ "touch-64m-by-2m-first", touch_2m, 1 },
	{ "touch-64m-by-2m-again", touch_2m_again, 3 },
	{ "touch-one-page-in-512-regions", touch_sparse, 5 },
	{ "map-touch-unmap-16-pages-x100", map_unmap, 5 },
	{ "mprotect-2m-x20", protect_alone, 5 },
	{ "mprotect-2m-x20-touched", protect_touched, 5 },
	{ "fork-exit-16m", fork_exit, 15 },
	{ "fork-write-16m", fork_write, 5 },
	{ "fork-exec", fork_exec, 15 },
	{ "pipe-ping-pong-x100", ping_pong, 5 },
	{ "page-fault-signal", fault_signal, 100 },
	{ "threads-20", threads, 5 },
	{ "threads-20-at-once", threads_at_once, 5 },
	{ "threads-20-touching", threads_touching, 5 },
	{ "churn", churn, 3 },
};

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Whoever measures has looked at the counters. */
static void pause_for_line(void)
{
	int c;

	do
		c = getchar();
	while (c != '\n' && c != EOF);
}

static void bench(void)
{
	static uint64_t taken[MAX_RUNS];

	for (size_t j = 0; j < sizeof(jobs) / sizeof(jobs[0]); j++) {
		for (unsigned i = 0; i < jobs[j].runs; i++) {
			uint64_t begun = ticks();

			jobs[j].run();
			taken[i] = ticks() - begun;
		}
		qsort(taken, jobs[j].runs, sizeof(taken[0]), by_value);
		printf("WORK %s %lu in %u runs\n", jobs[j].name, taken[jobs[j].runs / 2], jobs[j].runs);
		pause_for_line();
	}
}

static void check(void)
{
	for (size_t j = 0; j < sizeof(jobs) / sizeof(jobs[0]); j++)
		printf("CHECK %s %lu\n", jobs[j].name, jobs[j].run());
}

int main(int argc, char **argv)
{
	uint64_t begun = ticks();

	if (argc > 1 && !strcmp(argv[1], "true"))
		return 42;
	setvbuf(stdout, NULL, _IOLBF, 0);
	heap = map_regions(16 * MIB, MADV_NOHUGEPAGE);
	memset(heap, 5, 16 * MIB);
	if (argc > 1 && !strcmp(argv[1], "check")) {
		check();
		printf("CHECK done\n");
		return 0;
	}
	printf("WORK begun %lu\n", begun);
	pause_for_line();
	bench();
	printf("WORK done\n");
	return 0;
}
