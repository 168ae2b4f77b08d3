/*
 * Reads RSDP, XSDT or RSDT, MADT, FADT and MCFG; SPCR and DBG2 by hv/base/acpi_uart.c, DMAR by
 * hv/base/acpi_dmar.c. Pure: memory comes through the caller's map function.
 */
#include "hv/base/acpi_tables.h"

#include <errno.h>
#include <string.h>

#define DEFAULT_IOAPIC 0xfec00000ul
#define HEADER_SIZE 36
#define MAX_TABLE_SIZE MIB(1)
#define MAX_TABLES 256

#define RSDP_V1_SIZE 20
#define RSDP_V2_SIZE 36

#define MADT_ENTRIES 44
#define MADT_IOAPIC 1
#define MADT_OVERRIDE 2

#define MCFG_ENTRIES 44
#define MCFG_ENTRY_SIZE 16

#define FADT_PM_TIMER 76
#define FADT_FLAGS 112
#define FADT_RESET 116
#define FADT_RESET_VALUE 128
#define FADT_X_PM_TIMER 208
#define FADT_FLAG_TIMER_32BIT BIT(8)
#define FADT_FLAG_RESET BIT(10)

static uint64_t field(const uint8_t *at, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, at, size);
	return v;
}

static bool sums_to_zero(const uint8_t *p, uint64_t len)
{
	uint8_t sum = 0;

	for (uint64_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + p[i]);
	return sum == 0;
}

static void default_ioapic(struct acpi_host *host)
{
	host->ioapic_count = 1;
	host->ioapics[0] = (struct acpi_ioapic){ .base = DEFAULT_IOAPIC };
}

void acpi_host_defaults(struct acpi_host *host)
{
	memset(host, 0, sizeof *host);
	default_ioapic(host);
	for (unsigned i = 0; i < ARRAY_LEN(host->isa); i++)
		host->isa[i].gsi = i;
}

/* A whole table with a good sum, or NULL. */
static const uint8_t *map_table(hpa_t pa, acpi_map_fn map, uint64_t *len)
{
	const uint8_t *t = pa ? map(pa, HEADER_SIZE) : NULL;

	if (!t)
		return NULL;
	*len = field(t + 4, 4);
	if (*len < HEADER_SIZE || *len > MAX_TABLE_SIZE)
		return NULL;
	t = map(pa, *len);
	return t && sums_to_zero(t, *len) ? t : NULL;
}

/* Polarity and trigger as in the MPS INTI flags; 0 means as the bus has it: ISA is high and edge. */
static void read_override(struct acpi_host *host, const uint8_t *e)
{
	uint64_t flags = field(e + 8, 2);
	uint8_t irq = e[3];

	if (e[2] != 0 || irq >= ARRAY_LEN(host->isa))
		return;
	host->isa[irq].gsi = (uint32_t)field(e + 4, 4);
	host->isa[irq].active_low = (flags & 3) == 3;
	host->isa[irq].level = ((flags >> 2) & 3) == 3;
}

static void read_ioapic(struct acpi_host *host, const uint8_t *e)
{
	struct acpi_ioapic *a;

	if (host->ioapic_count == ACPI_MAX_IOAPICS)
		return;
	a = &host->ioapics[host->ioapic_count++];
	a->base = field(e + 4, 4);
	a->first_gsi = (uint32_t)field(e + 8, 4);
}

static int read_madt(struct acpi_host *host, const uint8_t *t, uint64_t len, struct failure *f)
{
	host->ioapic_count = 0;
	for (uint64_t at = MADT_ENTRIES; at + 2 <= len; at += t[at + 1]) {
		uint64_t size = t[at + 1];

		if (size < 2 || size > len - at)
			return fail(f, -EINVAL, "the ACPI table APIC is damaged: entry at offset %lu is %lu bytes long",
				    at, size);
		if (t[at] == MADT_IOAPIC && size >= 12)
			read_ioapic(host, t + at);
		else if (t[at] == MADT_OVERRIDE && size >= 10)
			read_override(host, t + at);
	}
	return 0;
}

/* Generic Address Structure: space, width, offset, access size, address. */
static struct acpi_register read_gas(const uint8_t *gas)
{
	struct acpi_register r = { .address = field(gas + 4, 8), .space = gas[0] };

	if (r.space > ACPI_SPACE_PCI)
		r.address = 0;
	return r;
}

static int read_fadt(struct acpi_host *host, const uint8_t *t, uint64_t len, struct failure *f)
{
	uint64_t flags = len >= FADT_FLAGS + 4 ? field(t + FADT_FLAGS, 4) : 0;

	(void)f;
	if (len >= FADT_PM_TIMER + 4) {
		host->pm_timer.space = ACPI_SPACE_IO;
		host->pm_timer.address = field(t + FADT_PM_TIMER, 4);
	}
	if (len >= FADT_X_PM_TIMER + 12 && field(t + FADT_X_PM_TIMER + 4, 8))
		host->pm_timer = read_gas(t + FADT_X_PM_TIMER);
	host->pm_timer_32bit = flags & FADT_FLAG_TIMER_32BIT;
	if ((flags & FADT_FLAG_RESET) && len > FADT_RESET_VALUE) {
		host->reset = read_gas(t + FADT_RESET);
		host->reset_value = t[FADT_RESET_VALUE];
	}
	return 0;
}

/* PCI Firmware Specification, "MCFG Table Description". */
static int read_mcfg(struct acpi_host *host, const uint8_t *t, uint64_t len, struct failure *f)
{
	for (uint64_t at = MCFG_ENTRIES; at + MCFG_ENTRY_SIZE <= len; at += MCFG_ENTRY_SIZE) {
		struct acpi_ecam e = { .base = field(t + at, 8), .segment = (uint16_t)field(t + at + 8, 2),
				       .first_bus = t[at + 10], .last_bus = t[at + 11] };

		if (!e.base || !is_aligned(e.base, MIB(1)) || e.base > UINT64_MAX - MIB(256) ||
		    e.first_bus > e.last_bus)
			return fail(f, -EINVAL, "the ACPI table MCFG is damaged: buses %u to %u at %lxh",
				    e.first_bus, e.last_bus, e.base);
		if (host->ecam_count < ACPI_MAX_ECAM)
			host->ecam[host->ecam_count++] = e;
	}
	return 0;
}

/* The firmware's own console stands before its debug ports, whichever table comes first. */
static int read_spcr(struct acpi_host *host, const uint8_t *t, uint64_t len, struct failure *f)
{
	struct acpi_uart first[1];
	uint32_t count = 0;
	int err = acpi_read_spcr(first, &count, t, len, f);

	if (err || !count)
		return err;
	host->uart_count = (uint32_t)min_u64(host->uart_count + 1, ACPI_MAX_UARTS);
	memmove(host->uarts + 1, host->uarts, (host->uart_count - 1) * sizeof(first[0]));
	host->uarts[0] = first[0];
	return 0;
}

static int read_dbg2(struct acpi_host *host, const uint8_t *t, uint64_t len, struct failure *f)
{
	return acpi_read_dbg2(host->uarts, &host->uart_count, t, len, f);
}

static int read_dmar(struct acpi_host *host, const uint8_t *t, uint64_t len, struct failure *f)
{
	return acpi_read_dmar(host->dmar, &host->dmar_count, t, len, f);
}

/* The address of the XSDT, else of the RSDT; entry_size tells which. */
static hpa_t find_root(hpa_t rsdp, acpi_map_fn map, unsigned *entry_size)
{
	const uint8_t *r = map(rsdp, RSDP_V1_SIZE);
	bool v2;

	if (!r || memcmp(r, "RSD PTR ", 8) || !sums_to_zero(r, RSDP_V1_SIZE))
		return 0;
	v2 = r[15] >= 2;
	*entry_size = 4;
	if (v2) {
		r = map(rsdp, RSDP_V2_SIZE);
		if (r && sums_to_zero(r, RSDP_V2_SIZE) && field(r + 24, 8)) {
			*entry_size = 8;
			return field(r + 24, 8);
		}
		r = map(rsdp, RSDP_V1_SIZE);
	}
	return r ? field(r + 16, 4) : 0;
}

static const struct {
	char signature[5];
	int (*read)(struct acpi_host *host, const uint8_t *t, uint64_t len, struct failure *f);
} readers[] = {
	{ "APIC", read_madt },
	{ "FACP", read_fadt },
	{ "MCFG", read_mcfg },
	{ "SPCR", read_spcr },
	{ "DBG2", read_dbg2 },
	{ "DMAR", read_dmar },
};

static int read_one(struct acpi_host *host, hpa_t pa, acpi_map_fn map, struct failure *f)
{
	uint64_t len;
	const uint8_t *t = map(pa, HEADER_SIZE);
	unsigned i = 0;

	while (t && i < ARRAY_LEN(readers) && memcmp(t, readers[i].signature, 4))
		i++;
	if (!t || i == ARRAY_LEN(readers))
		return 0;
	t = map_table(pa, map, &len);
	if (!t)
		return fail(f, -EINVAL, "the ACPI table %s at %lxh is damaged (length or checksum): it is left out",
			    readers[i].signature, pa);
	return readers[i].read(host, t, len, f);
}

int acpi_host_read(struct acpi_host *host, hpa_t rsdp, acpi_map_fn map, struct failure *f)
{
	unsigned entry_size = 0;
	uint64_t len = 0, count;
	hpa_t root = find_root(rsdp, map, &entry_size);
	const uint8_t *t = root ? map_table(root, map, &len) : NULL;
	int err = 0;

	acpi_host_defaults(host);
	if (!t)
		return fail(f, -EINVAL, "the ACPI root at %lxh is damaged: going on as without ACPI", rsdp);
	count = min_u64((len - HEADER_SIZE) / entry_size, MAX_TABLES);
	for (uint64_t i = 0; i < count; i++) {
		hpa_t pa = field(t + HEADER_SIZE + i * entry_size, entry_size);
		struct failure here;

		if (pa && read_one(host, pa, map, &here) && !err)
			err = fail(f, -EINVAL, "%s", here.text);
	}
	if (!host->ioapic_count)
		default_ioapic(host);
	return err;
}
