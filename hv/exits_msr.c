/*
 * RDMSR and WRMSR: the hot ones straight to the local APIC, all others by the policy table, whose
 * machine side is here. Also makes a vCPU's CPUID and MSR policy.
 */
#include "hv/base/clock.h"
#include "hv/base/log.h"
#include "hv/base/x86.h"
#include "hv/exits.h"
#include "hv/fpu.h"
#include "hv/guest/cpuid.h"
#include "hv/guest/msr.h"
#include "hv/host.h"
#include "mmu/mmu.h"

static inline bool is_x2apic_msr(uint32_t msr)
{
	return msr - MSR_X2APIC_FIRST <= MSR_X2APIC_LAST - MSR_X2APIC_FIRST;
}

static enum exit_result refuse(struct vcpu *v)
{
	v->vm->backend->inject(v, VEC_GP, 0);
	return EXIT_RESUME;
}

static inline bool read_msr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	if (is_x2apic_msr(msr))
		return vlapic_msr_read(&v->lapic, msr, value);
	if (msr == MSR_TSC_DEADLINE) {
		*value = vlapic_get_tsc_deadline(&v->lapic);
		return true;
	}
	return msr_read(v->msr, msr, value);
}

enum exit_result exit_rdmsr(struct vcpu *v)
{
	uint64_t value;

	if (UNLIKELY(!read_msr(v, (uint32_t)v->gpr[GPR_RCX], &value)))
		return refuse(v);
	v->gpr[GPR_RAX] = (uint32_t)value;
	v->gpr[GPR_RDX] = value >> 32;
	return EXIT_ADVANCE;
}

static inline bool write_msr(struct vcpu *v, uint32_t msr, uint64_t value)
{
	if (msr == MSR_TSC_DEADLINE) {
		vlapic_set_tsc_deadline(&v->lapic, value);
		return true;
	}
	return is_x2apic_msr(msr) ? vlapic_msr_write(&v->lapic, msr, value) : msr_write(v->msr, msr, value);
}

enum exit_result exit_wrmsr(struct vcpu *v)
{
	uint64_t value = v->gpr[GPR_RDX] << 32 | (uint32_t)v->gpr[GPR_RAX];

	return LIKELY(write_msr(v, (uint32_t)v->gpr[GPR_RCX], value)) ? EXIT_ADVANCE : refuse(v);
}

bool exit_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value) { return read_msr(v, msr, value); }
bool exit_msr_write(struct vcpu *v, uint32_t msr, uint64_t value) { return write_msr(v, msr, value); }

/* ---- the policy table's machine side ---- */

static bool host_read(void *ctx, uint32_t msr, uint64_t *value)
{
	struct vcpu *v = ctx;

	if (msr == MSR_APIC_BASE)
		*value = v->lapic.apic_base;
	else if (is_x2apic_msr(msr) || msr == MSR_TSC_DEADLINE)
		return read_msr(v, msr, value);
	else
		return v->vm->backend->msr_read(v, msr, value);
	return true;
}

static bool host_write(void *ctx, uint32_t msr, uint64_t value)
{
	struct vcpu *v = ctx;

	if (msr == MSR_APIC_BASE)
		return vlapic_set_base(&v->lapic, value);
	if (is_x2apic_msr(msr))
		return vlapic_msr_write(&v->lapic, msr, value);
	if (msr != MSR_TSC_DEADLINE)
		return v->vm->backend->msr_write(v, msr, value);
	vlapic_set_tsc_deadline(&v->lapic, value);
	return true;
}

static uint64_t host_tsc(void *ctx) { return vcpu_tsc(ctx); }

/* A count in progress keeps its end in real time; a TSC deadline is a TSC value and stays. */
static void host_tsc_shift(void *ctx, uint64_t delta)
{
	struct vcpu *v = ctx;

	v->tsc_offset += delta;
	if (v->lapic.tsc_deadline == 0 && v->lapic.timer_deadline != NEVER)
		v->lapic.timer_deadline += delta;
	v->vm->backend->tsc_changed(v);
}

static const struct msr_host msr_host = {
	.read = host_read,
	.write = host_write,
	.tsc = host_tsc,
	.tsc_shift = host_tsc_shift,
};

static struct cpuid_regs host_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf)
{
	(void)ctx;
	return cpuid(leaf, subleaf);
}

uint64_t exits_apic_timer_hz(void) { return cpuid_crystal_hz(tsc_khz); }

int exits_cpuid_policy(const struct vm *vm, uint32_t vcpu, uint32_t gpa_bits, struct cpuid_policy *p,
		       struct failure *f)
{
	struct cpuid_inputs in = {
		.host = host_cpuid,
		.vcpus = vm->config->vcpus,
		.vcpu = vcpu,
		.tsc_khz = tsc_khz,
		.gpa_bits = gpa_bits,
		.xcr0 = fpu_guest_xcr0,
		.td = vm->config->type == VM_TYPE_TD,
		.usable = vm->backend->features(),
	};

	return cpuid_policy_build(p, &in, f);
}

int exits_init_vcpu(struct vcpu *v, struct failure *f)
{
	struct msr_inputs msr = {
		.cpuid = v->cpuid,
		.host = &msr_host,
		.ctx = v,
		.strict = v->vm->config->strict,
		.td = v->vm->config->type == VM_TYPE_TD,
		.tsc_khz = tsc_khz,
		.gpa_bits = v->vm->mmu->config.gpa_bits,
	};
	int err = exits_cpuid_policy(v->vm, v->index, msr.gpa_bits, v->cpuid, f);

	if (err)
		return err;
	if (rdmsr_safe(MSR_BIOS_SIGN_ID, &msr.microcode))
		msr.microcode = 0;
	if (rdmsr_safe(MSR_ARCH_CAPABILITIES, &msr.arch_capabilities))
		msr.arch_capabilities = 0;
	msr_init(v->msr, &msr);
	v->page_1g = cpuid_has(v->cpuid, (struct cpuid_bit){ 0x80000001, 0, CPUID_EDX, 26 });
	return 0;
}
