/* sources: hv/devices/vpci.c hv/devices/vreset.c hv/bus.c hv/base/failure.c hv/base/format.c */
#include "hv/devices/vpci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/random.h"

static struct bus bus;
static struct vreset reset;
static struct vpci pci;
static unsigned resets, debug_exits;
static const char *why;
static uint32_t debug_value;

static void on_power_off(void *vm) { (void)vm; }

static void on_reset(void *vm, const char *reason)
{
	(void)vm;
	resets++;
	why = reason;
}

static void on_debug_exit(void *vm, uint32_t value)
{
	(void)vm;
	debug_exits++;
	debug_value = value;
}

static void start(void)
{
	struct machine_events events = { on_power_off, on_reset, on_debug_exit, NULL };

	resets = debug_exits = 0;
	bus_init(&bus);
	vreset_init(&reset, &events);
	vpci_init(&pci, &reset);
	assert_int_equal(vreset_attach(&reset, &bus, NULL), 0);
	assert_int_equal(vpci_attach(&pci, &bus, NULL), 0);
}

static void out(uint16_t port, unsigned size, uint32_t v) { assert_true(bus_pio_write(&bus, port, size, v)); }

static uint32_t in(uint16_t port, unsigned size)
{
	uint32_t v = 0;

	assert_true(bus_pio_read(&bus, port, size, &v));
	return v & (uint32_t)(BITS(31, 0) >> (32 - 8 * size));
}

static uint32_t config(uint16_t bdf, unsigned offset, unsigned size)
{
	out(0xcf8, 4, 0x80000000u | (uint32_t)bdf << 8 | (offset & 0xfc));
	return in((uint16_t)(0xcfc + (offset & 3)), size);
}

static void finds_the_host_bridge(void **state)
{
	(void)state;
	start();
	assert_int_equal(config(0, 0, 4), 0x12378086);
	assert_int_equal(config(0, 2, 2), 0x1237);
	assert_int_equal(config(0, 8, 4) >> 8, 0x060000);
	assert_int_equal(config(0, 0xb, 1), 6);
	assert_int_equal(config(0, 0xe, 1), 0);
	assert_int_equal(config(0, 0x10, 4), 0);
	assert_int_equal(config(0, 0xfc, 4), 0);
	out(0xcfc, 4, ~0u); /* nothing in it can be written */
	assert_int_equal(config(0, 0xfc, 4), 0);
	out(0xcf8, 4, 0x12345678);
	assert_int_equal(in(0xcf8, 4), 0x00345678);
	assert_int_equal(in(0xcfc, 4), 0xffffffff); /* not enabled */
}

static void everything_else_is_absent(void **state)
{
	(void)state;
	start();
	for (unsigned bdf = 1; bdf < 65536; bdf++)
		assert_int_equal(config((uint16_t)bdf, 0, 4), 0xffffffff);
	assert_int_equal(config(8, 0, 2), 0xffff);
	assert_int_equal(config(8, 1, 1), 0xff);
}

static uint32_t fn_read(void *dev, unsigned offset, unsigned size)
{
	uint32_t v = 0;

	assert_true((offset & 3) + size <= 4);
	memcpy(&v, (uint8_t *)dev + offset, size);
	return v;
}

static void fn_write(void *dev, unsigned offset, unsigned size, uint32_t value)
{
	memcpy((uint8_t *)dev + offset, &value, size);
}

static void registered_functions(void **state)
{
	static const struct vpci_ops ops = { fn_read, fn_write };
	static uint8_t space[256];
	struct failure f;
	uint64_t seed = 21;
	(void)state;
	start();
	assert_int_equal(vpci_add(&pci, VPCI_BDF(0, 3, 0), &ops, space, &f), 0);
	assert_int_equal(vpci_add(&pci, VPCI_BDF(0, 3, 0), &ops, space, &f), -EBUSY);
	assert_string_equal(f.text, "PCI function 00:03.0 is there already");
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t r = test_random(&seed);
		unsigned size = 1u << r % 3, offset = r >> 8 & 0xff & ~(size - 1);
		uint32_t value = (uint32_t)(r >> 32) & (uint32_t)(BITS(31, 0) >> (32 - 8 * size)), got = 0;

		out(0xcf8, 4, 0x80001800 | (offset & 0xfc));
		out((uint16_t)(0xcfc + (offset & 3)), size, value);
		memcpy(&got, space + offset, size);
		assert_int_equal(got, value);
		assert_int_equal(config(VPCI_BDF(0, 3, 0), offset, size), value);
	}
	for (unsigned i = 4; pci.count < VPCI_MAX_FUNCTIONS; i++)
		assert_int_equal(vpci_add(&pci, VPCI_BDF(0, i, 0), &ops, space, &f), 0);
	assert_int_equal(vpci_add(&pci, VPCI_BDF(1, 0, 0), &ops, space, &f), -ENOSPC);
}

static void cf9_resets_on_its_edge(void **state)
{
	(void)state;
	start();
	out(0xcf8, 4, 0x80000000);
	out(0xcf9, 1, 0x02);
	assert_int_equal(resets, 0);
	assert_int_equal(in(0xcf9, 1), 0x02);
	out(0xcf9, 1, 0x06);
	assert_int_equal(resets, 1);
	assert_string_equal(why, "port cf9h");
	out(0xcf9, 1, 0x06);
	assert_int_equal(resets, 1);
	assert_int_equal(in(0xcf8, 4), 0x80000000);
	out(0xcf8, 4, 0xffffffff); /* an address is no reset */
	assert_int_equal(resets, 1);
	assert_int_equal(in(0xcf8, 1), 0xff);
	vreset_reset(&reset);
	vpci_reset(&pci);
	assert_int_equal(in(0xcf8, 4), 0);
	assert_int_equal(in(0xcf9, 1), 0);
}

static void other_ways_out(void **state)
{
	(void)state;
	start();
	assert_int_equal(in(0x64, 1), 0xff);
	for (unsigned v = 0; v < 256; v++) {
		resets = 0;
		out(0x64, 1, v);
		assert_int_equal(resets, v >= 0xf0 && !(v & 1));
	}
	resets = 0;
	assert_int_equal(in(0x92, 1), 2);
	out(0x92, 1, 0);
	assert_int_equal(in(0x92, 1), 0);
	out(0x92, 1, 3);
	assert_int_equal(resets, 1);
	assert_string_equal(why, "port 92h");
	out(0xf4, 4, 0xdeadbeef);
	assert_int_equal(debug_exits, 1);
	assert_int_equal(debug_value, 0xdeadbeef);
	out(0xf4, 1, 0xdeadbe2a); /* what is above AL in the guest's register was not written */
	assert_int_equal(debug_value, 0x2a);
	assert_int_equal(in(0xf4, 2), 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_host_bridge),
		cmocka_unit_test(everything_else_is_absent),
		cmocka_unit_test(registered_functions),
		cmocka_unit_test(cf9_resets_on_its_edge),
		cmocka_unit_test(other_ways_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
