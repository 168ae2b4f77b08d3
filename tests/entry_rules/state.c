/*
 * The valid VMCSs that cases start from, and how an edit changes one.
 */
#include "tests/entry_rules/rules.h"

#define AR_CODE64 0xa09b
#define AR_CODE16 0x9b
#define AR_DATA 0xc093
#define AR_DATA16 0x93
#define AR_V8086 0xf3
#define AR_TSS 0x8b
#define AR_LDT 0x82
#define PAT_AT_RESET 0x0007040600070406

enum { ES, CS, SS, DS, FS, GS, LDTR, TR };

struct segment {
	uint64_t sel, base, limit, ar;
};

static void set_segment(const struct rule_target *t, uint32_t index, struct segment s)
{
	t->set(VMCS_GUEST_ES_SEL + 2 * index, s.sel);
	t->set(VMCS_GUEST_ES_BASE + 2 * index, s.base);
	t->set(VMCS_GUEST_ES_LIMIT + 2 * index, s.limit);
	t->set(VMCS_GUEST_ES_AR + 2 * index, s.ar);
}

static void clear_fields(const struct rule_target *t)
{
	static const uint32_t fields[] = {
		VMCS_PF_ERROR_MASK, VMCS_PF_ERROR_MATCH, VMCS_CR3_TARGET_COUNT, VMCS_TPR_THRESHOLD,
		VMCS_EXIT_MSR_STORE_COUNT, VMCS_EXIT_MSR_STORE, VMCS_EXIT_MSR_LOAD_COUNT, VMCS_EXIT_MSR_LOAD,
		VMCS_ENTRY_MSR_LOAD_COUNT, VMCS_ENTRY_MSR_LOAD, VMCS_ENTRY_INTR_INFO, VMCS_ENTRY_ERROR_CODE,
		VMCS_ENTRY_INSN_LENGTH, VMCS_TSC_OFFSET, VMCS_CR0_MASK, VMCS_CR4_MASK, VMCS_CR0_SHADOW,
		VMCS_CR4_SHADOW, VMCS_VM_FUNCTIONS, VMCS_XSS_EXITING, VMCS_ENCLS_EXITING, VMCS_POSTED_VECTOR,
		VMCS_GUEST_INTR_STATUS, VMCS_PML_INDEX, VMCS_TERTIARY_CONTROLS, VMCS_EXIT_CONTROLS_2, VMCS_HLATP,
		VMCS_LAST_PID_INDEX,
		VMCS_EOI_EXIT_0, VMCS_EOI_EXIT_1, VMCS_EOI_EXIT_2, VMCS_EOI_EXIT_3,
		VMCS_GUEST_INTERRUPTIBILITY, VMCS_GUEST_ACTIVITY, VMCS_GUEST_PENDING_DB, VMCS_GUEST_DEBUGCTL,
		VMCS_GUEST_SYSENTER_CS, VMCS_GUEST_SYSENTER_ESP, VMCS_GUEST_SYSENTER_EIP, VMCS_GUEST_PERF_GLOBAL,
		VMCS_GUEST_BNDCFGS, VMCS_GUEST_RTIT_CTL, VMCS_GUEST_LBR_CTL, VMCS_GUEST_PKRS, VMCS_GUEST_UINV,
		VMCS_GUEST_S_CET, VMCS_GUEST_SSP, VMCS_GUEST_SSP_TABLE, VMCS_GUEST_PDPTE0, VMCS_GUEST_PDPTE1,
		VMCS_GUEST_PDPTE2, VMCS_GUEST_PDPTE3, VMCS_GUEST_GDTR_BASE, VMCS_GUEST_IDTR_BASE, VMCS_GUEST_RSP,
	};

	for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
		t->set(fields[i], 0);
}

/* What the CPU demands, and of the wanted bits those it allows. */
static void set_controls(const struct rule_target *t, uint32_t field, uint64_t caps, uint64_t wanted)
{
	t->set(field, (uint32_t)caps | (wanted & caps >> 32));
}

static void controls(const struct rule_target *t)
{
	set_controls(t, VMCS_PIN_CONTROLS, t->caps->pin,
		     PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI | PIN_PREEMPTION_TIMER);
	set_controls(t, VMCS_PRIMARY_CONTROLS, t->caps->primary,
		     PRIMARY_HLT | PRIMARY_TPR_SHADOW | PRIMARY_IO_BITMAPS | PRIMARY_MSR_BITMAPS | PRIMARY_SECONDARY);
	set_controls(t, VMCS_SECONDARY_CONTROLS, t->caps->secondary,
		     SECONDARY_EPT | SECONDARY_VPID | SECONDARY_UNRESTRICTED);
	set_controls(t, VMCS_EXIT_CONTROLS, t->caps->exit, EXIT_HOST_64 | EXIT_LOAD_EFER | EXIT_LOAD_PAT);
	set_controls(t, VMCS_ENTRY_CONTROLS, t->caps->entry,
		     ENTRY_IA32E | ENTRY_LOAD_EFER | ENTRY_LOAD_PAT | ENTRY_LOAD_DEBUG);
	t->set(VMCS_VPID, 1);
	t->set(VMCS_EXCEPTION_BITMAP, 0xffffffff);
	t->set(VMCS_PREEMPTION_TIMER, 0x1000);
	t->set(VMCS_TSC_MULTIPLIER, 1ul << 48);
	t->set(VMCS_VMCS_LINK, ~0ul);
}

/* Nothing is mapped: a guest that is entered comes out with its first access to memory. */
static void addresses(const struct rule_target *t)
{
	static const uint32_t fields[] = {
		VMCS_IO_BITMAP_A, VMCS_IO_BITMAP_B, VMCS_MSR_BITMAP, VMCS_VIRTUAL_APIC, VMCS_APIC_ACCESS,
		VMCS_POSTED_DESC, VMCS_PML_ADDRESS, VMCS_EPTP_LIST, VMCS_VMREAD_BITMAP, VMCS_VMWRITE_BITMAP,
		VMCS_VE_INFO, VMCS_SPP_TABLE, VMCS_PASID_LOW, VMCS_PASID_HIGH, VMCS_PID_TABLE, VMCS_GUEST_CR3,
	};

	for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
		t->set(fields[i], t->page[PAGE_ZERO]);
	t->set(VMCS_EPTP, t->page[PAGE_ZERO] | 3 << 3 | 6);
}

static void long_mode(const struct rule_target *t)
{
	t->set(VMCS_GUEST_CR0, CR0_PG | CR0_WP | CR0_NE | CR0_PE);
	t->set(VMCS_GUEST_CR4, CR4_VMXE | CR4_PAE);
	t->set(VMCS_GUEST_EFER, EFER_LME | EFER_LMA);
	t->set(VMCS_GUEST_PAT, PAT_AT_RESET);
	t->set(VMCS_GUEST_DR7, 0x400);
	t->set(VMCS_GUEST_RFLAGS, RFLAGS_FIXED1);
	t->set(VMCS_GUEST_RIP, 0xffffffff81000000);
	for (uint32_t seg = ES; seg <= GS; seg++)
		set_segment(t, seg, (struct segment){ 0x10, 0, 0xffffffff, AR_DATA });
	set_segment(t, CS, (struct segment){ 0x8, 0, 0xffffffff, AR_CODE64 });
	set_segment(t, LDTR, (struct segment){ 0x20, 0, 0xfff, AR_LDT });
	set_segment(t, TR, (struct segment){ 0x28, 0, 0x67, AR_TSS });
	t->set(VMCS_GUEST_GDTR_LIMIT, 0x7f);
	t->set(VMCS_GUEST_IDTR_LIMIT, 0xfff);
}

static void outside_long_mode(const struct rule_target *t)
{
	t->set(VMCS_ENTRY_CONTROLS, t->get(VMCS_ENTRY_CONTROLS) & ~ENTRY_IA32E);
	t->set(VMCS_GUEST_EFER, 0);
	t->set(VMCS_GUEST_RIP, 0x1000);
}

static void v8086(const struct rule_target *t)
{
	outside_long_mode(t);
	t->set(VMCS_GUEST_RFLAGS, RFLAGS_FIXED1 | RFLAGS_VM);
	for (uint32_t seg = ES; seg <= GS; seg++)
		set_segment(t, seg, (struct segment){ 0x1000, 0x10000, 0xffff, AR_V8086 });
}

static void real_mode(const struct rule_target *t)
{
	outside_long_mode(t);
	t->set(VMCS_GUEST_CR0, CR0_NE | CR0_ET);
	t->set(VMCS_GUEST_CR4, CR4_VMXE);
	t->set(VMCS_GUEST_RIP, 0);
	for (uint32_t seg = ES; seg <= GS; seg++)
		set_segment(t, seg, (struct segment){ 0, 0, 0xffff, AR_DATA16 });
	set_segment(t, CS, (struct segment){ 0x800, 0x8000, 0xffff, AR_CODE16 });
}

void rule_base(const struct rule_target *t, enum check_base base)
{
	clear_fields(t);
	controls(t);
	addresses(t);
	long_mode(t);
	if (base == BASE_V8086)
		v8086(t);
	else if (base == BASE_REAL)
		real_mode(t);
}

void rule_edit(const struct rule_target *t, const struct check_edit *e)
{
	uint64_t old = t->get(e->field), beyond = BIT(t->physical_bits);

	switch (e->how) {
	case EDIT_NONE:
		break;
	case EDIT_SET:
		t->set(e->field, e->value);
		break;
	case EDIT_FLIP:
		t->set(e->field, old ^ e->value);
		break;
	case EDIT_BEYOND:
		t->set(e->field, old | beyond);
		break;
	case EDIT_SET_BEYOND:
		t->set(e->field, beyond + e->value);
		break;
	case EDIT_PAGE:
		t->set(e->field, t->page[e->value / PAGE_SIZE] + e->value % PAGE_SIZE);
		break;
	}
}

void rule_build(const struct rule_target *t, const struct check_case *c)
{
	rule_base(t, c->base);
	for (unsigned i = 0; i < MAX_EDITS && c->edits[i].how != EDIT_NONE; i++)
		rule_edit(t, &c->edits[i]);
}
