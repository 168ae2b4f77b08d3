/*
 * What a tiny guest says: one line a check on COM1, `PASS guest.check` or `FAIL guest.check: why`,
 * and at the end the number of failed checks to the debug-exit port.
 */
#ifndef TESTS_GUESTS_LIB_REPORT_H
#define TESTS_GUESTS_LIB_REPORT_H

#include "hv/base/types.h"

/* Each guest has these two. */
extern const char guest_name[];
void guest_main(void);

/* %s %d %u %x %c and %lu %lx %ld, with width and zero padding; "\n" becomes "\r\n". */
void print(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* One check; returns ok. The explanation is printed when it failed. */
bool report(bool ok, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define CHECK(name, condition) report(condition, name, "%s does not hold", #condition)

/* got and want are compared as 64-bit values. */
bool report_equal(const char *name, uint64_t got, uint64_t want);

/* Signed, because vectors include NO_FAULT (-1). */
bool report_vector(const char *name, int got, int want);

/* Sums up, writes to the debug-exit port, and should that be nobody's, halts for good. */
NORETURN void finish(void);

#endif
