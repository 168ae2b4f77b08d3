/*
 * VMX controls computed from the capability MSRs: a table of {feature, control word, bit, must or
 * may}. Pure: the caller reads the MSRs. SDM volume 3D, appendix "VMX Capability Reporting Facility".
 */
#ifndef VMX_CORE_CONTROLS_H
#define VMX_CORE_CONTROLS_H

#include "hv/base/failure.h"
#include "hv/base/features.h"
#include "hv/base/types.h"

/* The capability MSRs as read; the control words' entries from the TRUE registers where they exist. */
struct vmx_caps {
	uint64_t basic;
	uint64_t pin, primary, secondary, exit, entry; /* low half: must be 1; high half: may be 1 */
	uint64_t misc;
	uint64_t ept_vpid;
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
};

enum control_word {
	CONTROL_PIN, CONTROL_PRIMARY, CONTROL_SECONDARY, CONTROL_EXIT, CONTROL_ENTRY, CONTROL_WORDS
};

#define PIN_EXTERNAL_INTERRUPT BIT(0)
#define PIN_NMI BIT(3)
#define PIN_VIRTUAL_NMI BIT(5)
#define PIN_PREEMPTION_TIMER BIT(6)
#define PIN_POSTED_INTERRUPTS BIT(7)

#define PRIMARY_INTERRUPT_WINDOW BIT(2)
#define PRIMARY_TSC_OFFSET BIT(3)
#define PRIMARY_HLT BIT(7)
#define PRIMARY_INVLPG BIT(9)
#define PRIMARY_MWAIT BIT(10)
#define PRIMARY_RDPMC BIT(11)
#define PRIMARY_RDTSC BIT(12)
#define PRIMARY_CR3_LOAD BIT(15)
#define PRIMARY_CR3_STORE BIT(16)
#define PRIMARY_TERTIARY BIT(17)
#define PRIMARY_CR8_LOAD BIT(19)
#define PRIMARY_CR8_STORE BIT(20)
#define PRIMARY_TPR_SHADOW BIT(21)
#define PRIMARY_NMI_WINDOW BIT(22)
#define PRIMARY_MOV_DR BIT(23)
#define PRIMARY_IO BIT(24)
#define PRIMARY_IO_BITMAPS BIT(25)
#define PRIMARY_MONITOR_TRAP BIT(27)
#define PRIMARY_MSR_BITMAPS BIT(28)
#define PRIMARY_MONITOR BIT(29)
#define PRIMARY_PAUSE BIT(30)
#define PRIMARY_SECONDARY BIT(31)

#define SECONDARY_APIC_ACCESS BIT(0)
#define SECONDARY_EPT BIT(1)
#define SECONDARY_DESCRIPTOR_TABLE BIT(2)
#define SECONDARY_RDTSCP BIT(3)
#define SECONDARY_X2APIC BIT(4)
#define SECONDARY_VPID BIT(5)
#define SECONDARY_WBINVD BIT(6)
#define SECONDARY_UNRESTRICTED BIT(7)
#define SECONDARY_APIC_REGISTER BIT(8)
#define SECONDARY_VID BIT(9)
#define SECONDARY_PAUSE_LOOP BIT(10)
#define SECONDARY_RDRAND BIT(11)
#define SECONDARY_INVPCID BIT(12)
#define SECONDARY_VMFUNC BIT(13)
#define SECONDARY_VMCS_SHADOW BIT(14)
#define SECONDARY_ENCLS BIT(15)
#define SECONDARY_RDSEED BIT(16)
#define SECONDARY_PML BIT(17)
#define SECONDARY_EPT_VE BIT(18)
#define SECONDARY_XSAVES BIT(20)
#define SECONDARY_MODE_BASED_EXECUTE BIT(22)
#define SECONDARY_SPP BIT(23)
#define SECONDARY_TSC_SCALING BIT(25)
#define SECONDARY_USER_WAIT BIT(26)

#define EXIT_SAVE_DEBUG BIT(2)
#define EXIT_HOST_64 BIT(9)
#define EXIT_LOAD_PERF_GLOBAL BIT(12)
#define EXIT_ACK_INTERRUPT BIT(15)
#define EXIT_SAVE_PAT BIT(18)
#define EXIT_LOAD_PAT BIT(19)
#define EXIT_SAVE_EFER BIT(20)
#define EXIT_LOAD_EFER BIT(21)
#define EXIT_SAVE_PREEMPTION_TIMER BIT(22)
#define EXIT_CLEAR_BNDCFGS BIT(23)
#define EXIT_CLEAR_RTIT BIT(25)

#define ENTRY_LOAD_DEBUG BIT(2)
#define ENTRY_IA32E BIT(9)
#define ENTRY_LOAD_PERF_GLOBAL BIT(13)
#define ENTRY_LOAD_PAT BIT(14)
#define ENTRY_LOAD_EFER BIT(15)
#define ENTRY_LOAD_BNDCFGS BIT(16)
#define ENTRY_LOAD_RTIT BIT(18)

#define EPT_CAP_EXECUTE_ONLY BIT(0)
#define EPT_CAP_WALK_4 BIT(6)
#define EPT_CAP_UC BIT(8)
#define EPT_CAP_WB BIT(14)
#define EPT_CAP_2M BIT(16)
#define EPT_CAP_1G BIT(17)
#define EPT_CAP_INVEPT BIT(20)
#define EPT_CAP_AD BIT(21)
#define EPT_CAP_INVEPT_SINGLE BIT(25)
#define EPT_CAP_INVEPT_ALL BIT(26)
#define EPT_CAP_INVVPID BIT(32)
#define EPT_CAP_INVVPID_ADDRESS BIT(40)
#define EPT_CAP_INVVPID_SINGLE BIT(41)
#define EPT_CAP_INVVPID_ALL BIT(42)

#define MISC_TIMER_RATE(misc) ((unsigned)((misc) & 0x1f)) /* the timer counts TSC >> rate */
#define MISC_STORES_LMA BIT(5)

/* How a guest's memory is translated; not all controls are the same. */
enum control_paging { PAGING_EPT, PAGING_SHADOW, PAGING_KINDS };

struct vmx_controls {
	/* As a vCPU starts; APIC virtualisation and windows come and go. Those for EPT have a meaning
	 * only when FEATURE_EPT is used. */
	uint32_t word[PAGING_KINDS][CONTROL_WORDS];
	feature_set_t present;        /* optional features this CPU's VMX offers */
	feature_set_t used;           /* of these, what is not disabled and has what it depends on */
};

static inline bool feature_in(feature_set_t set, enum feature f) { return set >> f & 1; }

/* What VMX decides of OPTIONAL_FEATURES; the others belong to their users. */
feature_set_t vmx_controls_scope(void);

/*
 * Fills *out. -ENODEV with one sentence that names every needed feature the CPU lacks. A feature in
 * `disabled` is not used, and neither is one that depends on it.
 */
int vmx_controls_compute(const struct vmx_caps *caps, feature_set_t disabled, struct vmx_controls *out,
			 struct failure *f);

/* What the CPU lacks for running guests on EPT, as a list in words; empty: it lacks nothing. */
void vmx_controls_lacking_ept(const struct vmx_caps *caps, char *out, size_t size);

/* Whether another CPU can run with the words of c. */
bool vmx_controls_fit(const struct vmx_caps *caps, const struct vmx_controls *c);

/* One control after the other, for `caps`; false when index is past the end. */
bool vmx_controls_describe(const struct vmx_caps *caps, const struct vmx_controls *c, unsigned index,
			   const char **name, bool *offered, bool *on);

#endif
