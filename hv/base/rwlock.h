/*
 * A reader-writer lock whose readers each own a flag. Entering costs a reader one exchange on its
 * own cache line and leaving one plain store; the writer pays by looking at every reader.
 *
 * Protocol (model: tests/model/rwlock.pml). A reader raises its flag, then looks whether writers
 * have barred entry; a writer bars entry, then waits for every flag to fall. Both sides order their
 * store before their load with a full barrier, so at least one of them sees the other. A barred
 * reader lowers its flag again before it waits: a writer is never kept out by new readers.
 *
 * Having been granted the lock proves more: whatever was unpublished before is seen by no reader any
 * longer, so it is also the grace period of everything read without other protection.
 * Readers neither nest nor become writers while inside. Interrupts are off on both sides.
 */
#ifndef HV_BASE_RWLOCK_H
#define HV_BASE_RWLOCK_H

#include "hv/base/panic.h"
#include "hv/base/spin.h"
#include "hv/base/types.h"

struct rw_reader {
	uint32_t inside;        /* written by its owner alone */
	struct rw_reader *next; /* changed only under the exclusive lock */
};

struct rwlock {
	struct spinlock writers; /* held by the one writer from bar to unbar */
	uint32_t barred;
	struct rw_reader *readers;
};

#define RWLOCK_INIT { SPINLOCK_INIT, 0, NULL }

static inline void rw_leave(struct rw_reader *r) { __atomic_store_n(&r->inside, 0, __ATOMIC_RELEASE); }

/* Enters as reader r, which must be outside and registered. Waits while a writer is in. */
static inline void rw_enter(struct rwlock *l, struct rw_reader *r)
{
	for (;;) {
		uint32_t nested = __atomic_exchange_n(&r->inside, 1, __ATOMIC_SEQ_CST);

		INVARIANT(!nested);
		if (LIKELY(!__atomic_load_n(&l->barred, __ATOMIC_SEQ_CST)))
			return;
		rw_leave(r);
		while (__atomic_load_n(&l->barred, __ATOMIC_RELAXED))
			cpu_pause();
	}
}

/* Exclusive: on return no reader is inside and none enters until rw_unlock(). */
static inline void rw_lock(struct rwlock *l)
{
	spin_lock(&l->writers);
	__atomic_exchange_n(&l->barred, 1, __ATOMIC_SEQ_CST);
	for (struct rw_reader *r = l->readers; r; r = r->next)
		while (__atomic_load_n(&r->inside, __ATOMIC_SEQ_CST))
			cpu_pause();
}

static inline void rw_unlock(struct rwlock *l)
{
	__atomic_store_n(&l->barred, 0, __ATOMIC_RELEASE);
	spin_unlock(&l->writers);
}

/* Registers and unregisters a reader. The lock is held exclusively. */
static inline void rw_add_reader(struct rwlock *l, struct rw_reader *r)
{
	r->inside = 0;
	r->next = l->readers;
	l->readers = r;
}

static inline void rw_remove_reader(struct rwlock *l, struct rw_reader *r)
{
	struct rw_reader **link = &l->readers;

	while (*link && *link != r)
		link = &(*link)->next;
	INVARIANT(*link == r);
	*link = r->next;
}

#endif
