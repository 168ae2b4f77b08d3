/*
 * Memory of the network's own, cleared, on record as such (`mem`). Monitor's context.
 */
#ifndef HV_NET_MEMORY_H
#define HV_NET_MEMORY_H

#include "hv/base/frame.h"
#include "hv/base/phys.h"

static inline uint64_t net_memory_frames(uint64_t bytes) { return align_up(bytes, PAGE_SIZE) >> PAGE_SHIFT; }

/* Whole frames, in one piece; NULL when there are none. */
static inline void *net_memory_take(uint64_t bytes)
{
	hpa_t pa = frame_alloc_run(net_memory_frames(bytes), 1, OWNER_NET);

	return pa == HPA_NONE ? NULL : phys_to_virt(pa);
}

static inline void net_memory_give(void *memory, uint64_t bytes)
{
	frame_free_run(virt_to_phys(memory), net_memory_frames(bytes), OWNER_NET);
}

#endif
