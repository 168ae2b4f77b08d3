/*
 * The guest as a PC: fixed addresses of its memory map and devices, in one place, because the
 * e820 map, the ACPI tables, the DSDT and the device models must agree on them.
 */
#ifndef HV_GUEST_GUEST_H
#define HV_GUEST_GUEST_H

#include "hv/base/types.h"

/* Memory: RAM from 0 to 9fc00h and 1 MiB up to GUEST_LOW_RAM_END, then from 4 GiB on. */
#ifndef GUEST_LOW_RAM_END /* a build for tests has it lower: Bochs has no room for so much memory */
#define GUEST_LOW_RAM_END 0xc0000000ul  /* RAM above goes to 4 GiB and up */
#endif
#define GUEST_HIGH_RAM_BASE 0x100000000ul
#define GUEST_EBDA 0x9fc00ul            /* reserved up to 640 KiB */
/* d0000h..d8fffh: ACPI NVS where secondary vCPUs wait for the wakeup mailbox; hv/guest/wakeup.h. */
#define GUEST_ACPI_BASE 0xe0000ul       /* RSDP and tables, in e0000h..fffffh, RAM but not so in e820 */
#define GUEST_ACPI_SIZE 0x20000ul
#define GUEST_IOAPIC_BASE 0xfec00000ul
#define GUEST_LAPIC_BASE 0xfee00000ul

#define GUEST_PORT_PIC1 0x20
#define GUEST_PORT_PIC2 0xa0
#define GUEST_PORT_ELCR 0x4d0
#define GUEST_PORT_PIT 0x40
#define GUEST_PORT_SYSB 0x61     /* port 61h: PIT channel 2 gate and output */
#define GUEST_PORT_KBD_CMD 0x64  /* FEh: reset */
#define GUEST_PORT_RTC 0x70
#define GUEST_PORT_DEBUG_EXIT 0xf4
#define GUEST_PORT_COM1 0x3f8
#define GUEST_PORT_PM1_EVT 0x600 /* 4 bytes: status, enable */
#define GUEST_PORT_PM1_CNT 0x604 /* 2 bytes */
#define GUEST_PORT_PM_TMR 0x608  /* 4 bytes, 3.579545 MHz, 24 or 32 bits */
#define GUEST_PORT_PCI_ADDR 0xcf8
#define GUEST_PORT_RESET 0xcf9
#define GUEST_PORT_PCI_DATA 0xcfc

#define GUEST_IRQ_PIT 0    /* I/O APIC pin 2 by MADT override */
#define GUEST_IRQ_COM1 4
#define GUEST_IRQ_RTC 8
#define GUEST_IRQ_SCI 9    /* level, active high, by MADT override */
#define GUEST_IOAPIC_PINS 24
#define GUEST_IOAPIC_ID(vcpus) ((uint8_t)(vcpus))
#define GUEST_SLEEP_TYPE_S5 5
#define GUEST_CMOS_CENTURY 0x32 /* of the RTC */

#define GUEST_MAX_VCPUS 64

/* What kind of machine the guest's firmware tables describe. */
enum guest_platform {
	GUEST_PC,         /* secondary vCPUs wait for a start-up IPI */
	GUEST_PC_MAILBOX, /* they wait for the wakeup mailbox: hv/guest/wakeup.h */
	/*
	 * As that, for a TD. It has no PIC, and no interrupt is level-triggered, for Gnomon is not told of
	 * its EOIs. No memory is of e820 type 2 and its page 0 to 1 MiB is all its own, because Linux takes
	 * what the e820 map reserves or leaves out for memory that it shares with the host.
	 */
	GUEST_TD,
};

#endif
