/*
 * The end of the line for a broken invariant, never for input.
 * Prints the sentence, registers, a symbolised backtrace and the last exits by polled serial,
 * without lock or allocation, stops the other CPUs by NMI, and halts (or resets, as configured).
 */
#ifndef HV_BASE_PANIC_H
#define HV_BASE_PANIC_H

#include "hv/base/types.h"

NORETURN void panic(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* For what cannot happen unless Gnomon is wrong. Always compiled in. */
#define INVARIANT(cond)                                                                             \
	do {                                                                                        \
		if (UNLIKELY(!(cond)))                                                              \
			panic("broken invariant at %s:%d: %s", __FILE__, __LINE__, #cond);          \
	} while (0)

#endif
