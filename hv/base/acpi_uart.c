/* Reads SPCR and DBG2. Microsoft, "Serial Port Console Redirection Table" and "Debug Port Table 2". */
#include "hv/base/acpi_uart.h"

#include <errno.h>
#include <string.h>

#define GAS_SIZE 12
#define GAS_MEMORY 0
#define GAS_IO 1

#define SPCR_INTERFACE 36
#define SPCR_BASE 40
#define SPCR_INTERRUPTS 52
#define SPCR_IRQ 53
#define SPCR_BAUD 58
#define SPCR_SIZE 80 /* of revision 2; earlier ones of the same length have no clock */
#define SPCR_CLOCK 76
#define SPCR_PRECISE_BAUD 80
#define SPCR_PRECISE_SIZE 84
#define SPCR_REVISION_CLOCK 3
#define SPCR_REVISION_PRECISE 4
#define INTERRUPT_PC_IRQ BIT(0)

#define DBG2_OFFSET 36
#define DBG2_COUNT 40
#define DBG2_SIZE 44
#define DEVICE_SIZE 22
#define DEVICE_LENGTH 1
#define DEVICE_REGISTERS 3
#define DEVICE_TYPE 12
#define DEVICE_SUBTYPE 14
#define DEVICE_BASE 18
#define TYPE_SERIAL 0x8000
#define MAX_DEVICES 64

/* Subtypes of a serial port, the same in both tables. */
#define SUBTYPE_16550 0x00
#define SUBTYPE_16550_SUBSET 0x01
#define SUBTYPE_16550_BY_GAS 0x12

static uint64_t field(const uint8_t *at, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, at, size);
	return v;
}

static bool is_16550(uint64_t subtype)
{
	return subtype == SUBTYPE_16550 || subtype == SUBTYPE_16550_SUBSET || subtype == SUBTYPE_16550_BY_GAS;
}

/* Generic Address Structure: space, bits of a register, offset, access size as 1 + log2, address. A register's
 * bits are what lies between two of them; one is never accessed beyond the next. */
static int add(struct acpi_uart *list, uint32_t *count, const char *table, const uint8_t *gas, struct failure *f)
{
	uint64_t bits = gas[1] ? gas[1] : 8, access = gas[3] ? gas[3] : 1, address = field(gas + 4, 8);
	struct acpi_uart u = { .io = gas[0] == GAS_IO, .address = address, .isa_irq = -1 };

	if (gas[0] != GAS_IO && gas[0] != GAS_MEMORY)
		return fail(f, -EINVAL, "the ACPI table %s has a UART in address space %u: it is left out", table, gas[0]);
	if (!address || (u.io && address > 0xfff8))
		return fail(f, -EINVAL, "the ACPI table %s has a UART at %lxh, where none can be", table, address);
	if ((bits != 8 && bits != 16 && bits != 32 && bits != 64) || access > 3)
		return fail(f, -EINVAL, "the ACPI table %s has a UART with registers of %lu bits, access size %lu: it is"
			    " left out", table, bits, access);
	u.width = (uint8_t)(1u << (access - 1));
	u.stride = (uint8_t)max_u64(bits / 8, u.width);
	if (u.io && address + 7ul * u.stride > UINT16_MAX)
		return fail(f, -EINVAL, "the ACPI table %s has a UART beyond the last I/O port", table);
	strcpy(u.table, table);
	if (*count < ACPI_MAX_UARTS)
		list[(*count)++] = u;
	return 0;
}

/* Of the clock that the table gives, or of the PC's; 0: as it is. */
static uint16_t divisor(const uint8_t *t, uint64_t len)
{
	static const struct { uint8_t code; uint32_t baud; } codes[] = {
		{ 3, 9600 }, { 4, 19200 }, { 6, 57600 }, { 7, 115200 },
	};
	uint64_t clock = t[8] >= SPCR_REVISION_CLOCK ? field(t + SPCR_CLOCK, 4) : 0, baud = 0, by;

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i].code == t[SPCR_BAUD])
			baud = codes[i].baud;
	if (t[8] >= SPCR_REVISION_PRECISE && len >= SPCR_PRECISE_SIZE && field(t + SPCR_PRECISE_BAUD, 4))
		baud = field(t + SPCR_PRECISE_BAUD, 4);
	if (!baud)
		return 0;
	by = ((clock ? clock : 1843200) + 8 * baud) / (16 * baud);
	return by <= UINT16_MAX ? (uint16_t)by : 0;
}

int acpi_read_spcr(struct acpi_uart *list, uint32_t *count, const uint8_t *t, uint64_t len, struct failure *f)
{
	uint32_t before = *count;
	int err;

	if (len < SPCR_SIZE)
		return fail(f, -EINVAL, "the ACPI table SPCR is damaged: %lu bytes long", len);
	if (!field(t + SPCR_BASE + 4, 8)) /* redirection is off */
		return 0;
	/* Revision 1 knows but the two kinds of 16550, by the same numbers. */
	if (!is_16550(t[SPCR_INTERFACE]))
		return 0;
	err = add(list, count, "SPCR", t + SPCR_BASE, f);
	if (err || *count == before)
		return err;
	list[before].divisor = divisor(t, len);
	if ((t[SPCR_INTERRUPTS] & INTERRUPT_PC_IRQ) && t[SPCR_IRQ] < 16)
		list[before].isa_irq = t[SPCR_IRQ];
	return 0;
}

/* One entry: its first address is that of the registers. */
static int read_device(struct acpi_uart *list, uint32_t *count, const uint8_t *d, uint64_t size, struct failure *f)
{
	uint64_t base = field(d + DEVICE_BASE, 2);

	if (field(d + DEVICE_TYPE, 2) != TYPE_SERIAL || !is_16550(field(d + DEVICE_SUBTYPE, 2)) || !d[DEVICE_REGISTERS])
		return 0;
	if (base < DEVICE_SIZE || base + GAS_SIZE > size)
		return fail(f, -EINVAL, "the ACPI table DBG2 is damaged: an address at offset %lu of %lu bytes", base, size);
	return add(list, count, "DBG2", d + base, f);
}

int acpi_read_dbg2(struct acpi_uart *list, uint32_t *count, const uint8_t *t, uint64_t len, struct failure *f)
{
	uint64_t at, devices;
	int err = 0;

	if (len < DBG2_SIZE)
		return fail(f, -EINVAL, "the ACPI table DBG2 is damaged: %lu bytes long", len);
	at = field(t + DBG2_OFFSET, 4);
	devices = min_u64(field(t + DBG2_COUNT, 4), MAX_DEVICES);
	for (uint64_t i = 0; i < devices; i++) {
		uint64_t size = at + DEVICE_SIZE <= len ? field(t + at + DEVICE_LENGTH, 2) : 0;
		struct failure here;

		if (size < DEVICE_SIZE || size > len - at)
			return fail(f, -EINVAL, "the ACPI table DBG2 is damaged: entry %lu at offset %lu", i, at);
		if (read_device(list, count, t + at, size, &here) && !err)
			err = fail(f, -EINVAL, "%s", here.text);
		at += size;
	}
	return err;
}
