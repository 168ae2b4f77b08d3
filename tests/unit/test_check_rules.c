/* sources: vmx/check.c vmx/check_controls.c vmx/check_host.c vmx/check_guest_regs.c vmx/check_guest_segs.c vmx/check_nonreg.c tests/unit/check_state.c tests/entry_rules/state.c tests/entry_rules/controls.c tests/entry_rules/host.c tests/entry_rules/guest.c tests/entry_rules/segs.c tests/entry_rules/nonreg.c tests/entry_rules/valid.c hv/base/format.c */
/*
 * The entry checker rule by rule: each case of tests/entry_rules breaks its rule and no other, each
 * rule has a case, and valid states break none.
 */
#include "tests/unit/check_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define MAX_CASES 256
#define MAX_BROKEN 16

struct broken {
	const char *ids[MAX_BROKEN];
	char text[360];
	unsigned count;
};

static void note_broken(void *ctx, const struct check_result *r)
{
	struct broken *b = ctx;

	if (b->count < MAX_BROKEN)
		b->ids[b->count] = r->id;
	if (!b->count++)
		memcpy(b->text, r->text, sizeof(b->text));
}

static struct broken judge(const struct check_case *c)
{
	struct broken broken = { .count = 0 };
	struct rule_target target;
	struct vmx_caps caps;
	struct check_env env;

	check_state_init(c->base, &env, &caps, &target);
	for (unsigned i = 0; i < MAX_EDITS && c->edits[i].how != EDIT_NONE; i++)
		rule_edit(&target, &c->edits[i]);
	if (c->cpu)
		c->cpu(&env, &caps);
	vmx_check_each(&env, note_broken, &broken);
	return broken;
}

static void breaks_one_rule(void **state)
{
	const struct check_case *c = *state;
	struct broken broken = judge(c);

	for (unsigned i = 0; i < broken.count && i < MAX_BROKEN; i++)
		if (strcmp(broken.ids[i], c->id))
			print_message("also broken: %s\n", broken.ids[i]);
	assert_int_equal(broken.count, 1);
	assert_string_equal(broken.ids[0], c->id);
	assert_memory_equal(broken.text, "VM entry refused: ", 18);
	assert_non_null(strstr(broken.text, "; SDM '"));
	assert_int_equal(broken.text[strlen(broken.text) - 1], '\'');
}

static void breaks_no_rule(void **state)
{
	struct broken broken = judge(*state);

	if (broken.count)
		fail_msg("%s", broken.text);
}

static void every_rule_has_a_case(void **state)
{
	const struct check_cases *all = *state;

	for (unsigned i = 0; i < all->covers->count; i++) {
		bool found = false;

		for (unsigned j = 0; j < all->count; j++)
			found |= !strcmp(all->covers->rules[i].id, all->cases[j].id);
		if (!found)
			fail_msg("no case breaks %s", all->covers->rules[i].id);
	}
}

static int run(const struct check_cases *all)
{
	static struct CMUnitTest tests[MAX_CASES + 1];
	unsigned n = 0;

	assert_true(all->count <= MAX_CASES);
	if (all->covers)
		tests[n++] = (struct CMUnitTest){ .name = "every_rule_has_a_case", .test_func = every_rule_has_a_case,
						  .initial_state = (void *)(uintptr_t)all };
	for (unsigned i = 0; i < all->count; i++)
		tests[n++] = (struct CMUnitTest){
			.name = all->cases[i].id,
			.test_func = all->covers ? breaks_one_rule : breaks_no_rule,
			.initial_state = (void *)(uintptr_t)&all->cases[i],
		};
	return _cmocka_run_group_tests(all->name, tests, n, NULL, NULL);
}

int main(void)
{
	return run(&cases_controls) + run(&cases_host) + run(&cases_guest) + run(&cases_segs) + run(&cases_nonreg) +
	       run(&cases_valid);
}
