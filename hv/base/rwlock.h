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
 *
 * What waiting costs is counted by those who wait, by the TSC. Who does not wait does nothing for it: it is done in
 * line, because a call, even one that is not made, would cost registers.
 */
#ifndef HV_BASE_RWLOCK_H
#define HV_BASE_RWLOCK_H

#include "hv/base/panic.h"
#include "hv/base/spin.h"
#include "hv/base/types.h"
#include "hv/base/x86.h"

struct rw_waits {
	uint64_t count, ticks;
};

struct rw_reader {
	uint32_t inside;        /* written by its owner alone */
	struct rw_reader *next; /* changed only under the exclusive lock */
	struct rw_waits waits;  /* of its owner, for writers; written by that alone */
};

struct rwlock {
	struct spinlock writers; /* held by the one writer from bar to unbar */
	uint32_t barred;
	struct rw_reader *readers;
	/* Written under the exclusive lock: of writers for each other and for readers, and of readers that are gone. */
	struct rw_waits for_writers, for_readers, of_readers;
};

#define RWLOCK_INIT { SPINLOCK_INIT, 0, NULL, { 0, 0 }, { 0, 0 }, { 0, 0 } }

static inline void rw_waits_add(struct rw_waits *to, const struct rw_waits *from)
{
	to->count += from->count;
	to->ticks += from->ticks;
}

static inline void rw_waited(struct rw_waits *waits, uint64_t since)
{
	rw_waits_add(waits, &(struct rw_waits){ 1, rdtsc() - since });
}

static inline void rw_leave(struct rw_reader *r) { __atomic_store_n(&r->inside, 0, __ATOMIC_RELEASE); }

static ALWAYS_INLINE void rw_wait_unbarred(const struct rwlock *l, struct rw_reader *r)
{
	r->waits.count++;
	r->waits.ticks -= rdtsc();
	while (__atomic_load_n(&l->barred, __ATOMIC_RELAXED))
		cpu_pause();
	r->waits.ticks += rdtsc();
}

/* Enters as reader r, which must be outside and registered. Waits while a writer is in. */
static inline void rw_enter(struct rwlock *l, struct rw_reader *r)
{
	for (;;) {
		uint32_t nested = __atomic_exchange_n(&r->inside, 1, __ATOMIC_SEQ_CST);

		INVARIANT(!nested);
		if (LIKELY(!__atomic_load_n(&l->barred, __ATOMIC_SEQ_CST)))
			return;
		rw_leave(r);
		rw_wait_unbarred(l, r);
	}
}

static ALWAYS_INLINE void rw_wait_writer(struct rwlock *l)
{
	uint64_t since = rdtsc();

	spin_lock(&l->writers);
	rw_waited(&l->for_writers, since);
}

static ALWAYS_INLINE void rw_wait_reader(struct rwlock *l, const struct rw_reader *r)
{
	uint64_t since = rdtsc();

	while (__atomic_load_n(&r->inside, __ATOMIC_SEQ_CST))
		cpu_pause();
	rw_waited(&l->for_readers, since);
}

/* Exclusive: on return no reader is inside and none enters until rw_unlock(). */
static inline void rw_lock(struct rwlock *l)
{
	if (UNLIKELY(!spin_trylock(&l->writers)))
		rw_wait_writer(l);
	__atomic_exchange_n(&l->barred, 1, __ATOMIC_SEQ_CST);
	for (struct rw_reader *r = l->readers; r; r = r->next)
		if (UNLIKELY(__atomic_load_n(&r->inside, __ATOMIC_SEQ_CST)))
			rw_wait_reader(l, r);
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
	r->waits = (struct rw_waits){ 0, 0 };
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
	rw_waits_add(&l->of_readers, &r->waits);
}

#endif
