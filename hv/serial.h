/*
 * Which UART is the host's serial line: the one that gnomon.conf names, or else COM1, those of the ACPI
 * tables SPCR and DBG2, those on PCI cards, in this order. Boot CPU, start-up, in the order of the functions.
 */
#ifndef HV_SERIAL_H
#define HV_SERIAL_H

#include "hv/base/config.h"
#include "hv/base/types.h"

/* First thing of all: an I/O port that is configured, else COM1 until the right one can be reached. */
void serial_init_early(const struct serial_config *c);
/* After map_init, acpi_host_init and pci_init. What is named but not there is a warning. */
void serial_find(void);
/* After lapic_init, ioapic_init and clock_init: by interrupt where one arrives, else polled. */
void serial_start(void);

/* "I/O port 3f8h, by interrupt"; NULL: there is none. */
const char *serial_describe(void);

#endif
