/* Entries of the secure EPT, their locks, and the walk; see the header. */
#include "tdx/soft/sept.h"

#include "hv/base/panic.h"

static const struct {
	uint64_t bits; /* of SEPT_STATE_BITS */
	enum tdx_sept_state state;
} states[] = {
	{ SEPT_ENTRY_FREE & SEPT_STATE_BITS, TDX_SEPT_FREE },
	{ 0, TDX_SEPT_NL_MAPPED },
	{ SEPT_BLOCKED, TDX_SEPT_NL_BLOCKED },
	{ SEPT_LEAF | SEPT_IPAT, TDX_SEPT_MAPPED },
	{ SEPT_LEAF | SEPT_IPAT | SEPT_BLOCKED, TDX_SEPT_BLOCKED },
	{ SEPT_LEAF | SEPT_IPAT | SEPT_PENDING, TDX_SEPT_PENDING },
	{ SEPT_LEAF | SEPT_IPAT | SEPT_PENDING | SEPT_BLOCKED, TDX_SEPT_PENDING_BLOCKED },
};

enum tdx_sept_state sept_state(uint64_t entry)
{
	for (uint32_t i = 0; i < ARRAY_LEN(states); i++)
		if ((entry & SEPT_STATE_BITS) == states[i].bits)
			return states[i].state;
	panic("a secure EPT entry in no state: %lx", entry);
}

uint64_t sept_unblock(uint64_t entry)
{
	entry &= ~SEPT_BLOCKED;
	return entry & SEPT_PENDING ? entry : entry | SEPT_RWX;
}

uint64_t sept_without_count(uint64_t entry, uint32_t level)
{
	return level == SOFT_2M && (entry & SEPT_PENDING) ? entry & ~SEPT_ACCEPTED : entry;
}

hpa_t sept_hpa(uint64_t entry, uint32_t level) { return sept_without_count(entry, level) & SEPT_HPA; }

uint64_t sept_visible(uint64_t entry, uint32_t level)
{
	if (sept_is(entry, SEPT_IN(TDX_SEPT_FREE)))
		return SEPT_SUPPRESS_VE;
	if (!(entry & SEPT_LEAF))
		return entry & (SEPT_RWX | SEPT_LEAF);
	return sept_without_count(entry, level) &
		(SEPT_RWX | SEPT_MEMORY_TYPE | SEPT_IPAT | SEPT_LEAF | SEPT_HPA | SEPT_SUPPRESS_VE);
}

bool sept_walk(struct soft *m, hpa_t root, uint32_t top, gpa_t gpa, uint32_t level, struct sept_walk *w)
{
	hpa_t table = root;

	for (w->level = top;; w->level--) {
		uint64_t *entries = hpa_map(m, table);

		w->entry = &entries[gpa / level_size(w->level) % SEPT_ENTRIES];
		w->value = sept_load(w->entry);
		if (w->level == level)
			return true;
		if (!(w->value & SEPT_RWX) || (w->value & SEPT_LEAF))
			return false;
		table = w->value & SEPT_HPA;
	}
}

bool sept_lock_host(uint64_t *entry)
{
	if (__atomic_fetch_or(entry, SEPT_LOCK, __ATOMIC_ACQUIRE) & SEPT_LOCK) {
		__atomic_fetch_or(entry, SEPT_HOST_PRIORITY, __ATOMIC_RELAXED);
		return false;
	}
	__atomic_fetch_and(entry, ~SEPT_HOST_PRIORITY, __ATOMIC_RELAXED);
	return true;
}

uint64_t sept_lock_guest(uint64_t *entry)
{
	uint64_t old = __atomic_fetch_or(entry, SEPT_LOCK, __ATOMIC_ACQUIRE);

	if (old & SEPT_LOCK)
		return TDX_OPERAND_BUSY;
	if (!(old & SEPT_HOST_PRIORITY))
		return TDX_SUCCESS;
	sept_unlock(entry);
	return TDX_OPERAND_BUSY_HOST_PRIORITY;
}

void sept_unlock(uint64_t *entry) { __atomic_fetch_and(entry, ~SEPT_LOCK, __ATOMIC_RELEASE); }

void sept_fill_free(uint64_t table[SEPT_ENTRIES])
{
	for (uint32_t i = 0; i < SEPT_ENTRIES; i++)
		table[i] = SEPT_ENTRY_FREE;
}
