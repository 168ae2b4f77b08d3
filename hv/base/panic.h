/*
 * The end of the line for a broken invariant, never for input.
 * Prints the sentence, registers, a symbolised backtrace, what others add (panic_add_report) and the
 * log's last lines by polled outputs, without lock or allocation, stops the other CPUs by NMI, and
 * halts. The report is a row of sections: a fault in one costs its rest and no more.
 */
#ifndef HV_BASE_PANIC_H
#define HV_BASE_PANIC_H

#include "hv/base/types.h"

NORETURN void panic(const char *fmt, ...) PRINTF_LIKE(1, 2);

struct trap_frame;
/* The same with the registers of a trap instead of the caller's. */
NORETURN void panic_trap(const struct trap_frame *f, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Where a panic writes: polled, no lock, no allocation; bounded time. It gets whole lines, with
 * "gnomon: " in front and "\r\n" behind. One that faults gets no more. At most 6; start-up only. */
#define PANIC_PREFIX "gnomon: "
typedef void (*panic_output_fn)(const char *text, size_t len);
void panic_add_output(panic_output_fn output);
/* A section between backtrace and log: each line through panic_line(). what names it when it faults.
 * At most 6; start-up only. */
void panic_add_report(const char *what, void (*report)(void));
/* One line to the panic's outputs. From a report function, or for what cannot go through the log. */
void panic_line(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Whether this or another CPU is in a panic. Any context. */
bool panic_is_on(void);

/* For what cannot happen unless Gnomon is wrong. Always compiled in. */
#define INVARIANT(cond)                                                                             \
	do {                                                                                        \
		if (UNLIKELY(!(cond)))                                                              \
			panic("broken invariant at %s:%d: %s", __FILE__, __LINE__, #cond);          \
	} while (0)

#endif
