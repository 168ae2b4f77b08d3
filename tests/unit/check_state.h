/*
 * A valid VMCS (64-bit guest, unrestricted, EPT) to break one rule at a time, and the test that does
 * so for a table of cases. Shared by test_check_*.c.
 */
#ifndef TESTS_UNIT_CHECK_STATE_H
#define TESTS_UNIT_CHECK_STATE_H

#include "vmx/check_rules.h"

#define MAX_EDITS 8
#define TEST_PHYSICAL_BITS 40
#define TEST_VMCS 0x7000ul        /* has the revision */
#define TEST_SHADOW_VMCS 0x8000ul /* has the revision and the shadow bit */
#define TEST_REVISION 0x13u /* as a PDPTE: present, with a reserved bit */

struct check_edit {
	uint32_t field;
	uint64_t value; /* XORed into the field when flip is set, else stored */
	bool flip;
};

#define SET(name, v) { VMCS_##name, (v), false }
#define FLIP(name, v) { VMCS_##name, (v), true }

struct check_case {
	const char *id;                     /* of the rule that breaks, alone */
	struct check_edit edits[MAX_EDITS]; /* unused ones are all zero; field 0 (VPID) may be edited only first */
	void (*tweak)(struct check_env *env, struct vmx_caps *caps);
};

/* Runs every case of the table, and fails for a rule of `covers` that no case breaks. Returns cmocka's result. */
int check_run_cases(const char *name, const struct check_case *cases, unsigned count, const struct check_table *covers);

/* The valid state itself; env and caps as every case starts. */
void check_state_init(struct check_env *env, struct vmx_caps *caps);
void check_state_edit(const struct check_edit *e);

#endif
