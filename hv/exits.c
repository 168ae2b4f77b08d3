/*
 * CPUID, ports, HLT, XSETBV: exits that any back end may bring, and what is said of a fault that ends the guest.
 */
#include "hv/exits.h"

#include "hv/base/x86.h"
#include "hv/devices/vpic.h"
#include "hv/fpu.h"
#include "hv/guest/cpuid.h"
#include "hv/guest/msr.h"
#include "hv/pc.h"
#include "hv/vcpu.h"
#include "mmu/mirror.h"

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

/* Answers that cannot be kept ready. */
static NOINLINE enum exit_result answer_rare(struct vcpu *v, const struct cpuid_entry *e)
{
	struct cpuid_state state = cpuid_state(v);
	struct cpuid_regs r = cpuid_adjust(v->cpuid, e, (uint32_t)v->gpr[GPR_RCX], &state);

	return answer_cpuid(v, &r);
}

static inline enum exit_result answer_entry(struct vcpu *v, const struct cpuid_entry *e)
{
	return LIKELY(!(e->dynamic & CPUID_DYN_RARE)) ? answer_cpuid(v, &e->now) : answer_rare(v, e);
}

struct cpuid_regs exit_cpuid_answer(struct vcpu *v, uint32_t leaf, uint32_t subleaf)
{
	const struct cpuid_entry *e = cpuid_lookup(v->cpuid, leaf, subleaf);
	struct cpuid_state state = cpuid_state(v);

	return cpuid_adjust(v->cpuid, e, subleaf, &state);
}

/* Leaves beyond the basic ones. Apart, so that the basic ones need no stack frame. */
static NOINLINE enum exit_result answer_high(struct vcpu *v, uint32_t leaf)
{
	const struct cpuid_slot *slot = cpuid_high_slot(v->cpuid, leaf);

	return answer_entry(v, cpuid_entry_of(v->cpuid, slot, (uint32_t)v->gpr[GPR_RCX]));
}

enum exit_result exit_cpuid(struct vcpu *v)
{
	const struct cpuid_policy *p = v->cpuid;
	uint32_t leaf;

	__builtin_memcpy(&leaf, &v->gpr[GPR_RAX], sizeof leaf); /* EAX by one load */
	if (UNLIKELY(leaf >= CPUID_BASIC_LEAVES))
		return answer_high(v, leaf);
	return answer_entry(v, cpuid_entry_of(p, &p->basic[leaf], (uint32_t)v->gpr[GPR_RCX]));
}

/* ---- ports ---- */

/* IN AL and IN AX leave the rest of RAX, IN EAX clears the upper half. */
static inline enum exit_result finish_in(struct vcpu *v, unsigned size, uint32_t value)
{
	uint64_t *rax = &v->gpr[GPR_RAX];

	if (LIKELY(size == 1))
		*rax = (*rax & ~0xfful) | (uint8_t)value;
	else if (size == 2)
		*rax = (*rax & ~0xfffful) | (uint16_t)value;
	else
		*rax = value;
	return EXIT_ADVANCE;
}

uint32_t exit_port_read(struct vcpu *v, uint16_t port, unsigned size)
{
	uint32_t value;

	return bus_pio_read(v->vm->bus, port, size, &value) ? value : UINT32_MAX;
}

void exit_port_write(struct vcpu *v, uint16_t port, unsigned size, uint32_t value)
{
	bus_pio_write(v->vm->bus, port, size, value);
}

/* Nobody takes all of it, which is more than a byte. Apart, as below, so that the rest needs few registers. */
static NOINLINE enum exit_result in_parts(struct vcpu *v, uint16_t port, unsigned size)
{
	return finish_in(v, size, exit_port_read(v, port, size));
}

static NOINLINE enum exit_result out_parts(struct vcpu *v, uint16_t port, unsigned size)
{
	exit_port_write(v, port, size, (uint32_t)v->gpr[GPR_RAX]);
	return EXIT_ADVANCE;
}

enum exit_result exit_in(struct vcpu *v, uint16_t port, unsigned size)
{
	const struct pio_range *r = bus_pio_at(v->vm->bus, port);

	if (LIKELY(pio_range_takes(r, port, size)))
		return finish_in(v, size, r->ops->read(r->dev, port, size));
	return size == 1 ? finish_in(v, 1, UINT32_MAX) : in_parts(v, port, size);
}

enum exit_result exit_out(struct vcpu *v, uint16_t port, unsigned size)
{
	const struct pio_range *r = bus_pio_at(v->vm->bus, port);

	if (UNLIKELY(!pio_range_takes(r, port, size)))
		return out_parts(v, port, size);
	r->ops->write(r->dev, port, size, (uint32_t)v->gpr[GPR_RAX]);
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

/* ---- memory that cannot be mapped ---- */

static void stop_broken(struct vcpu *v, gpa_t gpa)
{
	struct failure why = { 0 };

	mmu_is_broken(v->vm->mmu, &why);
	vm_stop(v->vm, "its memory cannot be mapped any more (at guest-physical %lx): %s", gpa, why.text);
}

void exit_fault_stop(struct vcpu *v, gpa_t gpa, enum fault_result r)
{
	struct vm *vm = v->vm;

	switch (r) {
	case FAULT_OUT_OF_MEMORY:
		vm_stop(vm, "no host memory is left for the page tables of guest %s (at guest-physical %lx): "
			"lower `memory` of a guest", vm->config->name, gpa);
		break;
	case FAULT_WRONG_KIND:
		vm_stop(vm, "vCPU %u used guest-physical %lx as %s, which it is not: a guest must convert memory "
			"first", v->index, gpa, mirror_is_meant(vm->mmu, gpa) ? "private memory" : "shared memory");
		break;
	case FAULT_BROKEN:
		stop_broken(v, gpa);
		break;
	default:
		vm_stop(vm, "vCPU %u used the guest-physical address %lx, beyond the %u bits it has", v->index, gpa,
			vm->mmu->config.gpa_bits);
		break;
	}
}
