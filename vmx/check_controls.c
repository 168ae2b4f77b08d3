/*
 * VM-entry checks on the VM-execution, VM-exit and VM-entry control fields.
 */
#include "vmx/check.h"

#include "vmx/check_rules.h"

#define EXEC SECTION_EXECUTION_CONTROLS
#define PIN(name) CONTROL(CONTROL_PIN, PIN_##name)
#define PRIMARY(name) CONTROL(CONTROL_PRIMARY, PRIMARY_##name)
#define SECONDARY(name) CONTROL(CONTROL_SECONDARY, SECONDARY_##name)
#define TERTIARY(name) CONTROL(CONTROL_TERTIARY, TERTIARY_##name)
#define EXIT(name) CONTROL(CONTROL_EXIT, EXIT_##name)
#define ENTRY(name) CONTROL(CONTROL_ENTRY, ENTRY_##name)
#define EPT_IS_ON SECONDARY(EPT)

#define MISC_CR3_TARGETS(misc) ((misc) >> 16 & 0x1ff)
#define MISC_LENGTH_0 BIT(30)
#define BASIC_ANY_ERROR_CODE BIT(56)
#define EPT_CAP_WALK_5 BIT(7)
#define EPT_CAP_SUPERVISOR_SHADOW_STACK BIT(23)
#define EPTP_TYPE(eptp) ((eptp) & 7)
#define EPTP_LEVELS(eptp) (((eptp) >> 3 & 7) + 1)
#define EPTP_AD BIT(6)
#define EPTP_SUPERVISOR_SHADOW_STACK BIT(7)
#define VMFUNC_EPTP_SWITCHING BIT(0)
#define MAX_INSN_LENGTH 15
#define MSR_AREA_ENTRY 16 /* bytes */

/* Low half of the capability: bits that must be 1; high half: bits that may be. arg: the word. */
static bool reserved_bits(const struct check *c, const struct check_rule *r)
{
	const struct vmx_caps *caps = c->env->caps;
	const uint64_t allowed[CONTROL_WORDS] = {
		[CONTROL_PIN] = caps->pin, [CONTROL_PRIMARY] = caps->primary, [CONTROL_SECONDARY] = caps->secondary,
		[CONTROL_EXIT] = caps->exit, [CONTROL_ENTRY] = caps->entry,
	};
	uint64_t value = c->word[r->arg], must = (uint32_t)allowed[r->arg], may = allowed[r->arg] >> 32;

	return (value & must) == must && !(value & ~may);
}

static bool tertiary_reserved(const struct check *c, const struct check_rule *r)
{
	(void)r;
	return !(c->word[CONTROL_TERTIARY] & ~c->env->tertiary_allowed);
}

static bool exit2_reserved(const struct check *c, const struct check_rule *r)
{
	(void)r;
	return !(c->word[CONTROL_EXIT2] & ~c->env->exit2_allowed);
}

static bool cr3_target_count(const struct check *c, const struct check_rule *r)
{
	return check_field(c, r->field) <= MISC_CR3_TARGETS(c->env->caps->misc);
}

/* Virtual-interrupt delivery gives the threshold no meaning. */
static bool tpr_threshold_reserved(const struct check *c, const struct check_rule *r)
{
	return check_control(c, SECONDARY(VID)) || !(check_field(c, r->field) & BITS(31, 4));
}

static bool tpr_threshold_above_vtpr(const struct check *c, const struct check_rule *r)
{
	const hpa_t vtpr = 0x80;
	uint64_t tpr;

	if (check_control(c, SECONDARY(VID)) || check_control(c, SECONDARY(APIC_ACCESS)) || !c->env->read_phys ||
	    !c->env->read_phys(c->env->ctx, check_field(c, VMCS_VIRTUAL_APIC) + vtpr, &tpr))
		return true;
	return (check_field(c, r->field) & 0xf) <= (tpr >> 4 & 0xf);
}

/* arg: a control that needs "use TPR shadow". */
static bool nothing_without_tpr_shadow(const struct check *c, const struct check_rule *r)
{
	return check_control(c, PRIMARY(TPR_SHADOW)) || check_excludes(c, r);
}

static bool virtual_nmi_without_nmi(const struct check *c, const struct check_rule *r)
{
	(void)r;
	return check_control(c, PIN(NMI)) || !check_control(c, PIN(VIRTUAL_NMI));
}

static bool nmi_window_without_virtual_nmi(const struct check *c, const struct check_rule *r)
{
	(void)r;
	return check_control(c, PIN(VIRTUAL_NMI)) || !check_control(c, PRIMARY(NMI_WINDOW));
}

static bool eptp_memory_type(const struct check *c, const struct check_rule *r)
{
	uint64_t type = EPTP_TYPE(check_field(c, r->field)), caps = c->env->caps->ept_vpid;
	return (type == 0 && caps & EPT_CAP_UC) || (type == 6 && caps & EPT_CAP_WB);
}

static bool eptp_walk_length(const struct check *c, const struct check_rule *r)
{
	uint64_t levels = EPTP_LEVELS(check_field(c, r->field)), caps = c->env->caps->ept_vpid;
	return (levels == 4 && caps & EPT_CAP_WALK_4) || (levels == 5 && caps & EPT_CAP_WALK_5);
}

static bool eptp_accessed_dirty(const struct check *c, const struct check_rule *r)
{
	return !(check_field(c, r->field) & EPTP_AD) || c->env->caps->ept_vpid & EPT_CAP_AD;
}

static bool eptp_reserved(const struct check *c, const struct check_rule *r)
{
	uint64_t reserved = BITS(11, 8);

	if (!(c->env->caps->ept_vpid & EPT_CAP_SUPERVISOR_SHADOW_STACK))
		reserved |= EPTP_SUPERVISOR_SHADOW_STACK;
	return !(check_field(c, r->field) & reserved) && check_in_physical(c, check_field(c, r->field));
}

static bool vm_functions_reserved(const struct check *c, const struct check_rule *r)
{
	return !(check_field(c, r->field) & ~c->env->vmfunc_allowed);
}

static bool eptp_switching_needs_ept(const struct check *c, const struct check_rule *r)
{
	return !(check_field(c, r->field) & VMFUNC_EPTP_SWITCHING) || check_control(c, EPT_IS_ON);
}

static bool eptp_list(const struct check *c, const struct check_rule *r)
{
	return !(check_field(c, VMCS_VM_FUNCTIONS) & VMFUNC_EPTP_SWITCHING) || check_physical(c, r);
}

static bool pt_controls(const struct check *c, const struct check_rule *r)
{
	(void)r;
	return check_control(c, EXIT(CLEAR_RTIT)) && check_control(c, ENTRY(LOAD_RTIT));
}

static bool pid_table_end(const struct check *c, const struct check_rule *r)
{
	uint64_t last = check_field(c, VMCS_LAST_PID_INDEX);
	return check_in_physical(c, check_field(c, r->field) + last * 8 + 7);
}

static bool save_timer_without_timer(const struct check *c, const struct check_rule *r)
{
	(void)r;
	return check_control(c, PIN(PREEMPTION_TIMER)) || !check_control(c, EXIT(SAVE_PREEMPTION_TIMER));
}

/* An MSR area of which the field is the address; arg: the field with the count. */
static bool msr_area(const struct check *c, const struct check_rule *r)
{
	uint64_t count = check_field(c, (uint32_t)r->arg), address;

	if (!count)
		return true;
	address = check_field(c, r->field);
	return !(address & BITS(3, 0)) && check_in_physical(c, address) &&
	       check_in_physical(c, address + count * MSR_AREA_ENTRY - 1);
}

static bool intr_type_valid(const struct check *c, const struct check_rule *r)
{
	bool trap_flag = c->env->caps->primary >> 32 & PRIMARY_MONITOR_TRAP;

	(void)r;
	return !check_injects(c, INTR_RESERVED) && (trap_flag || !check_injects(c, INTR_OTHER));
}

static bool intr_vector_valid(const struct check *c, const struct check_rule *r)
{
	unsigned vector = INTR_VECTOR(c->intr_info);

	(void)r;
	return !(check_injects(c, INTR_NMI) && vector != VEC_NMI) &&
	       !(check_injects(c, INTR_HARDWARE) && vector > 31) && !(check_injects(c, INTR_OTHER) && vector != 0);
}

/* #DF, #TS, #NP, #SS, #GP, #PF, #AC push an error code; so does #CP where the CPU has CET. */
static bool vector_has_error(const struct check *c)
{
	unsigned vector = INTR_VECTOR(c->intr_info);
	uint64_t with_error = BIT(VEC_DF) | BITS(VEC_PF, VEC_TS) | BIT(VEC_AC);

	if (c->env->cet)
		with_error |= BIT(VEC_CP);
	return vector < 32 && with_error >> vector & 1;
}

/* Real mode has no error codes. */
static bool error_code_possible(const struct check *c)
{
	return !check_unrestricted(c) || check_field(c, VMCS_GUEST_CR0) & CR0_PE;
}

static bool error_code_missing(const struct check *c, const struct check_rule *r)
{
	(void)r;
	return c->intr_info & INTR_DELIVER_ERROR || !check_injects(c, INTR_HARDWARE) || !error_code_possible(c) ||
	       !vector_has_error(c) || c->env->caps->basic & BASIC_ANY_ERROR_CODE;
}

static bool error_code_unwanted(const struct check *c, const struct check_rule *r)
{
	(void)r;
	if (!(c->intr_info & INTR_DELIVER_ERROR))
		return true;
	return check_injects(c, INTR_HARDWARE) && error_code_possible(c) &&
	       (vector_has_error(c) || c->env->caps->basic & BASIC_ANY_ERROR_CODE);
}

static bool intr_reserved(const struct check *c, const struct check_rule *r)
{
	return !(c->intr_info & r->arg);
}

static bool error_code_reserved(const struct check *c, const struct check_rule *r)
{
	return !(c->intr_info & INTR_DELIVER_ERROR) || check_clear(c, r);
}

static bool insn_length(const struct check *c, const struct check_rule *r)
{
	uint64_t length;

	if (!check_injects(c, INTR_SOFTWARE) && !check_injects(c, INTR_PRIVILEGED) &&
	    !check_injects(c, INTR_EXCEPTION))
		return true;
	length = check_field(c, r->field);
	return length <= MAX_INSN_LENGTH && (length || c->env->caps->misc & MISC_LENGTH_0);
}

#define PAGE_ADDRESS "is not a 4K-aligned address within the physical-address width"
#define RESERVED_BITS "has a bit clear that must be 1, or a bit set that this CPU does not allow"

static const struct check_rule rules[] = {
	{ "pin-reserved", EXEC, VMCS_PIN_CONTROLS, ALWAYS, reserved_bits, CONTROL_PIN,
	  RESERVED_BITS " (IA32_VMX_PINBASED_CTLS)" },
	{ "primary-reserved", EXEC, VMCS_PRIMARY_CONTROLS, ALWAYS, reserved_bits, CONTROL_PRIMARY,
	  RESERVED_BITS " (IA32_VMX_PROCBASED_CTLS)" },
	{ "secondary-reserved", EXEC, VMCS_SECONDARY_CONTROLS, PRIMARY(SECONDARY), reserved_bits, CONTROL_SECONDARY,
	  RESERVED_BITS " (IA32_VMX_PROCBASED_CTLS2)" },
	{ "tertiary-reserved", EXEC, VMCS_TERTIARY_CONTROLS, PRIMARY(TERTIARY), tertiary_reserved, 0,
	  "has a bit set that this CPU does not allow (IA32_VMX_PROCBASED_CTLS3)" },
	{ "cr3-target-count", EXEC, VMCS_CR3_TARGET_COUNT, ALWAYS, cr3_target_count, 0,
	  "is more than the CPU has (IA32_VMX_MISC[24:16])" },
	{ "io-bitmap-a", EXEC, VMCS_IO_BITMAP_A, PRIMARY(IO_BITMAPS), check_physical, PAGE_MASK, PAGE_ADDRESS },
	{ "io-bitmap-b", EXEC, VMCS_IO_BITMAP_B, PRIMARY(IO_BITMAPS), check_physical, PAGE_MASK, PAGE_ADDRESS },
	{ "msr-bitmap", EXEC, VMCS_MSR_BITMAP, PRIMARY(MSR_BITMAPS), check_physical, PAGE_MASK, PAGE_ADDRESS },
	{ "virtual-apic", EXEC, VMCS_VIRTUAL_APIC, PRIMARY(TPR_SHADOW), check_physical, PAGE_MASK, PAGE_ADDRESS },
	{ "tpr-threshold-reserved", EXEC, VMCS_TPR_THRESHOLD, PRIMARY(TPR_SHADOW), tpr_threshold_reserved, 0,
	  "has bits set above bit 3" },
	{ "tpr-threshold-vtpr", EXEC, VMCS_TPR_THRESHOLD, PRIMARY(TPR_SHADOW), tpr_threshold_above_vtpr, 0,
	  "is greater than bits 7:4 of the virtual TPR" },
	{ "x2apic-without-tpr-shadow", EXEC, VMCS_SECONDARY_CONTROLS, PRIMARY(SECONDARY), nothing_without_tpr_shadow,
	  SECONDARY(X2APIC), "has \"virtualize x2APIC mode\" without \"use TPR shadow\"" },
	{ "apic-register-without-tpr-shadow", EXEC, VMCS_SECONDARY_CONTROLS, PRIMARY(SECONDARY),
	  nothing_without_tpr_shadow, SECONDARY(APIC_REGISTER),
	  "has \"APIC-register virtualization\" without \"use TPR shadow\"" },
	{ "vid-without-tpr-shadow", EXEC, VMCS_SECONDARY_CONTROLS, PRIMARY(SECONDARY), nothing_without_tpr_shadow,
	  SECONDARY(VID), "has \"virtual-interrupt delivery\" without \"use TPR shadow\"" },
	{ "ipi-without-tpr-shadow", EXEC, VMCS_TERTIARY_CONTROLS, PRIMARY(TERTIARY), nothing_without_tpr_shadow,
	  TERTIARY(IPI_VIRTUALIZATION), "has \"IPI virtualization\" without \"use TPR shadow\"" },
	{ "virtual-nmi-without-nmi", EXEC, VMCS_PIN_CONTROLS, ALWAYS, virtual_nmi_without_nmi, 0,
	  "has \"virtual NMIs\" without \"NMI exiting\"" },
	{ "nmi-window-without-virtual-nmi", EXEC, VMCS_PRIMARY_CONTROLS, ALWAYS, nmi_window_without_virtual_nmi, 0,
	  "has \"NMI-window exiting\" without \"virtual NMIs\"" },
	{ "apic-access", EXEC, VMCS_APIC_ACCESS, SECONDARY(APIC_ACCESS), check_physical, PAGE_MASK, PAGE_ADDRESS },
	{ "x2apic-with-apic-access", EXEC, VMCS_SECONDARY_CONTROLS, SECONDARY(X2APIC), check_excludes,
	  SECONDARY(APIC_ACCESS), "has both \"virtualize x2APIC mode\" and \"virtualize APIC accesses\"" },
	{ "vid-without-external", EXEC, VMCS_SECONDARY_CONTROLS, SECONDARY(VID), check_needs,
	  PIN(EXTERNAL_INTERRUPT), "has \"virtual-interrupt delivery\" without \"external-interrupt exiting\"" },
	{ "posted-without-vid", EXEC, VMCS_PIN_CONTROLS, PIN(POSTED_INTERRUPTS), check_needs, SECONDARY(VID),
	  "has \"process posted interrupts\" without \"virtual-interrupt delivery\"" },
	{ "posted-without-acknowledge", EXEC, VMCS_PIN_CONTROLS, PIN(POSTED_INTERRUPTS), check_needs,
	  EXIT(ACK_INTERRUPT), "has \"process posted interrupts\" without \"acknowledge interrupt on exit\"" },
	{ "posted-vector", EXEC, VMCS_POSTED_VECTOR, PIN(POSTED_INTERRUPTS), check_clear, BITS(15, 8),
	  "is no vector: bits 15:8 must be 0" },
	{ "posted-descriptor", EXEC, VMCS_POSTED_DESC, PIN(POSTED_INTERRUPTS), check_physical, BITS(5, 0),
	  "is not a 64-byte-aligned address within the physical-address width" },
	{ "vpid-zero", EXEC, VMCS_VPID, SECONDARY(VPID), check_non_zero, 0,
	  "must not be 0 while \"enable VPID\" is 1" },
	{ "eptp-memory-type", EXEC, VMCS_EPTP, EPT_IS_ON, eptp_memory_type, 0,
	  "has a memory type (bits 2:0) that this CPU does not support (IA32_VMX_EPT_VPID_CAP)" },
	{ "eptp-walk-length", EXEC, VMCS_EPTP, EPT_IS_ON, eptp_walk_length, 0,
	  "has a page-walk length (bits 5:3) that this CPU does not support (IA32_VMX_EPT_VPID_CAP)" },
	{ "eptp-accessed-dirty", EXEC, VMCS_EPTP, EPT_IS_ON, eptp_accessed_dirty, 0,
	  "turns on accessed and dirty flags (bit 6), which this CPU lacks (IA32_VMX_EPT_VPID_CAP[21])" },
	{ "eptp-reserved", EXEC, VMCS_EPTP, EPT_IS_ON, eptp_reserved, 0,
	  "has reserved bits set: 11:7 or beyond the physical-address width" },
	{ "pml-without-ept", EXEC, VMCS_SECONDARY_CONTROLS, SECONDARY(PML), check_needs, EPT_IS_ON,
	  "has \"enable PML\" without \"enable EPT\"" },
	{ "pml-address", EXEC, VMCS_PML_ADDRESS, SECONDARY(PML), check_physical, PAGE_MASK, PAGE_ADDRESS },
	{ "unrestricted-without-ept", EXEC, VMCS_SECONDARY_CONTROLS, SECONDARY(UNRESTRICTED), check_needs, EPT_IS_ON,
	  "has \"unrestricted guest\" without \"enable EPT\"" },
	{ "mbec-without-ept", EXEC, VMCS_SECONDARY_CONTROLS, SECONDARY(MODE_BASED_EXECUTE), check_needs, EPT_IS_ON,
	  "has \"mode-based execute control for EPT\" without \"enable EPT\"" },
	{ "spp-without-ept", EXEC, VMCS_SECONDARY_CONTROLS, SECONDARY(SPP), check_needs, EPT_IS_ON,
	  "has \"sub-page write permissions for EPT\" without \"enable EPT\"" },
	{ "spp-table", EXEC, VMCS_SPP_TABLE, SECONDARY(SPP), check_physical, PAGE_MASK, PAGE_ADDRESS },
	{ "vm-functions-reserved", EXEC, VMCS_VM_FUNCTIONS, SECONDARY(VMFUNC), vm_functions_reserved, 0,
	  "has a bit set that this CPU does not allow (IA32_VMX_VMFUNC)" },
	{ "eptp-switching-without-ept", EXEC, VMCS_VM_FUNCTIONS, SECONDARY(VMFUNC), eptp_switching_needs_ept, 0,
	  "has \"EPTP switching\" without \"enable EPT\"" },
	{ "eptp-list", EXEC, VMCS_EPTP_LIST, SECONDARY(VMFUNC), eptp_list, PAGE_MASK, PAGE_ADDRESS },
	{ "vmread-bitmap", EXEC, VMCS_VMREAD_BITMAP, SECONDARY(VMCS_SHADOW), check_physical, PAGE_MASK, PAGE_ADDRESS },
	{ "vmwrite-bitmap", EXEC, VMCS_VMWRITE_BITMAP, SECONDARY(VMCS_SHADOW), check_physical, PAGE_MASK,
	  PAGE_ADDRESS },
	{ "ve-info", EXEC, VMCS_VE_INFO, SECONDARY(EPT_VE), check_physical, PAGE_MASK, PAGE_ADDRESS },
	{ "pt-without-ept", EXEC, VMCS_SECONDARY_CONTROLS, SECONDARY(PT_GUEST_PHYSICAL), check_needs, EPT_IS_ON,
	  "has \"Intel PT uses guest physical addresses\" without \"enable EPT\"" },
	{ "pt-without-rtit", EXEC, VMCS_SECONDARY_CONTROLS, SECONDARY(PT_GUEST_PHYSICAL), pt_controls, 0,
	  "has \"Intel PT uses guest physical addresses\" without \"clear\" and \"load IA32_RTIT_CTL\"" },
	{ "pasid-low", EXEC, VMCS_PASID_LOW, SECONDARY(PASID), check_physical, PAGE_MASK, PAGE_ADDRESS },
	{ "pasid-high", EXEC, VMCS_PASID_HIGH, SECONDARY(PASID), check_physical, PAGE_MASK, PAGE_ADDRESS },
	{ "tsc-multiplier", EXEC, VMCS_TSC_MULTIPLIER, SECONDARY(TSC_SCALING), check_non_zero, 0,
	  "must not be 0 while \"use TSC scaling\" is 1" },
	{ "hlat-without-ept", EXEC, VMCS_TERTIARY_CONTROLS, TERTIARY(HLAT), check_needs, EPT_IS_ON,
	  "has \"enable HLAT\" without \"enable EPT\"" },
	{ "hlat-pointer", EXEC, VMCS_HLATP, TERTIARY(HLAT), check_physical, BITS(2, 0) | BITS(11, 5),
	  "has reserved bits set: 2:0, 11:5 or beyond the physical-address width" },
	{ "paging-write-without-ept", EXEC, VMCS_TERTIARY_CONTROLS, TERTIARY(PAGING_WRITE), check_needs, EPT_IS_ON,
	  "has \"EPT paging-write control\" without \"enable EPT\"" },
	{ "paging-verification-without-ept", EXEC, VMCS_TERTIARY_CONTROLS, TERTIARY(PAGING_VERIFICATION), check_needs,
	  EPT_IS_ON, "has \"guest-paging verification\" without \"enable EPT\"" },
	{ "pid-table", EXEC, VMCS_PID_TABLE, TERTIARY(IPI_VIRTUALIZATION), check_physical, BITS(2, 0),
	  "is not an 8-byte-aligned address within the physical-address width" },
	{ "pid-table-end", EXEC, VMCS_PID_TABLE, TERTIARY(IPI_VIRTUALIZATION), pid_table_end, 0,
	  "with the last PID-pointer index goes beyond the physical-address width" },

	{ "exit-reserved", SECTION_EXIT_CONTROLS, VMCS_EXIT_CONTROLS, ALWAYS, reserved_bits, CONTROL_EXIT,
	  RESERVED_BITS " (IA32_VMX_EXIT_CTLS)" },
	{ "exit2-reserved", SECTION_EXIT_CONTROLS, VMCS_EXIT_CONTROLS_2, EXIT(SECONDARY), exit2_reserved, 0,
	  "has a bit set that this CPU does not allow (IA32_VMX_EXIT_CTLS2)" },
	{ "save-timer-without-timer", SECTION_EXIT_CONTROLS, VMCS_EXIT_CONTROLS, ALWAYS, save_timer_without_timer, 0,
	  "has \"save VMX-preemption timer value\" without \"activate VMX-preemption timer\"" },
	{ "exit-msr-store", SECTION_EXIT_CONTROLS, VMCS_EXIT_MSR_STORE, ALWAYS, msr_area, VMCS_EXIT_MSR_STORE_COUNT,
	  "is not 16-byte aligned, or the area goes beyond the physical-address width" },
	{ "exit-msr-load", SECTION_EXIT_CONTROLS, VMCS_EXIT_MSR_LOAD, ALWAYS, msr_area, VMCS_EXIT_MSR_LOAD_COUNT,
	  "is not 16-byte aligned, or the area goes beyond the physical-address width" },

	{ "entry-reserved", SECTION_ENTRY_CONTROLS, VMCS_ENTRY_CONTROLS, ALWAYS, reserved_bits, CONTROL_ENTRY,
	  RESERVED_BITS " (IA32_VMX_ENTRY_CTLS)" },
	{ "intr-type", SECTION_ENTRY_CONTROLS, VMCS_ENTRY_INTR_INFO, ALWAYS, intr_type_valid, 0,
	  "has a reserved interruption type (bits 10:8)" },
	{ "intr-vector", SECTION_ENTRY_CONTROLS, VMCS_ENTRY_INTR_INFO, ALWAYS, intr_vector_valid, 0,
	  "has a vector that its type cannot have: NMI is 2, exceptions are below 32, other events are 0" },
	{ "intr-error-missing", SECTION_ENTRY_CONTROLS, VMCS_ENTRY_INTR_INFO, ALWAYS, error_code_missing, 0,
	  "is an exception with an error code but does not deliver one (bit 11)" },
	{ "intr-error-unwanted", SECTION_ENTRY_CONTROLS, VMCS_ENTRY_INTR_INFO, ALWAYS, error_code_unwanted, 0,
	  "delivers an error code (bit 11) though the event has none, or none in real mode" },
	{ "intr-reserved", SECTION_ENTRY_CONTROLS, VMCS_ENTRY_INTR_INFO, ALWAYS, intr_reserved, BITS(30, 12),
	  "has reserved bits 30:12 set" },
	{ "intr-error-reserved", SECTION_ENTRY_CONTROLS, VMCS_ENTRY_ERROR_CODE, ALWAYS, error_code_reserved,
	  BITS(31, 16), "has reserved bits 31:16 set" },
	{ "intr-length", SECTION_ENTRY_CONTROLS, VMCS_ENTRY_INSN_LENGTH, ALWAYS, insn_length, 0,
	  "is no instruction length: software events need 1 to 15 (0 where IA32_VMX_MISC[30] is 1)" },
	{ "entry-msr-load", SECTION_ENTRY_CONTROLS, VMCS_ENTRY_MSR_LOAD, ALWAYS, msr_area, VMCS_ENTRY_MSR_LOAD_COUNT,
	  "is not 16-byte aligned, or the area goes beyond the physical-address width" },
	{ "entry-to-smm", SECTION_ENTRY_CONTROLS, VMCS_ENTRY_CONTROLS, ALWAYS, check_excludes, ENTRY(TO_SMM),
	  "has \"entry to SMM\" outside system-management mode" },
	{ "entry-dual-monitor", SECTION_ENTRY_CONTROLS, VMCS_ENTRY_CONTROLS, ALWAYS, check_excludes,
	  ENTRY(DEACTIVATE_DUAL_MONITOR), "has \"deactivate dual-monitor treatment\" outside system-management mode" },
};

const struct check_table check_controls = { rules, ARRAY_LEN(rules) };
