/*
 * Guest time under a test's control: it stands still until it is advanced, and timers fire on the
 * way, each at its own deadline.
 */
#ifndef TESTS_UNIT_SUPPORT_FAKE_VCLOCK_H
#define TESTS_UNIT_SUPPORT_FAKE_VCLOCK_H

#include "hv/vclock.h"

/* The clock, set back to 0 ns with no timer pending; epoch in seconds since 1970. */
struct vclock *fake_vclock_start(uint64_t epoch);
void fake_vclock_advance(uint64_t ns);
/* Moves time without firing, then fires what is due: a host CPU that came late. */
void fake_vclock_jump(uint64_t ns);
uint64_t fake_vclock_next(void); /* earliest deadline, VTIMER_OFF: none */

#endif
