/*
 * The root of the shared EPT. The CPU walks it with the whole address, shared bit set, while mmu/ keeps its
 * ordinary root by addresses without that bit: so a root of its own holds the same tables where the walk
 * leads. Bit 39 and above select an entry of the root; a lower bit selects one of the table below, and then
 * there is a table of our own on that level too. Intel TDX Module base specification, "Shared EPT".
 */
#ifndef TDX_SHARED_ROOT_H
#define TDX_SHARED_ROOT_H

#include "hv/base/frame.h"
#include "hv/base/spin.h"
#include "hv/base/types.h"

struct shared_root {
	struct spinlock lock; /* of changes: so none stores what it read before another's look */
	hpa_t root;      /* what the module is given */
	hpa_t below;     /* the table one level down; HPA_NONE when the bit selects an entry of the root */
	unsigned offset; /* of the shared half, in entries of the table that the bit selects from */
	unsigned count;  /* of entries there that the guest's addresses use */
};

/*
 * bit is 30 to 47, top the first address above all that mmu/ may map, without the bit. Frames as owner's.
 * -ENOMEM: nothing is left.
 */
int shared_root_create(struct shared_root *s, uint32_t bit, gpa_t top, frame_owner_t owner);
void shared_root_destroy(struct shared_root *s, frame_owner_t owner);

/*
 * Takes over what the ordinary root has now: before each entry, after the vCPU counts as being in the guest.
 * Whoever takes a table away flushes before it frees it, and so waits for those who may have seen it. Any CPU,
 * several at once.
 */
void shared_root_follow(struct shared_root *s, hpa_t ordinary);

#endif
