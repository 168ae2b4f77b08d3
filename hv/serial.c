/* Owns the choice of the host's UART and how it is served. */
#include "hv/serial.h"

#include "drivers/ioapic.h"
#include "drivers/lapic.h"
#include "drivers/pci.h"
#include "drivers/uart.h"
#include "hv/base/acpi_host.h"
#include "hv/base/clock.h"
#include "hv/base/format.h"
#include "hv/base/log.h"
#include "hv/base/map.h"
#include "hv/base/trap.h"
#include "hv/base/vectors.h"
#include "hv/host.h"

#define IRQ_WAIT_MS 10
#define PCI_CLASS_SERIAL 0x0700 /* without the programming interface: each is a 16450 at least */
#define PCI_BARS 6

struct candidate {
	struct uart_place place;
	hpa_t physical;     /* of registers in memory */
	int isa_irq;        /* -1: none known, it is polled */
	char origin[32];    /* what names it: for the log */
};

static const struct serial_config *wanted;
static struct candidate used;
static bool found;   /* used is in use */
static bool settled; /* and is what was wanted */
static char description[80];

/* The PC's four have fixed interrupts, in pairs. */
static int irq_of_port(uint64_t port)
{
	if (port == 0x3f8 || port == 0x3e8)
		return 4;
	return port == 0x2f8 || port == 0x2e8 ? 3 : -1;
}

static struct candidate at_port(uint64_t port)
{
	struct candidate c = { .isa_irq = irq_of_port(port) };

	c.place = uart_com1;
	c.place.port = (uint16_t)port;
	return c;
}

/* Whether the registers lie where a device can be: inside the machine, and not where memory is. */
static bool is_device(hpa_t pa, uint64_t len)
{
	const struct boot_info *bi = host_boot();

	if (!pa || pa + len < pa || (pa + len - 1) >> host_hpa_bits())
		return false;
	for (uint32_t i = 0; i < bi->range_count; i++) {
		const struct boot_range *r = &bi->ranges[i];

		if (r->kind != BOOT_RANGE_RESERVED && pa < r->base + r->size && r->base < pa + len)
			return false;
	}
	return true;
}

static bool map_registers(struct candidate *c)
{
	uint64_t len = (uint64_t)UART_REGISTERS * c->place.stride;

	if (!is_device(c->physical, len)) {
		log_warn("serial: no UART can be at %lxh%s: there is memory, or nothing at all", c->physical, c->origin);
		return false;
	}
	c->place.window = map_device(c->physical, len, MAP_UNCACHED);
	return c->place.window;
}

static bool same(const struct candidate *a, const struct candidate *b)
{
	return a->place.port ? a->place.port == b->place.port : !b->place.port && a->physical == b->physical;
}

static void describe(const char *how)
{
	if (used.place.port)
		format(description, sizeof description, "I/O port %xh%s%s", used.place.port, used.origin, how);
	else
		format(description, sizeof description, "%lxh in memory%s%s", used.physical, used.origin, how);
}

/* Goes over to the candidate when a UART answers there; else stays with what is in use. */
static bool take(struct candidate c)
{
	if (found && same(&c, &used)) {
		used.isa_irq = c.isa_irq >= 0 ? c.isa_irq : used.isa_irq;
		return true;
	}
	if (!c.place.port && !map_registers(&c))
		return false;
	uart_flush();
	if (!uart_init(&c.place)) {
		uart_init(found ? &used.place : NULL);
		return false;
	}
	used = c;
	found = true;
	describe("");
	return true;
}

/* The line that holds until the wanted one can be reached. That one gets the whole log once more. */
static void early_sink(enum log_level level, const char *line, size_t len)
{
	if (!settled)
		uart_log_sink(level, line, len);
}

static void settle(void)
{
	settled = true;
	log_add_sink(uart_log_sink);
}

void serial_init_early(const struct serial_config *c)
{
	wanted = c;
	found = settled = false;
	if (c->kind == SERIAL_NONE)
		uart_init(NULL);
	else if (take(at_port(c->kind == SERIAL_PORT ? c->address : uart_com1.port)) &&
		 (c->kind == SERIAL_PORT || c->kind == SERIAL_AUTO))
		settle();
	else if (found)
		log_add_sink(early_sink);
}

static bool take_acpi(void)
{
	const struct acpi_host *acpi = acpi_host();

	for (uint32_t i = 0; i < acpi->uart_count; i++) {
		const struct acpi_uart *u = &acpi->uarts[i];
		struct candidate c = {
			.place = { .port = u->io ? (uint16_t)u->address : 0, .stride = u->stride, .width = u->width,
				   .divisor = u->divisor },
			.physical = u->io ? 0 : u->address,
			.isa_irq = u->isa_irq >= 0 || !u->io ? u->isa_irq : irq_of_port(u->address),
		};

		format(c.origin, sizeof c.origin, " (ACPI %s)", u->table);
		if (take(c))
			return true;
	}
	return false;
}

static bool take_memory(void)
{
	return take((struct candidate){
		.place = { .stride = wanted->stride, .width = 1 }, .physical = wanted->address, .isa_irq = -1,
	});
}

/* Polled: INTx would be shared with whatever device has the same pin. */
static bool take_bar(pci_address_t a, unsigned n)
{
	struct candidate c = { .place = { .stride = 1, .width = 1 }, .isa_irq = -1 };
	struct pci_bar bar;
	struct failure f;
	char place[PCI_PLACE_MAX];

	if (pci_bar(a, n, &bar, &f) || bar.size < UART_REGISTERS)
		return false;
	if (bar.io) {
		c.place.port = (uint16_t)bar.base;
		c.place.divisor = UART_DIVISOR_115200;
	}
	c.physical = bar.io ? 0 : bar.base;
	pci_place(a, place);
	format(c.origin, sizeof c.origin, " (PCI %s)", place);
	pci_power_on(a);
	pci_no_interrupts(a);
	pci_command(a, bar.io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY, 0);
	return take(c);
}

/* A card with several UARTs has a base address register for each. */
static bool take_function(pci_address_t a)
{
	for (unsigned n = 0; n < PCI_BARS; n++)
		if (take_bar(a, n))
			return true;
	return false;
}

static bool take_if_serial(void *ctx, const struct pci_function *p)
{
	(void)ctx;
	if (found || p->class_code >> 8 != PCI_CLASS_SERIAL)
		return false;
	return take_function(p->address);
}

static bool take_any_pci(void)
{
	pci_for_each(take_if_serial, NULL);
	return found;
}

static bool take_pci(void)
{
	struct pci_function p;

	return pci_identify((pci_address_t)wanted->address, &p) && take_function(p.address);
}

static bool take_wanted(void)
{
	switch (wanted->kind) {
	case SERIAL_AUTO:
		return take_acpi() || take_any_pci();
	case SERIAL_ACPI:
		return take_acpi();
	case SERIAL_PCI:
		return take_pci();
	case SERIAL_MEMORY:
		return take_memory();
	default:
		return false;
	}
}

void serial_find(void)
{
	if (wanted->kind == SERIAL_NONE || settled)
		return;
	if (take_wanted())
		settle();
	else if (wanted->kind != SERIAL_AUTO)
		log_warn("serial: no UART answers where gnomon.conf wants it%s", found ? ": it stays at COM1" : "");
}

/* The UART has asked for an interrupt; interrupts are off, so it stays pending when it comes. */
static bool interrupt_arrives(void)
{
	uint64_t end = rdtsc() + IRQ_WAIT_MS * tsc_khz;

	while (!lapic_is_pending(HOST_VECTOR_UART))
		if (rdtsc() > end)
			return false;
	return true;
}

static bool start_interrupts(void)
{
	struct failure f = { 0 };

	trap_set_irq(HOST_VECTOR_UART, uart_service);
	if (ioapic_route_isa((uint8_t)used.isa_irq, this_cpu()->apic_id, HOST_VECTOR_UART, &f)) {
		log_warn("serial: %s", f.text);
		return false;
	}
	uart_start_interrupts();
	return interrupt_arrives();
}

void serial_start(void)
{
	if (!found)
		return;
	if (used.isa_irq >= 0 && start_interrupts()) {
		describe(", by interrupt");
		return;
	}
	uart_start_polling();
	describe(", polled");
}

const char *serial_describe(void) { return found ? description : NULL; }
