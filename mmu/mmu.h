/*
 * Guest memory, as the rest of the hypervisor sees it: one struct mmu per VM, one struct mmu_vcpu
 * per vCPU, slots that say which gfn is which host frame, and the EPT built from them on demand, or
 * in shadow mode (mmu/shadow.h) tables built from them and from the guest's own.
 *
 * Locks. mmu->lock is the only one on the fault path. A vCPU enters it shared (mmu_enter), where
 * entries change by compare-and-exchange only and slots are read without further protection; slot
 * changes and every removal hold it exclusively, and so does all that changes a shadow page. A slot,
 * a pointer into guest memory or a table is used only between mmu_enter() and mmu_leave(). Table
 * frames are allocated before the lock is taken. Public functions take the lock themselves unless
 * they say otherwise, so none is called between mmu_enter() and mmu_leave() but those that say so.
 */
#ifndef MMU_MMU_H
#define MMU_MMU_H

#include "hv/base/failure.h"
#include "hv/base/mmu_kind.h"
#include "hv/base/rwlock.h"
#include "hv/base/spin.h"
#include "hv/base/types.h"

struct mmu_external;
struct shadow;
struct slot;
struct slot_set;
struct sp;

/* Sizes of a mapping. Level n covers 512^(n-1) frames of 4 KiB. */
#define LEVEL_4K 1
#define LEVEL_2M 2
#define LEVEL_1G 3
#define ROOT_LEVEL 4 /* page-walk length 4 reaches 48 bits of guest-physical address */

/* What an access did. The numbers are bits 2:0 of the exit qualification of an EPT violation. */
#define MMU_READ 1u
#define MMU_WRITE 2u
#define MMU_FETCH 4u

struct flush_range {
	gfn_t first;
	uint64_t npages;
};

struct mmu_config {
	enum mmu_kind kind;
	uint16_t vm_id;     /* tables are owned as OWNER_VM_META(vm_id) */
	uint32_t hpa_bits;  /* the host's MAXPHYADDR */
	uint32_t gpa_bits;  /* width of guest-physical addresses: the guest's MAXPHYADDR, at most 48 */
	int max_level;      /* largest page the CPU offers for this kind: LEVEL_4K, LEVEL_2M, LEVEL_1G */
	bool ept_ad;        /* accessed and dirty flags are on */
	bool execute_only;  /* the CPU offers execute-only translations */
	/*
	 * Invalidates what every CPU may have cached of this VM's EPT (INVEPT) and returns when that is
	 * certain. Called with the lock held exclusively: CPUs in root mode may be spinning on it with
	 * interrupts off, so wait only for those that are in the guest; the others flush before entry.
	 */
	void (*flush)(void *ctx, const struct flush_range *range);
	void *flush_ctx;
	uint64_t shadow_pages; /* the most shadow pages; 0: 2 % of the guest's memory, at least 64 */
	/*
	 * NULL, or the table that a mirror root follows: mmu/external.h, mmu/mirror.h. Then bit shared_bit of
	 * a guest-physical address, which lies above the gpa_bits, says that the access is to shared memory.
	 */
	const struct mmu_external *external;
	uint32_t shared_bit;
	/*
	 * Page-modification logging, with ept_ad; for the dirty log. pml_switch says whether the CPUs are to
	 * log from now on; for those in the guest that is so when it returns. pml_sync returns when what was
	 * logged before it was called has been handed over by mmu_pml_drain(). Both get flush_ctx.
	 */
	bool pml;
	void (*pml_switch)(void *ctx, bool on);
	void (*pml_sync)(void *ctx);
	bool nx_huge; /* large EPT leafs are not to be executable: mmu/nx.h */
};

enum fault_result {
	FAULT_MAPPED,         /* mapped now, or was already: resume the guest */
	FAULT_RETRY,          /* lost a race: resume the guest, it faults again if need be */
	FAULT_MMIO,           /* no memory there: emulate */
	FAULT_READONLY_WRITE, /* a write to a read-only slot: emulate (the write is dropped) */
	FAULT_OUT_OF_MEMORY,  /* no frame for a table: stop the guest */
	FAULT_BAD_ADDRESS,    /* beyond gpa_bits */
	FAULT_GUEST,          /* shadow: the guest's own tables forbid it: inject the page fault */
	FAULT_WRITE_TRACKED,  /* shadow: a write to a page table that must be seen: emulate */
	FAULT_EMULATE_WRITE,  /* shadow: allowed by CR0.WP = 0, but no entry can express it: emulate */
	FAULT_WRONG_KIND,     /* the memory is private and the access shared, or the reverse */
	FAULT_BROKEN,         /* the external table is in an unknown state: stop the guest */
	FAULT_RESULTS
};

extern const char *const fault_result_names[FAULT_RESULTS];

struct mmu_stats {
	uint64_t faults[FAULT_RESULTS];
	uint64_t spurious;              /* of FAULT_MAPPED: nothing was left to do */
	uint64_t installed[ROOT_LEVEL]; /* leafs installed, by level; [0] counts MMIO entries */
	int64_t mapped[ROOT_LEVEL];     /* present leafs by level, [0] unused: meaningful only as a sum */
	int64_t tables;                 /* linked tables, likewise; the root is not counted */
	uint64_t splits, collapses;     /* large leafs replaced by tables, and the other way round */
	uint64_t granted;               /* rights given back to present leafs */
	struct {                        /* of the mirror root, which is in none of the above but faults */
		int64_t mapped[ROOT_LEVEL];
		int64_t tables;
		uint64_t removed, demoted;
	} mirror;
};

#define MMU_SPARES 8     /* prepared tables a vCPU has when there is time to prepare them */
#define MMU_MMIO_HINTS 4 /* gfns a vCPU remembers to be MMIO */

#define SHADOW_PREVIOUS 3
#define SHADOW_PCIDS 16 /* places for PCIDs */
#define SHADOW_CHUNKS 2

/* A root the vCPU may come back to; it holds a reference. */
struct shadow_root {
	struct sp *sp;
	uint64_t cr3;  /* as the guest loaded it, with PCID, without bit 63 */
	uint32_t role;
	uint64_t left; /* by which of the vCPU's loads */
};

/* The page of the shadow that the last fault near by found: mmu/shadow_near.c. Good while no page is unlinked and no
 * write to a table emulated. */
struct shadow_found {
	struct sp *root, *sp;
	uint64_t region;         /* of addresses: 2M */
	uint64_t version, stamp; /* struct shadow's; version 0: none */
};

struct shadow_vcpu {
	struct sp *root[4];   /* of the current mode: one, or four under PAE paging (NULL: not present) */
	uint64_t *pae;        /* the four PDPTEs the CPU loads, in a frame below 4 GiB */
	uint64_t cr3;         /* guest's, of the current root */
	uint32_t role;        /* of the current root, quadrant 0 */
	uint64_t cr0, cr4, efer; /* that it follows from */
	uint64_t hardware_cr3; /* of the root loaded last */
	uint64_t loads, loads_cached, mmio_hits; /* for struct shadow_counts */
	bool loaded;          /* there is a current root */
	bool is_pae;          /* it is a table of four */
	bool widened;         /* the last fault gave an entry that was present more rights */
	bool stale;           /* it was zapped: load again before the next entry */
	uint32_t chunk_count;
	uint32_t *chunk[SHADOW_CHUNKS]; /* prepared frames of reverse-map heads */
	gpa_t flagged[2];     /* 4-byte entries of level 1 and 2 in which a walk has set flags; 0: none to be told of */
	uint64_t *seen;       /* and of a copy of a table: mmu/seen.h */
	struct shadow_found found;
	struct shadow_root previous[SHADOW_PREVIOUS];
	uint64_t flushed[SHADOW_PCIDS], flushed_all; /* the last load that flushed the PCIDs of a place, or all */
};

struct mmu_vcpu {
	struct rw_reader reader;
	struct mmu *mmu;
	const struct slot *hint;   /* slot last found; valid while hint_generation is current */
	uint64_t hint_generation;
	uint32_t spare_count;
	struct sp *spare; /* list */
	struct {
		gfn_t gfn;
		uint64_t generation;
	} mmio[MMU_MMIO_HINTS];
	struct shadow_vcpu shadow;
	struct mmu_stats stats;
};

#define SP_DIRECTORY 256

struct sp_pool {
	struct spinlock lock;  /* innermost; guards what is below */
	struct sp *free, *free_last;
	uint32_t free_count;
	struct sp *blocks;
	uint64_t block_count;
	struct sp **directory[SP_DIRECTORY]; /* shadow: headers of block n are at [n / 512][n % 512] */
	uint32_t mmio_tables;  /* linked tables that were made for MMIO entries alone; atomic */
};

struct mmu_flush {
	uint32_t tokens;    /* handed out and not yet spent: none may be left when the lock is dropped */
	struct sp *doomed;  /* unlinked tables that wait for a token to be spent */
	uint64_t count;     /* flushes carried out */
	struct rw_waits waits; /* of these for CPUs in the guest */
	uint64_t tracks;    /* TRACKs of the external table */
	uint32_t blocked;   /* entries of a mirror blocked since the last TRACK */
};

struct mmu {
	struct mmu_config config;
	struct spinlock changes; /* one change of slots or attributes at a time, and no check meanwhile; before lock */
	struct rwlock lock;
	struct slot_set *slots; /* immutable; replaced as a whole under the exclusive lock */
	uint64_t generation;    /* of slots, for a look without the lock */
	uint32_t logged_slots;  /* under changes */
	gfn_t nx_next;          /* under changes: where mmu_nx_recover() goes on */
	struct sp *root;
	struct sp_pool pool;
	struct mmu_flush flush;
	struct shadow *shadow;  /* MMU_SHADOW: mmu/shadow_page.h */
	uint64_t chunks;        /* frames of reverse-map heads in use */
	uint32_t rmap_dice;     /* mmu/rmap.h */
	const struct slot *rmap_slot; /* of the last leaf removed, or NULL: a guess at the next one's */
	struct sp *mirror;      /* root of private memory, which no CPU walks; NULL without config.external */
	uint32_t broken;        /* once set, the mirror is left alone */
	struct failure broken_why;
	uint64_t mirror_refused; /* transitions that are not allowed, and were asked for */
	uint64_t mirror_kicks;   /* for an external table that was busy */
	struct mmu_vcpu host;   /* for the loader, premap and the monitor: one CPU at a time */
};

/* Builds an empty address space. -EINVAL: a configuration no CPU has; -ENOMEM. On failure nothing is left. */
int mmu_init(struct mmu *mmu, const struct mmu_config *config, struct failure *f);
/* Frees all of it. Every vCPU has been taken out. The guest's RAM stays its owner's. */
void mmu_destroy(struct mmu *mmu);

/* A vCPU joins and holds a reference on the root; it leaves again once it runs no more. */
void mmu_vcpu_init(struct mmu_vcpu *mv, struct mmu *mmu);
void mmu_vcpu_destroy(struct mmu_vcpu *mv);

/* For config.flush, the lock being held: it has waited so many ticks of the TSC for CPUs in the guest. */
static inline void mmu_flush_waited(struct mmu *mmu, uint64_t ticks)
{
	rw_waits_add(&mmu->flush.waits, &(struct rw_waits){ 1, ticks });
}

/* The EPT pointer for the VMCS (SDM "Extended-Page-Table Pointer (EPTP)"). */
uint64_t mmu_eptp(const struct mmu *mmu);

/* Shared access to slots, guest memory and tables. A few instructions, no waiting unless a slot changes. */
static inline void mmu_enter(struct mmu_vcpu *mv) { rw_enter(&mv->mmu->lock, &mv->reader); }
static inline void mmu_leave(struct mmu_vcpu *mv) { rw_leave(&mv->reader); }

#define SLOT_READONLY 1u /* guest writes are not let through: ROM */
#define SLOT_PRIVATE 2u  /* every page is private to begin with, not shared */

/*
 * Adds guest RAM: npages frames from gfn on are the contiguous host run that starts at hpa.
 * -EINVAL: empty, unaligned, or beyond an address width; -EEXIST: overlaps a slot; -ENOSPC: too
 * many slots; -ENOMEM. Host frames may back several gfns.
 */
int mmu_slot_add(struct mmu *mmu, gfn_t gfn, uint64_t npages, hpa_t hpa, uint32_t flags, struct failure *f);
/*
 * Deletes the slot that starts at gfn. On return no translation of it is left in any table or TLB
 * and no vCPU is using it. -ENOENT: none starts there; -ENOMEM: nothing was changed;
 * -EIO: private memory of it is mapped still, and the guest broken (FAULT_BROKEN).
 */
int mmu_slot_delete(struct mmu *mmu, gfn_t gfn, struct failure *f);
/*
 * Moves the slot that starts at gfn to another gfn, with its host frames. What was mapped of it is zapped and
 * nothing else; for a moment the guest finds no memory at either place. -ENOENT: none starts there; -EEXIST,
 * -EINVAL: not possible there, as mmu_slot_add(); -EBUSY: it is logged, or has pages of both kinds;
 * -EOPNOTSUPP: there is a mirror root; -ENOMEM. On an error nothing was changed.
 */
int mmu_slot_move(struct mmu *mmu, gfn_t gfn, gfn_t to, struct failure *f);
/* Makes the slot that starts at gfn read-only (SLOT_READONLY), or writable (0). On return no translation
 * with the old right is left. -ENOENT; -EINVAL: another flag; -EOPNOTSUPP: there is a mirror root. */
int mmu_slot_set_flags(struct mmu *mmu, gfn_t gfn, uint32_t flags, struct failure *f);
/* Maps all of the slot that starts at gfn, with the largest pages it allows.
 * -ENOENT: none starts there; -ENOMEM: mapped in part; -EIO: the guest is broken (FAULT_BROKEN). */
int mmu_premap_slot(struct mmu *mmu, gfn_t gfn, struct failure *f);
/*
 * Makes npages from gfn on private, or shared. What changes kind is zapped, page by page, and nothing else;
 * the rest of a large page stays mapped by smaller ones. On return no translation of a page as what it was
 * is left. -EOPNOTSUPP: there is no EPT; -EINVAL: no such addresses;
 * -ENOENT: not all of it is memory, and nothing was changed; -ENOMEM: f
 * says from where on nothing was changed. With a mirror root also -EAGAIN: interrupted, to be asked again;
 * -EIO: the guest is broken (FAULT_BROKEN).
 */
int mmu_set_attributes(struct mmu *mmu, gfn_t gfn, uint64_t npages, bool private, struct failure *f);
/* Makes the guest fault again on every gfn of the range, and on no other unless memory for the tables that
 * split a large page is out: then that page goes whole. */
void mmu_zap_range(struct mmu *mmu, gfn_t first, uint64_t npages);

/* An EPT violation at gpa; access is a combination of MMU_READ, MMU_WRITE, MMU_FETCH, or 0 to have the
 * entry made ahead of any access. */
enum fault_result mmu_fault(struct mmu_vcpu *mv, gpa_t gpa, uint32_t access);

enum mmio_result {
	MMIO_HIT,    /* no memory at gpa: emulate */
	MMIO_STALE,  /* slots have changed, or another vCPU was faster: go on with mmu_fault() */
	MMIO_BROKEN, /* the entry is no MMIO entry: the EPT is damaged */
};
/* An EPT misconfiguration at gpa. */
enum mmio_result mmu_mmio_hit(struct mmu_vcpu *mv, gpa_t gpa);

/* Refills the vCPU's spare tables, and the pool they come from, ahead of need: for idle time, and for
 * moments that come once in a while. mmu_fault() fetches what it must. Outside the lock. */
void mmu_vcpu_topup(struct mmu_vcpu *mv);

#endif
