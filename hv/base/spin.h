/*
 * Spin locks. Root mode runs with interrupts off except in idle and in the exit path's
 * interrupt window, where no lock is held, so a lock needs no irq state.
 */
#ifndef HV_BASE_SPIN_H
#define HV_BASE_SPIN_H

#include "hv/base/types.h"

struct spinlock {
	uint32_t held;
};

#define SPINLOCK_INIT { 0 }

static inline void cpu_pause(void) { __builtin_ia32_pause(); }

static inline bool spin_trylock(struct spinlock *l)
{
	return __atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE) == 0;
}

static inline void spin_lock(struct spinlock *l)
{
	while (UNLIKELY(!spin_trylock(l)))
		while (__atomic_load_n(&l->held, __ATOMIC_RELAXED))
			cpu_pause();
}

static inline void spin_unlock(struct spinlock *l) { __atomic_store_n(&l->held, 0, __ATOMIC_RELEASE); }

#endif
