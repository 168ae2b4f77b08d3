/*
 * The end of the line for a broken invariant, never for input.
 * Prints the sentence, registers, a symbolised backtrace and the last exits by polled serial,
 * without lock or allocation, stops the other CPUs by NMI, and halts.
 */
#ifndef HV_BASE_PANIC_H
#define HV_BASE_PANIC_H

#include "hv/base/types.h"

NORETURN void panic(const char *fmt, ...) PRINTF_LIKE(1, 2);

struct trap_frame;
/* The same with the registers of a trap instead of the caller's. */
NORETURN void panic_trap(const struct trap_frame *f, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Where a panic writes: polled, no lock, no allocation; bounded time. At most 4; start-up only. */
typedef void (*panic_output_fn)(const char *text, size_t len);
void panic_add_output(panic_output_fn output);
/* What a panic adds after the backtrace (the last exits): each line through panic_line(). At most 4. */
void panic_add_report(void (*report)(void));
/* One line of a panic's report. Only from a report function. */
void panic_line(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* For what cannot happen unless Gnomon is wrong. Always compiled in. */
#define INVARIANT(cond)                                                                             \
	do {                                                                                        \
		if (UNLIKELY(!(cond)))                                                              \
			panic("broken invariant at %s:%d: %s", __FILE__, __LINE__, #cond);          \
	} while (0)

#endif
