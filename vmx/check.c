/*
 * The entry checker's driver: applies every rule and puts what is broken into a sentence.
 */
#include "vmx/check.h"

#include "hv/base/format.h"
#include "vmx/check_rules.h"

#define BASIC_32BIT_ADDRESSES BIT(48)

const struct check_table *const check_tables[CHECK_TABLES] = {
	&check_controls, &check_host, &check_guest_regs, &check_guest_segs, &check_nonreg,
};

static const char *const section_titles[SECTION_COUNT] = {
	[SECTION_EXECUTION_CONTROLS] = "VM-Execution Control Fields",
	[SECTION_EXIT_CONTROLS] = "VM-Exit Control Fields",
	[SECTION_ENTRY_CONTROLS] = "VM-Entry Control Fields",
	[SECTION_HOST_REGISTERS] = "Checks on Host Control Registers, MSRs, and SSP",
	[SECTION_HOST_SEGMENTS] = "Checks on Host Segment and Descriptor-Table Registers",
	[SECTION_HOST_SIZE] = "Checks Related to Address-Space Size",
	[SECTION_GUEST_REGISTERS] = "Checks on Guest Control Registers, Debug Registers, and MSRs",
	[SECTION_GUEST_SEGMENTS] = "Checks on Guest Segment Registers",
	[SECTION_GUEST_TABLES] = "Checks on Guest Descriptor-Table Registers",
	[SECTION_GUEST_RIP] = "Checks on Guest RIP, RFLAGS, and SSP",
	[SECTION_NON_REGISTER] = "Checks on Guest Non-Register State",
	[SECTION_PDPTES] = "Checks on Guest Page-Directory-Pointer-Table Entries",
};

static const char *field_name(uint32_t field)
{
	static const struct { uint32_t field; const char *name; } names[] = {
#define FIELD_NAME(sym, encoding, name) { encoding, name },
		VMCS_FIELDS(FIELD_NAME)
#undef FIELD_NAME
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].field == field)
			return names[i].name;
	return "unknown field";
}

bool check_is_canonical(const struct check *c, uint64_t address)
{
	return is_canonical(address, c->env->la57 ? 57 : 48);
}

bool check_in_physical(const struct check *c, uint64_t address)
{
	unsigned bits = c->env->caps->basic & BASIC_32BIT_ADDRESSES ? 32 : c->env->physical_bits;
	return !(address >> bits);
}

bool check_pat_valid(uint64_t pat)
{
	for (unsigned i = 0; i < 64; i += 8) {
		uint8_t type = (uint8_t)(pat >> i);
		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

bool check_canonical(const struct check *c, const struct check_rule *r)
{
	return check_is_canonical(c, check_field(c, r->field));
}

bool check_physical(const struct check *c, const struct check_rule *r)
{
	uint64_t v = check_field(c, r->field);
	return !(v & r->arg) && check_in_physical(c, v);
}

bool check_clear(const struct check *c, const struct check_rule *r)
{
	return !(check_field(c, r->field) & r->arg);
}

bool check_non_zero(const struct check *c, const struct check_rule *r)
{
	return check_field(c, r->field) != 0;
}

bool check_needs(const struct check *c, const struct check_rule *r) { return check_control(c, r->arg); }

bool check_excludes(const struct check *c, const struct check_rule *r)
{
	return !(c->word[r->arg >> 32] & (uint32_t)r->arg);
}

bool check_pat(const struct check *c, const struct check_rule *r)
{
	return check_pat_valid(check_field(c, r->field));
}

bool check_perf_global(const struct check *c, const struct check_rule *r)
{
	return !(check_field(c, r->field) & ~c->env->perf_global_valid);
}

/* Bits 9:6 are reserved, TRACKER and SUPPRESS exclude each other, the bitmap's address is canonical. */
bool check_s_cet(const struct check *c, const struct check_rule *r)
{
	uint64_t v = check_field(c, r->field);
	return !(v & BITS(9, 6)) && (v & BITS(11, 10)) != BITS(11, 10) && check_is_canonical(c, v);
}

static void check_begin(struct check *c, const struct check_env *env)
{
	*c = (struct check){ .env = env };
	c->word[CONTROL_PIN] = check_field(c, VMCS_PIN_CONTROLS);
	c->word[CONTROL_PRIMARY] = check_field(c, VMCS_PRIMARY_CONTROLS);
	c->word[CONTROL_EXIT] = check_field(c, VMCS_EXIT_CONTROLS);
	c->word[CONTROL_ENTRY] = check_field(c, VMCS_ENTRY_CONTROLS);
	if (c->word[CONTROL_PRIMARY] & PRIMARY_SECONDARY)
		c->word[CONTROL_SECONDARY] = check_field(c, VMCS_SECONDARY_CONTROLS);
	if (c->word[CONTROL_PRIMARY] & PRIMARY_TERTIARY)
		c->word[CONTROL_TERTIARY] = check_field(c, VMCS_TERTIARY_CONTROLS);
	if (c->word[CONTROL_EXIT] & EXIT_SECONDARY)
		c->word[CONTROL_EXIT2] = check_field(c, VMCS_EXIT_CONTROLS_2);
	c->intr_info = check_field(c, VMCS_ENTRY_INTR_INFO);
	if (!(c->intr_info & INTR_VALID))
		c->intr_info = 0;
}

static void describe(const struct check *c, const struct check_rule *r, struct check_result *out)
{
	out->id = r->id;
	out->section = section_titles[r->section];
	out->field = r->field;
	out->value = check_field(c, r->field);
	format(out->text, sizeof(out->text), "VM entry refused: %s (%lxh) %s; SDM '%s'", field_name(r->field),
	       out->value, r->text, out->section);
}

int vmx_check_each(const struct check_env *env, void (*each)(void *ctx, const struct check_result *r), void *ctx)
{
	struct check_result result;
	struct check c;
	int broken = 0;

	check_begin(&c, env);
	for (unsigned t = 0; t < CHECK_TABLES; t++)
		for (unsigned i = 0; i < check_tables[t]->count; i++) {
			const struct check_rule *r = &check_tables[t]->rules[i];

			if (!check_control(&c, r->when) || r->ok(&c, r))
				continue;
			broken++;
			describe(&c, r, &result);
			each(ctx, &result);
		}
	return broken;
}

static void keep_first(void *ctx, const struct check_result *r)
{
	struct check_result *first = ctx;

	if (first && !first->id)
		*first = *r;
}

int vmx_check(const struct check_env *env, struct check_result *first)
{
	if (first)
		first->id = NULL;
	return vmx_check_each(env, keep_first, first);
}

const char *vmx_instruction_error(uint32_t number)
{
	static const char *const words[] = {
		[1] = "VMCALL executed in VMX root operation",
		[2] = "VMCLEAR with invalid physical address",
		[3] = "VMCLEAR with VMXON pointer",
		[4] = "VMLAUNCH with non-clear VMCS",
		[5] = "VMRESUME with non-launched VMCS",
		[6] = "VMRESUME after VMXOFF (VMXOFF and VMXON between VMLAUNCH and VMRESUME)",
		[7] = "VM entry with invalid control field(s)",
		[8] = "VM entry with invalid host-state field(s)",
		[9] = "VMPTRLD with invalid physical address",
		[10] = "VMPTRLD with VMXON pointer",
		[11] = "VMPTRLD with incorrect VMCS revision identifier",
		[12] = "VMREAD or VMWRITE from or to an unsupported VMCS component",
		[13] = "VMWRITE to a read-only VMCS component",
		[15] = "VMXON executed in VMX root operation",
		[16] = "VM entry with invalid executive-VMCS pointer",
		[17] = "VM entry with non-launched executive VMCS",
		[18] = "VM entry with executive-VMCS pointer not VMXON pointer",
		[19] = "VMCALL with non-clear VMCS",
		[20] = "VMCALL with invalid VM-exit control fields",
		[22] = "VMCALL with incorrect MSEG revision identifier",
		[23] = "VMXOFF under dual-monitor treatment of SMIs and SMM",
		[24] = "VMCALL with invalid SMM-monitor features",
		[25] = "VM entry with invalid VM-execution control fields in executive VMCS",
		[26] = "VM entry with events blocked by MOV SS",
		[28] = "invalid operand to INVEPT or INVVPID",
	};

	return number < ARRAY_LEN(words) && words[number] ? words[number] : "a number the SDM does not list";
}
