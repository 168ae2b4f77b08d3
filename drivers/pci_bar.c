/*
 * Base address registers: where a device's registers are and how many.
 * PCI Local Bus Specification 3.0, "Base Addresses".
 */
#include "drivers/pci.h"

#include <errno.h>

#include "hv/base/map.h"
#include "hv/base/x86.h"

#define BARS_DEVICE 6
#define BARS_BRIDGE 2
#define BAR_IO BIT(0)
#define BAR_TYPE BITS(2, 1)
#define BAR_TYPE_64 4
#define IO_FLAGS BITS(1, 0)
#define MEMORY_FLAGS BITS(3, 0)

static unsigned bar_offset(unsigned n) { return PCI_BAR0 + 4 * n; }

/* What the device leaves zero of all ones, with its decoding off meanwhile. */
static uint32_t probe(pci_address_t a, unsigned n)
{
	uint32_t before = pci_read(a, bar_offset(n)), mask;

	pci_write(a, bar_offset(n), UINT32_MAX);
	mask = pci_read(a, bar_offset(n));
	pci_write(a, bar_offset(n), before);
	return mask;
}

/* 0 when no bit of the address can be set. */
static uint64_t probe_size(pci_address_t a, unsigned n, bool io, bool wide)
{
	uint32_t command = pci_read(a, PCI_COMMAND) & 0xffff;
	uint64_t mask, top = wide ? 0 : ~(uint64_t)(io ? 0xffff : UINT32_MAX);

	pci_command(a, 0, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	mask = probe(a, n) & (io ? 0xffff & ~IO_FLAGS : ~MEMORY_FLAGS);
	if (wide)
		mask |= (uint64_t)probe(a, n + 1) << 32;
	pci_write(a, PCI_COMMAND, command);
	return mask ? ~(mask | top) + 1 : 0;
}

static uint64_t address_limit(bool io)
{
	uint32_t bits = cpuid(0x80000000, 0).eax >= 0x80000008 ? cpuid(0x80000008, 0).eax & 0xff : 36;

	return io ? BIT(16) : BIT(min_u64(bits, 52));
}

static int judge(const struct pci_bar *b, unsigned n, struct failure *f)
{
	uint64_t limit = address_limit(b->io);

	if (!b->size || (b->size & (b->size - 1)))
		return fail(f, -EINVAL, "base address register %u has the size %lxh, which is no power of two", n, b->size);
	if (!b->base)
		return fail(f, -EINVAL, "firmware gave base address register %u no address", n);
	if (!is_aligned(b->base, b->size) || b->base >= limit || b->size > limit - b->base)
		return fail(f, -EINVAL, "base address register %u says %lxh, which cannot be for %lxh bytes", n, b->base,
			    b->size);
	return 0;
}

int pci_bar(pci_address_t a, unsigned n, struct pci_bar *bar, struct failure *f)
{
	uint8_t header = pci_read(a, PCI_HEADER) >> 16 & 0x7f;
	unsigned count = header == 0 ? BARS_DEVICE : header == PCI_HEADER_BRIDGE ? BARS_BRIDGE : 0;
	uint32_t low = n < count ? pci_read(a, bar_offset(n)) : 0;
	bool wide = !(low & BAR_IO) && (low & BAR_TYPE) == BAR_TYPE_64;

	*bar = (struct pci_bar){ .io = low & BAR_IO };
	if (n >= count || low == UINT32_MAX || (wide && n + 1 >= count))
		return fail(f, -ENODEV, "there is no base address register %u", n);
	bar->base = low & (bar->io ? ~IO_FLAGS : ~MEMORY_FLAGS);
	if (wide)
		bar->base |= (uint64_t)pci_read(a, bar_offset(n + 1)) << 32;
	bar->size = probe_size(a, n, bar->io, wide);
	if (!bar->size && !bar->base)
		return fail(f, -ENODEV, "there is no base address register %u", n);
	return judge(bar, n, f);
}

static bool touches_ram(hpa_t pa, uint64_t len)
{
	for (hpa_t page = align_down(pa, PAGE_SIZE); page < pa + len; page += PAGE_SIZE)
		if (map_has_ram(page, 1) || map_has_ram(page + PAGE_SIZE - 1, 1))
			return true;
	return false;
}

volatile void *pci_bar_map(pci_address_t a, unsigned n, uint64_t offset, uint64_t len, struct failure *f)
{
	struct pci_bar b;
	volatile void *at;

	if (pci_bar(a, n, &b, f))
		return NULL;
	if (b.io || b.size < offset || b.size - offset < len) {
		fail(f, -EINVAL, "base address register %u has %s%lxh bytes, fewer than the device needs", n,
		     b.io ? "I/O ports, not memory: " : "", b.size);
		return NULL;
	}
	if (touches_ram(b.base + offset, len)) {
		fail(f, -EINVAL, "base address register %u says %lxh, where there is RAM", n, b.base);
		return NULL;
	}
	at = map_device(b.base + offset, len, MAP_UNCACHED);
	if (!at)
		fail(f, -ENOMEM, "no memory to map the device at %lxh", b.base);
	return at;
}
