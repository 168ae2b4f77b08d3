/* Sharex locks; see the header. */
#include "tdx/soft/lock.h"

#define ALONE 0x8000u

static bool try_alone(struct sharex *l)
{
	uint16_t free = 0;

	return __atomic_compare_exchange_n(&l->word, &free, ALONE, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* Counts itself in first: one that wants the lock alone at that moment is busy too, which it may be. */
static bool try_shared(struct sharex *l)
{
	if (!(__atomic_fetch_add(&l->word, 1, __ATOMIC_ACQUIRE) & ALONE))
		return true;
	__atomic_fetch_sub(&l->word, 1, __ATOMIC_RELAXED);
	return false;
}

bool sharex_try(struct sharex *l, enum lock_mode mode)
{
	return mode == LOCK_EXCLUSIVE ? try_alone(l) : try_shared(l);
}

void sharex_release(struct sharex *l, enum lock_mode mode)
{
	__atomic_fetch_sub(&l->word, mode == LOCK_EXCLUSIVE ? ALONE : 1, __ATOMIC_RELEASE);
}
