/*
 * Tries every case of tests/entry_rules on the CPU: in place of the guests of a build that is made
 * for this (PROVOKE in boot.mk), linked so that hv_main's last step comes here first. One line per case
 * says what the CPU did with the VMCS and what the entry checker says about it.
 */
#include "hv/base/frame.h"
#include "hv/base/log.h"
#include "hv/base/panic.h"
#include "hv/base/phys.h"
#include "hv/base/x86.h"
#include "tests/boot/provoke/provoke.h"
#include "tests/entry_rules/rules.h"
#include "vmx/core/vmcs.h"
#include "vmx/explain.h"

#define PDPTE_BAD 3 /* present, bit 1 is reserved */
#define MAX_BROKEN 8

struct broken {
	const char *ids[MAX_BROKEN];
	unsigned count;
};

static struct {
	unsigned refused, entered, not_possible, wrong;
} totals;

static struct rule_target target;
static bool field_missing; /* this CPU lacks a field that the case needs */

static uint64_t get_field(uint32_t field)
{
	uint64_t value = 0;

	vmcs_try_read(field, &value);
	return value;
}

/* A CPU without the field: only a case that wants something else than 0 in it cares. */
static void set_field(uint32_t field, uint64_t value)
{
	if (!vmcs_try_write(field, value) && value)
		field_missing = true;
}

static hpa_t page(uint32_t head)
{
	hpa_t frame = frame_alloc(OWNER_HV);

	INVARIANT(frame != HPA_NONE);
	*(uint32_t *)phys_to_virt(frame) = head;
	return frame;
}

static void target_init(void)
{
	struct check_env env;
	uint32_t revision;

	vmx_check_env(HPA_NONE, &env);
	target = (struct rule_target){
		.get = get_field, .set = set_field, .caps = env.caps, .physical_bits = env.physical_bits,
	};
	revision = (uint32_t)env.caps->basic & BITS(30, 0);
	target.page[PAGE_ZERO] = page(0);
	target.page[PAGE_VMCS] = page(revision);
	target.page[PAGE_SHADOW] = page(revision | BIT(31));
	target.page[PAGE_PDPTES] = page(PDPTE_BAD);
}

static void note_broken(void *ctx, const struct check_result *r)
{
	struct broken *b = ctx;

	if (b->count < MAX_BROKEN)
		b->ids[b->count] = r->id;
	b->count++;
}

/* Builds the case in a VMCS that is as good as new. */
static void build(const struct check_case *c, struct broken *broken)
{
	struct check_env env;

	INVARIANT(vmclear(target.page[PAGE_VMCS]));
	INVARIANT(vmptrld(target.page[PAGE_VMCS]));
	rule_base(&target, c->base);
	provoke_host_state(set_field);
	field_missing = false;
	for (unsigned i = 0; i < MAX_EDITS && c->edits[i].how != EDIT_NONE; i++)
		rule_edit(&target, &c->edits[i]);
	vmx_check_env(target.page[PAGE_VMCS], &env);
	env.read_guest = env.read_phys; /* without EPT they are the same */
	broken->count = 0;
	vmx_check_each(&env, note_broken, broken);
}

/* Checks on controls and host state end in VMfail, those on guest state in a VM exit. SDM "VM Entries". */
static enum outcome expected(const struct check_cases *all)
{
	return all == &cases_controls || all == &cases_host ? REFUSED_BY_VMFAIL : REFUSED_BY_EXIT;
}

/* 1 for the first case of that rule, 2 for the next. */
static unsigned number_of(const struct check_cases *all, const struct check_case *c)
{
	unsigned n = 1;

	for (const struct check_case *before = all->cases; before < c; before++)
		n += !__builtin_strcmp(before->id, c->id);
	return n;
}

static void break_rule(const struct check_cases *all, const struct check_case *c)
{
	unsigned n = number_of(all, c);
	struct broken broken;
	enum outcome outcome;
	char how[80];

	build(c, &broken);
	/* What this CPU does not offer cannot be broken on it, or not alone. */
	if (field_missing || broken.count != 1 || __builtin_strcmp(broken.ids[0], c->id)) {
		log_info("entry rule %s %u: not possible here", c->id, n);
		totals.not_possible++;
		return;
	}
	outcome = provoke_enter(how, sizeof how);
	if (outcome == ENTERED)
		totals.entered++;
	else if (outcome == expected(all))
		totals.refused++;
	else
		totals.wrong++;
	log_info("entry rule %s %u: %s%s", c->id, n,
		 outcome == ENTERED || outcome == expected(all) ? "" : "refused in another way than the SDM's: ", how);
}

static void keep_rules(const struct check_case *c)
{
	struct broken broken;
	enum outcome outcome;
	char how[80];

	build(c, &broken);
	if (field_missing || broken.count) {
		log_info("entry state %s: not possible here (%s)", c->id, broken.count ? broken.ids[0] : "no such field");
		totals.not_possible++;
		return;
	}
	outcome = provoke_enter(how, sizeof how);
	if (outcome == ENTERED)
		totals.entered++;
	else
		totals.refused++;
	log_info("entry state %s: %s", c->id, how);
}

static void run(const struct check_cases *all)
{
	for (unsigned i = 0; i < all->count; i++) {
		if (all->cases[i].cpu)
			continue;
		if (all->covers)
			break_rule(all, &all->cases[i]);
		else
			keep_rules(&all->cases[i]);
	}
}

void provoke_then_monitor(void)
{
	provoke_host_init();
	target_init();
	run(&cases_controls);
	run(&cases_host);
	run(&cases_guest);
	run(&cases_segs);
	run(&cases_nonreg);
	run(&cases_valid);
	INVARIANT(vmclear(target.page[PAGE_VMCS]));
	log_info("entry rules: %u refused, %u entered, %u not possible here, %u refused in another way", totals.refused,
		 totals.entered, totals.not_possible, totals.wrong);
	shipped_monitor_init();
}
