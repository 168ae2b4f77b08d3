/*
 * The ACPI tables as a tiny guest finds them: from the RSDP in the BIOS area on.
 */
#ifndef TESTS_GUESTS_LIB_ACPI_H
#define TESTS_GUESTS_LIB_ACPI_H

#include "hv/base/types.h"

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision, creator, creator_revision;
} __attribute__((packed));

struct acpi_fadt { /* the fields wanted here, at their places */
	struct acpi_header header;
	uint32_t facs, dsdt;
	uint8_t model, profile;
	uint16_t sci_interrupt;
	uint32_t smi_command;
	uint8_t commands[4];
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer;
} __attribute__((packed));

/* The table with that signature and a right checksum, or NULL. "DSDT" comes by way of the FADT. */
const struct acpi_header *acpi_find(const char *signature);
/* Enabled local APIC entries (also x2APIC) of the MADT; 1 without a MADT. */
unsigned acpi_cpu_count(void);
/* The multiprocessor wakeup structure of the MADT, or NULL. */
struct acpi_wakeup {
	uint8_t type, length;
	uint16_t version;
	uint32_t reserved;
	uint64_t mailbox, reset_vector;
} __attribute__((packed));
const struct acpi_wakeup *acpi_wakeup(void);
/* SLP_TYP of \_S5, or -1. */
int acpi_s5_type(void);

#endif
