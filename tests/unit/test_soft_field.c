/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c */
/*
 * Metadata fields of the software TDX module: ids as hardware takes them, values, what may be written, and
 * the lists that can be walked.
 */
#include "tests/unit/soft_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tdx/soft/field.h"

static struct world_td td;

static int start(void **state)
{
	(void)state;
	world_ready();
	td_run(&td, WORLD_HKID(0));
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_end();
	return 0;
}

static uint64_t sys_rd(uint64_t id) { return sc(0, TDH_SYS_RD, 0, id, 0, 0); }
static uint64_t mng_rd(uint64_t id) { return sc(0, TDH_MNG_RD, td.tdr, id, 7, 0); }
static uint64_t vp_rd(uint64_t id) { return sc(0, TDH_VP_RD, td.vp[0], id, 7, 0); }
static uint64_t vp_wr(uint64_t id, uint64_t value, uint64_t mask)
{
	return sc(0, TDH_VP_WR, td.vp[0], id, value, mask);
}

static void sys_rd_before_lp_init(void **state)
{
	(void)state;
	world_start();
	assert_int_equal(sys_rd(TDX_SYS_VENDOR), ST(0xc0000502, 0));
	assert_int_equal(sc(0, TDH_SYS_RDALL, 0, MIB(2), TDX_FIELD_FIRST, 0), ST(0xc0000502, 0));
	assert_int_equal(sc(0, TDH_SYS_INIT, 0, 0, 0, 0), 0);
	assert_int_equal(sc(0, TDH_SYS_LP_INIT, 0, 0, 0, 0), 0);
	assert_int_equal(sys_rd(TDX_SYS_VENDOR), 0);
	assert_int_equal(sc(1, TDH_SYS_RD, 0, TDX_SYS_VENDOR, 0, 0), ST(0xc0000502, 0));
}

static void sys_rd_values(void **state)
{
	static const struct {
		uint64_t id, value;
	} values[] = {
		{ TDX_SYS_VENDOR, 0x8086 }, { TDX_SYS_MAJOR, 1 }, { TDX_SYS_MINOR, 5 },
		{ TDX_SYS_NUM_CMRS, 2 }, { TDX_SYS_CMR_BASE, MIB(1) }, { TDX_SYS_CMR_BASE + 1, GIB(1) },
		{ TDX_SYS_CMR_SIZE + 1, GIB(3) }, { TDX_SYS_CMR_SIZE + 2, 0 }, { TDX_SYS_MAX_TDMRS, 64 },
		{ TDX_SYS_PAMT_2M_ENTRY_SIZE, 16 }, { TDX_SYS_TDCS_BASE_SIZE, 6 * 4096 },
		{ TDX_SYS_TDVPS_BASE_SIZE, 6 * 4096 }, { TDX_SYS_SOFT_GPA_BITS, 46 },
		{ TDX_SYS_XFAM_FIXED1, 3 },
	};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(values); i++) {
		assert_int_equal(sys_rd(values[i].id), 0);
		assert_int_equal(out.gpr[TDX_R8], values[i].value);
	}
	assert_int_equal(sys_rd(TDX_SYS_VENDOR), 0);
	assert_int_equal(out.gpr[TDX_RDX], 0x0800000100000003);
	assert_int_equal(sys_rd(TDX_SYS_FEATURES0), 0);
	assert_true(out.gpr[TDX_R8] & TDX_FEATURES0_NO_RBP_MOD);
}

static void first_and_unknown(void **state)
{
	(void)state;
	assert_int_equal(sys_rd(TDX_FIELD_FIRST), ST(0x00000c0b, 0));
	assert_int_equal(out.gpr[TDX_RDX], 0x0800000200000000);
	assert_int_equal(sys_rd(TDX_SYS_VENDOR + 99), ST(0xc0000c00, 0));
	assert_int_equal(out.gpr[TDX_RDX], TDX_FIELD_FIRST);
	assert_int_equal(out.gpr[TDX_R8], 0);
	assert_int_equal(sc(0, 0x10000 | TDH_MNG_RD, td.tdr, TDX_FIELD_FIRST, 0, 0), ST(0x00000c0b, 0));
	assert_int_equal(out.gpr[TDX_RDX], 0x8010000000000001);
	assert_int_equal(mng_rd(TDX_FIELD_FIRST), ST(0xc0000c00, 0));
	assert_int_equal(mng_rd(TDX_SYS_VENDOR), ST(0xc0000c00, 0));
	assert_int_equal(out.gpr[TDX_RDX], TDX_FIELD_FIRST);
	assert_int_equal(out.gpr[TDX_R8], 0);
}

/* Only code and class name a field; last_element and last_field are of sequences. */
static void ids_as_hardware_takes_them(void **state)
{
	(void)state;
	for (uint64_t id = 1; id <= 5; id++)
		assert_int_equal(mng_rd(id), id == 3 ? ST(0xc0000c00, 0) : 0);
	assert_int_equal(mng_rd(TDX_TD_OP_STATE & ~(BITS(33, 32) | BITS(54, 50) | BIT(63))), 0);
	assert_int_equal(mng_rd(TDX_TD_OP_STATE | BIT(34)), ST(0xc0000c00, 0));
	assert_int_equal(mng_rd(TDX_TD_OP_STATE | BIT(38)), ST(0xc0000c00, 0));
	assert_int_equal(mng_rd(TDX_TD_OP_STATE | BIT(24)), ST(0xc0000c00, 0));
	assert_int_equal(mng_rd(TDX_TD_OP_STATE | BIT(47)), ST(0xc0000c00, 0));
	assert_int_equal(mng_rd(TDX_TD_OP_STATE | BIT(62)), ST(0xc0000c00, 0));
	assert_int_equal(mng_rd(TDX_TD_UUID + 3), 0);
	assert_int_equal(mng_rd(TDX_TD_UUID + 4), ST(0xc0000c00, 0));
}

static void mng_rd_values(void **state)
{
	(void)state;
	assert_int_equal(mng_rd(TDX_TD_OP_STATE), 0);
	assert_int_equal(out.gpr[TDX_R8], TDX_RUNNABLE);
	assert_int_equal(out.gpr[TDX_RDX], TDX_TD_OP_STATE);
	assert_int_equal(sc(0, 0x10000 | TDH_MNG_RD, td.tdr, TDX_TD_OP_STATE, 0, 0), 0);
	assert_int_equal(out.gpr[TDX_RDX], TDX_TD_ATTRIBUTES);
	assert_int_equal(mng_rd(TDX_TD_NUM_TDCX), 0);
	assert_int_equal(out.gpr[TDX_R8], 6);
	assert_int_equal(mng_rd(TDX_TD_NUM_VCPUS), 0);
	assert_int_equal(out.gpr[TDX_R8], 1);
	assert_int_equal(mng_rd(TDX_TD_HKID), 0);
	assert_int_equal(out.gpr[TDX_R8], WORLD_HKID(0));
	assert_int_equal(mng_rd(TDX_TD_EPTP), 0);
	assert_int_equal(out.gpr[TDX_R8], td.tdcx[TDCS_SEPT_ROOT] | 0x1e);
	assert_int_equal(mng_rd(TDX_TD_LIFECYCLE), 0);
	assert_int_equal(out.gpr[TDX_R8], TDX_KEYS_CONFIGURED);
	assert_int_equal(mng_rd(TDX_TD_TSC_MULTIPLIER), 0);
	assert_int_equal(out.gpr[TDX_R8], soft_td_tsc(&world.m.platform.cpu, &world.m.controls,
						      td_tdcs(&td)->tsc_frequency, 0).multiplier);
	assert_int_equal(mng_rd(TDX_TD_TSC_OFFSET), 0);
	assert_true(out.gpr[TDX_R8] != 0);
	assert_int_equal(mng_rd(TDX_TD_MRTD), ST(0xc0000c02, 0));
}

static void mng_wr(void **state)
{
	(void)state;
	assert_int_equal(sc(0, TDH_MNG_WR, td.tdr, TDX_TD_HP_LOCK_TIMEOUT, 20000, -1ul), 0);
	assert_int_equal(out.gpr[TDX_R8], 1000000);
	assert_int_equal(mng_rd(TDX_TD_HP_LOCK_TIMEOUT), 0);
	assert_int_equal(out.gpr[TDX_R8], 20000);
	assert_int_equal(sc(0, TDH_MNG_WR, td.tdr, TDX_TD_HP_LOCK_TIMEOUT, 9999, -1ul), ST(0xc0000c03, 0));
	assert_int_equal(sc(0, TDH_MNG_WR, td.tdr, TDX_TD_ATTRIBUTES, 1, -1ul), ST(0xc0000c01, 0));
	assert_int_equal(sc(0, TDH_MNG_WR, td.tdr, TDX_TD_TD_CTLS, 1, -1ul), ST(0xc0000c01, 0));
	assert_int_equal(sc(0, TDH_MNG_WR, td.tdr, 0x123, 1, -1ul), ST(0xc0000c00, 0));
	assert_int_equal(sc(0, TDH_MNG_WR, td.tdr, TDX_FIELD_FIRST, 1, -1ul), ST(0xc0000c00, 0));
}

/* KVM's way: bare VMCS encodings. */
static void vp_wr_posted_interrupts(void **state)
{
	(void)state;
	assert_int_equal(vp_wr(2, 0xf2, -1ul), 0);
	assert_int_equal(vp_wr(2, 0x100, -1ul), ST(0xc0000c03, 0));
	assert_int_equal(vp_wr(0x2016, MIB(3) + 64, -1ul), 0);
	assert_int_equal(vp_wr(0x2016, MIB(3) + 32, -1ul), ST(0xc0000c03, 0));
	assert_int_equal(vp_wr(0x2016, td.tdr, -1ul), ST(0xc0000c03, 0));
	assert_int_equal(vp_wr(0x2016, (uint64_t)WORLD_GLOBAL_HKID << WORLD_KEYID_SHIFT, -1ul), ST(0xc0000c03, 0));
	assert_int_equal(vp_wr(0x4000, BIT(7), BIT(7)), 0);
	assert_int_equal(vp_wr(0x4000, 1, -1ul), ST(0xc0000c03, 0));
	assert_int_equal(vp_rd(0x4000), 0);
	assert_int_equal(out.gpr[TDX_R8] & BIT(7), BIT(7));
	assert_int_equal(vp_rd(2), 0);
	assert_int_equal(out.gpr[TDX_R8], 0xf2);
}

static void vp_wr_others(void **state)
{
	(void)state;
	assert_int_equal(vp_wr(TDX_VP_SHARED_EPTP, MIB(5), BITS(51, 12)), 0);
	assert_int_equal(vp_wr(TDX_VP_SHARED_EPTP, MIB(5) | 0x1e, -1ul), ST(0xc0000c03, 0));
	assert_int_equal(vp_wr(TDX_VP_SHARED_EPTP, td.vp[0], BITS(51, 12)), ST(0xc0000c03, 0));
	assert_int_equal(vp_rd(TDX_VP_SHARED_EPTP), 0);
	assert_int_equal(out.gpr[TDX_R8], MIB(5));
	assert_int_equal(vp_wr(TDX_VP_PEND_NMI, 1, 1), 0);
	assert_int_equal(vp_wr(TDX_VP_PEND_NMI, 0, 1), ST(0xc0000c03, 0));
	assert_int_equal(vp_wr(TDX_VP_SECONDARY_CONTROLS, BIT(30), BIT(30)), 0);
	assert_int_equal(vp_wr(TDX_VP_SECONDARY_CONTROLS, BIT(1), BIT(1)), ST(0xc0000c03, 0));
	assert_int_equal(vp_wr(TDX_VP_STATE_DETAILS, 1, 1), ST(0xc0000c01, 0));
	assert_int_equal(vp_rd(TDX_VP_STATE_DETAILS), 0);
	assert_int_equal(out.gpr[TDX_R8], 0);
	assert_int_equal(vp_rd(0x681e), ST(0xc0000c00, 0)); /* the guest's RIP */
}

/* Every readable field is met once, and the walk ends. */
static void walk_of_the_module(void **state)
{
	uint32_t n = 0;
	uint64_t id;

	(void)state;
	sys_rd(TDX_FIELD_FIRST);
	for (id = out.gpr[TDX_RDX]; id != TDX_FIELD_FIRST; id = out.gpr[TDX_RDX]) {
		assert_int_equal(sys_rd(id), 0);
		assert_true(++n < 1000);
	}
	assert_int_equal(n, 24 + 2 * TDX_MAX_CMRS + 3 * TDX_TD_PARAMS_CPUIDS);
}

static void sys_rdall(void **state)
{
	uint64_t next = TDX_FIELD_FIRST;
	uint32_t n = 0;

	(void)state;
	do {
		const uint64_t *list;

		assert_int_equal(sc(0, TDH_SYS_RDALL, 0, MIB(2), next, 0), 0);
		next = out.gpr[TDX_R8];
		list = world_at(MIB(2));
		for (uint32_t i = 0; i < (list[0] >> 16 & 0xffff); i++, n++) {
			assert_int_equal(sys_rd(list[1 + 2 * i]), 0);
			assert_int_equal(out.gpr[TDX_R8], list[2 + 2 * i]);
		}
		assert_int_equal(list[0] & 0xffff, 8 + 16 * (list[0] >> 16 & 0xffff));
	} while (next != TDX_FIELD_FIRST);
	assert_int_equal(n, 24 + 2 * TDX_MAX_CMRS + 3 * TDX_TD_PARAMS_CPUIDS);
	assert_int_equal(sc(0, TDH_SYS_RDALL, 0, MIB(2) + 8, TDX_FIELD_FIRST, 0), ST(0xc0000100, 2));
	assert_int_equal(sc(0, TDH_SYS_RDALL, 0, td.tdr, TDX_FIELD_FIRST, 0), ST(0xc0000100, 2));
	assert_int_equal(sc(0, TDH_SYS_RDALL, 0, MIB(2), 0x123, 0), ST(0xc0000c00, 0));
}

/* The guest's side: VM.RD and VM.WR go through the same table. */
static void fields_of_the_guest(void **state)
{
	struct soft_call c = { .m = &world.m };
	struct soft_td t = { .tdr = td_tdr(&td), .tdcs = td_tdcs(&td) };
	struct field_target target = { .c = &c, .td = &t };
	uint64_t value = 0;

	(void)state;
	assert_int_equal(field_first(&td_fields, FIELD_GUEST_READ), 0x8010000300000020);
	assert_int_equal(field_read(&td_fields, &target, FIELD_GUEST_READ, TDX_TD_ATTRIBUTES, &value), 0);
	assert_int_equal(value, TDX_ATTR_SEPT_VE_DISABLE);
	assert_int_equal(field_read(&td_fields, &target, FIELD_GUEST_READ, TDX_TD_OP_STATE, &value),
		TDX_METADATA_FIELD_NOT_READABLE);
	assert_int_equal(field_read(&td_fields, &target, FIELD_GUEST_READ, TDX_TD_MRTD + 5, &value), 0);
	assert_int_equal(field_read(&td_fields, &target, FIELD_GUEST_READ, TDX_TD_RTMR + 23, &value), 0);
	assert_int_equal(field_read(&td_fields, &target, FIELD_GUEST_READ, TDX_TD_RTMR + 24, &value),
		TDX_METADATA_FIELD_ID_INCORRECT);
	assert_int_equal(field_write(&td_fields, &target, FIELD_GUEST_WRITE, TDX_TD_NOTIFY_ENABLES, 0, -1ul, &value), 0);
	assert_int_equal(field_write(&td_fields, &target, FIELD_GUEST_WRITE, TDX_TD_ATTRIBUTES, 0, -1ul, &value),
		TDX_METADATA_FIELD_NOT_WRITABLE);
	assert_int_equal(field_write(&td_fields, &target, FIELD_GUEST_WRITE, TDX_TD_TD_CTLS, BIT(3), BIT(3), &value),
		TDX_METADATA_FIELD_VALUE_NOT_VALID);
	assert_int_equal(field_write(&td_fields, &target, FIELD_GUEST_WRITE, TDX_TD_TD_CTLS, 0, 1, &value),
		TDX_METADATA_FIELD_VALUE_NOT_VALID);
	t.tdcs->config_flags |= TDX_CONFIG_FLEXIBLE_PENDING_VE;
	assert_int_equal(field_write(&td_fields, &target, FIELD_GUEST_WRITE, TDX_TD_TD_CTLS, 0, 1, &value), 0);
	assert_int_equal(value, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sys_rd_before_lp_init), TEST(sys_rd_values), TEST(first_and_unknown),
		TEST(ids_as_hardware_takes_them), TEST(mng_rd_values), TEST(mng_wr), TEST(vp_wr_posted_interrupts),
		TEST(vp_wr_others), TEST(walk_of_the_module), TEST(sys_rdall), TEST(fields_of_the_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
