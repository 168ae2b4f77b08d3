/*
 * A guest's RAM as the loaders and table builders see it, before the guest starts: where it lies,
 * and copying into it. Who owns the memory decides how an address becomes a pointer.
 */
#ifndef HV_GUEST_GUEST_MEM_H
#define HV_GUEST_GUEST_MEM_H

#include "hv/base/types.h"

struct guest_mem {
	void *ctx;
	uint64_t ram_size; /* bytes, a multiple of 4 KiB: up to GUEST_LOW_RAM_END, the rest from 4 GiB on */
	gpa_t occupied;    /* not 0: RAM below 4 GiB from here on is no place to load into */
	/* The host's pointer to [gpa, gpa + len) when all of it is RAM and contiguous for the host,
	 * else NULL. The whole first MiB counts as RAM here. */
	void *(*at)(void *ctx, gpa_t gpa, uint64_t len);
};

/* First address after the RAM below 4 GiB. */
gpa_t guest_low_ram_end(uint64_t ram_size);
/* First address after the RAM above 4 GiB; GUEST_HIGH_RAM_BASE when there is none. */
gpa_t guest_high_ram_end(uint64_t ram_size);
/* Where what is loaded below 4 GiB must end. */
gpa_t guest_mem_low_end(const struct guest_mem *m);
/* Whether [gpa, gpa + len) lies below that. Any values; no overflow. */
bool guest_mem_in_low_ram(const struct guest_mem *m, gpa_t gpa, uint64_t len);

/* Both copy piece by piece, so the range need not be contiguous for the host. False: some byte of
 * the range is not RAM; what lies before it is written. */
bool guest_mem_write(const struct guest_mem *m, gpa_t gpa, const void *data, uint64_t len);
bool guest_mem_clear(const struct guest_mem *m, gpa_t gpa, uint64_t len);

#endif
