/*
 * What gnomon.efi says: every step before it starts, on the firmware's console, and on the UART
 * directly where the firmware's console does not already reach a UART.
 */
#ifndef BOOT_CONSOLE_H
#define BOOT_CONSOLE_H

#include "hv/base/config.h"
#include "hv/base/failure.h"
#include "hv/base/types.h"

/* Finds out where lines must go, by the key serial. May be called again. */
void console_init(const struct serial_config *c);

/* "gnomon: TEXT" and a new line. */
void say(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* A line in pieces, for progress: "gnomon: TEXT", then more of it, then its end. */
void say_begin(const char *fmt, ...) PRINTF_LIKE(1, 2);
void say_more(const char *fmt, ...) PRINTF_LIKE(1, 2);
void say_end(void);

/* From here on (boot services are gone) lines go to the UART only. */
void console_leave_firmware(void);

/* Waits until a key is pressed on the firmware's console. Boot services only. */
void console_wait_key(void);

#endif
