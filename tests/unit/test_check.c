/* sources: vmx/check.c vmx/check_controls.c vmx/check_host.c vmx/check_guest_regs.c vmx/check_guest_segs.c vmx/check_nonreg.c tests/unit/check_state.c tests/entry_rules/state.c hv/base/format.c */
/*
 * The entry checker as a whole: the sentence names field, value and section, rules
 * have names of their own, and VM-instruction errors have words.
 */
#include "tests/unit/check_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* BASIC[56]: an exception may come with or without an error code. */
static void any_error_code(void **state)
{
	struct vmx_caps caps;
	struct check_env env;
	struct rule_target t;

	(void)state;
	check_state_init(BASE_LONG, &env, &caps, &t);
	t.set(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_HARDWARE << 8 | VEC_GP);
	assert_int_equal(vmx_check(&env, NULL), 1);
	caps.basic |= BIT(56);
	assert_int_equal(vmx_check(&env, NULL), 0);
	t.set(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_DELIVER_ERROR | INTR_HARDWARE << 8 | VEC_UD);
	assert_int_equal(vmx_check(&env, NULL), 0);
}

static void the_sentence(void **state)
{
	struct vmx_caps caps;
	struct check_env env;
	struct rule_target t;
	struct check_result first;

	(void)state;
	check_state_init(BASE_LONG, &env, &caps, &t);
	t.set(VMCS_GUEST_CR4, CR4_PAE);
	t.set(VMCS_GUEST_ACTIVITY, 9);
	assert_int_equal(vmx_check(&env, &first), 2);
	assert_string_equal(first.id, "guest-cr4-fixed");
	assert_int_equal(first.field, VMCS_GUEST_CR4);
	assert_int_equal(first.value, CR4_PAE);
	assert_string_equal(first.text,
			    "VM entry refused: guest CR4 (20h) has bits other than the CPU requires fixed "
			    "(IA32_VMX_CR4_FIXED0 and FIXED1); SDM 'Checks on Guest Control Registers, Debug "
			    "Registers, and MSRs'");
}

static void ids_are_unique_and_sentences_fit(void **state)
{
	(void)state;
	for (unsigned t = 0; t < CHECK_TABLES; t++)
		for (unsigned i = 0; i < check_tables[t]->count; i++) {
			const struct check_rule *r = &check_tables[t]->rules[i];

			assert_true(strlen(r->text) < 200);
			for (unsigned u = t; u < CHECK_TABLES; u++)
				for (unsigned j = u == t ? i + 1 : 0; j < check_tables[u]->count; j++)
					assert_string_not_equal(r->id, check_tables[u]->rules[j].id);
		}
}

static void instruction_errors(void **state)
{
	(void)state;
	assert_string_equal(vmx_instruction_error(7), "VM entry with invalid control field(s)");
	assert_string_equal(vmx_instruction_error(28), "invalid operand to INVEPT or INVVPID");
	for (uint32_t n = 0; n < 64; n++)
		assert_non_null(vmx_instruction_error(n));
	assert_string_equal(vmx_instruction_error(14), vmx_instruction_error(0xffffffff));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_error_code),
		cmocka_unit_test(the_sentence),
		cmocka_unit_test(ids_are_unique_and_sentences_fit),
		cmocka_unit_test(instruction_errors),
	};
	return cmocka_run_group_tests_name("entry checker", tests, NULL, NULL);
}
