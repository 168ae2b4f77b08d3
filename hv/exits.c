/*
 * CPUID, ports, HLT, XSETBV: exits that any back end may bring.
 */
#include "hv/exits.h"

#include "hv/base/x86.h"
#include "hv/devices/vpic.h"
#include "hv/fpu.h"
#include "hv/guest/cpuid.h"
#include "hv/guest/msr.h"
#include "hv/pc.h"
#include "hv/vcpu.h"

#define XCR0_X87 BIT(0)
#define XCR0_SSE BIT(1)
#define XCR0_AVX BIT(2)
#define XCR0_AVX512 BITS(7, 5)

static struct cpuid_state cpuid_state(struct vcpu *v)
{
	return (struct cpuid_state){
		.cr4 = v->vm->backend->get_reg(v, REG_CR4),
		.xcr0 = v->xcr0,
		.xss = v->msr->values[MSR_SLOT_XSS],
		.apic_enabled = (v->lapic.apic_base & BIT(11)) != 0,
	};
}

void exits_cpuid_changed(struct vcpu *v)
{
	struct cpuid_state state = cpuid_state(v);

	cpuid_refresh(v->cpuid, &state);
}

static inline enum exit_result answer_cpuid(struct vcpu *v, const struct cpuid_regs *r)
{
	v->gpr[GPR_RAX] = r->eax;
	v->gpr[GPR_RBX] = r->ebx;
	v->gpr[GPR_RCX] = r->ecx;
	v->gpr[GPR_RDX] = r->edx;
	return EXIT_ADVANCE;
}

/* Leaves beyond the basic ones, and answers that cannot be kept ready. Apart, so that the common
 * answers need no stack frame. */
static __attribute__((noinline)) enum exit_result answer_rare(struct vcpu *v, uint32_t leaf, uint32_t subleaf)
{
	const struct cpuid_entry *e = cpuid_lookup(v->cpuid, leaf, subleaf);
	struct cpuid_state state = cpuid_state(v);
	struct cpuid_regs r = cpuid_adjust(v->cpuid, e, subleaf, &state);

	return answer_cpuid(v, &r);
}

enum exit_result exit_cpuid(struct vcpu *v)
{
	uint32_t leaf = (uint32_t)v->gpr[GPR_RAX], subleaf = (uint32_t)v->gpr[GPR_RCX];
	const struct cpuid_entry *e;

	if (UNLIKELY(leaf >= CPUID_BASIC_LEAVES))
		return answer_rare(v, leaf, subleaf);
	e = cpuid_lookup(v->cpuid, leaf, subleaf);
	return LIKELY(!(e->dynamic & CPUID_DYN_RARE)) ? answer_cpuid(v, &e->now) : answer_rare(v, leaf, subleaf);
}

/* ---- ports ---- */

/* IN AL and IN AX leave the rest of RAX, IN EAX clears the upper half. */
enum exit_result exit_in(struct vcpu *v, uint16_t port, unsigned size)
{
	uint32_t value;

	if (UNLIKELY(!bus_pio_read(v->vm->bus, port, size, &value)))
		value = UINT32_MAX;
	if (size == 4)
		v->gpr[GPR_RAX] = value;
	else
		v->gpr[GPR_RAX] = (v->gpr[GPR_RAX] & ~(BIT(8 * size) - 1)) | (value & (BIT(8 * size) - 1));
	return EXIT_ADVANCE;
}

enum exit_result exit_out(struct vcpu *v, uint16_t port, unsigned size)
{
	bus_pio_write(v->vm->bus, port, size, (uint32_t)v->gpr[GPR_RAX]);
	return EXIT_ADVANCE;
}

/* ---- HLT ---- */

enum exit_result exit_hlt(struct vcpu *v)
{
	if (!vcpu_has_wake_event(v)) {
		v->state = VCPU_HALTED;
		vcpu_request(v, REQUEST_LEAVE);
	}
	return EXIT_ADVANCE;
}

/* ---- XSETBV ---- */

/* SDM vol. 2, "XSETBV": x87 always; AVX needs SSE; the three of AVX-512 go together, with AVX. */
static bool xcr0_valid(uint64_t value)
{
	uint64_t avx512 = value & XCR0_AVX512;

	if ((value & ~fpu_guest_xcr0) || !(value & XCR0_X87))
		return false;
	if ((value & XCR0_AVX) && !(value & XCR0_SSE))
		return false;
	return !avx512 || (avx512 == XCR0_AVX512 && (value & XCR0_AVX));
}

enum exit_result exit_xsetbv(struct vcpu *v)
{
	uint64_t value = v->gpr[GPR_RDX] << 32 | (uint32_t)v->gpr[GPR_RAX];
	const struct backend *b = v->vm->backend;

	if ((uint32_t)v->gpr[GPR_RCX] != 0 || !xcr0_valid(value) || b->get_reg(v, REG_CPL) != 0) {
		b->inject(v, VEC_GP, 0);
		return EXIT_RESUME;
	}
	v->xcr0 = value;
	exits_cpuid_changed(v);
	xsetbv(0, value); /* the guest's state is in this CPU's registers while it runs */
	return EXIT_ADVANCE;
}

/* ---- the PIC ---- */

bool exit_extint_pending(struct vcpu *v)
{
	return v->index == 0 && vpic_pending(&v->vm->pc->pic) && vlapic_takes_extint(&v->lapic);
}

int exit_extint_vector(struct vcpu *v)
{
	if (!exit_extint_pending(v))
		return -1;
	int vector = vpic_ack(&v->vm->pc->pic);

	vlapic_extint_taken(&v->lapic);
	return vector;
}
