/*
 * The entry checker's rules on the control fields, one case each.
 */
#include "tests/entry_rules/rules.h"

#define NO_EPT FLIP(SECONDARY_CONTROLS, SECONDARY_EPT | SECONDARY_UNRESTRICTED)
#define WITH(control) FLIP(SECONDARY_CONTROLS, SECONDARY_##control)
#define WITH_TERTIARY(bits) FLIP(PRIMARY_CONTROLS, PRIMARY_TERTIARY), SET(TERTIARY_CONTROLS, bits)
#define POSTED FLIP(PIN_CONTROLS, PIN_POSTED_INTERRUPTS), WITH(VID), \
	FLIP(EXIT_CONTROLS, EXIT_ACK_INTERRUPT)
#define INTR(type, vector) (INTR_VALID | (uint64_t)(type) << 8 | (vector))
#define ERROR INTR_DELIVER_ERROR

/* What a CPU lacks or insists on. */
#define TWEAK(name, change)                                                                         \
	static void name(struct check_env *env, struct vmx_caps *caps)                              \
	{                                                                                           \
		(void)env, (void)caps;                                                              \
		change;                                                                             \
	}
TWEAK(no_accessed, caps->ept_vpid &= ~EPT_CAP_AD)
TWEAK(no_write_back, caps->ept_vpid &= ~EPT_CAP_WB)
TWEAK(no_trap_flag, caps->primary &= ~(PRIMARY_MONITOR_TRAP << 32))
TWEAK(narrow, caps->basic |= BIT(48))

#define PAGE_CASES(id, field, ...)                                                                  \
	{ id, .edits = { __VA_ARGS__ __VA_OPT__(,) FLIP(field, 0x800) } },                                   \
	{ id, .edits = { __VA_ARGS__ __VA_OPT__(,) BEYOND(field) } }

static const struct check_case cases[] = {
	{ "pin-reserved", .edits = { FLIP(PIN_CONTROLS, BIT(1)) } },
	{ "pin-reserved", .edits = { FLIP(PIN_CONTROLS, BIT(8)) } },
	{ "primary-reserved", .edits = { FLIP(PRIMARY_CONTROLS, BIT(1)) } },
	{ "primary-reserved", .edits = { FLIP(PRIMARY_CONTROLS, BIT(0)) } },
	{ "secondary-reserved", .edits = { FLIP(SECONDARY_CONTROLS, BIT(29)) } },
	{ "tertiary-reserved", .edits = { WITH_TERTIARY(BIT(63)) } },
	{ "cr3-target-count", .edits = { SET(CR3_TARGET_COUNT, 5) } },
	PAGE_CASES("io-bitmap-a", IO_BITMAP_A),
	PAGE_CASES("io-bitmap-b", IO_BITMAP_B),
	PAGE_CASES("msr-bitmap", MSR_BITMAP),
	PAGE_CASES("virtual-apic", VIRTUAL_APIC),
	{ "msr-bitmap", .edits = { FLIP(MSR_BITMAP, BIT(33)) }, .cpu = narrow },
	{ "tpr-threshold-reserved", .edits = { SET(TPR_THRESHOLD, 0x10) } },
	{ "tpr-threshold-vtpr", .edits = { SET(TPR_THRESHOLD, 1) } },
	{ "x2apic-without-tpr-shadow",
	  .edits = { WITH(X2APIC), FLIP(PRIMARY_CONTROLS, PRIMARY_TPR_SHADOW) } },
	{ "apic-register-without-tpr-shadow",
	  .edits = { WITH(APIC_REGISTER), FLIP(PRIMARY_CONTROLS, PRIMARY_TPR_SHADOW) } },
	{ "vid-without-tpr-shadow", .edits = { WITH(VID), FLIP(PRIMARY_CONTROLS, PRIMARY_TPR_SHADOW) } },
	{ "ipi-without-tpr-shadow", .edits = { FLIP(PRIMARY_CONTROLS, PRIMARY_TPR_SHADOW | PRIMARY_TERTIARY),
				      SET(TERTIARY_CONTROLS, TERTIARY_IPI_VIRTUALIZATION) } },
	{ "virtual-nmi-without-nmi", .edits = { FLIP(PIN_CONTROLS, PIN_NMI) } },
	{ "nmi-window-without-virtual-nmi", .edits = { FLIP(PIN_CONTROLS, PIN_VIRTUAL_NMI),
					      FLIP(PRIMARY_CONTROLS, PRIMARY_NMI_WINDOW) } },
	PAGE_CASES("apic-access", APIC_ACCESS, WITH(APIC_ACCESS)),
	{ "x2apic-with-apic-access", .edits = { WITH(X2APIC), WITH(APIC_ACCESS) } },
	{ "vid-without-external", .edits = { WITH(VID), FLIP(PIN_CONTROLS, PIN_EXTERNAL_INTERRUPT) } },
	{ "posted-without-vid",
	  .edits = { FLIP(PIN_CONTROLS, PIN_POSTED_INTERRUPTS), FLIP(EXIT_CONTROLS, EXIT_ACK_INTERRUPT) } },
	{ "posted-without-acknowledge", .edits = { FLIP(PIN_CONTROLS, PIN_POSTED_INTERRUPTS), WITH(VID) } },
	{ "posted-vector", .edits = { POSTED, SET(POSTED_VECTOR, 0x100) } },
	{ "posted-descriptor", .edits = { POSTED, PAGE(POSTED_DESC, PAGE_ZERO, 0x20) } },
	{ "posted-descriptor", .edits = { POSTED, SET_BEYOND(POSTED_DESC, 0) } },
	{ "vpid-zero", .edits = { SET(VPID, 0) } },
	{ "eptp-memory-type", .edits = { FLIP(EPTP, 1) } },
	{ "eptp-memory-type", .edits = { FLIP(EPTP, 0) }, .cpu = no_write_back },
	{ "eptp-walk-length", .edits = { FLIP(EPTP, 1 << 3) } },
	{ "eptp-accessed-dirty", .edits = { FLIP(EPTP, BIT(6)) }, .cpu = no_accessed },
	{ "eptp-reserved", .edits = { FLIP(EPTP, BIT(8)) } },
	{ "eptp-reserved", .edits = { FLIP(EPTP, BIT(7)) } },
	{ "eptp-reserved", .edits = { BEYOND(EPTP) } },
	{ "pml-without-ept", .edits = { NO_EPT, WITH(PML) } },
	PAGE_CASES("pml-address", PML_ADDRESS, WITH(PML)),
	{ "unrestricted-without-ept", .edits = { WITH(EPT) } },
	{ "mbec-without-ept", .edits = { NO_EPT, WITH(MODE_BASED_EXECUTE) } },
	{ "spp-without-ept", .edits = { NO_EPT, WITH(SPP) } },
	PAGE_CASES("spp-table", SPP_TABLE, WITH(SPP)),
	{ "vm-functions-reserved", .edits = { WITH(VMFUNC), SET(VM_FUNCTIONS, 2) } },
	{ "eptp-switching-without-ept", .edits = { NO_EPT, WITH(VMFUNC), SET(VM_FUNCTIONS, 1) } },
	PAGE_CASES("eptp-list", EPTP_LIST, WITH(VMFUNC), SET(VM_FUNCTIONS, 1)),
	PAGE_CASES("vmread-bitmap", VMREAD_BITMAP, WITH(VMCS_SHADOW)),
	PAGE_CASES("vmwrite-bitmap", VMWRITE_BITMAP, WITH(VMCS_SHADOW)),
	PAGE_CASES("ve-info", VE_INFO, WITH(EPT_VE)),
	{ "pt-without-ept", .edits = { NO_EPT, WITH(PT_GUEST_PHYSICAL), FLIP(ENTRY_CONTROLS, ENTRY_LOAD_RTIT),
			      FLIP(EXIT_CONTROLS, EXIT_CLEAR_RTIT) } },
	{ "pt-without-rtit", .edits = { WITH(PT_GUEST_PHYSICAL), FLIP(ENTRY_CONTROLS, ENTRY_LOAD_RTIT) } },
	{ "pt-without-rtit", .edits = { WITH(PT_GUEST_PHYSICAL), FLIP(EXIT_CONTROLS, EXIT_CLEAR_RTIT) } },
	PAGE_CASES("pasid-low", PASID_LOW, WITH(PASID)),
	PAGE_CASES("pasid-high", PASID_HIGH, WITH(PASID)),
	{ "tsc-multiplier", .edits = { WITH(TSC_SCALING), SET(TSC_MULTIPLIER, 0) } },
	{ "hlat-without-ept", .edits = { NO_EPT, WITH_TERTIARY(TERTIARY_HLAT) } },
	{ "hlat-pointer", .edits = { WITH_TERTIARY(TERTIARY_HLAT), SET(HLATP, BIT(5)) } },
	{ "hlat-pointer", .edits = { WITH_TERTIARY(TERTIARY_HLAT), SET_BEYOND(HLATP, 0) } },
	{ "paging-write-without-ept", .edits = { NO_EPT, WITH_TERTIARY(TERTIARY_PAGING_WRITE) } },
	{ "paging-verification-without-ept",
	  .edits = { NO_EPT, WITH_TERTIARY(TERTIARY_PAGING_VERIFICATION) } },
	{ "pid-table",
	  .edits = { WITH_TERTIARY(TERTIARY_IPI_VIRTUALIZATION), PAGE(PID_TABLE, PAGE_ZERO, 4) } },
	{ "pid-table-end", .edits = { WITH_TERTIARY(TERTIARY_IPI_VIRTUALIZATION), SET_BEYOND(PID_TABLE, -8),
			     SET(LAST_PID_INDEX, 1) } },

	{ "exit-reserved", .edits = { FLIP(EXIT_CONTROLS, BIT(0)) } },
	{ "exit2-reserved", .edits = { FLIP(EXIT_CONTROLS, EXIT_SECONDARY), SET(EXIT_CONTROLS_2, 1) } },
	{ "save-timer-without-timer", .edits = { FLIP(PIN_CONTROLS, PIN_PREEMPTION_TIMER),
					FLIP(EXIT_CONTROLS, EXIT_SAVE_PREEMPTION_TIMER) } },
	{ "exit-msr-store", .edits = { SET(EXIT_MSR_STORE_COUNT, 1), PAGE(EXIT_MSR_STORE, PAGE_ZERO, 8) } },
	{ "exit-msr-store", .edits = { SET(EXIT_MSR_STORE_COUNT, 1), SET_BEYOND(EXIT_MSR_STORE, 0) } },
	{ "exit-msr-load", .edits = { SET(EXIT_MSR_LOAD_COUNT, 2), SET_BEYOND(EXIT_MSR_LOAD, -16) } },
	{ "entry-msr-load", .edits = { SET(ENTRY_MSR_LOAD_COUNT, 1), PAGE(ENTRY_MSR_LOAD, PAGE_ZERO, 4) } },

	{ "entry-reserved", .edits = { FLIP(ENTRY_CONTROLS, BIT(0)) } },
	{ "entry-reserved", .edits = { FLIP(ENTRY_CONTROLS, BIT(30)) } },
	{ "intr-type", .edits = { SET(ENTRY_INTR_INFO, INTR(INTR_RESERVED, 3)) } },
	{ "intr-type", .edits = { SET(ENTRY_INTR_INFO, INTR(INTR_OTHER, 0)) }, .cpu = no_trap_flag },
	{ "intr-vector", .edits = { SET(ENTRY_INTR_INFO, INTR(INTR_NMI, 3)) } },
	{ "intr-vector", .edits = { SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, 32)) } },
	{ "intr-vector", .edits = { SET(ENTRY_INTR_INFO, INTR(INTR_OTHER, 1)) } },
	{ "intr-error-missing", .edits = { SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, VEC_GP)) } },
	{ "intr-error-missing", .edits = { SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, VEC_AC)) } },
	{ "intr-error-unwanted", .edits = { SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, VEC_UD) | ERROR) } },
	{ "intr-error-unwanted", .edits = { SET(ENTRY_INTR_INFO, INTR(INTR_NMI, VEC_NMI) | ERROR) } },
	{ "intr-error-unwanted", .edits = { SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, VEC_CP) | ERROR) } },
	{ "intr-error-unwanted",
	  .edits = { SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, VEC_GP) | ERROR), SET(GUEST_CR0, CR0_NE),
				   FLIP(ENTRY_CONTROLS, ENTRY_IA32E), SET(GUEST_EFER, 0), SET(GUEST_RIP, 0) } },
	{ "intr-reserved", .edits = { SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, VEC_UD) | BIT(12)) } },
	{ "intr-error-reserved", .edits = { SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, VEC_GP) | ERROR),
				   SET(ENTRY_ERROR_CODE, BIT(16)) } },
	{ "intr-length",
	  .edits = { SET(ENTRY_INTR_INFO, INTR(INTR_SOFTWARE, 0x80)), SET(ENTRY_INSN_LENGTH, 0) } },
	{ "intr-length",
	  .edits = { SET(ENTRY_INTR_INFO, INTR(INTR_EXCEPTION, VEC_BP)), SET(ENTRY_INSN_LENGTH, 16) } },
	{ "entry-to-smm", .edits = { FLIP(ENTRY_CONTROLS, ENTRY_TO_SMM) } },
	{ "entry-dual-monitor", .edits = { FLIP(ENTRY_CONTROLS, ENTRY_DEACTIVATE_DUAL_MONITOR) } },
};

const struct check_cases cases_controls = { cases, ARRAY_LEN(cases), &check_controls, "control fields" };
