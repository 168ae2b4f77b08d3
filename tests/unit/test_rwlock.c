/* sources: */
/*
 * The reader-writer lock counts who had to wait, and nobody else. That it is a lock is tests/model/rwlock.pml's to say.
 */
#include "hv/base/rwlock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>
#include <unistd.h>

#include <cmocka.h>

#define TRIES 1000

static struct rwlock lock;
static struct rw_reader reader;

static int start(void **state)
{
	(void)state;
	lock = (struct rwlock)RWLOCK_INIT;
	rw_lock(&lock);
	rw_add_reader(&lock, &reader);
	rw_unlock(&lock);
	return 0;
}

static void *read_once(void *unused)
{
	(void)unused;
	rw_enter(&lock, &reader);
	rw_leave(&reader);
	return NULL;
}

static void *write_once(void *unused)
{
	(void)unused;
	rw_lock(&lock);
	rw_unlock(&lock);
	return NULL;
}

static void meet(void *(*other)(void *), bool as_reader)
{
	pthread_t thread;

	if (as_reader)
		rw_enter(&lock, &reader);
	else
		rw_lock(&lock);
	assert_int_equal(pthread_create(&thread, NULL, other, NULL), 0);
	usleep(1000);
	if (as_reader)
		rw_leave(&reader);
	else
		rw_unlock(&lock);
	pthread_join(thread, NULL);
}

/* The other thread may begin late, and then waits for nothing. */
static void require_wait(const struct rw_waits *waits, void *(*other)(void *), bool as_reader)
{
	for (int i = 0; i < TRIES && waits->count == 0; i++)
		meet(other, as_reader);
	assert_int_equal(waits->count, 1);
	assert_true(waits->ticks > 0);
}

static void nobody_waits(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		read_once(NULL);
		write_once(NULL);
	}
	assert_true(reader.waits.count == 0 && lock.for_writers.count == 0 && lock.for_readers.count == 0);
}

static void each_waits_for_another(void **state)
{
	(void)state;
	require_wait(&reader.waits, read_once, false);
	require_wait(&lock.for_readers, write_once, true);
	require_wait(&lock.for_writers, write_once, false);
	rw_lock(&lock);
	rw_remove_reader(&lock, &reader);
	rw_unlock(&lock);
	assert_int_equal(lock.of_readers.count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nobody_waits, start),
		cmocka_unit_test_setup(each_waits_for_another, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
