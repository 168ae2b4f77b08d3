/* sources: vmx/check.c vmx/check_controls.c vmx/check_host.c vmx/check_guest_regs.c vmx/check_guest_segs.c vmx/check_nonreg.c tests/unit/check_state.c hv/base/format.c */
/*
 * The entry checker as a whole: valid states pass, the sentence names field, value and section, rules
 * have names of their own, and VM-instruction errors have words.
 */
#include "tests/unit/check_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void edit(uint32_t field, uint64_t value)
{
	const struct check_edit e = { field, value, false };
	check_state_edit(&e);
}

static void valid_64_bit_guest(void **state)
{
	struct vmx_caps caps;
	struct check_env env;
	struct check_result first;

	(void)state;
	check_state_init(&env, &caps);
	assert_int_equal(vmx_check(&env, &first), 0);
	assert_null(first.id);
	assert_int_equal(vmx_check(&env, NULL), 0);
}

/* As after INIT and a start-up IPI: real mode, unrestricted guest. */
static void valid_real_mode_guest(void **state)
{
	struct vmx_caps caps;
	struct check_env env;
	struct check_result first;

	(void)state;
	check_state_init(&env, &caps);
	edit(VMCS_ENTRY_CONTROLS, ENTRY_LOAD_EFER | ENTRY_LOAD_PAT);
	edit(VMCS_GUEST_EFER, 0);
	edit(VMCS_GUEST_CR0, CR0_NE | CR0_ET);
	edit(VMCS_GUEST_CR4, CR4_VMXE);
	edit(VMCS_GUEST_RIP, 0);
	for (uint32_t seg = 0; seg < 6; seg++) {
		edit(VMCS_GUEST_ES_SEL + 2 * seg, seg == 1 ? 0x800 : 0);
		edit(VMCS_GUEST_ES_BASE + 2 * seg, seg == 1 ? 0x8000 : 0);
		edit(VMCS_GUEST_ES_LIMIT + 2 * seg, 0xffff);
		edit(VMCS_GUEST_ES_AR + 2 * seg, seg == 1 ? 0x9b : 0x93);
	}
	if (vmx_check(&env, &first))
		fail_msg("%s", first.text);
}

static void unusable_segments_are_not_looked_at(void **state)
{
	struct vmx_caps caps;
	struct check_env env;
	struct check_result first;

	(void)state;
	check_state_init(&env, &caps);
	for (uint32_t seg = 2; seg < 7; seg++) {
		edit(VMCS_GUEST_ES_SEL + 2 * seg, 0);
		edit(VMCS_GUEST_ES_LIMIT + 2 * seg, 0x12345678);
		edit(VMCS_GUEST_ES_AR + 2 * seg, BIT(16));
	}
	if (vmx_check(&env, &first))
		fail_msg("%s", first.text);
}

/* BASIC[56]: an exception may come with or without an error code. */
static void any_error_code(void **state)
{
	struct vmx_caps caps;
	struct check_env env;

	(void)state;
	check_state_init(&env, &caps);
	edit(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_HARDWARE << 8 | VEC_GP);
	assert_int_equal(vmx_check(&env, NULL), 1);
	caps.basic |= BIT(56);
	assert_int_equal(vmx_check(&env, NULL), 0);
	edit(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_DELIVER_ERROR | INTR_HARDWARE << 8 | VEC_UD);
	assert_int_equal(vmx_check(&env, NULL), 0);
}

/* A secondary word that is not activated counts as 0, whatever it holds. */
static void secondary_controls_off(void **state)
{
	struct vmx_caps caps;
	struct check_env env;
	struct check_result first;

	(void)state;
	check_state_init(&env, &caps);
	edit(VMCS_PRIMARY_CONTROLS, PRIMARY_HLT);
	edit(VMCS_SECONDARY_CONTROLS, ~0u);
	if (vmx_check(&env, &first))
		fail_msg("%s", first.text);
}

static void the_sentence(void **state)
{
	struct vmx_caps caps;
	struct check_env env;
	struct check_result first;

	(void)state;
	check_state_init(&env, &caps);
	edit(VMCS_GUEST_CR4, CR4_PAE);
	edit(VMCS_GUEST_ACTIVITY, 9);
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
		cmocka_unit_test(valid_64_bit_guest),
		cmocka_unit_test(valid_real_mode_guest),
		cmocka_unit_test(unusable_segments_are_not_looked_at),
		cmocka_unit_test(any_error_code),
		cmocka_unit_test(secondary_controls_off),
		cmocka_unit_test(the_sentence),
		cmocka_unit_test(ids_are_unique_and_sentences_fit),
		cmocka_unit_test(instruction_errors),
	};
	return cmocka_run_group_tests_name("entry checker", tests, NULL, NULL);
}
