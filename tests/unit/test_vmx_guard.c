/* sources: vmx/guard.c vmx/core/guard.c vmx/core/leaks.c vmx/multihit.c hv/base/features.c hv/base/failure.c hv/base/format.c */
/*
 * The measures against leaks as they are carried out: which MSR is written with what, when, and that
 * nothing is written where none is called for.
 */
#include "vmx/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hv/base/machine.h"
#include "hv/base/msr.h"
#include "hv/guest/msr.h"
#include "hv/monitor/line.h"
#include "tests/unit/support/machine.h"

const char vmx_exit_stub[1], vmx_exit_stub_filling[1];

static struct {
	uint32_t msr;
	uint64_t value;
} written[8];
static unsigned count;

bool machine_feature_enabled(enum feature f)
{
	(void)f;
	return false;
}

void mon_printf(struct monitor_out *out, const char *fmt, ...)
{
	(void)out;
	(void)fmt;
}

static void take_wrmsr(uint32_t msr, uint64_t value)
{
	assert_true(count < ARRAY_LEN(written));
	written[count].msr = msr;
	written[count++].value = value;
}

static uint64_t take_rdmsr(uint32_t msr)
{
	assert_int_equal(msr, MSR_ARCH_CAPABILITIES);
	return 0;
}

static void start(void)
{
	const struct test_machine m = { .rdmsr = take_rdmsr, .wrmsr = take_wrmsr };

	test_machine_start(&m);
	count = 0;
}

/* One write since the last look. */
static void wrote(uint32_t msr, uint64_t value)
{
	assert_int_equal(count, 1);
	assert_int_equal(written[0].msr, msr);
	assert_int_equal(written[0].value, value);
	count = 0;
}

static void before_an_entry(void **state)
{
	struct vmx_cpu c = { .leaks = BIT(FEATURE_L1D_FLUSH) };

	(void)state;
	start();
	assert_true(guard_entries(&c));
	guard_entry(&c);
	wrote(MSR_FLUSH_CMD, 1);
	guard_entry(&c);
	wrote(MSR_FLUSH_CMD, 1);

	c.leaks = BIT(FEATURE_VERW); /* an instruction, no MSR */
	assert_true(guard_entries(&c));
	guard_entry(&c);
	assert_int_equal(count, 0);

	c.leaks = BIT(FEATURE_RSB_FILL) | BIT(FEATURE_IBPB) | BIT(FEATURE_SPEC_CTRL);
	assert_false(guard_entries(&c));
	c.leaks = 0;
	assert_false(guard_entries(&c));
}

static void behind_an_exit(void **state)
{
	struct vmx_cpu c = { .leaks = BIT(FEATURE_RSB_FILL) };

	(void)state;
	assert_true(guard_exits(&c));
	assert_ptr_equal(vmx_guard_exit_stub(&c), vmx_exit_stub_filling);
	c.leaks = ~c.leaks;
	assert_false(guard_exits(&c));
	assert_ptr_equal(vmx_guard_exit_stub(&c), vmx_exit_stub);
}

/* Predictions of the guest before, whichever of its vCPUs runs. */
static void between_guests(void **state)
{
	struct vmx_cpu c = { .leaks = BIT(FEATURE_IBPB) };

	(void)state;
	start();
	guard_turn(&c, 1); /* nobody was before it */
	guard_turn(&c, 1);
	assert_int_equal(count, 0);
	guard_turn(&c, 2);
	wrote(MSR_PRED_CMD, 1);
	guard_turn(&c, 2);
	assert_int_equal(count, 0);
	guard_turn(&c, 1);
	wrote(MSR_PRED_CMD, 1);

	c = (struct vmx_cpu){ .leaks = ~BIT(FEATURE_IBPB) };
	guard_turn(&c, 1);
	guard_turn(&c, 2);
	assert_int_equal(count, 0);
}

/* The next vCPU finds the hypervisor's value, unless nobody has touched it. */
static void spec_ctrl_of_a_guest(void **state)
{
	struct vmx_cpu c = { .spec_ctrl = 1 };
	struct vmx_vcpu x = { .switched_count = 0 };

	(void)state;
	start();
	vmx_guard_unload(&c, &x);
	x.switched[x.switched_count++].msr = MSR_TSC_AUX;
	vmx_guard_unload(&c, &x);
	assert_int_equal(count, 0);
	x.switched[x.switched_count++].msr = MSR_SPEC_CTRL;
	vmx_guard_unload(&c, &x);
	wrote(MSR_SPEC_CTRL, 1);
}

/* `disable` with all of them, whatever CPU this test runs on. */
static void all_disabled(void **state)
{
	struct vmx_cpu c = { .leaks = ~0ul, .spec_ctrl = 5 };

	(void)state;
	start();
	vmx_guard_init(&c);
	assert_int_equal(c.leaks, 0);
	assert_int_equal(c.spec_ctrl, 0);
	assert_int_equal(count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_an_entry),
		cmocka_unit_test(behind_an_exit),
		cmocka_unit_test(between_guests),
		cmocka_unit_test(spec_ctrl_of_a_guest),
		cmocka_unit_test(all_disabled),
	};
	return cmocka_run_group_tests_name("measures against leaks, carried out", tests, NULL, NULL);
}
