/*
 * The secure EPT of a TD: the format and the states of its entries, their locks, and the walk. Entries are
 * those of the EPT that the TD runs on, so CPUs read them at any time: each change is one 64-bit store.
 * TDX Module 1.5 ABI specification, "Secure EPT Entry" and "Secure EPT Entry State Diagrams"; what the CPU
 * makes of an entry: SDM "EPT Translation Mechanism" (bits 8 and 9 are ignored with accessed and dirty
 * flags off, as are 11 and 52 to 56; bit 7 of a 4K leaf is ignored too).
 */
#ifndef TDX_SOFT_SEPT_H
#define TDX_SOFT_SEPT_H

#include "tdx/soft/hpa.h"

#define SEPT_ENTRIES 512

#define SEPT_RWX BITS(2, 0)
#define SEPT_MEMORY_TYPE BITS(5, 3)
#define SEPT_WRITE_BACK (6ul << 3)
#define SEPT_IPAT BIT(6)
#define SEPT_LEAF BIT(7) /* in 4K leaves too */
#define SEPT_DIRTY BIT(9)
#define SEPT_LOCK BIT(11)
#define SEPT_HPA BITS(51, 12)
#define SEPT_ACCEPTED BITS(20, 12) /* of a pending 2M leaf: how many of its 4K pages are zeroed */
#define SEPT_HOST_PRIORITY BIT(52) /* the host waits: a guest's call leaves the entry to it */
#define SEPT_EXPORTED BIT(53)
#define SEPT_BLOCKED_WRITE BIT(54)
#define SEPT_BLOCKED BIT(55)
#define SEPT_PENDING BIT(56)
#define SEPT_SUPPRESS_VE BIT(63) /* in every entry */

/* The bits that make a state; those of migration are only ever set together, in a free entry. */
#define SEPT_STATE_BITS \
	(SEPT_DIRTY | SEPT_EXPORTED | SEPT_BLOCKED_WRITE | SEPT_BLOCKED | SEPT_PENDING | SEPT_IPAT | SEPT_LEAF)

#define SEPT_ENTRY_FREE (SEPT_SUPPRESS_VE | SEPT_EXPORTED | SEPT_BLOCKED_WRITE | SEPT_BLOCKED)

/* Sets of states: SEPT_IN(TDX_SEPT_FREE) | ... */
#define SEPT_IN(state) (1u << (((state) & 7) + ((state) & 0x80 ? 8 : 0)))
#define SEPT_LEAVES (SEPT_IN(TDX_SEPT_MAPPED) | SEPT_IN(TDX_SEPT_PENDING) | SEPT_IN(TDX_SEPT_BLOCKED) | \
	SEPT_IN(TDX_SEPT_PENDING_BLOCKED))
#define SEPT_TABLES (SEPT_IN(TDX_SEPT_NL_MAPPED) | SEPT_IN(TDX_SEPT_NL_BLOCKED))
#define SEPT_ALL_BLOCKED (SEPT_IN(TDX_SEPT_BLOCKED) | SEPT_IN(TDX_SEPT_PENDING_BLOCKED) | \
	SEPT_IN(TDX_SEPT_NL_BLOCKED))

/* The state of an entry that the module wrote. */
enum tdx_sept_state sept_state(uint64_t entry);
static inline bool sept_is(uint64_t entry, uint32_t states) { return SEPT_IN(sept_state(entry)) & states; }

/* Entries to write. hpa is aligned to the entry's level. */
static inline uint64_t sept_mapped(hpa_t hpa)
{
	return SEPT_SUPPRESS_VE | hpa | SEPT_LEAF | SEPT_IPAT | SEPT_WRITE_BACK | SEPT_RWX;
}
static inline uint64_t sept_pending(hpa_t hpa) { return (sept_mapped(hpa) & ~SEPT_RWX) | SEPT_PENDING; }
static inline uint64_t sept_table(hpa_t hpa) { return SEPT_SUPPRESS_VE | hpa | SEPT_RWX; }
static inline uint64_t sept_block(uint64_t entry) { return (entry & ~SEPT_RWX) | SEPT_BLOCKED; }
/* RWX again, unless it is pending. Of an entry that is not blocked: itself. */
uint64_t sept_unblock(uint64_t entry);

/* The page or table that the entry names; the count of a 2M leaf's accepted pages is not part of it. */
hpa_t sept_hpa(uint64_t entry, uint32_t level);
/* The entry without that count: acceptance begins anew. */
uint64_t sept_without_count(uint64_t entry, uint32_t level);

/* What the host is shown of an entry: RCX and RDX of TDH.MEM.SEPT.RD, and the details of failures. */
uint64_t sept_visible(uint64_t entry, uint32_t level);
static inline uint64_t sept_info(uint64_t entry, uint32_t level) { return level | sept_state(entry) << 8; }

/* Where a walk stopped. value has neither the lock nor the host's priority. */
struct sept_walk {
	uint64_t *entry;
	uint64_t value;
	uint32_t level;
};

static inline uint64_t sept_load(const uint64_t *entry)
{
	return __atomic_load_n(entry, __ATOMIC_ACQUIRE) & ~(SEPT_LOCK | SEPT_HOST_PRIORITY);
}

/*
 * From the root, whose entries are of level top, to the entry for gpa at level, or to one above it that no
 * walk passes (RWX is 0) or that is a leaf. Whether it is at level. Without locks the tree may change
 * meanwhile, but no table of a live TD is taken away while the caller has the tree's lock or is a vCPU
 * inside the TD.
 */
bool sept_walk(struct soft *m, hpa_t root, uint32_t top, gpa_t gpa, uint32_t level, struct sept_walk *w);

/*
 * Entry locks: bit 11. The host's try that fails sets the priority, which makes the guest's next one fail;
 * the host's try that succeeds clears it. A store of an entry without bit 11 releases it.
 */
bool sept_lock_host(uint64_t *entry) MUST_CHECK;
/* SUCCESS, OPERAND_BUSY, or OPERAND_BUSY_HOST_PRIORITY. */
uint64_t sept_lock_guest(uint64_t *entry) MUST_CHECK;
void sept_unlock(uint64_t *entry);
static inline void sept_store(uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

/* A new table: every entry free. */
void sept_fill_free(uint64_t table[SEPT_ENTRIES]);

#endif
