/*
 * Optional features of the host CPU that Gnomon uses where present and does without where not.
 * One list for the configuration key `disable`, for `caps`, and for the code that asks.
 */
#ifndef HV_BASE_FEATURES_H
#define HV_BASE_FEATURES_H

#include "hv/base/types.h"

/* X(symbol, name in gnomon.conf, what it is) */
#define OPTIONAL_FEATURES(X)                                                            \
	X(VPID, "vpid", "VPID: guest TLB entries survive VM exits")                     \
	X(EPT, "ept", "EPT: a second level of page tables")                             \
	X(UNRESTRICTED, "unrestricted-guest", "guests in real mode and without paging")  \
	X(EPT_AD, "ept-ad", "EPT accessed and dirty flags")                             \
	X(EPT_2M, "ept-2m", "EPT 2 MiB pages")                                          \
	X(EPT_1G, "ept-1g", "EPT 1 GiB pages")                                          \
	X(PREEMPTION_TIMER, "preemption-timer", "VMX-preemption timer")                 \
	X(TPR_SHADOW, "tpr-shadow", "TPR shadow")                                       \
	X(VIRT_APIC_ACCESS, "virt-apic-access", "virtualised APIC accesses (xAPIC page)") \
	X(APIC_REGISTER, "apic-register", "APIC-register virtualisation")               \
	X(VID, "vid", "virtual-interrupt delivery")                                     \
	X(VIRT_X2APIC, "virt-x2apic", "virtualised x2APIC mode")                        \
	X(POSTED_INTERRUPTS, "posted-interrupts", "posted-interrupt processing")        \
	X(PML, "pml", "page-modification logging")                                      \
	X(EPT_VE, "ept-ve", "EPT violations given to TDs as #VE by the CPU")            \
	X(TSC_SCALING, "tsc-scaling", "TSC scaling, for TDs")                           \
	X(VIRTUAL_NMI, "virtual-nmi", "virtual NMIs")                                   \
	X(INVPCID, "invpcid", "INVPCID in guests")                                      \
	X(RDTSCP, "rdtscp", "RDTSCP in guests")                                         \
	X(XSAVES, "xsaves", "XSAVES in guests")                                         \
	X(XSAVE, "xsave", "XSAVE: AVX and later state in guests")                       \
	X(RDRAND, "rdrand", "RDRAND and RDSEED in guests")                              \
	X(X2APIC, "x2apic", "x2APIC mode of the host's local APIC")                     \
	X(TSC_DEADLINE, "tsc-deadline", "TSC-deadline mode of the host's local APIC timer") \
	X(SMEP, "smep", "SMEP for the hypervisor")                                      \
	X(SMAP, "smap", "SMAP for the hypervisor")                                      \
	X(PCID, "pcid", "PCID in guests")                                               \
	X(L1D_FLUSH, "l1d-flush", "L1 data cache flushed before entries")               \
	X(VERW, "verw", "CPU buffers overwritten before entries (VERW)")                \
	X(RSB_FILL, "rsb-fill", "return stack buffer filled after exits")               \
	X(IBPB, "ibpb", "branch predictions dropped between guests")                    \
	X(SPEC_CTRL, "spec-ctrl", "speculation control (IA32_SPEC_CTRL) in guests")

enum feature {
#define FEATURE_ENUM(sym, name, text) FEATURE_##sym,
	OPTIONAL_FEATURES(FEATURE_ENUM)
#undef FEATURE_ENUM
	FEATURE_COUNT
};

typedef uint64_t feature_set_t; /* bit n: enum feature n */

extern const char *const feature_names[FEATURE_COUNT];
extern const char *const feature_texts[FEATURE_COUNT];

/* The feature of that name, or -1. */
int feature_by_name(const char *name, size_t len);

#endif
