/* sources: hv/emulate/ hv/base/failure.c hv/base/format.c */
/*
 * Any bytes as code, registers, segments and memory's answers: the emulator ends in bounded time with
 * a result it may give, changes no register when it refuses, and never moves rip but when done.
 */
#include "hv/emulate/emulate.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hv/base/x86.h"
#include "hv/emulate/string_io.h"
#include "tests/fuzz/fuzz.h"

/* Callbacks in one call: two pages of code, and five for each iteration of a string instruction. */
#define MAX_CALLS (5 * EMU_MAX_ITERATIONS + 20)

struct input {
	uint64_t gpr[16], rip, rflags, exit_gpa, exit_la, memory;
	uint32_t limits[6], rights[6];
	uint8_t mode, known, write, fail_at, split, io_size, io_addr, io_flags;
	uint8_t code[INSN_MAX_BYTES];
};

static struct input input;
static unsigned calls;
static bool xmm_may_change;

/* Every callback may be the one that ends the instruction. */
static enum emu_result answer(struct emu_cpu *cpu)
{
	assert_true(++calls <= MAX_CALLS);
	if (input.fail_at == 0 || calls != input.fail_at)
		return EMU_DONE;
	cpu->reason = "of the test";
	return (enum emu_result)(1 + input.memory % 3);
}

static void check_place(const struct emu_cpu *cpu, struct emu_addr at, unsigned size)
{
	assert_true(size == 1 || size == 2 || size == 4 || size == 8 || size == 16);
	assert_true(cpu->mode == CPU_MODE_64 || at.la >> 32 == 0);
	assert_true(at.gpa == GPA_UNKNOWN || at.gpa == input.exit_gpa || at.gpa == input.exit_gpa + 8);
	assert_true(at.gpa == GPA_UNKNOWN || (at.gpa & PAGE_MASK) + size <= PAGE_SIZE);
}

static enum emu_result on_fetch(struct emu_cpu *cpu, gva_t la, uint8_t *bytes, unsigned max, unsigned *got)
{
	unsigned done = cpu->byte_count;

	(void)la;
	assert_true(max >= 1 && done + max <= INSN_MAX_BYTES);
	*got = done == 0 && input.split % 16 && input.split % 16 < max ? input.split % 16 : max;
	memcpy(bytes, input.code + done, *got);
	return answer(cpu);
}

static enum emu_result on_read(struct emu_cpu *cpu, struct emu_addr at, unsigned size, uint64_t *value)
{
	check_place(cpu, at, size);
	assert_true(size <= 8);
	*value = size == 8 ? input.memory : input.memory & (BIT(8 * size) - 1);
	return answer(cpu);
}

static enum emu_result on_write(struct emu_cpu *cpu, struct emu_addr at, unsigned size, uint64_t value)
{
	check_place(cpu, at, size);
	assert_true(at.gpa == GPA_UNKNOWN || cpu->exit_write);
	assert_true(size <= 8);
	assert_true(size == 8 || value >> (8 * size) == 0);
	return answer(cpu);
}

static enum emu_result on_probe(struct emu_cpu *cpu, struct emu_addr *at, unsigned size)
{
	check_place(cpu, *at, size);
	return answer(cpu);
}

static enum emu_result on_exchange(struct emu_cpu *cpu, struct emu_addr at, unsigned size, const uint64_t *old,
				   const uint64_t *value)
{
	(void)old;
	if (size < 16)
		return on_write(cpu, at, size, *value);
	check_place(cpu, at, size);
	assert_true(at.la % 16 == 0);
	return answer(cpu);
}

static enum emu_result on_xmm_read(struct emu_cpu *cpu, unsigned xmm, uint64_t value[2])
{
	assert_true(xmm < 16);
	value[0] = input.memory;
	value[1] = ~input.memory;
	xmm_may_change = answer(cpu) == EMU_DONE;
	return xmm_may_change ? EMU_DONE : EMU_FAULT;
}

static void on_xmm_write(struct emu_cpu *cpu, unsigned xmm, const uint64_t value[2])
{
	(void)cpu;
	(void)value;
	assert_true(xmm < 16 && xmm_may_change);
	xmm_may_change = false;
}

static void on_segment(struct emu_cpu *cpu, enum insn_segment segment, struct emu_segment *out)
{
	(void)cpu;
	*out = (struct emu_segment){ input.gpr[segment], input.limits[segment], input.rights[segment] };
}

static uint32_t on_port_read(struct emu_cpu *cpu, uint16_t port, unsigned size)
{
	(void)cpu;
	(void)port;
	return (uint32_t)input.memory & (size == 4 ? 0xffffffff : (1u << 8 * size) - 1);
}

static void on_port_write(struct emu_cpu *cpu, uint16_t port, unsigned size, uint32_t value)
{
	(void)cpu;
	(void)port;
	assert_true(size == 4 || value >> (8 * size) == 0);
}

static const struct emu_ops ops = { on_fetch, on_read, on_write,
				    on_probe, on_exchange, on_xmm_read, on_xmm_write, on_segment };

static struct emu_cpu make_cpu(struct decode_cache *cache, uint64_t *gpr)
{
	static const enum cpu_mode modes[] = { CPU_MODE_64, CPU_MODE_64, CPU_MODE_32, CPU_MODE_16 };

	return (struct emu_cpu){
		.ops = &ops, .cache = cache, .gpr = gpr, .rip = input.rip, .rflags = input.rflags,
		.mode = modes[input.mode % 4], .la_bits = input.mode & 4 ? 57 : 48,
		.exit_gpa = input.known & 1 ? input.exit_gpa : GPA_UNKNOWN, .exit_la = input.exit_la,
		.max_iterations = EMU_MAX_ITERATIONS, .exit_la_valid = input.known & 2, .exit_write = input.write & 1,
	};
}

static bool take_input(const uint8_t *data, size_t len)
{
	if (len < offsetof(struct input, code) + 1)
		return false;
	memset(&input, 0, sizeof(input));
	memcpy(&input, data, len < sizeof(input) ? len : sizeof(input));
	calls = 0;
	return true;
}

static void check_end(const struct emu_cpu *cpu, enum emu_result result, unsigned length)
{
	uint64_t next = input.rip + length;

	assert_in_range(result, EMU_DONE, EMU_UNSUPPORTED);
	assert_true(cpu->rip == (result != EMU_DONE ? input.rip : cpu->mode == CPU_MODE_64 ? next : (uint32_t)next));
	assert_true(result != EMU_UNSUPPORTED || cpu->reason);
}

static void emulate(const uint8_t *data, size_t len)
{
	static struct decode_cache cache;
	struct failure f = { "" };
	uint64_t gpr[16];
	struct insn in = { 0 };

	if (!take_input(data, len))
		return;
	memcpy(gpr, input.gpr, sizeof(gpr));
	struct emu_cpu cpu = make_cpu(&cache, gpr);
	int err = decode(input.code, INSN_MAX_BYTES, cpu.mode, &in);
	enum emu_result result = emulate_instruction(&cpu);
	check_end(&cpu, result, in.length);
	assert_true(result != EMU_DONE || err == 0);
	if (result != EMU_DONE && (err != 0 || in.form != FORM_STRING)) {
		assert_memory_equal(gpr, input.gpr, sizeof(gpr));
		assert_true(cpu.rflags == input.rflags);
	}
	emulate_explain(&cpu, &f);
	assert_true(memchr(f.text, 0, sizeof(f.text)) != NULL);
}

static void string_io(const uint8_t *data, size_t len)
{
	uint64_t gpr[16];

	if (!take_input(data, len))
		return;
	memcpy(gpr, input.gpr, sizeof(gpr));
	struct emu_cpu cpu = make_cpu(NULL, gpr);
	cpu.exit_gpa = GPA_UNKNOWN;
	struct string_io io = {
		.port = (uint16_t)input.memory, .size = (uint8_t)(1u << input.io_size % 3),
		.addr_size = (uint8_t)(2u << input.io_addr % 3), .segment = input.io_addr / 3 % 6,
		.length = 1 + input.split % INSN_MAX_BYTES, .in = input.io_flags & 1, .repeat = input.io_flags & 2,
		.port_read = on_port_read, .port_write = on_port_write,
	};
	check_end(&cpu, emulate_string_io(&cpu, &io), io.length);
}

/* Seeds: one of each kind of instruction, with flat segments and addresses that are canonical. */
static void seed_and_run(const uint8_t code[INSN_MAX_BYTES], unsigned rounds,
			 void (*body)(const uint8_t *data, size_t len))
{
	struct input seed = { .rip = 0x1000, .rflags = 2, .exit_gpa = 0x3010, .exit_la = 0x3010, .known = 3 };

	for (unsigned i = 0; i < 16; i++)
		seed.gpr[i] = 0x3000;
	for (unsigned i = 0; i < 6; i++) {
		seed.limits[i] = 0xffffffff;
		seed.rights[i] = 0xc093;
	}
	memcpy(seed.code, code, INSN_MAX_BYTES);
	fuzz_run(&seed, sizeof(seed), rounds, body);
}

static void test_emulate(void **state)
{
	static const uint8_t codes[][INSN_MAX_BYTES] = {
		{ 0x8b, 0x43, 0x10 }, { 0x41, 0x83, 0x64, 0x24, 0x10, 0x0f }, { 0xf3, 0x48, 0xa5 },
		{ 0xf2, 0xae }, { 0xf3, 0xa6 }, { 0xf0, 0x0f, 0xb1, 0x0b }, { 0x0f, 0xab, 0x03 }, { 0xff, 0x33 },
		{ 0x67, 0x8f, 0x43, 0x10 }, { 0xc7, 0x84, 0x87, 0, 3, 0, 0, 1, 2, 3, 4 }, { 0x66, 0x0f, 0xb6, 0x03 },
		{ 0x87, 0x43, 0x10 }, { 0xa1, 0x10, 0x30 }, { 0x0f, 0x44, 0x43, 0x10 }, { 0x0f, 0xc1, 0x03 },
		{ 0xd3, 0x63, 0x10 }, { 0x48, 0x0f, 0xa4, 0x43, 0x10, 5 }, { 0x48, 0xf7, 0x73, 0x10 },
		{ 0xf6, 0x7b, 0x10 }, { 0x6b, 0x43, 0x10, 5 }, { 0x0f, 0xc7, 0x4b, 0x10 },
		{ 0xf0, 0x48, 0x0f, 0xc7, 0x4b, 0x10 }, { 0x0f, 0x28, 0x43, 0x10 }, { 0xf3, 0x0f, 0x7f, 0x43, 0x10 },
		{ 0x66, 0x0f, 0x38, 0x2a, 0x43, 0x10 }, { 0x0f, 0x38, 0xf1, 0x43, 0x10 }, { 0x0f, 0x16, 0x43, 0x10 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(codes); i++)
		seed_and_run(codes[i], 20000, emulate);
}

static void test_string_io(void **state)
{
	static const uint8_t code[INSN_MAX_BYTES] = { 0xf3, 0x6c };

	(void)state;
	seed_and_run(code, 50000, string_io);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_emulate), cmocka_unit_test(test_string_io) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
