/*
 * The VMCS of the entry checker's tests: in memory, on a CPU that offers nearly everything.
 */
#ifndef TESTS_UNIT_CHECK_STATE_H
#define TESTS_UNIT_CHECK_STATE_H

#include "tests/entry_rules/rules.h"

/* Fields of t, env and caps as every case starts, with the base's fields and a valid host state. */
void check_state_init(enum check_base base, struct check_env *env, struct vmx_caps *caps, struct rule_target *t);

#endif
