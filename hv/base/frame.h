/*
 * The frame allocator: every 4K frame of host RAM has one owner on record, and audit proves it.
 * Frames are handed out cleared. They are cleared when freed or, at start, by whoever allocates
 * outside a fault path; nothing on a fault path ever clears more than the one table page it needs.
 */
#ifndef HV_BASE_FRAME_H
#define HV_BASE_FRAME_H

#include "hv/base/types.h"

struct boot_info; /* boot/boot_info.h */
struct failure;   /* hv/base/failure.h */

typedef uint16_t frame_owner_t;
#define OWNER_NONE 0x0000     /* no RAM here, or the firmware's */
#define OWNER_FREE 0x0001
#define OWNER_HV 0x0002       /* code, data, stacks, heap */
#define OWNER_PAGE_TABLE 0x0003 /* the hypervisor's own page tables */
#define OWNER_PAMT 0x0004       /* the TDX module's own, until the machine is switched off */
#define OWNER_NET 0x0005        /* the network: rings and buffers of the card, connections */
#define OWNER_VM(id) ((frame_owner_t)(0x1000 + (id)))     /* a guest's RAM; id below 256 */
#define OWNER_VM_META(id) ((frame_owner_t)(0x2000 + (id))) /* its VMCS, EPT, shadow pages */
#define OWNER_TD(id) ((frame_owner_t)(0x3000 + (id))) /* the TDX module holds it for that TD */

/* What the hypervisor must not have in its map of RAM: hv/base/map_ram.h. */
static inline bool frame_owner_is_hidden(frame_owner_t o) { return o == OWNER_PAMT || (o & 0xf000) == OWNER_TD(0); }

#define OWNER_INTERNAL 0x00f0 /* from here to 00ffh: the allocator's own marks, reported as OWNER_FREE */

#define HPA_NONE ((hpa_t)0) /* frame 0 is never handed out */

/* One contiguous run of npages frames aligned to align_pages (a power of two), cleared.
 * Returns HPA_NONE when there is none. Any CPU; takes the allocator's lock. */
hpa_t frame_alloc_run(uint64_t npages, uint64_t align_pages, frame_owner_t owner);
/* One frame, cleared; served from a per-CPU cache of cleared frames without the lock when it can. */
hpa_t frame_alloc(frame_owner_t owner);
/* Clears and frees. Panics when a frame is not on record as owner's: a double or foreign free. */
void frame_free_run(hpa_t first, uint64_t npages, frame_owner_t owner);
static inline void frame_free(hpa_t pa, frame_owner_t owner) { frame_free_run(pa, 1, owner); }
/* Changes what is on record of frames in use; what they hold stays. Panics when one is not from's. Whoever
 * has the frames calls it, on any CPU; takes no lock. */
void frame_change_owner(hpa_t first, uint64_t npages, frame_owner_t from, frame_owner_t to);

frame_owner_t frame_owner(hpa_t pa); /* OWNER_NONE for what is not RAM */
uint64_t frame_count(frame_owner_t owner); /* looks at every record */
/* The same from running counts, without a look at the records; id up to 31. While CPUs hand frames out it may be
 * off by what is under way. */
uint64_t frame_tally(frame_owner_t owner);
uint64_t frame_largest_free_run(void); /* in frames */
/* Every maximal run of frames with one owner, lowest first; OWNER_NONE is left out. No lock. */
void frame_for_each_run(void (*each)(void *ctx, hpa_t first, uint64_t npages, frame_owner_t owner),
			void *ctx);

/* Start-up, boot CPU, on boot's page tables: takes all BOOT_RANGE_RAM but the first MiB; the table of
 * owners is placed in it. -EINVAL or -ENOMEM with a sentence when the map is of no use. */
int frames_build(const struct boot_info *bi, struct failure *f);
/* The same as a step of start-up: says what there is, and gives up when that is nothing. */
void frames_init(const struct boot_info *bi);
/* Frees what boot/ used for itself. After map_init. */
void frames_release_boot(const struct boot_info *bi);
/* A frame below 1 MiB, cleared, for the start-up of CPUs; HPA_NONE when there is none. */
hpa_t frame_alloc_low(frame_owner_t owner);
/* A few steps of clearing free memory ahead of need, for CPUs with nothing to do (about 64 KiB).
 * True when it did something. Any CPU; takes the allocator's lock for short. */
bool frames_clear_some(void);

#endif
