/*
 * The frame allocator's record of all RAM, shared by hv/base/frame.c (which hands frames out) and
 * hv/base/frame_init.c (which builds it from boot's memory map). Nobody else includes this.
 */
#ifndef HV_BASE_FRAME_TABLE_H
#define HV_BASE_FRAME_TABLE_H

#include "hv/base/frame.h"
#include "hv/base/types.h"

#define BLOCK_FRAMES 512
#define LOW_FRAMES (MIB(1) >> PAGE_SHIFT)

/* Free, but not for find_run: in a CPU's cache or being cleared; below 1 MiB. */
#define OWNER_CACHED ((frame_owner_t)(OWNER_INTERNAL + 0))
#define OWNER_LOW ((frame_owner_t)(OWNER_INTERNAL + 1))

struct frame_block {
	uint16_t free;  /* frames marked OWNER_FREE */
	uint16_t clean; /* of those, cleared ones */
};

struct frame_table {
	pfn_t count; /* frames 0..count-1 are on record */
	uint64_t ram; /* of them, those that have an owner or are free */
	uint64_t block_count;
	frame_owner_t *owners;
	uint64_t *dirty; /* bit per frame: to be cleared before it is handed out */
	struct frame_block *blocks;
};

extern struct frame_table frame_table;

/* The running counts of frame_tally(), as if by the running CPU. */
void frames_tally_add(frame_owner_t owner, int64_t npages);
/* Empties the caches and hints for a table just built, all of whose free frames are dirty. */
void frames_reset_state(void);

#endif
