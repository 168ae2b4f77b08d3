/*
 * A table for mirror roots to mirror, as strict as a TDX module's secure EPT: entries with states, page
 * metadata, epochs, vCPUs that run and keep translations. Whatever a module would refuse is refused,
 * counted, and named; busy, interrupts and failures come on demand. Written from the module's rules,
 * with names and a level numbering of its own, and knows of mmu/ only what mmu/external.h says.
 */
#ifndef TESTS_UNIT_EXTERNAL_FAKE_H
#define TESTS_UNIT_EXTERNAL_FAKE_H

#include <pthread.h>

#include "mmu/external.h"

#define FAKE_VCPUS 4
#define FAKE_TLB 16
#define FAKE_FRAMES (GIB(8) >> PAGE_SHIFT) /* host frames with page metadata */

enum fake_state { FAKE_FREE, FAKE_TABLE, FAKE_MAPPED, FAKE_PENDING, FAKE_BLOCKED, FAKE_PENDING_BLOCKED };

struct fake_table;

struct fake_entry {
	enum fake_state state;
	hpa_t page;
	uint64_t epoch; /* in which it was blocked */
	struct fake_table *table;
};

struct fake_vcpu {
	bool inside;
	uint64_t epoch; /* of its last entry */
	struct {
		gfn_t gfn;
		hpa_t page; /* 0: none */
	} tlb[FAKE_TLB];
	uint32_t next;
};

struct fake {
	struct mmu_external ops;
	pthread_mutex_t lock;
	struct fake_table *root;
	uint8_t *metadata; /* of each frame */
	bool running;      /* the guest has started: tracking is enforced */
	bool adding;       /* pages are of the first image: mapped, and accepted, at once */
	bool dead;         /* may be reclaimed */
	bool barred;
	uint64_t epoch;
	uint32_t inside[2];
	struct fake_vcpu vcpu[FAKE_VCPUS];

	uint32_t busy_percent;      /* of all operations, unless entry is barred */
	uint32_t interrupt_percent; /* of DEMOTE */
	bool stuck;                 /* busy for ever */
	bool keeps;                 /* gives nothing back at the end */
	uint64_t fail_in;           /* the operation, counted down, that fails unexpectedly; 0: none */
	bool fail_late;             /* ... after it has been carried out */
	/* NULL, or called while the entry is frozen, before LINK and MAP. */
	void (*meanwhile)(struct fake *f, enum external_op op, gfn_t gfn, int level);

	uint64_t ops_done[EXTERNAL_OPS], busy, kicks;
	uint64_t promotions; /* leafs that were to replace a table: must stay 0 */
	uint64_t rejected;   /* what a module would refuse: must stay 0 */
	char why[160];       /* the last of them */
};

/* max_level: of a leaf; a module's is 2. */
void fake_start(struct fake *f, int max_level);
/* Another guest's, empty: every page of the last one has been reclaimed. */
void fake_renew(struct fake *f);
/* Ends it. Every page must have been reclaimed, unless lost are allowed. */
void fake_end(struct fake *f, bool may_lose);

/* ---- the guest's side ---- */

/* False while entry is barred. */
bool fake_enter(struct fake *f, uint32_t vcpu);
void fake_exit(struct fake *f, uint32_t vcpu);

enum fake_access { FAKE_GOOD, FAKE_VIOLATION, FAKE_NOT_ACCEPTED };
/* An access by a vCPU in the guest; *page is what it reaches. */
enum fake_access fake_touch(struct fake *f, uint32_t vcpu, gfn_t gfn, hpa_t *page);

enum fake_accept {
	FAKE_ACCEPTED,
	FAKE_ALREADY,
	FAKE_SIZE_MISMATCH, /* the guest tries a smaller size */
	FAKE_ACCEPT_EXIT,   /* to the hypervisor, which is told the level; then the guest tries again */
};
enum fake_accept fake_accept(struct fake *f, gfn_t gfn, int level);

/* ---- the tester's ---- */

/* What decides about gfn, and where: FREE, or a leaf's state. */
struct fake_entry fake_lookup(struct fake *f, gfn_t gfn, int *level);

/* NULL, or how the mirror differs from this table. Nothing is under way. */
const char *fake_differs(struct fake *f, struct mmu *mmu);

/* Calls fn for every leaf. */
void fake_for_each_leaf(struct fake *f, void (*fn)(void *ctx, gfn_t gfn, int level, enum fake_state state),
			void *ctx);

#endif
