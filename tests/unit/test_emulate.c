/* sources: hv/emulate/ hv/base/failure.c hv/base/format.c tests/unit/emu_guest.c */
/*
 * What running beside the CPU does not show: faults in the middle, the exit's own address, segments,
 * and code that changes or crosses a page.
 */
#include "hv/emulate/emulate.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/x86.h"
#include "tests/unit/emu_guest.h"

static void expect_nothing_changed(uint64_t rip)
{
	assert_memory_equal(g.gpr, g.before, sizeof(g.before));
	assert_true(g.cpu.rip == rip);
	assert_true(g.cpu.rflags == 2);
	assert_int_equal(g.writes, 0);
}

static void expect_fault(unsigned vector)
{
	assert_int_equal(g.cpu.fault.vector, vector);
	assert_true(g.cpu.fault.has_error_code == (vector != VEC_UD));
}

/* ---- the exit's address ---- */

static void set_exit(gpa_t gpa, gva_t la, bool write)
{
	g.cpu.exit_gpa = gpa;
	g.cpu.exit_la = la;
	g.cpu.exit_la_valid = true;
	g.cpu.exit_write = write;
}

static void test_exit_address_spares_the_walk(void **state)
{
	(void)state;
	g.gpr[RBX] = 0x7fff00000000;
	g.gpr[RAX] = ~(uint64_t)0;
	set_exit(0xf010, 0x7fff00000010, false);
	assert_int_equal(RUN(0x8b, 0x43, 0x10), EMU_DONE); /* mov eax, [rbx+10h] */
	assert_true(g.gpr[RAX] == 0x55667788);
	assert_true(g.cpu.rip == CODE + 3);
	assert_int_equal(g.walks, 0);
	assert_int_equal(g.segment_calls, 0);
	set_exit(0xf010, 0x7fff00000010, true);
	assert_int_equal(RUN(0x89, 0x43, 0x10), EMU_DONE);
	assert_true(g.device_written == 0x55667788);
	assert_int_equal(g.walks, 0);
}

/* An address without gpa is no shortcut, not even for the byte that GPA_UNKNOWN seems to be. */
static void test_unknown_gpa_is_walked(void **state)
{
	(void)state;
	g.gpr[RBX] = 0x2fff;
	set_exit(GPA_UNKNOWN, 0x2fff, true);
	assert_int_equal(RUN(0x8a, 0x03), EMU_DONE);
	assert_int_equal(g.walks, 1);
	set_exit(0xffff, 0x2fff, true);
	assert_int_equal(RUN(0x8a, 0x03), EMU_DONE);
	assert_int_equal(g.walks, 1);
	assert_int_equal(g.device_reads, 1);
}

static void test_other_address_is_walked(void **state)
{
	(void)state;
	g.gpr[RBX] = 0x2000;
	set_exit(0xf010, 0x7fff00000010, false);
	assert_int_equal(RUN(0x8b, 0x43, 0x10), EMU_DONE);
	assert_int_equal(g.device_reads, 0);
	assert_int_equal(g.walks, 1);
}

/* The page may be read-only: a write after an exit for a read is not taken on trust. */
static void test_read_exit_does_not_allow_a_write(void **state)
{
	(void)state;
	g.gpr[RBX] = 0xf000;
	g.read_only[0xf] = true;
	set_exit(0xf010, 0xf010, false);
	assert_int_equal(RUN(0x89, 0x43, 0x10), EMU_FAULT);
	expect_fault(VEC_PF);
	assert_int_equal(g.cpu.fault.error_code, 3);
	expect_nothing_changed(CODE);
}

static void test_exit_without_linear_address(void **state)
{
	(void)state;
	g.gpr[RBX] = 0x7fff00000000;
	set_exit(0xf010, 0, false);
	g.cpu.exit_la_valid = false;
	assert_int_equal(RUN(0x8b, 0x43, 0x10), EMU_DONE);
	assert_int_equal(g.device_reads, 1);
	g.gpr[RSI] = 0x2010; /* either operand of MOVS may have been meant */
	g.gpr[RDI] = 0x3010;
	assert_int_equal(RUN(0xa5), EMU_DONE);
	assert_int_equal(g.device_reads, 1);
}

static void test_access_across_pages_is_walked(void **state)
{
	(void)state;
	g.gpr[RBX] = 0xeffe;
	set_exit(0xeffe, 0xeffe, false);
	assert_int_equal(RUN(0x8b, 0x03), EMU_DONE);
	assert_int_equal(g.walks, 1);
	g.absent[0xf] = true;
	assert_int_equal(RUN(0x8b, 0x03), EMU_FAULT);
	assert_true(g.cpu.fault.cr2 == 0xf000);
}

/* ---- faults leave no trace ---- */

static void test_modify_faults_before_reading(void **state)
{
	(void)state;
	g.gpr[RBX] = 0xf000;
	g.read_only[0xf] = true;
	assert_int_equal(RUN(0x01, 0x03), EMU_FAULT); /* add [rbx], eax */
	expect_fault(VEC_PF);
	assert_int_equal(g.device_reads, 0);
	expect_nothing_changed(CODE);
	assert_int_equal(RUN(0x0f, 0xab, 0x03), EMU_FAULT); /* bts [rbx], eax */
	assert_int_equal(RUN(0x0f, 0xb1, 0x03), EMU_FAULT); /* cmpxchg [rbx], eax */
	assert_int_equal(RUN(0x87, 0x03), EMU_FAULT);       /* xchg [rbx], eax */
	assert_int_equal(RUN(0x0f, 0x94, 0x03), EMU_FAULT); /* sete [rbx] */
	assert_int_equal(g.device_reads, 0);
	expect_nothing_changed(CODE);
}

static void test_device_is_not_read_for_nothing(void **state)
{
	(void)state;
	g.gpr[RSI] = 0xf000;
	g.gpr[RDI] = 0x2000;
	g.absent[2] = true;
	assert_int_equal(RUN(0xa5), EMU_FAULT); /* movsd to an absent page */
	assert_true(g.cpu.fault.cr2 == 0x2000);
	g.gpr[RBX] = 0xf000;
	g.gpr[RSP] = 0x2008;
	assert_int_equal(RUN(0xff, 0x33), EMU_FAULT); /* push [rbx] */
	assert_true(g.cpu.fault.cr2 == 0x2000);
	assert_int_equal(g.device_reads, 0);
	expect_nothing_changed(CODE);
}

static void test_pop_restores_the_stack_pointer(void **state)
{
	(void)state;
	g.gpr[RSP] = 0x3000;
	g.gpr[RBX] = 0x2000;
	g.absent[2] = true;
	assert_int_equal(RUN(0x8f, 0x03), EMU_FAULT);
	expect_nothing_changed(CODE);
	g.absent[2] = false;
	assert_int_equal(RUN(0x8f, 0x03), EMU_DONE);
	assert_true(g.gpr[RSP] == 0x3008);
}

static void test_lost_race_retries(void **state)
{
	(void)state;
	g.gpr[RBX] = 0x2000;
	g.exchange_fails = true;
	assert_int_equal(RUN(0xf0, 0x01, 0x03), EMU_RETRY); /* lock add [rbx], eax */
	assert_int_equal(RUN(0x87, 0x03), EMU_RETRY);       /* xchg locks by itself */
	assert_int_equal(g.exchanges, 2);
	expect_nothing_changed(CODE);
	assert_int_equal(RUN(0x01, 0x03), EMU_DONE);
	assert_int_equal(g.exchanges, 2);
}

static void test_non_canonical(void **state)
{
	(void)state;
	g.gpr[RBX] = 0x0000800000000000;
	assert_int_equal(RUN(0x8b, 0x03), EMU_FAULT);
	expect_fault(VEC_GP);
	g.gpr[5] = 0x00007ffffffffffe; /* its last bytes are beyond */
	assert_int_equal(RUN(0x8b, 0x45, 0x00), EMU_FAULT);
	expect_fault(VEC_SS);
	g.cpu.la_bits = 57;
	assert_int_equal(RUN(0x8b, 0x03), EMU_FAULT);
	expect_fault(VEC_PF);
}

/* ---- wide operands ---- */

/* Compare, and exchange when equal: memory's 16 bytes are one locked access, which may lose a race. */
static void test_exchange_of_16_bytes(void **state)
{
	(void)state;
	memset(g.memory + 0x2010, 0x11, 16);
	g.gpr[RDI] = 0x2010;
	g.gpr[RAX] = g.gpr[RDX] = 0x1111111111111111u;
	g.gpr[RBX] = 1;
	g.gpr[RCX] = 2;
	g.exchange_fails = true;
	assert_int_equal(RUN(0x48, 0x0f, 0xc7, 0x0f), EMU_RETRY); /* cmpxchg16b [rdi] */
	expect_nothing_changed(CODE);
	g.exchange_fails = false;
	assert_int_equal(emulate_instruction(&g.cpu), EMU_DONE);
	assert_true(g.cpu.rflags == (2 | RFLAGS_ZF));
	assert_true(g.memory[0x2010] == 1 && g.memory[0x2018] == 2 && g.memory[0x201f] == 0);
	g.cpu.rip = CODE;
	assert_int_equal(emulate_instruction(&g.cpu), EMU_DONE);
	assert_true(g.cpu.rflags == 2 && g.gpr[RAX] == 1 && g.gpr[RDX] == 2);
	assert_int_equal(g.exchanges, 3); /* written back also when it differs */
	g.gpr[RDI] = 0x2018;
	g.cpu.rip = CODE;
	assert_int_equal(emulate_instruction(&g.cpu), EMU_FAULT);
	expect_fault(VEC_GP);
}

static void test_wide_store_faults_before_writing(void **state)
{
	(void)state;
	g.gpr[RBX] = 0x2ff4;
	g.absent[3] = true;
	assert_int_equal(RUN(0x0f, 0x11, 0x03), EMU_FAULT); /* movups [rbx], xmm0: its last 4 bytes */
	expect_fault(VEC_PF);
	assert_true(g.cpu.fault.cr2 == 0x3000);
	expect_nothing_changed(CODE);
}

/* #NM comes before alignment and page faults, and before a device is touched. */
static void test_forbidden_xmm(void **state)
{
	(void)state;
	g.gpr[RBX] = 0xf001;
	g.xmm_forbidden = true;
	assert_int_equal(RUN(0x0f, 0x28, 0x03), EMU_FAULT); /* movaps xmm0, [rbx] */
	assert_int_equal(g.cpu.fault.vector, VEC_NM);
	assert_int_equal(g.device_reads, 0);
	g.xmm_forbidden = false;
	assert_int_equal(RUN(0x0f, 0x28, 0x03), EMU_FAULT);
	expect_fault(VEC_GP);
	g.gpr[RBX] = 0xf000;
	set_exit(0xf000, 0xf000, false);
	assert_int_equal(RUN(0x0f, 0x28, 0x1b), EMU_DONE);
	assert_int_equal(g.walks, 0); /* both halves lie in the exit's page */
	assert_true(g.xmm[3][0] == g.device_value && g.xmm[3][1] == g.device_value);
}

/* Division by zero is found after the operand was read, which a page fault precedes. */
static void test_divide_error(void **state)
{
	(void)state;
	g.gpr[RBX] = 0x2000;
	g.absent[2] = true;
	assert_int_equal(RUN(0xf7, 0x33), EMU_FAULT); /* div dword [rbx] */
	expect_fault(VEC_PF);
	g.absent[2] = false;
	assert_int_equal(RUN(0xf7, 0x33), EMU_FAULT);
	assert_true(g.cpu.fault.vector == VEC_DE && !g.cpu.fault.has_error_code);
	expect_nothing_changed(CODE);
}

/* ---- decoding and fetching ---- */

static void test_refusals(void **state)
{
	struct failure f;

	(void)state;
	assert_int_equal(RUN(0x0f, 0xae, 0x03), EMU_UNSUPPORTED); /* fxsave [rbx] */
	emulate_explain(&g.cpu, &f);
	assert_non_null(strstr(f.text, "64-bit instruction at rip 1000, bytes 0f ae 03 00"));
	assert_non_null(strstr(f.text, "not one of the instructions"));
	assert_int_equal(RUN(0x89, 0xc0), EMU_UNSUPPORTED);
	assert_int_equal(RUN(0xf0, 0x8b, 0x03), EMU_FAULT); /* lock mov */
	expect_fault(VEC_UD);
	assert_int_equal(RUN(0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
			     0x8b, 0x03), EMU_FAULT);
	expect_fault(VEC_GP);
	expect_nothing_changed(CODE);
}

static void test_code_across_pages(void **state)
{
	(void)state;
	g.gpr[RBX] = 0x2000;
	g.cpu.rip = 0x1ffd;
	assert_int_equal(RUN(0xc7, 0x83, 0x10, 0, 0, 0, 0x44, 0x33, 0x22, 0x11), EMU_DONE);
	assert_int_equal(g.fetches, 2);
	assert_int_equal(g.memory[0x2013], 0x11);
	g.cpu.rip = 0x1ffd;
	g.absent[2] = true;
	g.gpr[RBX] = 0x3000;
	assert_int_equal(RUN(0xc7, 0x83), EMU_FAULT);
	assert_true(g.cpu.fault.cr2 == 0x2000 && g.cpu.fault.error_code == 0x10);
	g.cpu.rip = 0x1ffd;
	assert_int_equal(RUN(0x8b, 0x43, 0x10), EMU_DONE); /* ends with the page: the next is not touched */
}

/* The cache must notice other bytes, another mode, and bytes that are not there. */
static void test_decode_cache(void **state)
{
	static struct decode_cache cache;
	uint8_t bytes[16] = { 0x8b, 0x43, 0x10 };
	const struct insn *in;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(decode_cached(&cache, CODE, bytes, 15, CPU_MODE_64, &in), 0);
		assert_int_equal(in->disp, 0x10);
	}
	bytes[2] = 0x20;
	assert_int_equal(decode_cached(&cache, CODE, bytes, 15, CPU_MODE_64, &in), 0);
	assert_int_equal(in->disp, 0x20);
	bytes[3] = 0xff; /* behind the instruction: still the same */
	assert_int_equal(decode_cached(&cache, CODE, bytes, 3, CPU_MODE_64, &in), 0);
	assert_int_equal(in->addr_size, 8);
	assert_int_equal(decode_cached(&cache, CODE, bytes, 3, CPU_MODE_32, &in), 0);
	assert_int_equal(in->addr_size, 4);
	assert_int_equal(decode_cached(&cache, CODE, bytes, 2, CPU_MODE_32, &in), -ENODATA);
	assert_int_equal(decode_cached(&cache, CODE, bytes, 2, CPU_MODE_32, &in), -ENODATA);
}

static void test_long_instructions_are_cached(void **state)
{
	static struct decode_cache cache;
	uint8_t bytes[16] = { 0x48, 0xa1, 1, 2, 3, 4, 5, 6, 7, 0x80 };
	const struct insn *in;

	(void)state;
	for (uint8_t last = 0x80; last < 0x84; last++) {
		bytes[9] = last;
		assert_int_equal(decode_cached(&cache, CODE, bytes, 15, CPU_MODE_64, &in), 0);
		assert_int_equal((uint64_t)in->disp >> 56, last);
		assert_int_equal(in->length, 10);
	}
}

static void test_retiring(void **state)
{
	(void)state;
	g.cpu.rflags |= RFLAGS_RF;
	assert_int_equal(RUN(0x8b, 0x03), EMU_DONE);
	assert_true(g.cpu.rflags == 2);
	g.cpu.mode = CPU_MODE_32;
	g.cpu.rip = 0xfffffffe;
	g.segments[SEG_CS].base = 0x2002;
	memcpy(g.memory + 0x2000, (const uint8_t[]){ 0x8b, 0x03 }, 2);
	assert_int_equal(emulate_instruction(&g.cpu), EMU_DONE);
	assert_true(g.cpu.rip == 0);
}

/* ---- 16 and 32 bits ---- */

static void test_real_mode(void **state)
{
	(void)state;
	g.cpu.mode = CPU_MODE_16;
	for (unsigned i = 0; i < 6; i++)
		g.segments[i] = (struct emu_segment){ 0, 0xffff, 0x93 };
	g.segments[SEG_CS].base = 0x1000;
	g.segments[SEG_DS].base = 0x2000;
	g.segments[SEG_SS].base = 0x4000;
	g.cpu.rip = 0;
	g.gpr[RBX] = 0xabcd00000100;
	g.gpr[RSI] = 0xffff0010;
	g.gpr[5] = 0xfff0;
	g.gpr[RAX] = 0x1234;
	memcpy(g.memory + 0x1000, (const uint8_t[]){ 0x89, 0x40, 0x02 }, 3); /* mov [bx+si+2], ax */
	assert_int_equal(emulate_instruction(&g.cpu), EMU_DONE);
	assert_int_equal(g.memory[0x2112], 0x34);
	memcpy(g.memory + 0x1003, (const uint8_t[]){ 0x89, 0x42, 0x20 }, 3); /* mov [bp+si+20h], ax: wraps */
	assert_int_equal(emulate_instruction(&g.cpu), EMU_DONE);
	assert_int_equal(g.memory[0x4020], 0x34);
	g.gpr[RBX] = 0xffff;
	memcpy(g.memory + 0x1006, (const uint8_t[]){ 0x8b, 0x07 }, 2); /* mov ax, [bx] at ffffh */
	assert_int_equal(emulate_instruction(&g.cpu), EMU_FAULT);
	expect_fault(VEC_GP);
}

static void expect_segment(uint32_t limit, uint32_t rights, uint64_t offset, bool write,
			   enum emu_result expected)
{
	guest_setup(NULL);
	g.cpu.mode = CPU_MODE_32;
	g.segments[SEG_DS] = (struct emu_segment){ 0, limit, rights };
	g.gpr[RBX] = offset;
	assert_int_equal(write ? RUN(0x89, 0x03) : RUN(0x8b, 0x03), expected);
	if (expected == EMU_FAULT)
		expect_fault(VEC_GP);
}

static void test_segment_limits(void **state)
{
	(void)state;
	expect_segment(0x2fff, 0x4093, 0x2ffc, true, EMU_DONE);
	expect_segment(0x2fff, 0x4093, 0x2ffd, true, EMU_FAULT);
	expect_segment(0x2fff, 0x4091, 0x2000, false, EMU_DONE); /* read-only data */
	expect_segment(0x2fff, 0x4091, 0x2000, true, EMU_FAULT);
	expect_segment(0x2fff, 0x409b, 0x2000, false, EMU_DONE); /* readable code */
	expect_segment(0x2fff, 0x409b, 0x2000, true, EMU_FAULT);
	expect_segment(0x2fff, 0x4099, 0x2000, false, EMU_FAULT); /* execute-only */
	expect_segment(0xffffffff, 0x10000, 0x2000, false, EMU_FAULT);
	expect_segment(0x2fff, 0x4097, 0x3000, true, EMU_DONE); /* expand-down */
	expect_segment(0x2fff, 0x4097, 0x2fff, true, EMU_FAULT);
	expect_segment(0x2fff, 0x0097, 0xfffd, true, EMU_FAULT);
}

static void test_push_in_32_bits(void **state)
{
	(void)state;
	g.cpu.mode = CPU_MODE_32;
	g.segments[SEG_SS].base = 0x1000;
	g.gpr[RSP] = 0x2000;
	g.gpr[RBX] = 0xf000;
	assert_int_equal(RUN(0xff, 0x33), EMU_DONE);
	assert_true(g.gpr[RSP] == 0x1ffc);
	assert_int_equal(g.memory[0x2ffc], 0x88);
	g.segments[SEG_SS].rights &= ~0x4000u; /* a 16-bit stack keeps the high half */
	g.gpr[RSP] = 0x55550000;
	g.segments[SEG_SS].base = 0;
	assert_int_equal(RUN(0x66, 0xff, 0x33), EMU_DONE);
	assert_true(g.gpr[RSP] == 0x5555fffe);
}

static void test_fs_base_in_64_bits(void **state)
{
	(void)state;
	g.segments[SEG_FS].base = 0x3000;
	g.gpr[RBX] = 0x10;
	g.memory[0x3010] = 0x77;
	assert_int_equal(RUN(0x64, 0x8a, 0x03), EMU_DONE);
	assert_int_equal(g.gpr[RAX], 0x77);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, guest_setup)
	const struct CMUnitTest tests[] = {
		TEST(test_exit_address_spares_the_walk), TEST(test_unknown_gpa_is_walked),
		TEST(test_other_address_is_walked),
		TEST(test_read_exit_does_not_allow_a_write), TEST(test_exit_without_linear_address),
		TEST(test_access_across_pages_is_walked), TEST(test_modify_faults_before_reading),
		TEST(test_device_is_not_read_for_nothing), TEST(test_pop_restores_the_stack_pointer),
		TEST(test_lost_race_retries), TEST(test_non_canonical), TEST(test_refusals),
		TEST(test_exchange_of_16_bytes), TEST(test_wide_store_faults_before_writing),
		TEST(test_forbidden_xmm), TEST(test_divide_error),
		TEST(test_code_across_pages), TEST(test_decode_cache),
		TEST(test_long_instructions_are_cached), TEST(test_retiring), TEST(test_real_mode),
		TEST(test_segment_limits), TEST(test_push_in_32_bits), TEST(test_fs_base_in_64_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
