/*
 * Sharex locks: many may share one, or one has it alone. Nobody ever waits for one: a call that cannot
 * have its lock returns BUSY. TDX Module 1.5 base specification, "Concurrency Restrictions and Enforcement".
 * What a call has locked is on its list (tdx/soft/module.h), and is released when the call ends.
 */
#ifndef TDX_SOFT_LOCK_H
#define TDX_SOFT_LOCK_H

#include "hv/base/types.h"

/* Zeroed memory is a free lock. */
struct sharex {
	uint16_t word; /* bit 15: had alone; below: how many share it */
};

enum lock_mode { LOCK_SHARED, LOCK_EXCLUSIVE };

bool sharex_try(struct sharex *l, enum lock_mode mode) MUST_CHECK;
void sharex_release(struct sharex *l, enum lock_mode mode);

#endif
