/*
 * The memory of a fake guest under shadow paging, with its past.
 */
#include "tests/unit/shadow_mem.h"

#include <string.h>

#include "hv/base/frame.h"
#include "hv/base/panic.h"
#include "hv/base/phys.h"

#define EVENTS 65536
#define CHAINS 4096

/* Until its time the word was old. */
struct event {
	hpa_t word;
	uint64_t time, old;
	uint32_t before; /* the word's previous event, or that of another word in the chain; 0: none */
	bool untracked;
};

struct mem_slot mem_slots[MEM_SLOTS];
uint32_t mem_slot_count;
uint64_t mem_now;

static struct event events[EVENTS];
static uint32_t event_count;
static uint32_t newest[CHAINS];

void mem_start(void)
{
	mem_slot_count = 0;
	mem_now = 0;
	event_count = 1;
	memset(newest, 0, sizeof(newest));
}

const struct mem_slot *mem_slot_of(gpa_t gpa)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;

	for (uint32_t i = 0; i < mem_slot_count; i++)
		if (gfn - mem_slots[i].gfn < mem_slots[i].npages)
			return &mem_slots[i];
	return NULL;
}

hpa_t mem_hpa(gpa_t gpa)
{
	const struct mem_slot *s = mem_slot_of(gpa);

	return s ? s->hpa + (gpa - (s->gfn << PAGE_SHIFT)) : HPA_NONE;
}

bool mem_aliased(hpa_t at)
{
	uint32_t seen = 0;

	for (uint32_t i = 0; i < mem_slot_count; i++)
		seen += at - mem_slots[i].hpa < mem_slots[i].npages << PAGE_SHIFT;
	return seen > 1;
}

uint64_t mem_read(hpa_t at, uint32_t bytes)
{
	uint64_t value = 0;

	memcpy(&value, phys_to_virt(at), bytes);
	return value;
}

static uint32_t *chain_of(hpa_t word) { return &newest[(word >> 3 ^ word >> 12) % CHAINS]; }

static const struct event *event_before(uint32_t i, hpa_t word)
{
	while (i && events[i].word != word)
		i = events[i].before;
	return i ? &events[i] : NULL;
}

void mem_changed(hpa_t at, uint64_t old, bool untracked)
{
	uint32_t *chain = chain_of(at);
	const struct event *last = event_before(*chain, at);

	INVARIANT(event_count < EVENTS && is_aligned(at, 8));
	events[event_count] = (struct event){ at, ++mem_now, old, *chain, untracked || (last && last->untracked) };
	*chain = event_count++;
}

void mem_write(hpa_t at, uint32_t bytes, uint64_t value, bool untracked)
{
	hpa_t word = align_down(at, 8);
	uint64_t old = mem_read(word, 8);

	INVARIANT(is_aligned(at, bytes));
	memcpy(phys_to_virt(at), &value, bytes);
	mem_changed(word, old, untracked);
}

static uint64_t part_of(uint64_t word, hpa_t at, uint32_t bytes)
{
	return bytes == 8 ? word : (uint32_t)(word >> (8 * (at & 7)));
}

uint32_t mem_values(hpa_t at, uint32_t bytes, uint64_t since, struct mem_value values[MEM_VALUES])
{
	hpa_t word = align_down(at, 8);
	const struct event *e = event_before(*chain_of(word), word);
	bool for_ever = e && e->untracked;
	uint32_t n = 0;

	values[n].value = part_of(mem_read(word, 8), at, bytes);
	while (e && (e->time > since || for_ever)) {
		uint64_t value = part_of(e->old, at, bytes);

		values[n].from = for_ever ? 0 : e->time;
		if (value != values[n].value) {
			if (++n == MEM_VALUES)
				return n;
			values[n].value = value;
		}
		e = event_before(e->before, word);
	}
	values[n].from = for_ever ? 0 : since;
	return n + 1;
}
