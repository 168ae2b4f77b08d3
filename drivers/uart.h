/*
 * The host's 16550 UART, at I/O ports or in memory. Until uart_start_interrupts or uart_start_polling
 * each write waits until it is sent; from then on output is a ring, drained by transmit interrupts or
 * by whoever calls uart_service, and only a panic waits. An absent or stuck UART costs bounded time and
 * nothing else.
 */
#ifndef DRIVERS_UART_H
#define DRIVERS_UART_H

#include "hv/base/log.h"
#include "hv/base/types.h"

struct uart_place {
	uint16_t port;         /* 0: in memory */
	volatile void *window; /* in memory: its registers, mapped uncached */
	uint8_t stride;        /* bytes from one register to the next: 1, 2, 4 or 8 */
	uint8_t width;         /* bytes of one access, in memory: 1, 2 or 4 */
	uint16_t divisor;      /* of its clock; 0: as firmware set it */
};
#define UART_REGISTERS 8
#define UART_DIVISOR_115200 1 /* of the PC's clock of 1.8432 MHz */

extern const struct uart_place uart_com1;

/* Sets 8n1 there; NULL: there is none. False when no UART answers: then all else does nothing. What
 * another UART had not sent goes out here. Start-up only. */
bool uart_init(const struct uart_place *place);
/* Output goes through the ring from now on, and the UART asks for an interrupt at once, so that it can be
 * seen to arrive; uart_service is to be called on it. */
void uart_start_interrupts(void);
/* The same, with uart_service called by the clock, as often as uart_poll_ms says. */
void uart_start_polling(void);
/* In how many ms uart_service is wanted again; 0: its interrupt will say. Any CPU. */
uint32_t uart_poll_ms(void);
/* Moves bytes between ring and FIFO, both ways. The interrupt's handler, or polled. Any CPU. */
void uart_service(void);
/* notify runs after uart_service moved input in, or made room where there had been little; no lock held. */
void uart_set_notify(void (*notify)(void));

/* Queues as much as there is room for; returns how much that was. Any CPU, takes the UART's lock. */
size_t uart_write(const char *text, size_t len);
/* Room in the ring, for those who can wait. UART_LOG_RESERVE of it is best left to the log. */
size_t uart_room(void);
#define UART_LOG_RESERVE 16384
/* The next byte of input; -1 when there is none. One reader. */
int uart_read(void);
/* Waits until all is sent, at most a second: before power-off. */
void uart_flush(void);

/* A log sink: lines that find no room are counted, and the count is told when there is room again. */
void uart_log_sink(enum log_level level, const char *line, size_t len);
/* A panic's output: what the ring still holds, then this; polled, no lock. Before the first uart_init it
 * tries COM1. */
void uart_panic_write(const char *text, size_t len);

#endif
