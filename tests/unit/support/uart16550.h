/*
 * A 16550 for host tests, at I/O ports or in memory: what is sent collects, what a test types is received.
 */
#ifndef TESTS_UNIT_SUPPORT_UART16550_H
#define TESTS_UNIT_SUPPORT_UART16550_H

#include "hv/base/types.h"

struct uart16550 {
	/* Where: a port, or an address that is nowhere in memory. */
	uint16_t port;
	void *window;
	unsigned stride, width;
	/* What it is. */
	bool absent;       /* reads give FFh */
	bool no_fifo;
	bool stuck;        /* never sends */
	/* What happens. */
	uint8_t regs[8];
	uint16_t divisor;
	unsigned in_fifo;  /* not sent yet */
	char sent[4096];
	size_t sent_len;
	const char *typed;
	unsigned overruns; /* written while the FIFO was full */
	unsigned wrong;    /* accesses of another width or between registers */
	unsigned accesses;
};

/* The UART is at those places from now on, in memory by drivers/mmio.h; takes SIGSEGV, in the test itself, as
 * cmocka takes it before each. */
void uart16550_start(struct uart16550 *u);
/* The line takes what is in the FIFO. */
void uart16550_send(struct uart16550 *u);
#define UART16550_WINDOW ((void *)0x7fff0000)

#endif
