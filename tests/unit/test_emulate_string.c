/* sources: hv/emulate/ hv/base/failure.c hv/base/format.c tests/unit/emu_guest.c */
/* String instructions and string I/O: bounded repetition, and faults that keep what is finished. */
#include "hv/emulate/string_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/x86.h"
#include "tests/unit/emu_guest.h"

/* ---- repetition ---- */

static void test_long_repetition_yields(void **state)
{
	(void)state;
	g.gpr[RCX] = 150;
	g.gpr[RDI] = 0x2000;
	g.gpr[RAX] = 0x5a;
	for (unsigned left = 150; left > EMU_MAX_ITERATIONS; left -= EMU_MAX_ITERATIONS) {
		assert_int_equal(RUN(0xf3, 0xaa), EMU_RETRY);
		assert_true(g.gpr[RCX] == left - EMU_MAX_ITERATIONS);
		assert_true(g.cpu.rip == CODE);
	}
	assert_int_equal(RUN(0xf3, 0xaa), EMU_DONE);
	assert_true(g.gpr[RCX] == 0 && g.gpr[RDI] == 0x2096 && g.cpu.rip == CODE + 2);
	assert_int_equal(g.memory[0x2095], 0x5a);
	assert_int_equal(g.memory[0x2096], 0);
}

static void test_caller_limits_iterations(void **state)
{
	(void)state;
	g.cpu.max_iterations = 1;
	g.gpr[RCX] = 3;
	g.gpr[RDI] = 0x2000;
	g.gpr[RAX] = 0x5a;
	assert_int_equal(RUN(0xf3, 0xaa), EMU_RETRY);
	assert_int_equal(RUN(0xf3, 0xaa), EMU_RETRY);
	assert_true(g.gpr[RCX] == 1 && g.gpr[RDI] == 0x2002 && g.cpu.rip == CODE);
	assert_int_equal(RUN(0xf3, 0xaa), EMU_DONE);
	assert_true(g.gpr[RCX] == 0 && g.cpu.rip == CODE + 2);
	assert_int_equal(RUN(0xaa), EMU_DONE); /* not repeated: no matter */
}

static void test_fault_keeps_finished_iterations(void **state)
{
	(void)state;
	g.gpr[RCX] = 20;
	g.gpr[RSI] = 0x5000;
	g.gpr[RDI] = 0x2ff0;
	g.absent[3] = true;
	assert_int_equal(RUN(0xf3, 0xa5), EMU_FAULT);
	assert_true(g.cpu.fault.cr2 == 0x3000);
	assert_true(g.gpr[RCX] == 16 && g.gpr[RSI] == 0x5010 && g.gpr[RDI] == 0x3000 && g.cpu.rip == CODE);
	g.absent[3] = false;
	assert_int_equal(RUN(0xf3, 0xa5), EMU_DONE);
	assert_true(g.gpr[RCX] == 0 && g.gpr[RDI] == 0x3040);
}

static void test_repetition_of_nothing(void **state)
{
	(void)state;
	g.gpr[RDI] = 0x2000;
	assert_int_equal(RUN(0xf3, 0xab), EMU_DONE);
	assert_int_equal(g.writes, 0);
	assert_true(g.cpu.rip == CODE + 2);
}

/* ---- string I/O ---- */

static struct {
	uint16_t port;
	uint32_t value;
	unsigned reads, writes;
	uint8_t log[256];
} device;

static uint32_t port_read(struct emu_cpu *cpu, uint16_t port, unsigned size)
{
	(void)cpu;
	(void)size;
	device.port = port;
	device.reads++;
	return device.value++;
}

static void port_write(struct emu_cpu *cpu, uint16_t port, unsigned size, uint32_t value)
{
	(void)cpu;
	(void)size;
	device.port = port;
	device.log[device.writes++ % 256] = (uint8_t)value;
}

static struct string_io make_io(bool in, unsigned size, bool repeat)
{
	memset(&device, 0, sizeof(device));
	return (struct string_io){ .port = 0x1f0, .size = (uint8_t)size, .addr_size = 8, .segment = SEG_DS,
		                   .length = repeat ? 2 : 1, .in = in, .repeat = repeat,
		                   .port_read = port_read, .port_write = port_write };
}

static void test_outs(void **state)
{
	struct string_io io = make_io(false, 1, true);

	(void)state;
	memcpy(g.memory + 0x2ffe, "abcd", 4); /* across a page */
	g.gpr[RSI] = 0x2ffe;
	g.gpr[RCX] = 4;
	assert_int_equal(emulate_string_io(&g.cpu, &io), EMU_DONE);
	assert_memory_equal(device.log, "abcd", 4);
	assert_int_equal(device.port, 0x1f0);
	assert_true(g.gpr[RSI] == 0x3002 && g.gpr[RCX] == 0 && g.cpu.rip == CODE + 2);
	assert_int_equal(emulate_string_io(&g.cpu, &io), EMU_DONE); /* count 0 */
	assert_int_equal(device.writes, 4);
	io = make_io(false, 4, false);
	g.cpu.rflags |= RFLAGS_DF;
	assert_int_equal(emulate_string_io(&g.cpu, &io), EMU_DONE);
	assert_true(g.gpr[RSI] == 0x2ffe && g.gpr[RCX] == 0 && g.cpu.rip == CODE + 5);
}

static void test_ins_is_bounded(void **state)
{
	struct string_io io = make_io(true, 2, true);
	unsigned rounds = 1;

	(void)state;
	g.gpr[RDI] = 0x2f80;
	g.gpr[RCX] = 200;
	while (emulate_string_io(&g.cpu, &io) == EMU_RETRY)
		rounds++;
	assert_int_equal(rounds, (200 + EMU_MAX_ITERATIONS - 1) / EMU_MAX_ITERATIONS);
	assert_int_equal(device.reads, 200);
	assert_int_equal(g.memory[0x2f80 + 398], 199);
	assert_true(g.gpr[RDI] == 0x2f80 + 400 && g.cpu.rip == CODE + 2);
}

/* A word that does not fit any more is not taken from the port. */
static void test_ins_fault(void **state)
{
	struct string_io io = make_io(true, 2, true);

	(void)state;
	g.absent[3] = true;
	g.gpr[RDI] = 0x2ffb;
	g.gpr[RCX] = 10;
	assert_int_equal(emulate_string_io(&g.cpu, &io), EMU_FAULT);
	assert_true(g.cpu.fault.cr2 == 0x3000);
	assert_int_equal(device.reads, 2);
	assert_true(g.gpr[RDI] == 0x2fff && g.gpr[RCX] == 8 && g.cpu.rip == CODE);
	g.absent[3] = false;
	assert_int_equal(emulate_string_io(&g.cpu, &io), EMU_DONE);
	assert_int_equal(device.reads, 10);
}

static void test_string_io_in_16_bits(void **state)
{
	struct string_io io = make_io(false, 1, true);

	(void)state;
	g.cpu.mode = CPU_MODE_16;
	io.addr_size = 2;
	io.segment = SEG_ES;
	g.segments[SEG_ES] = (struct emu_segment){ 0x2000, 0x1f, 0x93 };
	g.gpr[RSI] = 0x7777001e;
	g.gpr[RCX] = 0x88880004;
	assert_int_equal(emulate_string_io(&g.cpu, &io), EMU_FAULT);
	assert_int_equal(g.cpu.fault.vector, VEC_GP);
	assert_int_equal(device.writes, 2);
	assert_true(g.gpr[RSI] == 0x77770020 && g.gpr[RCX] == 0x88880002);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, guest_setup)
	const struct CMUnitTest tests[] = {
		TEST(test_long_repetition_yields), TEST(test_caller_limits_iterations),
		TEST(test_fault_keeps_finished_iterations),
		TEST(test_repetition_of_nothing), TEST(test_outs), TEST(test_ins_is_bounded),
		TEST(test_ins_fault), TEST(test_string_io_in_16_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
