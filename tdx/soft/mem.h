/*
 * What the leafs on a TD's private memory share: the TD and one entry of its secure EPT, found and locked in
 * the order of the specification. TDX Module 1.5 ABI specification, "TDH.MEM.*"; the base specification,
 * "Secure EPT Management", "Secure EPT Concurrency".
 */
#ifndef TDX_SOFT_MEM_H
#define TDX_SOFT_MEM_H

#include "tdx/soft/sept.h"
#include "tdx/soft/td.h"

#define MEM_ROOT_LEVEL 0xff /* the level of the root's entries, whatever it is */

/* How a leaf treats the tree. Those that have the TD alone lock neither the tree nor the entry. */
enum mem_tree { MEM_TREE_UNLOCKED, MEM_TREE_READ, MEM_TREE_SHARED, MEM_TREE_EXCLUSIVE };

/* What a leaf asks of its operands. */
struct mem_rules {
	enum lock_mode td;
	enum mem_tree tree;
	uint8_t lowest, highest; /* levels */
	uint32_t states;         /* set: others are EPT_ENTRY_STATE_INCORRECT */
	bool needs_debug;        /* TD_NON_DEBUG for a TD without that attribute */
	uint8_t flags;           /* low bits of RDX that are no address, from version 1 on */
};

/* The entry that a call works on, and what it says. */
struct mem_page {
	struct soft_td td;
	gpa_t gpa;
	struct sept_walk at;
	bool locked; /* the entry's lock is held */
	uint64_t operand_rcx, operand_rdx;
	uint64_t flags; /* of RDX */
};

/* The work of a leaf on the entry, in one of the rules' states. Returns the leaf's status. */
typedef uint64_t (*mem_act_fn)(struct soft_call *c, struct mem_page *p);

/*
 * RCX is GPA and level, RDX the TDR. Opens the TD, clears RCX and RDX, which is what they hold unless the
 * leaf or its failure says otherwise, finds and locks the entry, and lets act() do the leaf's work. The lock
 * of the entry is released after it unless mem_publish() did so.
 */
uint64_t mem_call(struct soft_call *c, const struct mem_rules *rules, mem_act_fn act);

/*
 * The same for a leaf whose RCX is a GPA, aligned to align bytes, in a page of any size. No leaf with RWX on the
 * way is EPT_ENTRY_NOT_PRESENT, with details.
 */
uint64_t mem_open_byte(struct soft_call *c, const struct mem_rules *rules, uint64_t align, struct mem_page *p);
void mem_close(struct mem_page *p);
/* The page of such a GPA, at the GPA's own byte. */
void *mem_byte(struct soft_call *c, const struct mem_page *p);

/* status | RCX, with RCX and RDX showing the entry. */
uint64_t mem_fail(struct soft_call *c, const struct mem_page *p, uint64_t status);

/* The PAMT entry of the page or table that the entry names; mem_lock_target() has it alone, or is BUSY | RCX. */
struct pamt_entry *mem_target(struct soft_call *c, const struct mem_page *p);
uint64_t mem_lock_target(struct soft_call *c, const struct mem_page *p, struct pamt_entry **e) MUST_CHECK;

/*
 * Once a vCPU may have run: the entry must be blocked, and since then every vCPU must have left the TD; what
 * blocks it is the epoch in its target's PAMT entry. GPA_RANGE_NOT_BLOCKED | RCX with details, or
 * TLB_TRACKING_NOT_DONE | operand.
 */
uint64_t mem_check_tracked(struct soft_call *c, const struct mem_page *p, const struct pamt_entry *e,
	uint32_t operand) MUST_CHECK;

/* The entry's new value, which unlocks it. */
void mem_publish(struct mem_page *p, uint64_t value);

/* What a guest has at a private gpa: NULL unless that is in a page that it has accepted. */
void *mem_of_guest(struct soft_call *c, const struct soft_td *td, gpa_t gpa);

/* Whether gpa is one of the TD's private ones. */
bool mem_gpa_is_private(const struct soft_tdcs *tdcs, gpa_t gpa);
/* The walk of the TD's secure EPT. */
bool mem_walk(struct soft_call *c, const struct soft_td *td, gpa_t gpa, uint32_t level, struct sept_walk *w);

#endif
