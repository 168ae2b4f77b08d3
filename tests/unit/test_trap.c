/* sources: hv/base/trap.c hv/base/format.c */
/*
 * What the hypervisor says of exceptions in root mode: machine checks with their banks, page faults,
 * stack overflows; and that an expected exception goes on where it should.
 */
#include "hv/base/trap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "drivers/lapic.h"
#include "hv/base/machine.h"
#include "hv/base/map.h"
#include "hv/base/map_ram.h"
#include "hv/base/nmi.h"
#include "hv/base/panic.h"

#include <cmocka.h>

#define MCG_CAP 0x179
#define MCG_STATUS 0x17a
#define STATUS(bank) (0x401u + 4 * (bank))
#define ADDRESS(bank) (0x402u + 4 * (bank))
#define VALID BIT(63)
#define ADDRESS_VALID BIT(58)
#define GUARD 0xffffc00000003000ul
#define TD_ADDRESS 0xffff800012345678ul
#define PAMT_ADDRESS 0xffff800012346000ul

struct fixup {
	uint64_t from, to;
};
const char trap_stubs[1], trap_nmi_raised[1];
const struct fixup __fixup_start[1], __fixup_end[1];
bool lapic_x2apic;
volatile uint32_t *lapic_window;

static uint64_t msrs[0x500];
static bool absent[0x500];
static char text[400];
static jmp_buf panicked;
static uint64_t nmi_at;

int rdmsr_safe(uint32_t msr, uint64_t *value)
{
	assert_true(msr < ARRAY_LEN(msrs));
	if (absent[msr])
		return -1;
	*value = msrs[msr];
	return 0;
}

frame_owner_t map_hidden_owner(uint64_t va)
{
	return va == TD_ADDRESS ? OWNER_TD(3) : va == PAMT_ADDRESS ? OWNER_PAMT : OWNER_NONE;
}

bool map_is_guard(uint64_t va) { return va >> PAGE_SHIFT == GUARD >> PAGE_SHIFT; }
void nmi_take(const struct trap_frame *f) { nmi_at = f->rip; }

int wrmsr_safe(uint32_t msr, uint64_t value)
{
	if (absent[msr])
		return -1;
	msrs[msr] = value;
	return 0;
}


void panic_trap(const struct trap_frame *f, const char *fmt, ...)
{
	va_list args;

	(void)f;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	longjmp(panicked, 1);
}

/* True when it panicked. */
static bool dispatch(struct trap_frame *f)
{
	text[0] = 0;
	if (setjmp(panicked))
		return true;
	trap_dispatch(f);
	return false;
}

static int start(void **state)
{
	static struct cpu_machine machine;

	(void)state;
	memset(msrs, 0, sizeof(msrs));
	memset(absent, 0, sizeof(absent));
	memset(&machine, 0, sizeof(machine));
	this_cpu()->machine = &machine;
	nmi_at = 0;
	return 0;
}

static void machine_check_names_its_banks(void **state)
{
	struct trap_frame f = { .vector = VEC_MC };

	(void)state;
	msrs[MCG_CAP] = 4;
	msrs[MCG_STATUS] = 5;
	msrs[STATUS(1)] = VALID | ADDRESS_VALID | 0x135;
	msrs[ADDRESS(1)] = 0xabc000;
	msrs[STATUS(2)] = 0x99; /* not valid */
	msrs[STATUS(3)] = VALID | 0x400;
	msrs[ADDRESS(3)] = 0x777; /* not valid */
	msrs[STATUS(4)] = VALID;  /* beyond the last bank */
	assert_true(dispatch(&f));
	assert_int_equal(msrs[MCG_STATUS], 0); /* another one does not shut the CPU down */
	assert_string_equal(text, "the hardware reports a machine check, MCG_STATUS 5h: bank 1 status "
				  "8400000000000135h address abc000h; bank 3 status 8000000000000400h address 0h; "
				  "the machine is faulty");
}

static void machine_check_without_a_bank(void **state)
{
	struct trap_frame f = { .vector = VEC_MC };

	(void)state;
	absent[MCG_CAP] = absent[MCG_STATUS] = true;
	assert_true(dispatch(&f));
	assert_string_equal(text, "the hardware reports a machine check, MCG_STATUS 0h: no bank says where; the "
				  "machine is faulty");
}

/* More than the sentence can hold: cut, not written beyond. */
static void machine_check_in_all_banks(void **state)
{
	struct trap_frame f = { .vector = VEC_MC };

	(void)state;
	msrs[MCG_CAP] = 32;
	for (unsigned i = 0; i < 32; i++)
		msrs[STATUS(i)] = ~0ul;
	assert_true(dispatch(&f));
	assert_non_null(strstr(text, " bank 0 status ffffffffffffffffh"));
	assert_non_null(strstr(text, "the machine is faulty"));
}

static void stack_overflow(void **state)
{
	struct trap_frame f = { .vector = VEC_DF, .rsp = GUARD + PAGE_SIZE };

	(void)state;
	assert_true(dispatch(&f));
	assert_string_equal(text, "stack overflow: rsp ffffc00000004000h is in a guard page");
	f.rsp = 0x1000;
	assert_true(dispatch(&f));
	assert_string_equal(text, "double fault in the hypervisor, error code 0h");
}

static void addresses_left_out(void **state)
{
	char why[96];

	(void)state;
	trap_describe_address(TD_ADDRESS, why, sizeof why);
	assert_string_equal(why, ": the address belongs to TD 3, whose memory the hypervisor does not touch");
	trap_describe_address(PAMT_ADDRESS, why, sizeof why);
	assert_string_equal(why, ": the address belongs to the TDX module");
	trap_describe_address(GUARD + 8, why, sizeof why);
	assert_non_null(strstr(why, "guard page"));
	trap_describe_address(8, why, sizeof why);
	assert_string_equal(why, "");
}

static void reserved_vector(void **state)
{
	struct trap_frame f = { .vector = 15, .error = 0x18 };

	(void)state;
	assert_true(dispatch(&f));
	assert_string_equal(text, "reserved exception in the hypervisor, error code 18h");
}

/* Once only: the next exception is a panic again. */
static void recovery_point(void **state)
{
	struct trap_frame f = { .vector = VEC_GP, .rip = 0x1234, .rflags = ~0ul };

	(void)state;
	trap_set_recovery(0x5000, 0x6000);
	assert_false(dispatch(&f));
	assert_int_equal(f.rip, 0x5000);
	assert_int_equal(f.rsp, 0x6000);
	assert_int_equal(f.rflags, RFLAGS_FIXED1);
	assert_true(dispatch(&f));
}

static void nmis_go_to_their_taker(void **state)
{
	struct trap_frame f = { .vector = VEC_NMI, .rip = 0x777 };

	(void)state;
	assert_false(dispatch(&f));
	assert_int_equal(nmi_at, 0x777);
	assert_false(trap_from_guest(&f));
	f.rip = (uint64_t)trap_nmi_raised;
	assert_true(trap_from_guest(&f));
}

/* While nobody knows whose the CPU's registers are, as when struct cpu is damaged, no recovery point is looked for. */
static void unknown_cpu(void **state)
{
	struct trap_frame f = { .vector = VEC_GP, .rip = 0x1234 };
	struct cpu *was = this_cpu();

	(void)state;
	trap_set_recovery(0x5000, 0x6000);
	test_this_cpu = NULL;
	assert_true(dispatch(&f));
	test_this_cpu = was;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(machine_check_names_its_banks, start),
		cmocka_unit_test_setup(machine_check_without_a_bank, start),
		cmocka_unit_test_setup(machine_check_in_all_banks, start),
		cmocka_unit_test_setup(stack_overflow, start),
		cmocka_unit_test_setup(addresses_left_out, start),
		cmocka_unit_test_setup(reserved_vector, start),
		cmocka_unit_test_setup(recovery_point, start),
		cmocka_unit_test_setup(nmis_go_to_their_taker, start),
		cmocka_unit_test_setup(unknown_cpu, start),
	};
	return cmocka_run_group_tests_name("exceptions in root mode", tests, NULL, NULL);
}
