/*
 * PCI configuration mechanism 1 and the host bridge of a guest.
 * PCI Local Bus Specification 3.0, section "Software Generation of Configuration Transactions".
 */
#include "hv/devices/vpci.h"

#include <string.h>

#include "hv/guest/guest.h"

#define ADDRESS_ENABLE BIT(31)
#define ADDRESS_WRITABLE (BIT(31) | BITS(23, 2))

/* Intel 440FX: class 060000h, no BARs, nothing to write. */
static const uint8_t host_bridge_config[64] = {
	[0x00] = 0x86, 0x80, /* vendor */
	[0x02] = 0x37, 0x12, /* device */
	[0x04] = 0x06, 0x00, /* command: memory space, bus master */
	[0x08] = 0x02,       /* revision */
	[0x0b] = 0x06,       /* class: bridge, host */
};

static uint32_t all_ones(unsigned size) { return (uint32_t)(BITS(31, 0) >> (32 - 8 * size)); }

static uint32_t host_bridge_read(void *dev, unsigned offset, unsigned size)
{
	uint32_t v = 0;
	(void)dev;
	if (offset + size <= sizeof(host_bridge_config))
		memcpy(&v, &host_bridge_config[offset], size);
	return v;
}

static void host_bridge_write(void *dev, unsigned offset, unsigned size, uint32_t value)
{
	(void)dev, (void)offset, (void)size, (void)value;
}

static const struct vpci_ops host_bridge_ops = { host_bridge_read, host_bridge_write };

static const struct vpci_function *find(const struct vpci *p, uint16_t bdf)
{
	for (unsigned i = 0; i < p->count; i++)
		if (p->functions[i].bdf == bdf)
			return &p->functions[i];
	return NULL;
}

/* The function CF8h points at, or NULL. */
static const struct vpci_function *selected(const struct vpci *p)
{
	return p->address & ADDRESS_ENABLE ? find(p, (uint16_t)(p->address >> 8)) : NULL;
}

static unsigned config_offset(const struct vpci *p, uint16_t port)
{
	return (p->address & 0xfc) | (port & 3);
}

static uint32_t data_read(void *dev, uint16_t port, unsigned size)
{
	struct vpci *p = dev;
	const struct vpci_function *fn = selected(p);
	return fn ? fn->ops->read(fn->dev, config_offset(p, port), size) : all_ones(size);
}

static void data_write(void *dev, uint16_t port, unsigned size, uint32_t value)
{
	struct vpci *p = dev;
	const struct vpci_function *fn = selected(p);
	if (fn)
		fn->ops->write(fn->dev, config_offset(p, port), size, value);
}

/* Only a dword access reaches the address register; a byte at CF9h is the reset control. */
static uint32_t address_read(void *dev, uint16_t port, unsigned size)
{
	struct vpci *p = dev;
	if (size == 4)
		return p->address;
	if (size == 1 && port == GUEST_PORT_RESET)
		return vreset_cf9_read(p->reset);
	return all_ones(size);
}

static void address_write(void *dev, uint16_t port, unsigned size, uint32_t value)
{
	struct vpci *p = dev;
	if (size == 4)
		p->address = value & ADDRESS_WRITABLE;
	else if (size == 1 && port == GUEST_PORT_RESET)
		vreset_cf9_write(p->reset, (uint8_t)value);
}

void vpci_reset(struct vpci *p) { p->address = 0; }

int vpci_add(struct vpci *p, uint16_t bdf, const struct vpci_ops *ops, void *dev, struct failure *f)
{
	if (find(p, bdf))
		return fail(f, -EBUSY, "PCI function %02x:%02x.%x is there already", bdf >> 8,
			    bdf >> 3 & 31, bdf & 7);
	if (p->count == VPCI_MAX_FUNCTIONS)
		return fail(f, -ENOSPC, "no place for another PCI function: raise VPCI_MAX_FUNCTIONS (%u)",
			    VPCI_MAX_FUNCTIONS);
	p->functions[p->count++] = (struct vpci_function){ ops, dev, bdf };
	return 0;
}

void vpci_init(struct vpci *p, struct vreset *reset)
{
	memset(p, 0, sizeof(*p));
	p->reset = reset;
	p->functions[p->count++] = (struct vpci_function){ &host_bridge_ops, NULL, VPCI_BDF(0, 0, 0) };
}

static const struct pio_ops address_ops = { address_read, address_write, 4 };
static const struct pio_ops data_ops = { data_read, data_write, 4 };

int vpci_attach(struct vpci *p, struct bus *b, struct failure *f)
{
	int err = bus_add_pio(b, GUEST_PORT_PCI_ADDR, 4, &address_ops, p, "PCI address", f);
	if (!err)
		err = bus_add_pio(b, GUEST_PORT_PCI_DATA, 4, &data_ops, p, "PCI data", f);
	return err;
}
