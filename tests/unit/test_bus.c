/* sources: hv/bus.c hv/base/failure.c hv/base/format.c */
#include "hv/bus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/random.h"

/* A device that remembers its last access and reads as its own id in every byte. */
struct probe {
	uint8_t id;
	uint64_t at, value;
	unsigned size, count;
};

static uint32_t probe_in(void *dev, uint16_t port, unsigned size)
{
	struct probe *p = dev;

	p->at = port;
	p->size = size;
	p->count++;
	return 0x01010101u * p->id;
}

static void probe_out(void *dev, uint16_t port, unsigned size, uint32_t value)
{
	struct probe *p = dev;

	p->at = port;
	p->size = size;
	p->value = p->value << 8 * size | value;
	p->count++;
}

static uint64_t probe_load(void *dev, uint64_t offset, unsigned size)
{
	struct probe *p = dev;

	p->at = offset;
	p->size = size;
	p->count++;
	return 0x0101010101010101ul * p->id;
}

static void probe_store(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct probe *p = dev;

	p->at = offset;
	p->size = size;
	p->value = size == 8 ? value : p->value << 8 * size | value;
	p->count++;
}

static const struct pio_ops wide = { probe_in, probe_out, 0 };
static const struct pio_ops narrow = { probe_in, probe_out, 1 };
static const struct mmio_ops memory = { probe_load, probe_store };

static struct bus bus;
static struct failure failure;

static void finds_the_device(void **state)
{
	struct probe a = { .id = 0xaa };
	uint32_t v = 0;
	(void)state;

	bus_init(&bus);
	assert_int_equal(bus_add_pio(&bus, 0x100, 4, &wide, &a, "a", &failure), 0);
	assert_true(bus_pio_read(&bus, 0x100, 4, &v));
	assert_int_equal(v, 0xaaaaaaaa);
	assert_int_equal(a.size, 4);
	assert_true(bus_pio_write(&bus, 0x102, 2, 0x1234));
	assert_int_equal(a.at, 0x102);
	assert_int_equal(a.value, 0x1234);
	v = 5;
	assert_false(bus_pio_read(&bus, 0xff, 1, &v));
	assert_false(bus_pio_read(&bus, 0x104, 4, &v));
	assert_false(bus_pio_write(&bus, 0x104, 4, 0));
	assert_int_equal(v, 5);
}

static void splits_what_crosses(void **state)
{
	struct probe a = { .id = 0xaa }, b = { .id = 0xbb };
	uint32_t v;
	(void)state;

	bus_init(&bus);
	assert_int_equal(bus_add_pio(&bus, 0x100, 2, &wide, &a, "a", &failure), 0);
	assert_int_equal(bus_add_pio(&bus, 0x103, 1, &wide, &b, "b", &failure), 0);
	assert_true(bus_pio_read(&bus, 0x101, 4, &v));
	assert_int_equal(v, 0xffbbffaa);
	assert_true(bus_pio_write(&bus, 0x100, 4, 0x44332211));
	assert_int_equal(a.value, 0x1122);
	assert_int_equal(b.value, 0x44);
	/* The last port: what would lie beyond answers nothing, and port 0 is not touched. */
	assert_int_equal(bus_add_pio(&bus, 0xffff, 1, &wide, &a, "last", &failure), 0);
	assert_int_equal(bus_add_pio(&bus, 0, 1, &wide, &b, "first", &failure), 0);
	b.count = 0;
	assert_true(bus_pio_read(&bus, 0xffff, 4, &v));
	assert_int_equal(v, 0xffffffaa);
	assert_true(bus_pio_write(&bus, 0xffff, 2, 0));
	assert_int_equal(b.count, 0);
}

static void narrow_devices_get_bytes(void **state)
{
	struct probe a = { .id = 0x5a };
	uint32_t v;
	(void)state;

	bus_init(&bus);
	assert_int_equal(bus_add_pio(&bus, 0x20, 2, &narrow, &a, "a", &failure), 0);
	assert_true(bus_pio_write(&bus, 0x20, 2, 0x2211));
	assert_int_equal(a.count, 2);
	assert_int_equal(a.value, 0x1122);
	assert_true(bus_pio_read(&bus, 0x20, 2, &v));
	assert_int_equal(v, 0x5a5a);
	assert_int_equal(a.size, 1);
}

static void mmio_ranges(void **state)
{
	struct probe a = { .id = 0xaa }, b = { .id = 0xbb };
	uint64_t v = 1;
	(void)state;

	bus_init(&bus);
	assert_int_equal(bus_add_mmio(&bus, 0x1000, 0x1000, &memory, &a, "a", &failure), 0);
	assert_int_equal(bus_add_mmio(&bus, 0x2000, 0x10, &memory, &b, "b", &failure), 0);
	assert_true(bus_mmio_read(&bus, 0x1ff8, 8, &v));
	assert_int_equal(a.at, 0xff8);
	assert_true(bus_mmio_read(&bus, 0x1ffc, 8, &v));
	assert_true(v == 0xbbbbbbbbaaaaaaaaul);
	assert_true(bus_mmio_read(&bus, 0x200c, 8, &v));
	assert_true(v == 0xffffffffbbbbbbbbul);
	assert_true(bus_mmio_write(&bus, 0x1fff, 2, 0x2211));
	assert_int_equal(a.value, 0x11);
	assert_int_equal(b.value, 0x22);
	assert_false(bus_mmio_read(&bus, 0x2010, 4, &v));
	assert_false(bus_mmio_write(&bus, 0xfff, 1, 0));
	assert_false(bus_mmio_read(&bus, ~0ul - 3, 8, &v));
}

static void refuses_with_names(void **state)
{
	struct probe a = { .id = 1 };
	(void)state;

	bus_init(&bus);
	assert_int_equal(bus_add_pio(&bus, 0x60, 5, &wide, &a, "keys", &failure), 0);
	assert_int_equal(bus_add_pio(&bus, 0x62, 4, &wide, &a, "other", &failure), -EBUSY);
	assert_string_equal(failure.text, "port 62h is wanted by other but belongs to keys");
	assert_int_equal(bus_add_pio(&bus, 0xffff, 2, &wide, &a, "end", &failure), -EINVAL);
	assert_int_equal(bus_add_pio(&bus, 0x80, 0, &wide, &a, "none", &failure), -EINVAL);
	for (unsigned i = 2; i < BUS_MAX_PIO; i++)
		assert_int_equal(bus_add_pio(&bus, (uint16_t)(0x1000 + i), 1, &wide, &a, "x", &failure), 0);
	assert_int_equal(bus_add_pio(&bus, 0x80, 1, &wide, &a, "late", &failure), -ENOSPC);
	assert_non_null(strstr(failure.text, "late"));

	assert_int_equal(bus_add_mmio(&bus, 0x1000, 0x1000, &memory, &a, "ram", &failure), 0);
	assert_int_equal(bus_add_mmio(&bus, 0x1fff, 1, &memory, &a, "hole", &failure), -EBUSY);
	assert_non_null(strstr(failure.text, "hole overlaps ram"));
	assert_int_equal(bus_add_mmio(&bus, ~0ul, 2, &memory, &a, "wrap", &failure), -EINVAL);
	for (unsigned i = 1; i < BUS_MAX_MMIO; i++)
		assert_int_equal(bus_add_mmio(&bus, 0x10000ul * i, 1, &memory, &a, "x", &failure), 0);
	assert_int_equal(bus_add_mmio(&bus, 0, 1, &memory, &a, "late", &failure), -ENOSPC);
}

/* Every port and size against a plain walk over the ranges. */
static void every_port_agrees_with_a_walk(void **state)
{
	static struct probe probes[20];
	uint16_t first[20], count[20];
	uint64_t seed = 42;
	unsigned n = 0;
	(void)state;

	bus_init(&bus);
	while (n < 20) {
		first[n] = (uint16_t)test_random(&seed);
		count[n] = (uint16_t)(test_random(&seed) % 7 + 1);
		probes[n].id = (uint8_t)(n + 1);
		const struct pio_ops *ops = n % 2 ? &wide : &narrow;
		n += bus_add_pio(&bus, first[n], count[n], ops, &probes[n], "p", NULL) == 0;
	}
	for (unsigned i = 0; i < 200000; i++) {
		uint16_t port = (uint16_t)(first[i % 20] + test_random(&seed) % 16 - 6);
		unsigned size = 1u << test_random(&seed) % 3;
		uint32_t want = 0, got = 0;
		bool any = false;

		for (unsigned b = 0; b < size; b++) {
			uint8_t byte = 0xff;

			for (unsigned r = 0; r < n; r++)
				if (port + b >= first[r] && port + b < (unsigned)first[r] + count[r]) {
					byte = (uint8_t)(r + 1);
					any = true;
				}
			want |= (uint32_t)byte << 8 * b;
		}
		assert_int_equal(bus_pio_read(&bus, port, size, &got), any);
		if (any)
			assert_int_equal(got & (uint32_t)(BITS(31, 0) >> (32 - 8 * size)), want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_device),
		cmocka_unit_test(splits_what_crosses),
		cmocka_unit_test(narrow_devices_get_bytes),
		cmocka_unit_test(mmio_ranges),
		cmocka_unit_test(refuses_with_names),
		cmocka_unit_test(every_port_agrees_with_a_walk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
