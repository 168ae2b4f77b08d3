/*
 * What a TD's memory costs: each operation some times, and between them a wait for a key on COM1, so that the host's
 * counters can be read. Prints `STAGE name operations ticks`, the ticks by the TD's own clock for all of them.
 */
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/td/lib/td.h"

const char guest_name[] = "tdcost";

#define FRAMES 8 /* of 2M: half of them are converted whole, half are cut */
#define PAGES 128
#define LSR_DATA_READY 1

static uint64_t whole[FRAMES], cut[FRAMES];

/* Pages of the first frame that was cut. */
static uint64_t page(unsigned i) { return cut[0] + (64 + i) * PAGE_SIZE; }

static uint64_t cut_shared(unsigned i) { return td_map_gpa((cut[i] + 5 * PAGE_SIZE) | td_shared_bit, PAGE_SIZE); }
static uint64_t page_shared(unsigned i) { return td_map_gpa(page(i) | td_shared_bit, PAGE_SIZE); }
static uint64_t page_private(unsigned i) { return td_map_gpa(page(i), PAGE_SIZE); }
static uint64_t page_accept(unsigned i) { return td_accept(page(i), 0); }
static uint64_t whole_shared(unsigned i) { return td_map_gpa(whole[i] | td_shared_bit, MIB(2)); }
static uint64_t whole_private(unsigned i) { return td_map_gpa(whole[i], MIB(2)); }
static uint64_t whole_accept(unsigned i) { return td_accept(whole[i], 1); }

static const struct {
	const char *name;
	unsigned times;
	uint64_t (*one)(unsigned i);
} stages[] = {
	{ "cut-shared", FRAMES, cut_shared },     { "4k-shared", PAGES, page_shared },
	{ "4k-private", PAGES, page_private },    { "4k-accept", PAGES, page_accept },
	{ "2m-shared", FRAMES, whole_shared },    { "2m-private", FRAMES, whole_private },
	{ "2m-accept", FRAMES, whole_accept },
};

static void wait_for_key(void)
{
	while (!(inb(GUEST_PORT_COM1 + 5) & LSR_DATA_READY))
		__builtin_ia32_pause();
	(void)inb(GUEST_PORT_COM1);
}

void guest_main(void)
{
	uint64_t begin, bad;

	for (unsigned i = 0; i < FRAMES; i++) {
		whole[i] = fresh_memory();
		cut[i] = fresh_memory();
	}
	print("STAGE none 0 0\n");
	for (size_t s = 0; s < ARRAY_LEN(stages); s++) {
		wait_for_key();
		bad = 0;
		begin = rdtsc();
		for (unsigned i = 0; i < stages[s].times; i++)
			bad |= stages[s].one(i);
		begin = rdtsc() - begin;
		report_equal(stages[s].name, bad, 0);
		print("STAGE %s %u %lu\n", stages[s].name, stages[s].times, begin);
	}
	wait_for_key();
}
