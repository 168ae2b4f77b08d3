/*
 * The host's 16550 UART. Until uart_start_interrupts output is polled; from then on it is a ring
 * drained by transmit interrupts, and only a panic polls. An absent or stuck UART costs bounded
 * time and nothing else.
 */
#ifndef DRIVERS_UART_H
#define DRIVERS_UART_H

#include "hv/base/log.h"
#include "hv/base/types.h"

/* 115200 8n1 at that I/O port; 0: none. False when no UART answers there: all else then does nothing. */
bool uart_init(uint16_t port);
/* Output goes through the ring from now on; uart_service is to be called on its interrupt. */
void uart_start_interrupts(void);
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
/* A panic's output: what the ring still holds, then this; polled, no lock. */
void uart_panic_write(const char *text, size_t len);

#endif
