/* Owns the reading of the key serial. */
#include "hv/base/config_key.h"

#include <string.h>

#define REGISTERS 8

static const struct {
	const char *name;
	struct serial_config value;
} names[] = {
	{ "auto", { .kind = SERIAL_AUTO } },
	{ "acpi", { .kind = SERIAL_ACPI } },
	{ "none", { .kind = SERIAL_NONE } },
	{ "com1", { .kind = SERIAL_PORT, .address = 0x3f8 } },
	{ "com2", { .kind = SERIAL_PORT, .address = 0x2f8 } },
	{ "com3", { .kind = SERIAL_PORT, .address = 0x3e8 } },
	{ "com4", { .kind = SERIAL_PORT, .address = 0x2e8 } },
};

static bool skip_word(struct slice *v, const char *word)
{
	size_t len = strlen(word);

	if (v->len < len || memcmp(v->at, word, len) != 0)
		return false;
	v->at += len;
	v->len -= len;
	return true;
}

static bool read_port(struct slice v, struct serial_config *s)
{
	s->kind = SERIAL_PORT;
	return skip_word(&v, "0x") && config_number(v, 16, &s->address) && s->address >= 0x100 && s->address <= 0xfff8;
}

/* ADDRESS[,STRIDE]: where the registers are, and the bytes from one to the next. */
static bool read_memory(struct slice v, struct serial_config *s)
{
	struct slice address;
	uint64_t stride = 1;

	s->kind = SERIAL_MEMORY;
	if (!slice_cut(&v, ',', &address))
		address = v;
	else if (!config_number(v, 10, &stride) || (stride != 1 && stride != 2 && stride != 4 && stride != 8))
		return false;
	s->stride = (uint8_t)stride;
	return skip_word(&address, "0x") && config_number(address, 16, &s->address) && s->address &&
	       s->address <= UINT64_MAX - REGISTERS * stride;
}

static bool read_pci(struct slice v, struct serial_config *s)
{
	uint32_t address;

	s->kind = SERIAL_PCI;
	if (!config_pci_address(v, &address))
		return false;
	s->address = address;
	return true;
}

static bool read_any(struct slice v, struct serial_config *s)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_is(v, names[i].name)) {
			*s = names[i].value;
			return true;
		}
	if (skip_word(&v, "mmio:"))
		return read_memory(v, s);
	if (skip_word(&v, "pci:"))
		return read_pci(v, s);
	return read_port(v, s);
}

int config_read_serial(const struct config_key *k, void *field, struct slice v, const struct config_place *p)
{
	struct serial_config s = { 0 };

	if (!read_any(v, &s))
		return config_refuse(p, "%s = %.*s is no serial port; write auto, com1 to com4, an I/O port like 0x3f8,"
		                     " mmio:0xfe034000 or mmio:0xfe034000,4, pci:02:00.0, acpi, or none", k->name, SHOWN(v));
	*(struct serial_config *)field = s;
	return 0;
}
