/* A guest's RAM in host tests. */
#include "tests/unit/support/guest_ram.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "hv/guest/guest.h"

struct ram {
	uint8_t *base;
	uint64_t size;
	bool seams;
};

static void *find(const struct ram *r, gpa_t gpa, uint64_t len)
{
	gpa_t low_end = guest_low_ram_end(r->size);

	if (gpa <= low_end && len <= low_end - gpa)
		return r->base + gpa;
	if (gpa >= GUEST_HIGH_RAM_BASE && gpa <= guest_high_ram_end(r->size) &&
	    len <= guest_high_ram_end(r->size) - gpa)
		return r->base + low_end + (gpa - GUEST_HIGH_RAM_BASE);
	return NULL;
}

static void *at(void *ctx, gpa_t gpa, uint64_t len)
{
	const struct ram *r = ctx;

	if (r->seams && len && gpa >> 12 != (gpa + len - 1) >> 12)
		return NULL;
	return find(r, gpa, len);
}

struct guest_mem test_guest_ram(uint64_t ram_size, bool seams)
{
	struct ram *r = malloc(sizeof(*r));

	r->base = mmap(NULL, ram_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);
	if (r->base == MAP_FAILED)
		abort();
	r->size = ram_size;
	r->seams = seams;
	return (struct guest_mem){ .ctx = r, .ram_size = ram_size, .at = at };
}

void test_guest_ram_free(struct guest_mem *m)
{
	struct ram *r = m->ctx;

	munmap(r->base, r->size);
	free(r);
	m->ctx = NULL;
}

void *test_guest_at(const struct guest_mem *m, gpa_t gpa, uint64_t len) { return find(m->ctx, gpa, len); }
