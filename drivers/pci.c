/*
 * Configuration space of the host's PCI functions and the walk over them. Owns the mapped windows.
 * PCI Local Bus Specification 3.0, "Configuration Mechanism"; PCI Express Base Specification,
 * "PCI Express Enhanced Configuration Access Mechanism (ECAM)".
 */
#include "drivers/pci.h"

#include <errno.h>

#include "drivers/mmio.h"
#include "hv/base/acpi_host.h"
#include "hv/base/clock.h"
#include "hv/base/format.h"
#include "hv/base/log.h"
#include "hv/base/map.h"
#include "hv/base/spin.h"
#include "hv/base/x86.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define CONFIG_ENABLE BIT(31)
#define MECHANISM1_SPACE 256
#define ECAM_SPACE 4096

#define BUSES 256
#define DEVICES 32
#define FUNCTIONS 8

#define HEADER_MULTI BIT(23)
#define STATUS_CAPABILITIES BIT(20)
#define CAP_FIRST 0x40
#define CAP_STEPS ((MECHANISM1_SPACE - CAP_FIRST) / 4)
#define POWER_STATE BITS(1, 0)
#define POWER_UP_NS 10000000

static bool ecam_works[ACPI_MAX_ECAM];
static volatile uint8_t *windows[ACPI_MAX_ECAM][BUSES];

static uint32_t segment_of(pci_address_t a) { return a >> 16; }

static uint32_t config_address(pci_address_t a, unsigned offset)
{
	return (uint32_t)CONFIG_ENABLE | (a & 0xffff) << 8 | offset;
}

/* Index of the ECAM range that has the function's bus, or ACPI_MAX_ECAM. */
static uint32_t ecam_of(pci_address_t a)
{
	const struct acpi_host *acpi = acpi_host();

	for (uint32_t i = 0; i < acpi->ecam_count; i++) {
		const struct acpi_ecam *e = &acpi->ecam[i];

		if (ecam_works[i] && e->segment == segment_of(a) && PCI_BUS(a) >= e->first_bus &&
		    PCI_BUS(a) <= e->last_bus)
			return i;
	}
	return ACPI_MAX_ECAM;
}

/* The bus's window, mapped when wanted. NULL: there is none. */
static volatile uint8_t *window_of(pci_address_t a, bool map_it)
{
	uint32_t i = ecam_of(a), bus = PCI_BUS(a);

	if (i == ACPI_MAX_ECAM)
		return NULL;
	if (!windows[i][bus] && map_it)
		windows[i][bus] = map_device(acpi_host()->ecam[i].base + ((uint64_t)bus << 20), MIB(1), MAP_UNCACHED);
	return windows[i][bus];
}

/* The register in a window; NULL when mechanism 1 is the way to it, if any. Segment 0's windows are mapped once
 * something was found on the bus: empty buses are not worth the page tables. */
static volatile uint8_t *ecam_register(pci_address_t a, unsigned offset)
{
	volatile uint8_t *window = window_of(a, segment_of(a) || offset >= MECHANISM1_SPACE);

	return window ? window + ((a & 0xff) << 12) + offset : NULL;
}

static bool is_reachable(pci_address_t a, unsigned offset)
{
	return !segment_of(a) && offset < MECHANISM1_SPACE;
}

static uint32_t mechanism1_read(pci_address_t a, unsigned offset)
{
	outl(CONFIG_ADDRESS, config_address(a, offset));
	return inl(CONFIG_DATA);
}

uint32_t pci_read(pci_address_t a, unsigned offset)
{
	volatile uint8_t *at = ecam_register(a, offset & (ECAM_SPACE - 4));

	if (at)
		return mmio_read32(at);
	return is_reachable(a, offset) ? mechanism1_read(a, offset & ~3u) : UINT32_MAX;
}

void pci_write(pci_address_t a, unsigned offset, uint32_t value)
{
	volatile uint8_t *at = ecam_register(a, offset & (ECAM_SPACE - 4));

	if (at) {
		mmio_write32(at, value);
	} else if (is_reachable(a, offset)) {
		outl(CONFIG_ADDRESS, config_address(a, offset & ~3u));
		outl(CONFIG_DATA, value);
	}
}

/* Bus 0 of segment 0 must look the same both ways: a wrong MCFG would have us write anywhere. */
static bool agrees_with_mechanism1(void)
{
	volatile uint8_t *bus = window_of(0, true);

	for (uint32_t dev = 0; bus && dev < DEVICES; dev++)
		if (mmio_read32(bus + (dev << 15)) != mechanism1_read(dev << 3, PCI_ID))
			return false;
	return bus;
}

void pci_init(void)
{
	const struct acpi_host *acpi = acpi_host();

	for (uint32_t i = 0; i < acpi->ecam_count; i++) {
		const struct acpi_ecam *e = &acpi->ecam[i];
		hpa_t first = e->base + ((uint64_t)e->first_bus << 20), end = e->base + ((uint64_t)e->last_bus << 20);

		ecam_works[i] = !map_has_ram(first, PAGE_SIZE) && !map_has_ram(end, PAGE_SIZE);
		if (ecam_works[i] && !e->segment && !e->first_bus)
			ecam_works[i] = agrees_with_mechanism1();
		if (!ecam_works[i])
			log_warn("pci: the configuration windows at %lxh do not work: going on without them", e->base);
	}
}

bool pci_identify(pci_address_t a, struct pci_function *p)
{
	uint32_t id = pci_read(a, PCI_ID);

	p->address = a;
	p->vendor = (uint16_t)id;
	p->device = (uint16_t)(id >> 16);
	/* 0001h is what a function that is still starting answers: "Configuration Request Retry Status". */
	if (p->vendor == 0xffff || p->vendor == 0 || p->vendor == 1)
		return false;
	p->class_code = pci_read(a, PCI_CLASS) >> 8;
	p->header = pci_read(a, PCI_HEADER) >> 16 & 0x7f;
	return true;
}

struct walk {
	bool (*each)(void *ctx, const struct pci_function *p);
	void *ctx;
	uint32_t segment;
	uint64_t todo[BUSES / 64]; /* bits of buses to look at */
	uint64_t done[BUSES / 64];
};

static bool visit_device(struct walk *w, pci_address_t first)
{
	unsigned count = 1;

	for (unsigned fn = 0; fn < count; fn++) {
		struct pci_function p;
		uint32_t below;

		if (!pci_identify(first | fn, &p)) {
			if (fn == 0)
				return false;
			continue;
		}
		window_of(first, true);
		if (fn == 0 && (pci_read(first, PCI_HEADER) & HEADER_MULTI))
			count = FUNCTIONS;
		below = pci_read(first | fn, PCI_BUSES) >> 8 & 0xff;
		if (p.header == PCI_HEADER_BRIDGE)
			w->todo[below / 64] |= BIT(below % 64);
		if (w->each(w->ctx, &p))
			return true;
	}
	return false;
}

/* Each bus once, whatever bridges say. */
static bool visit_buses(struct walk *w)
{
	for (uint32_t bus = 0; bus < BUSES; bus++) {
		uint64_t bit = BIT(bus % 64);

		if (!(w->todo[bus / 64] & ~w->done[bus / 64] & bit))
			continue;
		w->done[bus / 64] |= bit;
		for (uint32_t dev = 0; dev < DEVICES; dev++)
			if (visit_device(w, w->segment << 16 | bus << 8 | dev << 3))
				return true;
		bus = UINT32_MAX; /* a bridge may lead to a lower one */
	}
	return false;
}

/* Segment 0 may have several host bridges, of which only firmware's byte code tells the buses: all are looked
 * at. Others begin where their window does. */
void pci_for_each(bool (*each)(void *ctx, const struct pci_function *p), void *ctx)
{
	struct walk w = { .each = each, .ctx = ctx, .todo = { ~0ul, ~0ul, ~0ul, ~0ul } };
	const struct acpi_host *acpi = acpi_host();
	bool found = visit_buses(&w);

	for (uint32_t i = 0; i < acpi->ecam_count && !found; i++) {
		const struct acpi_ecam *e = &acpi->ecam[i];

		if (!e->segment)
			continue;
		w = (struct walk){ .each = each, .ctx = ctx, .segment = e->segment };
		w.todo[e->first_bus / 64] = BIT(e->first_bus % 64);
		found = visit_buses(&w);
	}
}

/* The status half is written as zeros, which clear nothing. */
void pci_command(pci_address_t a, uint32_t set, uint32_t clear)
{
	pci_write(a, PCI_COMMAND, ((pci_read(a, PCI_COMMAND) & 0xffff) | set) & ~clear);
}

unsigned pci_find_capability(pci_address_t a, uint8_t id)
{
	uint32_t at, steps = 0;

	if (!(pci_read(a, PCI_COMMAND) & STATUS_CAPABILITIES))
		return 0;
	at = pci_read(a, PCI_CAPABILITIES) & 0xfc;
	while (at >= CAP_FIRST && steps++ < CAP_STEPS) {
		uint32_t head = pci_read(a, at);

		if ((head & 0xff) == id)
			return at;
		at = head >> 8 & 0xfc;
	}
	return 0;
}

/* PCI Bus Power Management Interface Specification: 10 ms from D3 to D0. */
void pci_power_on(pci_address_t a)
{
	unsigned at = pci_find_capability(a, PCI_CAP_POWER);
	uint64_t start, ticks = ns_to_tsc(POWER_UP_NS);
	uint32_t status;

	if (!at || at + 4 >= MECHANISM1_SPACE)
		return;
	status = pci_read(a, at + 4);
	if (!(status & POWER_STATE))
		return;
	pci_write(a, at + 4, status & 0x7fff & ~POWER_STATE); /* bit 15 is cleared by a one */
	for (start = rdtsc(); rdtsc() - start < ticks;)
		cpu_pause();
}

void pci_place(pci_address_t a, char place[PCI_PLACE_MAX])
{
	if (segment_of(a))
		format(place, PCI_PLACE_MAX, "%04x:%02x:%02x.%x", segment_of(a), PCI_BUS(a), PCI_DEVICE(a), PCI_FUNCTION(a));
	else
		format(place, PCI_PLACE_MAX, "%02x:%02x.%x", PCI_BUS(a), PCI_DEVICE(a), PCI_FUNCTION(a));
}
