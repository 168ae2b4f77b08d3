/* sources: vmx/shadow_rules.c */
#include "vmx/shadow_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define LONG (EFER_LME | EFER_LMA)

static void hardware_always_pages_in_64_bit_entries(void **state)
{
	(void)state;
	assert_int_equal(shadow_hardware_cr4(0, CR0_PE), CR4_PAE);
	assert_int_equal(shadow_hardware_cr4(CR4_PSE | CR4_PGE, CR0_PE | CR0_PG), CR4_PAE);
	assert_int_equal(shadow_hardware_cr4(CR4_PAE | CR4_PCIDE | CR4_PGE, CR0_PE | CR0_PG), CR4_PAE);
	assert_int_equal(shadow_hardware_cr4(CR4_VMXE | CR4_MCE | CR4_OSFXSR | CR4_TSD, CR0_PE),
			 CR4_VMXE | CR4_MCE | CR4_OSFXSR | CR4_TSD | CR4_PAE);
}

static void protections_of_pages_need_the_guests_paging(void **state)
{
	const uint64_t kinds = CR4_SMEP | CR4_SMAP | CR4_LA57;

	(void)state;
	assert_int_equal(shadow_hardware_cr4(kinds, CR0_PE | CR0_PG), kinds | CR4_PAE);
	assert_int_equal(shadow_hardware_cr4(kinds, CR0_PE), CR4_PAE);
	assert_int_equal(shadow_hardware_cr4(CR4_PKE, CR0_PE), CR4_PKE | CR4_PAE);
}

static void cr3_by_mode(void **state)
{
	const uint64_t pcide = CR4_PAE | CR4_PCIDE;
	struct cr3_load l;

	(void)state;
	l = shadow_cr3_load(0x1234567812345fff, 0, 0, 40);
	assert_true(l.valid && l.flush && l.cr3 == 0x12345fff);
	l = shadow_cr3_load(0x12345018, CR4_PAE, LONG, 40);
	assert_true(l.valid && l.flush && l.cr3 == 0x12345018);
	assert_false(shadow_cr3_load(BIT(40), CR4_PAE, LONG, 40).valid);
	assert_false(shadow_cr3_load(BIT(63), CR4_PAE, LONG, 40).valid);
	assert_false(shadow_cr3_load(BIT(62), pcide, LONG, 40).valid);
	assert_true(shadow_cr3_load(BITS(51, 12), pcide, LONG, 52).valid);
	l = shadow_cr3_load(BIT(63) | 0x5007, pcide, LONG, 40);
	assert_true(l.valid && !l.flush && l.cr3 == 0x5007);
	l = shadow_cr3_load(0x5007, pcide, LONG, 40);
	assert_true(l.valid && l.flush && l.cr3 == 0x5007);
}

#define BASE(r) ((uint32_t)(r) << 23)
#define INDEX(r) ((uint32_t)(r) << 18)
#define NO_BASE BIT(27)
#define NO_INDEX BIT(22)
#define ADDRESS(n) ((uint32_t)(n) << 7)
#define SEGMENT(n) ((uint32_t)(n) << 15)
#define TYPE(r) ((uint32_t)(r) << 28)

static void operands_of_invpcid(void **state)
{
	uint64_t gpr[16];
	struct invpcid_operands o;

	(void)state;
	for (unsigned i = 0; i < 16; i++)
		gpr[i] = 0x100000000 * i + 0x1000 * i;
	o = invpcid_decode(TYPE(9) | BASE(3) | NO_INDEX | ADDRESS(2) | SEGMENT(3), 8, gpr);
	assert_int_equal(o.type_gpr, 9);
	assert_int_equal(o.segment, 3);
	assert_int_equal(o.address_bytes, 8);
	assert_int_equal(o.offset, 0x300003008);
	o = invpcid_decode(BASE(3) | INDEX(12) | 3 | ADDRESS(2), (uint64_t)-8, gpr);
	assert_int_equal(o.offset, 0x300003000 + 8 * 0xc0000c000 - 8);
	o = invpcid_decode((uint32_t)(NO_BASE | NO_INDEX) | ADDRESS(2) | SEGMENT(5), 0xffffffff81000000, gpr);
	assert_int_equal(o.offset, 0xffffffff81000000);
	assert_int_equal(o.segment, 5);
	o = invpcid_decode(BASE(3) | NO_INDEX | ADDRESS(1), 8, gpr);
	assert_int_equal(o.offset, 0x3008);
	o = invpcid_decode(BASE(15) | INDEX(15) | ADDRESS(0), 0xffff, gpr);
	assert_int_equal(o.offset, (0xf000 + 0xf000 + 0xffff) & 0xffff);
}

static enum invpcid_scope judge(uint64_t type, uint64_t pcid, uint64_t address, uint64_t cr4)
{
	uint64_t descriptor[2] = { pcid, address };

	return invpcid_judge(type, descriptor, cr4);
}

static void scopes_of_invpcid(void **state)
{
	(void)state;
	assert_int_equal(judge(0, 5, 0x1000, CR4_PCIDE), INVPCID_ADDRESS);
	assert_int_equal(judge(0, 6, 0x1000, CR4_PCIDE), INVPCID_ADDRESS);
	assert_int_equal(judge(0, 0, 0x1000, 0), INVPCID_ADDRESS);
	assert_int_equal(judge(0, 1, 0x1000, 0), INVPCID_FAULT);
	assert_int_equal(judge(1, 1, 0, 0), INVPCID_FAULT);
	assert_int_equal(judge(1, 5, BIT(50), CR4_PCIDE), INVPCID_MORE);
	assert_int_equal(judge(0, 5, BIT(50), CR4_PCIDE), INVPCID_FAULT);
	assert_int_equal(judge(0, 5, BIT(50), CR4_PCIDE | CR4_LA57), INVPCID_ADDRESS);
	assert_int_equal(judge(2, 7, BIT(50), 0), INVPCID_MORE);
	assert_int_equal(judge(3, 0, 0, 0), INVPCID_MORE);
	assert_int_equal(judge(3, BIT(12), 0, 0), INVPCID_FAULT);
	assert_int_equal(judge(4, 0, 0, CR4_PCIDE), INVPCID_FAULT);
	assert_int_equal(judge(BIT(32), 0, 0, CR4_PCIDE), INVPCID_FAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hardware_always_pages_in_64_bit_entries),
		cmocka_unit_test(protections_of_pages_need_the_guests_paging),
		cmocka_unit_test(cr3_by_mode),
		cmocka_unit_test(operands_of_invpcid),
		cmocka_unit_test(scopes_of_invpcid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
