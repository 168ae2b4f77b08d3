/* sources: hv/serial.c drivers/uart.c hv/base/format.c */
/*
 * Which UART becomes the host's serial line, on a machine with a 16550 at one place of the test's choice:
 * by what gnomon.conf says, what ACPI names, and what answers; with an interrupt that comes or does not.
 */
#include "hv/serial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/ioapic.h"
#include "drivers/lapic.h"
#include "drivers/pci.h"
#include "drivers/uart.h"
#include "hv/base/acpi_host.h"
#include "hv/base/log.h"
#include "hv/base/map.h"
#include "hv/base/trap.h"
#include "hv/base/vectors.h"
#include "hv/host.h"
#include "tests/unit/support/support.h"
#include "tests/unit/support/uart16550.h"

#define MEMORY 0xfe034000ul

static struct uart16550 chip;
static struct acpi_host acpi;
static struct boot_info boot;
static log_sink_fn sinks[2];
static unsigned sink_count;
static int routed; /* the ISA interrupt, -1: none */
static bool arrives, no_ioapic;
static struct pci_function card;
static struct pci_bar bars[2]; /* of register 2 and 1 */
static uint32_t card_command;

const struct acpi_host *acpi_host(void) { return &acpi; }
const struct boot_info *host_boot(void) { return &boot; }
uint32_t host_hpa_bits(void) { return 39; }
bool lapic_is_pending(uint8_t vector) { return vector == HOST_VECTOR_UART && arrives && (chip.regs[1] & 2); }
void trap_set_irq(uint8_t vector, void (*handler)(void)) { assert_true(vector && handler); }
int ioapic_route_isa(uint8_t irq, uint32_t apic_id, uint8_t vector, struct failure *f)
{
	(void)apic_id;
	assert_int_equal(vector, HOST_VECTOR_UART);
	f->text[0] = 0;
	routed = irq;
	return no_ioapic ? -ENODEV : 0;
}
void *map_device(hpa_t pa, uint64_t size, enum map_cache cache)
{
	assert_true(size && cache == MAP_UNCACHED);
	assert_in_range(pa, 0xfe000000, MEMORY);
	return pa == MEMORY ? chip.window : NULL;
}
/* The ring holds one line already. */
int log_add_sink(log_sink_fn sink)
{
	assert_true(sink_count < ARRAY_LEN(sinks));
	sink(LOG_INFO, "before\n", 7);
	sinks[sink_count++] = sink;
	return 0;
}

/* One PCI function: no UART by its class, or one with registers 1 and 2. */
void pci_for_each(bool (*each)(void *ctx, const struct pci_function *p), void *ctx)
{
	if (card.address)
		each(ctx, &card);
}
bool pci_identify(pci_address_t a, struct pci_function *p)
{
	*p = card;
	return a == card.address;
}
int pci_bar(pci_address_t a, unsigned n, struct pci_bar *bar, struct failure *f)
{
	(void)f;
	*bar = bars[n & 1];
	return a == card.address && (n == 1 || n == 2) ? 0 : -ENODEV;
}
void pci_power_on(pci_address_t a) { assert_int_equal(a, card.address); }
void pci_no_interrupts(pci_address_t a) { assert_int_equal(a, card.address); }
void pci_place(pci_address_t a, char place[PCI_PLACE_MAX]) { snprintf(place, PCI_PLACE_MAX, "at %x", a); }
void pci_command(pci_address_t a, uint32_t set, uint32_t clear)
{
	assert_int_equal(a, card.address);
	assert_int_equal(clear, 0);
	card_command |= set;
}

static void say(const char *line)
{
	for (unsigned i = 0; i < sink_count; i++)
		sinks[i](LOG_INFO, line, strlen(line));
}

static void machine(uint16_t port, void *window, unsigned stride)
{
	chip = (struct uart16550){ .port = port, .window = window, .stride = stride, .width = 1, .divisor = 3 };
	uart16550_start(&chip);
	memset(&acpi, 0, sizeof acpi);
	memset(&card, 0, sizeof card);
	card_command = 0;
	boot.range_count = 2;
	boot.ranges[0] = (struct boot_range){ 0, MIB(64), BOOT_RANGE_RAM };
	boot.ranges[1] = (struct boot_range){ 0xfe000000, MIB(16), BOOT_RANGE_RESERVED };
	routed = -1;
	arrives = true;
	no_ioapic = false;
	sink_count = 0;
}

static void start(struct serial_config c)
{
	static struct serial_config kept;

	kept = c;
	serial_init_early(&kept);
	say("early\n");
	serial_find();
	say("found\n");
	serial_start();
	say("on\n");
	uart_flush();
}

static void com1_is_the_default(void **state)
{
	(void)state;
	machine(0x3f8, NULL, 1);
	start((struct serial_config){ .kind = SERIAL_AUTO });
	assert_string_equal(serial_describe(), "I/O port 3f8h, by interrupt");
	assert_int_equal(routed, 4);
	assert_string_equal(chip.sent, "before\nearly\nfound\non\n");
}

static void another_port(void **state)
{
	(void)state;
	machine(0x2f8, NULL, 1);
	start((struct serial_config){ .kind = SERIAL_PORT, .address = 0x2f8 });
	assert_string_equal(serial_describe(), "I/O port 2f8h, by interrupt");
	assert_int_equal(routed, 3);
	assert_string_equal(chip.sent, "before\nearly\nfound\non\n");
}

static void a_port_without_known_interrupt(void **state)
{
	(void)state;
	machine(0xd000, NULL, 1);
	start((struct serial_config){ .kind = SERIAL_PORT, .address = 0xd000 });
	assert_string_equal(serial_describe(), "I/O port d000h, polled");
	assert_int_equal(routed, -1);
	assert_int_equal(uart_poll_ms(), 10);
}

static void an_interrupt_that_does_not_come(void **state)
{
	(void)state;
	machine(0x3f8, NULL, 1);
	arrives = false;
	start((struct serial_config){ .kind = SERIAL_AUTO });
	assert_string_equal(serial_describe(), "I/O port 3f8h, polled");
}

static void no_io_apic(void **state)
{
	(void)state;
	machine(0x3f8, NULL, 1);
	no_ioapic = true;
	start((struct serial_config){ .kind = SERIAL_AUTO });
	assert_string_equal(serial_describe(), "I/O port 3f8h, polled");
}

static void nothing_at_all(void **state)
{
	(void)state;
	machine(0, NULL, 1);
	chip.absent = true;
	start((struct serial_config){ .kind = SERIAL_AUTO });
	assert_null(serial_describe());
	assert_int_equal(uart_poll_ms(), 0);
	assert_true(chip.accesses < 10);
}

static void none_is_wanted(void **state)
{
	(void)state;
	machine(0x3f8, NULL, 1);
	acpi.uart_count = 1;
	acpi.uarts[0] = (struct acpi_uart){ .table = "SPCR", .io = true, .address = 0x3f8, .stride = 1, .width = 1 };
	start((struct serial_config){ .kind = SERIAL_NONE });
	assert_null(serial_describe());
	assert_int_equal(chip.accesses, 0);
}

/* SPCR's comes first; it answers nothing here, so DBG2's is taken. */
static void acpi_names_one_in_memory(void **state)
{
	(void)state;
	machine(0, UART16550_WINDOW, 4);
	acpi.uart_count = 2;
	acpi.uarts[0] = (struct acpi_uart){ .table = "SPCR", .io = true, .address = 0x2e8, .stride = 1, .width = 1,
					    .isa_irq = 5 };
	acpi.uarts[1] = (struct acpi_uart){ .table = "DBG2", .address = MEMORY, .stride = 4, .width = 1, .isa_irq = -1 };
	start((struct serial_config){ .kind = SERIAL_AUTO });
	assert_string_equal(serial_describe(), "fe034000h in memory (ACPI DBG2), polled");
	assert_string_equal(chip.sent, "before\nfound\non\n");
	assert_int_equal(chip.divisor, 3);
}

static void acpi_names_com1(void **state)
{
	(void)state;
	machine(0x3f8, NULL, 1);
	acpi.uart_count = 1;
	acpi.uarts[0] = (struct acpi_uart){ .table = "SPCR", .io = true, .address = 0x3f8, .stride = 1, .width = 1,
					    .isa_irq = 11 };
	start((struct serial_config){ .kind = SERIAL_ACPI });
	assert_string_equal(serial_describe(), "I/O port 3f8h, by interrupt");
	assert_int_equal(routed, 11);
}

static void configured_in_memory(void **state)
{
	(void)state;
	machine(0, UART16550_WINDOW, 4);
	start((struct serial_config){ .kind = SERIAL_MEMORY, .address = MEMORY, .stride = 4 });
	assert_string_equal(serial_describe(), "fe034000h in memory, polled");
	assert_string_equal(chip.sent, "before\nfound\non\n");
}

/* Register 1 has too few bytes, register 2 is it. */
static void pci_card(void **state)
{
	(void)state;
	machine(0xc000, NULL, 1);
	card = (struct pci_function){ .address = 0x18, .class_code = 0x070002 };
	bars[1] = (struct pci_bar){ .base = 0xd000, .size = 4, .io = true };
	bars[0] = (struct pci_bar){ .base = 0xc000, .size = 8, .io = true };
	start((struct serial_config){ .kind = SERIAL_AUTO });
	assert_string_equal(serial_describe(), "I/O port c000h (PCI at 18), polled");
	assert_string_equal(chip.sent, "before\nfound\non\n");
	assert_int_equal(chip.divisor, 1);
	assert_int_equal(card_command, PCI_COMMAND_IO);
}

static void pci_card_with_memory(void **state)
{
	(void)state;
	machine(0, UART16550_WINDOW, 1);
	card = (struct pci_function){ .address = 0x205, .class_code = 0x078000 };
	bars[1] = (struct pci_bar){ .base = MEMORY, .size = 4096 };
	bars[0] = (struct pci_bar){ .base = 0x1000, .size = 4096 }; /* there is memory */
	start((struct serial_config){ .kind = SERIAL_AUTO }); /* no UART by its class */
	assert_null(serial_describe());
	sink_count = 0;
	start((struct serial_config){ .kind = SERIAL_PCI, .address = 0x204 });
	assert_null(serial_describe());
	sink_count = 0;
	start((struct serial_config){ .kind = SERIAL_PCI, .address = 0x205 });
	assert_string_equal(serial_describe(), "fe034000h in memory (PCI at 205), polled");
	assert_int_equal(card_command, PCI_COMMAND_MEMORY);
	assert_int_equal(chip.divisor, 3);
}

/* COM1 serves until then; the other gets the log from its beginning. */
static void com1_first_and_then_the_other(void **state)
{
	void *window = UART16550_WINDOW;
	struct uart16550 com1;
	struct serial_config c = { .kind = SERIAL_MEMORY, .address = MEMORY, .stride = 1 };

	(void)state;
	machine(0x3f8, window, 1);
	serial_init_early(&c);
	say("early\n");
	com1 = chip;
	assert_string_equal(com1.sent, "before\nearly\n");
	chip.sent_len = 0;
	memset(chip.sent, 0, sizeof chip.sent);
	chip.port = 0;
	serial_find();
	say("found\n");
	assert_string_equal(chip.sent, "before\nfound\n"); /* once each */
	assert_string_equal(serial_describe(), "fe034000h in memory");
}

static void what_is_not_there_leaves_com1(void **state)
{
	(void)state;
	machine(0x3f8, NULL, 1);
	start((struct serial_config){ .kind = SERIAL_MEMORY, .address = 0xfe000000, .stride = 4 }); /* not mapped */
	assert_string_equal(serial_describe(), "I/O port 3f8h, by interrupt");
	assert_string_equal(test_last_log, "serial: no UART answers where gnomon.conf wants it: it stays at COM1");
	assert_string_equal(chip.sent, "before\nearly\nfound\non\n");
}

/* Memory, the hypervisor's own included, and addresses that the CPU does not have are never touched. */
static void no_device_can_be_there(void **state)
{
	static const uint64_t places[] = { 0x1000, MIB(64) - 1, BIT(39), BIT(39) - 1, UINT64_MAX - 64 };

	(void)state;
	machine(0, NULL, 1);
	chip.absent = true;
	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		struct serial_config c = { .kind = SERIAL_MEMORY, .address = places[i], .stride = 8 };

		serial_init_early(&c);
		serial_find();
		assert_non_null(strstr(test_last_log, "where gnomon.conf wants it"));
		assert_null(serial_describe());
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(com1_is_the_default),
		cmocka_unit_test(another_port),
		cmocka_unit_test(a_port_without_known_interrupt),
		cmocka_unit_test(an_interrupt_that_does_not_come),
		cmocka_unit_test(no_io_apic),
		cmocka_unit_test(nothing_at_all),
		cmocka_unit_test(none_is_wanted),
		cmocka_unit_test(acpi_names_one_in_memory),
		cmocka_unit_test(acpi_names_com1),
		cmocka_unit_test(configured_in_memory),
		cmocka_unit_test(pci_card),
		cmocka_unit_test(pci_card_with_memory),
		cmocka_unit_test(com1_first_and_then_the_other),
		cmocka_unit_test(what_is_not_there_leaves_com1),
		cmocka_unit_test(no_device_can_be_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
