/*
 * What a guest's RDMSR and WRMSR do: one table of all MSRs a guest has, with how each is kept, which
 * values it takes, and whether the guest reaches it without an exit. An MSR that is not in the table,
 * or whose feature CPUID hides, is #GP, except that a lenient VM reads 0 from and ignores writes to
 * those not in the table. Everything here belongs to the vCPU's own CPU.
 */
#ifndef HV_GUEST_MSR_H
#define HV_GUEST_MSR_H

#include "hv/base/types.h"
#include "hv/guest/cpuid.h"

#define MSR_TSC 0x10
#define MSR_PLATFORM_ID 0x17
#define MSR_APIC_BASE 0x1b
#define MSR_EBL_CR_POWERON 0x2a
#define MSR_FEATURE_CONTROL 0x3a
#define MSR_TSC_ADJUST 0x3b
#define MSR_SPEC_CTRL 0x48
#define MSR_PRED_CMD 0x49
#define MSR_BIOS_UPDT_TRIG 0x79
#define MSR_BIOS_SIGN_ID 0x8b
#define MSR_PLATFORM_INFO 0xce
#define MSR_MTRRCAP 0xfe
#define MSR_ARCH_CAPABILITIES 0x10a
#define MSR_FLUSH_CMD 0x10b
#define MSR_SYSENTER_CS 0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_MCG_CAP 0x179
#define MSR_MCG_STATUS 0x17a
#define MSR_PERF_STATUS 0x198
#define MSR_MISC_ENABLE 0x1a0
#define MSR_DEBUGCTL 0x1d9
#define MSR_MTRR_PHYSBASE0 0x200
#define MSR_MTRR_PHYSMASK7 0x20f
#define MSR_MTRR_FIX64K 0x250
#define MSR_MTRR_FIX16K_80000 0x258
#define MSR_MTRR_FIX16K_A0000 0x259
#define MSR_MTRR_FIX4K_C0000 0x268
#define MSR_MTRR_FIX4K_F8000 0x26f
#define MSR_PAT 0x277
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC_FIRST 0x800
#define MSR_X2APIC_LAST 0x8ff
#define MSR_XSS 0xda0
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_FMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX 0xc0000103

enum msr_kind {
	MSR_KIND_CONST,    /* in values, fixed at msr_init */
	MSR_KIND_STORE,    /* in values, the guest's to write */
	MSR_KIND_TSC_ADJUST, /* in values; the last of those */
	MSR_KIND_SWITCHED, /* in the CPU while the vCPU is loaded, in values else; by host->read, write */
	MSR_KIND_BACKEND,  /* a field of the back end's (VMCS), by host->read and write */
	MSR_KIND_APIC,     /* the local APIC's, by host->read and write */
	MSR_KIND_TSC,
	MSR_KIND_COMMAND,  /* write-only, carried out by host->write */
	MSR_KIND_NO_EFFECT, /* write-only, does nothing */
};

/* What the guest may do without an exit. */
#define MSR_PASS_READ BIT(0)
#define MSR_PASS_WRITE BIT(1)
#define MSR_PASS_BOTH (MSR_PASS_READ | MSR_PASS_WRITE)
/* Both, but only from the guest's first write of anything but 0: until then it costs no switch. */
#define MSR_PASS_LAZY BIT(2)

struct msr_cpu;

struct msr_entry {
	uint32_t first, last;
	const char *name;
	enum msr_kind kind;
	uint8_t pass;           /* MSR_PASS_* */
	uint8_t slot;           /* of first in values, for CONST, STORE, SWITCHED */
	uint64_t writable;      /* bits a write may change */
	uint64_t ignored;       /* bits a write may hold, to no effect; any other: #GP */
	bool (*valid)(const struct msr_cpu *c, uint32_t msr, uint64_t value); /* or NULL */
	struct cpuid_bit needs; /* it exists when CPUID shows this; leaf 0: always */
} __attribute__((aligned(64))); /* a power of two: finding one is a shift */

/* Sorted by number, ranges do not overlap. */
#define MSR_TABLE_MAX 64
extern const struct msr_entry msr_table[];
extern const unsigned msr_table_count;

enum msr_slot {
	MSR_SLOT_PLATFORM_ID,
	MSR_SLOT_EBL_CR_POWERON,
	MSR_SLOT_FEATURE_CONTROL,
	MSR_SLOT_TSC_ADJUST,
	MSR_SLOT_SPEC_CTRL,
	MSR_SLOT_BIOS_SIGN_ID,
	MSR_SLOT_PLATFORM_INFO,
	MSR_SLOT_MTRRCAP,
	MSR_SLOT_ARCH_CAPABILITIES,
	MSR_SLOT_MCG_CAP,
	MSR_SLOT_MCG_STATUS,
	MSR_SLOT_PERF_STATUS,
	MSR_SLOT_MISC_ENABLE,
	MSR_SLOT_MTRR_PHYS,                            /* 16: base and mask of 8 ranges */
	MSR_SLOT_MTRR_FIX64K = MSR_SLOT_MTRR_PHYS + 16,
	MSR_SLOT_MTRR_FIX16K,                          /* 2 */
	MSR_SLOT_MTRR_FIX4K = MSR_SLOT_MTRR_FIX16K + 2, /* 8 */
	MSR_SLOT_MTRR_DEF_TYPE = MSR_SLOT_MTRR_FIX4K + 8,
	MSR_SLOT_XSS,
	MSR_SLOT_STAR,
	MSR_SLOT_LSTAR,
	MSR_SLOT_CSTAR,
	MSR_SLOT_FMASK,
	MSR_SLOT_KERNEL_GS_BASE,
	MSR_SLOT_TSC_AUX,
	MSR_SLOT_COUNT
};

/* The machine's side. The value passed to write was checked against the table; false: #GP all the
 * same, because of state only the back end knows (EFER.LME while paging, an APIC mode change). */
struct msr_host {
	bool (*read)(void *ctx, uint32_t msr, uint64_t *value);
	bool (*write)(void *ctx, uint32_t msr, uint64_t value);
	uint64_t (*tsc)(void *ctx);                    /* guest TSC now */
	void (*tsc_shift)(void *ctx, uint64_t delta);  /* adds to the guest TSC, modulo 2^64 */
};

struct msr_inputs {
	const struct cpuid_policy *cpuid; /* must outlive the msr_cpu */
	const struct msr_host *host;
	void *ctx;
	bool strict;               /* vm_config.strict */
	bool td;                   /* the guest is a TD */
	uint64_t tsc_khz;
	uint32_t gpa_bits;
	uint64_t microcode;        /* the host's IA32_BIOS_SIGN_ID */
	uint64_t arch_capabilities; /* the host's, 0 without that MSR */
};

/* Where all MSRs of the table lie: an access finds its entry by one look. */
#define MSR_LOW_COUNT 0xe00u
#define MSR_HIGH_FIRST 0xc0000000u
#define MSR_HIGH_COUNT 0x200u

struct msr_cpu {
	struct msr_inputs in;
	uint64_t efer_mask, spec_ctrl_mask; /* bits a guest may set, by its CPUID */
	uint64_t values[MSR_SLOT_COUNT];
	bool present[MSR_TABLE_MAX];        /* by table index: CPUID shows it */
	uint64_t unknown_count;             /* accesses to what is not in the table */
	uint32_t unknown_last;              /* the last such MSR */
	uint8_t low[MSR_LOW_COUNT], high[MSR_HIGH_COUNT]; /* 1 + table index; 0: the guest has it not */
};

void msr_init(struct msr_cpu *c, const struct msr_inputs *in);
/* Power-on values of what is kept here (nothing of it changes at INIT). SWITCHED ones become 0 in
 * values: call while the vCPU is not loaded, or load them again. */
void msr_reset(struct msr_cpu *c);

/* False: #GP(0), nothing changed. TSC_DEADLINE and the x2APIC range are answered too, though callers
 * take these hot ones to the local APIC themselves. */
bool msr_read(struct msr_cpu *c, uint32_t msr, uint64_t *value);
bool msr_write(struct msr_cpu *c, uint32_t msr, uint64_t value);

/* The entry that holds the MSR, or NULL. */
const struct msr_entry *msr_find(uint32_t msr);
/* MSR_PASS_* of a table entry for this guest: 0 where CPUID hides the MSR. */
uint8_t msr_pass(const struct msr_cpu *c, const struct msr_entry *e);
/* Whether the guest has the MSR. */
bool msr_present(const struct msr_cpu *c, const struct msr_entry *e);

#endif
