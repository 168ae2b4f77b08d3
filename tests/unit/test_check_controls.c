/* sources: vmx/check.c vmx/check_controls.c vmx/check_host.c vmx/check_guest_regs.c vmx/check_guest_segs.c vmx/check_nonreg.c tests/unit/check_state.c hv/base/format.c */
/*
 * The entry checker's rules on the control fields, one case each.
 */
#include "tests/unit/check_state.h"

#define BEYOND BIT(TEST_PHYSICAL_BITS)
#define NO_EPT FLIP(SECONDARY_CONTROLS, SECONDARY_EPT | SECONDARY_UNRESTRICTED)
#define WITH(control) FLIP(SECONDARY_CONTROLS, SECONDARY_##control)
#define WITH_TERTIARY(bits) FLIP(PRIMARY_CONTROLS, PRIMARY_TERTIARY), SET(TERTIARY_CONTROLS, bits)
#define POSTED FLIP(PIN_CONTROLS, PIN_POSTED_INTERRUPTS), WITH(VID), SET(POSTED_DESC, 0x9000)
#define INTR(type, vector) (INTR_VALID | (uint64_t)(type) << 8 | (vector))
#define ERROR INTR_DELIVER_ERROR

/* What a CPU lacks or insists on. */
#define TWEAK(name, change)                                                                         \
	static void name(struct check_env *env, struct vmx_caps *caps)                              \
	{                                                                                           \
		(void)env, (void)caps;                                                              \
		change;                                                                             \
	}
TWEAK(pin_must, caps->pin |= BIT(1))
TWEAK(primary_may_not, caps->primary &= ~(BIT(7) << 32))
TWEAK(secondary_must, caps->secondary |= BIT(9))
TWEAK(exit_must, caps->exit |= BIT(0))
TWEAK(entry_may_not, caps->entry &= ~(BIT(2) << 32))
TWEAK(no_tertiary, env->tertiary_allowed = 0)
TWEAK(no_exit2, env->exit2_allowed = 0)
TWEAK(no_accessed, caps->ept_vpid &= ~EPT_CAP_AD)
TWEAK(no_write_back, caps->ept_vpid &= ~EPT_CAP_WB)
TWEAK(no_trap_flag, caps->primary &= ~(PRIMARY_MONITOR_TRAP << 32))
TWEAK(narrow, caps->basic |= BIT(48))

#define PAGE_CASES(id, field, ...)                                                                  \
	{ id, { __VA_ARGS__ __VA_OPT__(,) FLIP(field, 0x800) }, NULL },                             \
	{ id, { __VA_ARGS__ __VA_OPT__(,) FLIP(field, BEYOND) }, NULL }

static const struct check_case cases[] = {
	{ "pin-reserved", { { 0, 1, false } }, pin_must },
	{ "primary-reserved", { { 0, 1, false } }, primary_may_not },
	{ "secondary-reserved", { { 0, 1, false } }, secondary_must },
	{ "tertiary-reserved", { WITH_TERTIARY(BIT(0)) }, no_tertiary },
	{ "cr3-target-count", { SET(CR3_TARGET_COUNT, 5) }, NULL },
	PAGE_CASES("io-bitmap-a", IO_BITMAP_A),
	PAGE_CASES("io-bitmap-b", IO_BITMAP_B),
	PAGE_CASES("msr-bitmap", MSR_BITMAP),
	PAGE_CASES("virtual-apic", VIRTUAL_APIC),
	{ "msr-bitmap", { FLIP(MSR_BITMAP, BIT(33)) }, narrow },
	{ "tpr-threshold-reserved", { SET(TPR_THRESHOLD, 0x10) }, NULL },
	{ "tpr-threshold-vtpr", { SET(TPR_THRESHOLD, 1) }, NULL },
	{ "x2apic-without-tpr-shadow", { WITH(X2APIC), FLIP(PRIMARY_CONTROLS, PRIMARY_TPR_SHADOW) }, NULL },
	{ "apic-register-without-tpr-shadow", { WITH(APIC_REGISTER), FLIP(PRIMARY_CONTROLS, PRIMARY_TPR_SHADOW) },
	  NULL },
	{ "vid-without-tpr-shadow", { WITH(VID), FLIP(PRIMARY_CONTROLS, PRIMARY_TPR_SHADOW) }, NULL },
	{ "ipi-without-tpr-shadow", { FLIP(PRIMARY_CONTROLS, PRIMARY_TPR_SHADOW | PRIMARY_TERTIARY),
				      SET(TERTIARY_CONTROLS, TERTIARY_IPI_VIRTUALIZATION) }, NULL },
	{ "virtual-nmi-without-nmi", { FLIP(PIN_CONTROLS, PIN_NMI) }, NULL },
	{ "nmi-window-without-virtual-nmi", { FLIP(PIN_CONTROLS, PIN_VIRTUAL_NMI),
					      FLIP(PRIMARY_CONTROLS, PRIMARY_NMI_WINDOW) }, NULL },
	PAGE_CASES("apic-access", APIC_ACCESS, WITH(APIC_ACCESS)),
	{ "x2apic-with-apic-access", { WITH(X2APIC), WITH(APIC_ACCESS) }, NULL },
	{ "vid-without-external", { WITH(VID), FLIP(PIN_CONTROLS, PIN_EXTERNAL_INTERRUPT) }, NULL },
	{ "posted-without-vid", { FLIP(PIN_CONTROLS, PIN_POSTED_INTERRUPTS) }, NULL },
	{ "posted-without-acknowledge", { POSTED, FLIP(EXIT_CONTROLS, EXIT_ACK_INTERRUPT) }, NULL },
	{ "posted-vector", { POSTED, SET(POSTED_VECTOR, 0x100) }, NULL },
	{ "posted-descriptor", { POSTED, SET(POSTED_DESC, 0x9020) }, NULL },
	{ "posted-descriptor", { POSTED, SET(POSTED_DESC, BEYOND) }, NULL },
	{ "vpid-zero", { SET(VPID, 0) }, NULL },
	{ "eptp-memory-type", { FLIP(EPTP, 1) }, NULL },
	{ "eptp-memory-type", { { VMCS_EPTP, 0, true } }, no_write_back },
	{ "eptp-walk-length", { FLIP(EPTP, 7 << 3) }, NULL },
	{ "eptp-accessed-dirty", { FLIP(EPTP, BIT(6)) }, no_accessed },
	{ "eptp-reserved", { FLIP(EPTP, BIT(8)) }, NULL },
	{ "eptp-reserved", { FLIP(EPTP, BIT(7)) }, NULL },
	{ "eptp-reserved", { FLIP(EPTP, BEYOND) }, NULL },
	{ "pml-without-ept", { NO_EPT, WITH(PML) }, NULL },
	PAGE_CASES("pml-address", PML_ADDRESS, WITH(PML)),
	{ "unrestricted-without-ept", { WITH(EPT) }, NULL },
	{ "mbec-without-ept", { NO_EPT, WITH(MODE_BASED_EXECUTE) }, NULL },
	{ "spp-without-ept", { NO_EPT, WITH(SPP) }, NULL },
	PAGE_CASES("spp-table", SPP_TABLE, WITH(SPP)),
	{ "vm-functions-reserved", { WITH(VMFUNC), SET(VM_FUNCTIONS, 2) }, NULL },
	{ "eptp-switching-without-ept", { NO_EPT, WITH(VMFUNC), SET(VM_FUNCTIONS, 1) }, NULL },
	PAGE_CASES("eptp-list", EPTP_LIST, WITH(VMFUNC), SET(VM_FUNCTIONS, 1)),
	PAGE_CASES("vmread-bitmap", VMREAD_BITMAP, WITH(VMCS_SHADOW)),
	PAGE_CASES("vmwrite-bitmap", VMWRITE_BITMAP, WITH(VMCS_SHADOW)),
	PAGE_CASES("ve-info", VE_INFO, WITH(EPT_VE)),
	{ "pt-without-ept", { NO_EPT, WITH(PT_GUEST_PHYSICAL), FLIP(ENTRY_CONTROLS, ENTRY_LOAD_RTIT),
			      FLIP(EXIT_CONTROLS, EXIT_CLEAR_RTIT) }, NULL },
	{ "pt-without-rtit", { WITH(PT_GUEST_PHYSICAL), FLIP(ENTRY_CONTROLS, ENTRY_LOAD_RTIT) }, NULL },
	{ "pt-without-rtit", { WITH(PT_GUEST_PHYSICAL), FLIP(EXIT_CONTROLS, EXIT_CLEAR_RTIT) }, NULL },
	PAGE_CASES("pasid-low", PASID_LOW, WITH(PASID)),
	PAGE_CASES("pasid-high", PASID_HIGH, WITH(PASID)),
	{ "tsc-multiplier", { WITH(TSC_SCALING), SET(TSC_MULTIPLIER, 0) }, NULL },
	{ "hlat-without-ept", { NO_EPT, WITH_TERTIARY(TERTIARY_HLAT) }, NULL },
	{ "hlat-pointer", { WITH_TERTIARY(TERTIARY_HLAT), SET(HLATP, BIT(5)) }, NULL },
	{ "hlat-pointer", { WITH_TERTIARY(TERTIARY_HLAT), SET(HLATP, BEYOND) }, NULL },
	{ "paging-write-without-ept", { NO_EPT, WITH_TERTIARY(TERTIARY_PAGING_WRITE) }, NULL },
	{ "paging-verification-without-ept", { NO_EPT, WITH_TERTIARY(TERTIARY_PAGING_VERIFICATION) }, NULL },
	{ "pid-table", { WITH_TERTIARY(TERTIARY_IPI_VIRTUALIZATION), SET(PID_TABLE, 4) }, NULL },
	{ "pid-table-end", { WITH_TERTIARY(TERTIARY_IPI_VIRTUALIZATION), SET(PID_TABLE, BEYOND - 8),
			     SET(LAST_PID_INDEX, 1) }, NULL },

	{ "exit-reserved", { { 0, 1, false } }, exit_must },
	{ "exit2-reserved", { FLIP(EXIT_CONTROLS, EXIT_SECONDARY), SET(EXIT_CONTROLS_2, 1) }, no_exit2 },
	{ "save-timer-without-timer", { FLIP(EXIT_CONTROLS, EXIT_SAVE_PREEMPTION_TIMER) }, NULL },
	{ "exit-msr-store", { SET(EXIT_MSR_STORE_COUNT, 1), SET(EXIT_MSR_STORE, 8) }, NULL },
	{ "exit-msr-store", { SET(EXIT_MSR_STORE_COUNT, 1), SET(EXIT_MSR_STORE, BEYOND) }, NULL },
	{ "exit-msr-load", { SET(EXIT_MSR_LOAD_COUNT, 2), SET(EXIT_MSR_LOAD, BEYOND - 16) }, NULL },
	{ "entry-msr-load", { SET(ENTRY_MSR_LOAD_COUNT, 1), SET(ENTRY_MSR_LOAD, 4) }, NULL },

	{ "entry-reserved", { { 0, 1, false } }, entry_may_not },
	{ "intr-type", { SET(ENTRY_INTR_INFO, INTR(INTR_RESERVED, 3)) }, NULL },
	{ "intr-type", { SET(ENTRY_INTR_INFO, INTR(INTR_OTHER, 0)) }, no_trap_flag },
	{ "intr-vector", { SET(ENTRY_INTR_INFO, INTR(INTR_NMI, 3)) }, NULL },
	{ "intr-vector", { SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, 32)) }, NULL },
	{ "intr-vector", { SET(ENTRY_INTR_INFO, INTR(INTR_OTHER, 1)) }, NULL },
	{ "intr-error-missing", { SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, VEC_GP)) }, NULL },
	{ "intr-error-missing", { SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, VEC_AC)) }, NULL },
	{ "intr-error-unwanted", { SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, VEC_UD) | ERROR) }, NULL },
	{ "intr-error-unwanted", { SET(ENTRY_INTR_INFO, INTR(INTR_NMI, VEC_NMI) | ERROR) }, NULL },
	{ "intr-error-unwanted", { SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, VEC_CP) | ERROR) }, NULL },
	{ "intr-error-unwanted", { SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, VEC_GP) | ERROR), SET(GUEST_CR0, CR0_NE),
				   FLIP(ENTRY_CONTROLS, ENTRY_IA32E), SET(GUEST_EFER, 0), SET(GUEST_RIP, 0) }, NULL },
	{ "intr-reserved", { SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, VEC_UD) | BIT(12)) }, NULL },
	{ "intr-error-reserved", { SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, VEC_GP) | ERROR),
				   SET(ENTRY_ERROR_CODE, BIT(16)) }, NULL },
	{ "intr-length", { SET(ENTRY_INTR_INFO, INTR(INTR_SOFTWARE, 0x80)), SET(ENTRY_INSN_LENGTH, 0) }, NULL },
	{ "intr-length", { SET(ENTRY_INTR_INFO, INTR(INTR_EXCEPTION, VEC_BP)), SET(ENTRY_INSN_LENGTH, 16) }, NULL },
	{ "entry-to-smm", { FLIP(ENTRY_CONTROLS, ENTRY_TO_SMM) }, NULL },
	{ "entry-dual-monitor", { FLIP(ENTRY_CONTROLS, ENTRY_DEACTIVATE_DUAL_MONITOR) }, NULL },
};

int main(void) { return check_run_cases("control fields", cases, ARRAY_LEN(cases), &check_controls); }
