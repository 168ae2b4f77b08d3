/*
 * The UARTs that the host's ACPI tables SPCR (Serial Port Console Redirection) and DBG2 (Debug Port 2)
 * name. Pure; the tables are input: every offset and length is checked.
 */
#ifndef HV_BASE_ACPI_UART_H
#define HV_BASE_ACPI_UART_H

#include "hv/base/failure.h"
#include "hv/base/types.h"

#define ACPI_MAX_UARTS 4

struct acpi_uart {
	char table[5];      /* "SPCR" or "DBG2" */
	bool io;            /* at an I/O port, else in memory */
	uint64_t address;
	uint8_t stride;     /* bytes from one register to the next */
	uint8_t width;      /* bytes of one access */
	uint16_t divisor;   /* of its clock; 0: firmware has set it */
	int16_t isa_irq;    /* -1: none told */
};

/* Both add the table's 16550s to list, whose *count grows to ACPI_MAX_UARTS at most; other kinds of port are
 * passed over. t: the whole table, its sum checked. -EINVAL with a sentence for one that is damaged. */
int acpi_read_spcr(struct acpi_uart *list, uint32_t *count, const uint8_t *t, uint64_t len, struct failure *f);
int acpi_read_dbg2(struct acpi_uart *list, uint32_t *count, const uint8_t *t, uint64_t len, struct failure *f);

#endif
