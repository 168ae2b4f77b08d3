/*
 * Guest FPU state: one page per vCPU, in the registers of at most one CPU.
 */
#include "hv/fpu.h"

#include "hv/base/log.h"
#include "hv/base/phys.h"
#include "hv/base/x86.h"

#include <string.h>

#define XCR0_X87 BIT(0)
#define XCR0_SSE BIT(1)
#define XCR0_AVX BIT(2)
#define XCR0_AVX512 (BIT(5) | BIT(6) | BIT(7))
#define XCR0_PKRU BIT(9)
/* State Gnomon knows how to offer; MPX is gone from silicon, AMX does not fit the page. */
#define XCR0_KNOWN (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU)

#define FXSAVE_MXCSR 24
#define MXCSR_INIT 0x1f80u

struct fpu {
	uint8_t area[PAGE_SIZE];
};

uint64_t fpu_guest_xcr0;
static bool have_xsave;

/* Without AVX-512 and PKRU when the area would outgrow its page (CPUID.0Dh.0:EBX, current size). */
static uint64_t fit_page(uint64_t mask)
{
	xsetbv(0, mask);
	if (cpuid(0xd, 0).ebx > PAGE_SIZE)
		mask &= XCR0_X87 | XCR0_SSE | XCR0_AVX;
	return mask;
}

static void measure(void)
{
	struct cpuid_regs r = cpuid(0xd, 0);
	uint64_t offered = (uint64_t)r.edx << 32 | r.eax;

	fpu_guest_xcr0 = fit_page(offered & XCR0_KNOWN);
}

void fpu_init_cpu(bool xsave)
{
	bool first = fpu_guest_xcr0 == 0;

	write_cr0((read_cr0() | CR0_MP | CR0_NE) & ~(CR0_EM | CR0_TS));
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	have_xsave = xsave && (cpuid(1, 0).ecx & BIT(26));
	if (!have_xsave) {
		fpu_guest_xcr0 = XCR0_X87;
		return;
	}
	write_cr4(read_cr4() | CR4_OSXSAVE);
	if (first)
		measure();
	xsetbv(0, fpu_guest_xcr0);
}

struct fpu *fpu_create(frame_owner_t owner)
{
	hpa_t frame = frame_alloc(owner);

	return frame == HPA_NONE ? NULL : phys_to_virt(frame);
}

void fpu_destroy(struct fpu *f, frame_owner_t owner) { frame_free(virt_to_phys(f), owner); }

static void save(struct fpu *f)
{
	uint32_t lo = (uint32_t)fpu_guest_xcr0, hi = (uint32_t)(fpu_guest_xcr0 >> 32);

	if (!have_xsave) {
		__asm__ volatile("fxsave64 %0" : "=m"(f->area));
		return;
	}
	/* All components, also those the guest has off in its XCR0 just now. */
	xsetbv(0, fpu_guest_xcr0);
	__asm__ volatile("xsave64 %0" : "+m"(f->area) : "a"(lo), "d"(hi));
}

static void restore(const struct fpu *f, uint64_t xcr0)
{
	uint32_t lo = (uint32_t)fpu_guest_xcr0, hi = (uint32_t)(fpu_guest_xcr0 >> 32);

	if (!have_xsave) {
		__asm__ volatile("fxrstor64 %0" : : "m"(f->area));
		return;
	}
	xsetbv(0, fpu_guest_xcr0);
	__asm__ volatile("xrstor64 %0" : : "m"(f->area), "a"(lo), "d"(hi));
	xsetbv(0, xcr0);
}

void fpu_release(struct vcpu *v)
{
	struct cpu *c = this_cpu();

	if (c->fpu_owner != v)
		return;
	save(v->fpu);
	c->fpu_owner = NULL;
}

void fpu_switch_to(struct vcpu *v)
{
	struct cpu *c = this_cpu();

	if (c->fpu_owner == v)
		return;
	if (c->fpu_owner)
		save(c->fpu_owner->fpu);
	restore(v->fpu, v->xcr0);
	c->fpu_owner = v;
}

/* XSTATE_BV zero means initial state; MXCSR is read from memory all the same (SDM vol. 1,
 * "Operation of XRSTOR"), and FXRSTOR wants the x87 control word too. */
void fpu_reset(struct vcpu *v)
{
	uint32_t mxcsr = MXCSR_INIT;
	uint16_t fcw = 0x37f;

	if (this_cpu()->fpu_owner == v)
		this_cpu()->fpu_owner = NULL;
	memset(v->fpu->area, 0, sizeof v->fpu->area);
	memcpy(v->fpu->area, &fcw, sizeof fcw);
	memcpy(v->fpu->area + FXSAVE_MXCSR, &mxcsr, sizeof mxcsr);
	v->xcr0 = XCR0_X87;
}

#define FXSAVE_MXCSR_MASK 28
#define XSTATE_BV 512
#define MXCSR_MASK_DEFAULT 0xffbfu /* SDM volume 1, "Guidelines for Writing to the MXCSR Register" */

void fpu_legacy_read(const struct vcpu *v, void *image) { memcpy(image, v->fpu->area, FPU_LEGACY_BYTES); }

void fpu_legacy_write(struct vcpu *v, const void *image)
{
	uint8_t *area = v->fpu->area;
	uint32_t mxcsr, mask;
	uint64_t present;

	memcpy(&mask, area + FXSAVE_MXCSR_MASK, sizeof mask);
	memcpy(area, image, FPU_LEGACY_BYTES);
	memcpy(&mxcsr, area + FXSAVE_MXCSR, sizeof mxcsr);
	mxcsr &= mask ? mask : MXCSR_MASK_DEFAULT;
	memcpy(area + FXSAVE_MXCSR, &mxcsr, sizeof mxcsr);
	memcpy(area + FXSAVE_MXCSR_MASK, &mask, sizeof mask);
	if (!have_xsave)
		return;
	memcpy(&present, area + XSTATE_BV, sizeof present);
	present |= XCR0_X87 | XCR0_SSE;
	memcpy(area + XSTATE_BV, &present, sizeof present);
}

/* A register's number is part of the instruction. */
#define FOR_EACH_XMM(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define XMM_READ(n) \
	case n: __asm__ volatile("movdqu %%xmm" #n ", %0" : "=m"(*(uint64_t (*)[2])value)); break;
#define XMM_WRITE(n) \
	case n: __asm__ volatile("movdqu %0, %%xmm" #n : : "m"(*(const uint64_t (*)[2])value)); break;

void fpu_xmm_read(unsigned xmm, uint64_t value[2])
{
	switch (xmm) {
	FOR_EACH_XMM(XMM_READ)
	}
}

void fpu_xmm_write(unsigned xmm, const uint64_t value[2])
{
	switch (xmm) {
	FOR_EACH_XMM(XMM_WRITE)
	}
}
