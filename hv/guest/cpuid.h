/*
 * What CPUID tells a guest: a table of the features that may be shown (everything else is hidden), and
 * per vCPU an array of answers computed once from the host's CPUID. Lookup takes no lock.
 */
#ifndef HV_GUEST_CPUID_H
#define HV_GUEST_CPUID_H

#include "hv/base/failure.h"
#include "hv/base/features.h"
#include "hv/base/types.h"
#include "hv/base/x86.h"

enum cpuid_reg { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

struct cpuid_bit {
	uint32_t leaf;
	uint8_t subleaf, reg, bit; /* reg: enum cpuid_reg */
};

enum cpuid_rule {
	CPUID_AS_HOST, /* shown when the host has it */
	CPUID_ALWAYS,  /* Gnomon provides it whatever the host has */
};

/* One feature that a guest may see. */
struct cpuid_feature {
	struct cpuid_bit at;
	const char *name;
	enum cpuid_rule rule;
	int feature;   /* enum feature that must be usable too, or -1 */
	uint64_t xcr0; /* XCR0 bits that must be permitted too */
};

extern const struct cpuid_feature cpuid_features[];
extern const unsigned cpuid_feature_count;

struct cpuid_inputs {
	struct cpuid_regs (*host)(void *ctx, uint32_t leaf, uint32_t subleaf); /* the host's CPUID */
	void *ctx;
	uint32_t vcpus; /* of the VM; 1..GUEST_MAX_VCPUS */
	uint32_t vcpu;  /* this one: its index and initial APIC id */
	uint64_t tsc_khz; /* of the guest's TSC */
	uint32_t gpa_bits; /* width of guest physical addresses that the MMU can map */
	uint64_t xcr0;  /* XCR0 bits a guest may set; 0 or 1: no XSAVE */
	uint64_t xss;   /* IA32_XSS bits a guest may set */
	bool td;        /* the guest is a TD */
	feature_set_t usable; /* optional features that the back end enabled for guests */
};

/* Answers that depend on the moment: cpuid_adjust completes them. */
#define CPUID_DYN_OSXSAVE BIT(0)
#define CPUID_DYN_APIC BIT(1)
#define CPUID_DYN_OSPKE BIT(2)
#define CPUID_DYN_XSAVE_SIZE BIT(3)
#define CPUID_DYN_XSAVES_SIZE BIT(4)
#define CPUID_DYN_LEVEL BIT(5) /* topology: ECX[7:0] echoes the subleaf */

/* Those that cannot be kept ready in `now`. */
#define CPUID_DYN_RARE (CPUID_DYN_LEVEL | CPUID_DYN_XSAVES_SIZE)

struct cpuid_entry {
	struct cpuid_regs regs;
	struct cpuid_regs now; /* the answer since the last cpuid_refresh, but for CPUID_DYN_RARE */
	uint32_t dynamic; /* CPUID_DYN_*; 0: complete */
} __attribute__((aligned(64))); /* a power of two: finding one is a shift */

/* Subleaves below count are entries first.., all others are entry beyond. */
struct cpuid_slot {
	uint8_t first, count, beyond;
} __attribute__((aligned(4))); /* likewise */

#define CPUID_BASIC_LEAVES 0x20
#define CPUID_EXTENDED_BASE 0x80000000u
#define CPUID_EXTENDED_LEAVES 9
#define CPUID_HYPERVISOR_BASE 0x40000000u
/*
 * A second interface, as hypervisors have them every 100h leaves: that of KVM, with none of its features. For
 * TDs: by it Linux takes x2APIC mode without interrupt remapping, in which a TD's local APIC always is.
 */
#define CPUID_KVM_BASE 0x40000100u
#define CPUID_KVM_LEAVES 2
#define CPUID_MAX_ENTRIES 96

struct cpuid_policy {
	struct cpuid_entry entries[CPUID_MAX_ENTRIES]; /* entry 0 is all zeros */
	struct cpuid_slot basic[CPUID_BASIC_LEAVES]; /* those above the highest leaf repeat it */
	struct cpuid_slot extended[CPUID_EXTENDED_LEAVES];
	struct cpuid_slot hypervisor;
	struct cpuid_slot kvm[CPUID_KVM_LEAVES]; /* zeros but for a TD */
	uint8_t entry_count;
	uint64_t xcr0, xss; /* permitted bits */
};

/* What dynamic answers depend on. */
struct cpuid_state {
	uint64_t cr4, xcr0, xss;
	bool apic_enabled; /* IA32_APIC_BASE bit 11 */
};

/* Fills the policy. -EINVAL with a sentence when the inputs make no machine. */
MUST_CHECK int cpuid_policy_build(struct cpuid_policy *p, const struct cpuid_inputs *in, struct failure *f);

/* Slot of a leaf outside the basic range. */
const struct cpuid_slot *cpuid_high_slot(const struct cpuid_policy *p, uint32_t leaf);

static inline const struct cpuid_entry *cpuid_entry_of(const struct cpuid_policy *p, const struct cpuid_slot *s,
						       uint32_t subleaf)
{
	return &p->entries[subleaf < s->count ? s->first + subleaf : s->beyond];
}

/* Leaf and subleaf are any EAX and ECX; a leaf out of range answers as the highest basic leaf, as Intel
 * CPUs do. `now` is the answer unless dynamic has a bit of CPUID_DYN_RARE. */
static inline const struct cpuid_entry *cpuid_lookup(const struct cpuid_policy *p, uint32_t leaf,
						     uint32_t subleaf)
{
	return cpuid_entry_of(p, leaf < CPUID_BASIC_LEAVES ? &p->basic[leaf] : cpuid_high_slot(p, leaf), subleaf);
}

/* The entry's answer at this moment. */
struct cpuid_regs cpuid_adjust(const struct cpuid_policy *p, const struct cpuid_entry *e, uint32_t subleaf,
			       const struct cpuid_state *now);

/* Brings the `now` of all entries up to date. To be called when CR4, XCR0 or the APIC's state changes. */
void cpuid_refresh(struct cpuid_policy *p, const struct cpuid_state *state);

/* Whether the guest sees the feature bit (dynamic bits read as 0). */
bool cpuid_has(const struct cpuid_policy *p, struct cpuid_bit b);

/* The core crystal's rate that leaf 15h tells, for a TSC of tsc_khz. The guest's APIC timer must count
 * at this rate (before its divider), because Linux takes it from here. */
uint64_t cpuid_crystal_hz(uint64_t tsc_khz);

#endif
