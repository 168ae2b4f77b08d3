/*
 * Copying into a guest's RAM, and where that RAM lies.
 */
#include "hv/guest/guest_mem.h"

#include <string.h>

#include "hv/guest/guest.h"

gpa_t guest_low_ram_end(uint64_t ram_size) { return min_u64(ram_size, GUEST_LOW_RAM_END); }

gpa_t guest_high_ram_end(uint64_t ram_size)
{
	return GUEST_HIGH_RAM_BASE + (ram_size - guest_low_ram_end(ram_size));
}

gpa_t guest_mem_low_end(const struct guest_mem *m)
{
	gpa_t end = guest_low_ram_end(m->ram_size);

	return m->occupied ? min_u64(m->occupied, end) : end;
}

bool guest_mem_in_low_ram(const struct guest_mem *m, gpa_t gpa, uint64_t len)
{
	gpa_t end = guest_mem_low_end(m);

	return gpa <= end && len <= end - gpa;
}

/* The longest piece at gpa that is contiguous for the host: to the next 2 MiB, else 4 KiB boundary. */
static void *next_piece(const struct guest_mem *m, gpa_t gpa, uint64_t left, uint64_t *piece)
{
	void *p;

	*piece = min_u64(left, MIB(2) - (gpa & (MIB(2) - 1)));
	p = m->at(m->ctx, gpa, *piece);
	if (p)
		return p;
	*piece = min_u64(left, PAGE_SIZE - (gpa & PAGE_MASK));
	return m->at(m->ctx, gpa, *piece);
}

bool guest_mem_write(const struct guest_mem *m, gpa_t gpa, const void *data, uint64_t len)
{
	const uint8_t *from = data;
	uint64_t piece;

	for (; len; gpa += piece, from += piece, len -= piece) {
		void *to = next_piece(m, gpa, len, &piece);

		if (!to)
			return false;
		memcpy(to, from, piece);
	}
	return true;
}

bool guest_mem_clear(const struct guest_mem *m, gpa_t gpa, uint64_t len)
{
	uint64_t piece;

	for (; len; gpa += piece, len -= piece) {
		void *to = next_piece(m, gpa, len, &piece);

		if (!to)
			return false;
		memset(to, 0, piece);
	}
	return true;
}
