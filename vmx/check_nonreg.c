/*
 * VM-entry checks on the guest's non-register state, and on its page-directory-pointer-table entries.
 */
#include "vmx/check.h"

#include "vmx/check_rules.h"

#define STATE SECTION_NON_REGISTER
#define SECONDARY(name) CONTROL(CONTROL_SECONDARY, SECONDARY_##name)
#define LINK_NONE (~(uint64_t)0)
#define LINK_SHADOW BIT(31)
#define REVISION_MASK BITS(30, 0)
#define MISC_ACTIVITY(misc) ((unsigned)((misc) >> 6 & 7)) /* bit n: activity state n + 1 */
#define DEBUGCTL_BTF BIT(1)
#define PENDING_BS BIT(14)
#define PENDING_ENABLED BIT(12)
#define PENDING_RTM BIT(16)
#define PENDING_RESERVED (BITS(10, 4) | BIT(13) | BIT(15) | BITS(63, 17))
#define PENDING_NOT_WITH_RTM (BITS(11, 0) | BITS(15, 13) | BITS(63, 17))
#define PDPTE_PRESENT BIT(0)
#define PDPTE_RESERVED (BITS(2, 1) | BITS(8, 5))
#define BLOCKING_SHADOWS (BLOCKING_STI | BLOCKING_MOV_SS)

static uint64_t activity(const struct check *c) { return check_field(c, VMCS_GUEST_ACTIVITY); }
static uint64_t blocking(const struct check *c) { return check_field(c, VMCS_GUEST_INTERRUPTIBILITY); }

static bool activity_supported(const struct check *c, const struct check_rule *r)
{
	uint64_t v = check_field(c, r->field);
	return v == ACTIVITY_ACTIVE || (v <= ACTIVITY_WAIT_SIPI && MISC_ACTIVITY(c->env->caps->misc) >> (v - 1) & 1);
}

static bool hlt_privilege(const struct check *c, const struct check_rule *r)
{
	bool user = check_field(c, VMCS_GUEST_SS_AR) >> 5 & 3;
	return check_field(c, r->field) != ACTIVITY_HLT || !user;
}

static bool inactive_without_shadow(const struct check *c, const struct check_rule *r)
{
	return check_field(c, r->field) == ACTIVITY_ACTIVE || !(blocking(c) & BLOCKING_SHADOWS);
}

/* SDM: what may be injected while the CPU is not active. */
static bool inactive_injection(const struct check *c, const struct check_rule *r)
{
	unsigned vector = INTR_VECTOR(c->intr_info);
	bool nmi = check_injects(c, INTR_NMI);
	bool hardware = check_injects(c, INTR_HARDWARE);

	if (!(c->intr_info & INTR_VALID))
		return true;
	switch (check_field(c, r->field)) {
	case ACTIVITY_HLT:
		return nmi || check_injects(c, INTR_EXTERNAL) || (hardware && (vector == VEC_DB || vector == VEC_MC)) ||
		       (check_injects(c, INTR_OTHER) && vector == 0);
	case ACTIVITY_SHUTDOWN:
		return nmi || (hardware && vector == VEC_MC);
	case ACTIVITY_WAIT_SIPI:
		return false;
	default:
		return true;
	}
}

static bool shadows_exclusive(const struct check *c, const struct check_rule *r)
{
	return (check_field(c, r->field) & BLOCKING_SHADOWS) != BLOCKING_SHADOWS;
}

static bool sti_needs_if(const struct check *c, const struct check_rule *r)
{
	return !(check_field(c, r->field) & BLOCKING_STI) || check_field(c, VMCS_GUEST_RFLAGS) & RFLAGS_IF;
}

static bool external_not_blocked(const struct check *c, const struct check_rule *r)
{
	bool external = c->intr_info & INTR_VALID && INTR_TYPE(c->intr_info) == INTR_EXTERNAL;
	return !external || !(check_field(c, r->field) & BLOCKING_SHADOWS);
}

/* arg: the kind of blocking. */
static bool nmi_not_blocked(const struct check *c, const struct check_rule *r)
{
	return !check_injects(c, INTR_NMI) || !(check_field(c, r->field) & r->arg);
}

static bool enclave_blocking(const struct check *c, const struct check_rule *r)
{
	uint64_t v = check_field(c, r->field);
	return !(v & BLOCKING_ENCLAVE) || (c->env->sgx && !(v & BLOCKING_MOV_SS));
}

/* A trap must be pending after a shadow or HLT if, and only if, the guest single-steps. */
static bool step_state_matters(const struct check *c)
{
	return blocking(c) & BLOCKING_SHADOWS || activity(c) == ACTIVITY_HLT;
}

static bool single_stepping(const struct check *c)
{
	return check_field(c, VMCS_GUEST_RFLAGS) & RFLAGS_TF && !(check_field(c, VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF);
}

static bool pending_step_missing(const struct check *c, const struct check_rule *r)
{
	return !step_state_matters(c) || !single_stepping(c) || check_field(c, r->field) & PENDING_BS;
}

static bool pending_step_unwanted(const struct check *c, const struct check_rule *r)
{
	return !step_state_matters(c) || single_stepping(c) || !(check_field(c, r->field) & PENDING_BS);
}

static bool pending_rtm(const struct check *c, const struct check_rule *r)
{
	uint64_t v = check_field(c, r->field);

	if (!(v & PENDING_RTM))
		return true;
	return c->env->rtm && !(v & PENDING_NOT_WITH_RTM) && v & PENDING_ENABLED && !(blocking(c) & BLOCKING_MOV_SS);
}

static bool link_address(const struct check *c, const struct check_rule *r)
{
	return check_field(c, r->field) == LINK_NONE || check_physical(c, r);
}

static bool link_revision(const struct check *c, const struct check_rule *r)
{
	uint64_t link = check_field(c, r->field), head;
	uint64_t shadow = check_control(c, SECONDARY(VMCS_SHADOW)) ? LINK_SHADOW : 0;

	if (link == LINK_NONE || !link_address(c, r) || !c->env->read_phys ||
	    !c->env->read_phys(c->env->ctx, link, &head))
		return true;
	return (uint32_t)head == ((c->env->caps->basic & REVISION_MASK) | shadow);
}

static bool link_not_current(const struct check *c, const struct check_rule *r)
{
	uint64_t link = check_field(c, r->field);
	return link == LINK_NONE || link != c->env->vmcs;
}

static bool pae_paging(const struct check *c)
{
	return check_field(c, VMCS_GUEST_CR0) & CR0_PG && check_field(c, VMCS_GUEST_CR4) & CR4_PAE && !check_ia32e(c);
}

static bool pdpte_valid(const struct check *c, uint64_t entry)
{
	return !(entry & PDPTE_PRESENT) ||
	       (!(entry & PDPTE_RESERVED) && !(entry >> c->env->physical_bits));
}

static bool pdpte_field(const struct check *c, const struct check_rule *r)
{
	return !pae_paging(c) || pdpte_valid(c, check_field(c, r->field));
}

/* Without EPT they are read from the table that CR3 names. */
static bool pdptes_in_memory(const struct check *c, const struct check_rule *r)
{
	gpa_t table = check_field(c, r->field) & BITS(31, 5);
	uint64_t entry;

	if (!pae_paging(c) || check_control(c, SECONDARY(EPT)) || !c->env->read_guest)
		return true;
	for (unsigned i = 0; i < 4; i++)
		if (c->env->read_guest(c->env->ctx, table + 8 * i, &entry) && !pdpte_valid(c, entry))
			return false;
	return true;
}

#define PDPTE_TEXT "is present and has reserved bits set: 2:1, 8:5 or beyond the physical-address width"

static const struct check_rule rules[] = {
	{ "activity-supported", STATE, VMCS_GUEST_ACTIVITY, ALWAYS, activity_supported, 0,
	  "is no activity state that this CPU supports (IA32_VMX_MISC[8:6])" },
	{ "activity-hlt-privilege", STATE, VMCS_GUEST_ACTIVITY, ALWAYS, hlt_privilege, 0,
	  "is HLT though the DPL of SS is not 0" },
	{ "activity-shadow", STATE, VMCS_GUEST_ACTIVITY, ALWAYS, inactive_without_shadow, 0,
	  "is not active though events are blocked by STI or by MOV SS" },
	{ "activity-injection", STATE, VMCS_GUEST_ACTIVITY, ALWAYS, inactive_injection, 0,
	  "does not go with the event to be injected" },
	{ "blocking-reserved", STATE, VMCS_GUEST_INTERRUPTIBILITY, ALWAYS, check_clear, BITS(31, 5),
	  "has reserved bits 31:5 set" },
	{ "blocking-both", STATE, VMCS_GUEST_INTERRUPTIBILITY, ALWAYS, shadows_exclusive, 0,
	  "has blocking by STI and by MOV SS" },
	{ "blocking-sti-if", STATE, VMCS_GUEST_INTERRUPTIBILITY, ALWAYS, sti_needs_if, 0,
	  "has blocking by STI while RFLAGS.IF is 0" },
	{ "blocking-external", STATE, VMCS_GUEST_INTERRUPTIBILITY, ALWAYS, external_not_blocked, 0,
	  "has blocking by STI or MOV SS while an external interrupt is to be injected" },
	{ "blocking-nmi-mov-ss", STATE, VMCS_GUEST_INTERRUPTIBILITY, ALWAYS, nmi_not_blocked, BLOCKING_MOV_SS,
	  "has blocking by MOV SS while an NMI is to be injected" },
	{ "blocking-smi", STATE, VMCS_GUEST_INTERRUPTIBILITY, ALWAYS, check_clear, BLOCKING_SMI,
	  "has blocking by SMI outside system-management mode" },
	{ "blocking-nmi", STATE, VMCS_GUEST_INTERRUPTIBILITY, CONTROL(CONTROL_PIN, PIN_VIRTUAL_NMI), nmi_not_blocked,
	  BLOCKING_NMI, "has blocking by NMI while an NMI is to be injected with \"virtual NMIs\"" },
	{ "blocking-enclave", STATE, VMCS_GUEST_INTERRUPTIBILITY, ALWAYS, enclave_blocking, 0,
	  "has an enclave interruption without SGX or together with blocking by MOV SS" },
	{ "pending-reserved", STATE, VMCS_GUEST_PENDING_DB, ALWAYS, check_clear, PENDING_RESERVED,
	  "has reserved bits set: 10:4, 13, 15 or 63:17" },
	{ "pending-step-missing", STATE, VMCS_GUEST_PENDING_DB, ALWAYS, pending_step_missing, 0,
	  "lacks BS (bit 14) in a shadow or HLT while RFLAGS.TF is 1 and IA32_DEBUGCTL.BTF is 0" },
	{ "pending-step-unwanted", STATE, VMCS_GUEST_PENDING_DB, ALWAYS, pending_step_unwanted, 0,
	  "has BS (bit 14) in a shadow or HLT while RFLAGS.TF is 0 or IA32_DEBUGCTL.BTF is 1" },
	{ "pending-rtm", STATE, VMCS_GUEST_PENDING_DB, ALWAYS, pending_rtm, 0,
	  "has RTM (bit 16) without RTM in the CPU, without bit 12, with other bits, or with blocking by MOV SS" },
	{ "link-address", STATE, VMCS_VMCS_LINK, ALWAYS, link_address, PAGE_MASK,
	  "is neither all ones nor a 4K-aligned address within the physical-address width" },
	{ "link-revision", STATE, VMCS_VMCS_LINK, ALWAYS, link_revision, PAGE_MASK,
	  "points at a region without this CPU's VMCS revision, or whose shadow bit differs from \"VMCS shadowing\"" },
	{ "link-current", STATE, VMCS_VMCS_LINK, ALWAYS, link_not_current, 0, "is the current VMCS itself" },

	{ "pdpte0", SECTION_PDPTES, VMCS_GUEST_PDPTE0, SECONDARY(EPT), pdpte_field, 0, PDPTE_TEXT },
	{ "pdpte1", SECTION_PDPTES, VMCS_GUEST_PDPTE1, SECONDARY(EPT), pdpte_field, 0, PDPTE_TEXT },
	{ "pdpte2", SECTION_PDPTES, VMCS_GUEST_PDPTE2, SECONDARY(EPT), pdpte_field, 0, PDPTE_TEXT },
	{ "pdpte3", SECTION_PDPTES, VMCS_GUEST_PDPTE3, SECONDARY(EPT), pdpte_field, 0, PDPTE_TEXT },
	{ "pdptes-in-memory", SECTION_PDPTES, VMCS_GUEST_CR3, ALWAYS, pdptes_in_memory, 0,
	  "names a table with a present PDPTE that has reserved bits set" },
};

const struct check_table check_nonreg = { rules, ARRAY_LEN(rules) };
