/*
 * The processors that TDs run on, as the software module sees them: their VMX capabilities, what CPUID says,
 * and the control words that come of it. All processors of a platform are alike in what is here.
 */
#ifndef TDX_SOFT_CPU_H
#define TDX_SOFT_CPU_H

#include "hv/base/failure.h"
#include "hv/base/types.h"
#include "tdx/abi/params.h"
#include "vmx/core/controls.h"

struct soft_cpu {
	struct vmx_caps caps;
	uint64_t tsc_hz;
	uint64_t arch_capabilities; /* IA32_ARCH_CAPABILITIES, 0 where there is none */
	uint64_t xfam;              /* XCR0 bits that the platform switches with the vCPU */
	void (*cpuid)(void *ctx, uint32_t leaf, uint32_t subleaf, struct tdx_cpuid_values *out);
};

/* The control words of a TD's VMCS. TDX Module 1.5 base specification, "TD VMCS". */
#define SOFT_SECONDARY_PCONFIG BIT(27)

struct soft_controls {
	uint32_t word[CONTROL_WORDS]; /* as a vCPU starts */
	bool vid;                     /* the CPU delivers virtual interrupts and virtualises EOI and the APIC's reads */
	bool vpid;
	bool hardware_ve;             /* the CPU turns EPT violations into #VE */
	bool tsc_scaling;
	bool xsaves;
};

/* -ENODEV with one sentence that names every control the CPU lacks for running TDs. */
int soft_controls_compute(const struct vmx_caps *caps, struct soft_controls *out, struct failure *f);
/*
 * What the TSC multiplier must be (48 bits of fraction) for a TD's TSC of that many units of 25 MHz; 1.0 where
 * the CPU cannot scale it and its own frequency is that one within 0.1 %. False: it cannot be had.
 */
bool soft_tsc_multiplier(const struct soft_cpu *cpu, const struct soft_controls *c, uint32_t units,
			 uint64_t *multiplier);
#define SOFT_TSC_ONE BIT(48)
/* tsc times the multiplier, as the CPU does it. */
uint64_t soft_tsc_scale(uint64_t tsc, uint64_t multiplier);
/* Those of a TD whose TSC runs at units, which fit, and is 0 when the host's was start. */
struct soft_tsc {
	uint64_t multiplier, offset;
};
struct soft_tsc soft_td_tsc(const struct soft_cpu *cpu, const struct soft_controls *c, uint32_t units, uint64_t start);

/* Whether another CPU can run with these words. */
bool soft_controls_fit(const struct vmx_caps *caps, const struct soft_controls *c);

#endif
