/*
 * Monitor command on the host's PCI functions: pci.
 */
#include "drivers/pci.h"
#include "hv/monitor/commands.h"

#define ANY 0xff

static const struct {
	uint8_t class, sub_class;
	const char *name;
} kinds[] = {
	{ 0x01, 0x01, "IDE controller" },
	{ 0x01, 0x06, "SATA controller" },
	{ 0x01, 0x08, "NVMe controller" },
	{ 0x01, ANY, "storage controller" },
	{ 0x02, 0x00, "Ethernet card" },
	{ 0x02, ANY, "network card" },
	{ 0x03, ANY, "display" },
	{ 0x04, ANY, "sound or video" },
	{ 0x05, ANY, "memory controller" },
	{ 0x06, 0x00, "host bridge" },
	{ 0x06, 0x01, "ISA bridge" },
	{ 0x06, 0x04, "PCI bridge" },
	{ 0x06, ANY, "bridge" },
	{ 0x07, 0x00, "serial port" },
	{ 0x07, ANY, "communication controller" },
	{ 0x08, ANY, "system device" },
	{ 0x0b, ANY, "processor" },
	{ 0x0c, 0x03, "USB controller" },
	{ 0x0c, 0x05, "SMBus" },
	{ 0x0c, ANY, "serial bus" },
	{ 0x0d, ANY, "wireless controller" },
	{ 0x12, ANY, "accelerator" },
};

static const char *kind_of(const struct pci_function *p)
{
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].class == p->class_code >> 16 &&
		    (kinds[i].sub_class == ANY || kinds[i].sub_class == (p->class_code >> 8 & 0xff)))
			return kinds[i].name;
	return "device";
}

/* Where its registers are, as they stand: sizes are for drivers to find out. */
static void show_addresses(struct monitor_out *out, const struct pci_function *p)
{
	unsigned count = p->header == 0 ? 6 : p->header == PCI_HEADER_BRIDGE ? 2 : 0;

	for (unsigned i = 0; i < count; i++) {
		uint64_t low = pci_read(p->address, PCI_BAR0 + 4 * i), high = 0;

		if (low & 1) {
			mon_printf(out, ", ports %lxh", low & 0xfffc);
			continue;
		}
		if ((low & 6) == 4 && i + 1 < count)
			high = pci_read(p->address, PCI_BAR0 + 4 * ++i);
		if ((low & ~0xful) | high)
			mon_printf(out, ", %lxh", high << 32 | (low & ~0xful));
	}
}

static void show_interrupts(struct monitor_out *out, const struct pci_function *p)
{
	uint32_t interrupt = pci_read(p->address, PCI_INTERRUPT), pin = interrupt >> 8 & 0xff;

	if (pin >= 1 && pin <= 4)
		mon_printf(out, ", INT%c line %u", (int)('A' + pin - 1), interrupt & 0xff);
	if (pci_find_capability(p->address, PCI_CAP_MSI))
		mon_printf(out, ", MSI");
	if (pci_find_capability(p->address, PCI_CAP_MSIX))
		mon_printf(out, ", MSI-X");
}

static bool show_function(void *ctx, const struct pci_function *p)
{
	uint32_t buses = pci_read(p->address, PCI_BUSES);
	struct monitor_out *out = ctx;
	char place[PCI_PLACE_MAX];

	pci_place(p->address, place);
	mon_printf(out, "%s  %04x:%04x  %s", place, p->vendor, p->device, kind_of(p));
	if (p->header == PCI_HEADER_BRIDGE)
		mon_printf(out, " to the buses %02x to %02x", buses >> 8 & 0xff, buses >> 16 & 0xff);
	show_addresses(out, p);
	show_interrupts(out, p);
	mon_printf(out, "\n");
	return false;
}

static int pci_command_run(struct monitor_out *out, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	pci_for_each(show_function, out);
	return 0;
}

const struct monitor_command commands_pci[] = {
	{ "pci", "", "the host's PCI functions: addresses and interrupts", pci_command_run },
	{ NULL, NULL, NULL, NULL },
};
