/* A PCI host of the tests. Owns its functions' configuration space. */
#include "tests/unit/fake_pci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/mmio.h"
#include "hv/base/acpi_host.h"
#include "hv/base/map.h"
#include "tests/unit/support/machine.h"

#define DEVICE_SPACE 0x100000000000ul /* never touched: accesses come through mmio_* */

struct fake_function fake_functions[FAKE_FUNCTIONS];
unsigned fake_count;
struct acpi_host fake_acpi;
unsigned fake_port_accesses, fake_mapped, fake_maps_left;
uint32_t (*fake_device_read)(hpa_t pa);
void (*fake_device_write)(hpa_t pa, uint32_t value);

static uint32_t config_address;

const struct acpi_host *acpi_host(void) { return &fake_acpi; }
bool map_has_ram(hpa_t pa, uint64_t len) { return len && pa < FAKE_RAM_END && len <= FAKE_RAM_END - pa; }
void *fake_address(hpa_t pa) { return (void *)(DEVICE_SPACE + pa); }

void *map_device(hpa_t pa, uint64_t len, enum map_cache cache)
{
	assert_int_equal(cache, MAP_UNCACHED);
	assert_true(len && len <= MIB(1));
	if (!fake_maps_left)
		return NULL;
	fake_maps_left--;
	fake_mapped++;
	return fake_address(pa);
}

static struct fake_function *find(pci_address_t a)
{
	for (unsigned i = 0; i < fake_count; i++)
		if (fake_functions[i].address == a)
			return &fake_functions[i];
	return NULL;
}

static uint32_t config_read(pci_address_t a, unsigned offset)
{
	struct fake_function *f = find(a);

	if (!f)
		return UINT32_MAX;
	f->reads++;
	return f->config[offset / 4];
}

static void config_write(pci_address_t a, unsigned offset, uint32_t value)
{
	struct fake_function *f = find(a);
	uint32_t writable = f ? f->writable[offset / 4] : 0;

	if (f)
		f->config[offset / 4] = (f->config[offset / 4] & ~writable) | (value & writable);
}

static uint32_t port_in(uint16_t port, unsigned size)
{
	assert_int_equal(port, 0xcfc);
	assert_int_equal(size, 4);
	fake_port_accesses++;
	return config_read(config_address >> 8 & 0xffff, config_address & 0xfc);
}

static void port_out(uint16_t port, unsigned size, uint32_t value)
{
	assert_int_equal(size, 4);
	if (port == 0xcf8) {
		assert_int_equal(value & 0x7f000003, 0);
		config_address = value;
		return;
	}
	assert_int_equal(port, 0xcfc);
	fake_port_accesses++;
	config_write(config_address >> 8 & 0xffff, config_address & 0xfc, value);
}

/* True for an address in a window: which function and register it stands for. */
static bool in_window(hpa_t pa, pci_address_t *a, unsigned *offset)
{
	for (uint32_t i = 0; i < fake_acpi.ecam_count; i++) {
		const struct acpi_ecam *e = &fake_acpi.ecam[i];

		if (pa < e->base || pa - e->base >= MIB(256))
			continue;
		*a = (uint32_t)e->segment << 16 | (uint32_t)((pa - e->base) >> 12);
		*offset = pa & 0xfff;
		return true;
	}
	return false;
}

uint32_t mmio_read32(const volatile void *at)
{
	hpa_t pa = (uint64_t)(uintptr_t)at - DEVICE_SPACE;
	unsigned offset;
	pci_address_t a;

	if (in_window(pa, &a, &offset))
		return config_read(a, offset);
	assert_non_null(fake_device_read);
	return fake_device_read(pa);
}

void mmio_write32(volatile void *at, uint32_t value)
{
	hpa_t pa = (uint64_t)(uintptr_t)at - DEVICE_SPACE;
	unsigned offset;
	pci_address_t a;

	if (in_window(pa, &a, &offset)) {
		config_write(a, offset, value);
		return;
	}
	assert_non_null(fake_device_write);
	fake_device_write(pa, value);
}

void fake_pci_start(void)
{
	static const struct test_machine ports = { .in = port_in, .out = port_out };

	memset(fake_functions, 0, fake_count * sizeof(fake_functions[0]));
	fake_count = fake_port_accesses = fake_mapped = 0;
	fake_maps_left = 1000;
	fake_device_read = NULL;
	fake_device_write = NULL;
	memset(&fake_acpi, 0, sizeof(fake_acpi));
	test_machine_start(&ports);
}

void fake_pci_ecam(void)
{
	fake_acpi.ecam[fake_acpi.ecam_count++] = (struct acpi_ecam){ .base = FAKE_ECAM, .last_bus = 255 };
}

struct fake_function *fake_pci_add(uint32_t segment, uint32_t bus, uint32_t dev, uint32_t fn, uint16_t vendor,
				   uint16_t device)
{
	struct fake_function *f = &fake_functions[fake_count++];

	assert_true(fake_count <= FAKE_FUNCTIONS);
	memset(f, 0, sizeof(*f));
	f->address = segment << 16 | bus << 8 | dev << 3 | fn;
	f->config[0] = (uint32_t)device << 16 | vendor;
	f->writable[PCI_COMMAND / 4] = 0xffff;
	f->config[PCI_INTERRUPT / 4] = 0xff;
	return f;
}

void fake_pci_bar(struct fake_function *f, unsigned n, uint64_t base, uint64_t size, bool wide)
{
	unsigned at = PCI_BAR0 / 4 + n;

	f->config[at] = (uint32_t)base | (wide ? 4 : 0);
	f->writable[at] = ~(uint32_t)(size - 1);
	if (wide) {
		f->config[at + 1] = (uint32_t)(base >> 32);
		f->writable[at + 1] = (uint32_t)(~(size - 1) >> 32);
	}
}

void fake_pci_capability(struct fake_function *f, unsigned at, uint8_t id)
{
	f->config[PCI_COMMAND / 4] |= BIT(20);
	f->config[at / 4] = (f->config[at / 4] & 0xffff0000) | (f->config[PCI_CAPABILITIES / 4] & 0xff) << 8 | id;
	f->config[PCI_CAPABILITIES / 4] = at;
}

void fake_pci_bridge(struct fake_function *f, uint8_t secondary, uint8_t subordinate)
{
	f->config[PCI_CLASS / 4] = 0x06040000;
	f->config[PCI_HEADER / 4] |= 1 << 16;
	f->config[PCI_BUSES / 4] = (uint32_t)subordinate << 16 | (uint32_t)secondary << 8 | PCI_BUS(f->address);
}
