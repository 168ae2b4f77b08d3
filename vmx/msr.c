/*
 * A guest's MSRs in VMX: the bitmap and the list of switched MSRs, both built from the one policy
 * table of hv/guest/msr.h, and access to those that live in the VMCS or in the CPU.
 * SDM "MSR-Bitmap Address".
 */
#include "vmx/vmx.h"

#include "hv/base/panic.h"
#include "hv/base/phys.h"
#include "hv/base/x86.h"
#include "hv/guest/msr.h"
#include "vmx/core/vmcs.h"
#include "vmx/msr_bits.h"

static struct msr_bits bitmap_of(const struct vmx_vcpu *x)
{
	return (struct msr_bits){ phys_to_virt(x->msr_bitmap) };
}

/* Registers that the CPU reads from the virtual-APIC page. The current count at 839h is computed. */
static void open_x2apic(struct msr_bits bits)
{
	static const struct { uint16_t first, last; } readable[] = {
		{ 0x802, 0x803 }, { 0x808, 0x808 }, { 0x80a, 0x80a }, { 0x80d, 0x80d }, { 0x80f, 0x828 },
		{ 0x830, 0x830 }, { 0x832, 0x838 }, { 0x83e, 0x83e },
	};

	if (vmx_uses(FEATURE_APIC_REGISTER))
		for (size_t i = 0; i < ARRAY_LEN(readable); i++)
			msr_bits_open(bits, readable[i].first, readable[i].last, MSR_PASS_READ);
	else
		msr_bits_open(bits, 0x808, 0x808, MSR_PASS_READ);
	msr_bits_open(bits, 0x808, 0x808, MSR_PASS_WRITE);
	if (vmx_uses(FEATURE_VID)) {
		msr_bits_open(bits, 0x80b, 0x80b, MSR_PASS_WRITE); /* EOI */
		msr_bits_open(bits, 0x83f, 0x83f, MSR_PASS_WRITE); /* SELF IPI */
	}
}

void vmx_msr_bitmap_build(struct vmx_vcpu *x)
{
	struct msr_bits bits = bitmap_of(x);

	msr_bits_close_all(bits);
	for (unsigned i = 0; i < msr_table_count; i++) {
		const struct msr_entry *e = &msr_table[i];
		uint8_t pass = msr_pass(x->v.msr, e);

		if (pass & MSR_PASS_LAZY)
			pass = e->first == x->lazy_msr ? 0 : MSR_PASS_BOTH;
		msr_bits_open(bits, e->first, e->last, pass);
	}
	if (x->apic_mode == APIC_VIRT_X2APIC)
		open_x2apic(bits);
}

static void switch_msr(struct vmx_vcpu *x, const struct msr_entry *e)
{
	for (uint32_t msr = e->first; msr <= e->last; msr++) {
		INVARIANT(x->switched_count < VMX_MAX_SWITCHED);
		x->switched[x->switched_count++] = (struct switched_msr){ msr, e->slot + (msr - e->first) };
	}
}

void vmx_msrs_init(struct vmx_vcpu *x)
{
	x->lazy_msr = NO_MSR;
	x->switched_count = 0;
	for (unsigned i = 0; i < msr_table_count; i++) {
		const struct msr_entry *e = &msr_table[i];

		if (e->kind != MSR_KIND_SWITCHED || !msr_present(x->v.msr, e))
			continue;
		if (msr_pass(x->v.msr, e) & MSR_PASS_LAZY)
			x->lazy_msr = e->first;
		else
			switch_msr(x, e);
	}
	vmx_msr_bitmap_build(x);
}

void vmx_msrs_save(struct vmx_vcpu *x)
{
	for (uint32_t i = 0; i < x->switched_count; i++)
		x->v.msr->values[x->switched[i].slot] = rdmsr(x->switched[i].msr);
}

void vmx_msrs_load(struct vmx_vcpu *x)
{
	for (uint32_t i = 0; i < x->switched_count; i++)
		wrmsr(x->switched[i].msr, x->v.msr->values[x->switched[i].slot]);
}

/* From its first real use on, the guest has the MSR to itself and pays for the switching. */
static void open_lazy(struct vmx_vcpu *x)
{
	const struct msr_entry *e = msr_find(x->lazy_msr);

	x->lazy_msr = NO_MSR;
	switch_msr(x, e);
	vmx_msr_bitmap_build(x);
}

static uint32_t vmcs_field_of(uint32_t msr)
{
	switch (msr) {
	case MSR_SYSENTER_CS: return VMCS_GUEST_SYSENTER_CS;
	case MSR_SYSENTER_ESP: return VMCS_GUEST_SYSENTER_ESP;
	case MSR_SYSENTER_EIP: return VMCS_GUEST_SYSENTER_EIP;
	case MSR_DEBUGCTL: return VMCS_GUEST_DEBUGCTL;
	case MSR_PAT: return VMCS_GUEST_PAT;
	case MSR_FS_BASE: return VMCS_GUEST_FS_BASE;
	case MSR_GS_BASE: return VMCS_GUEST_GS_BASE;
	default: return 0;
	}
}

bool vmx_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	struct vmx_vcpu *x = to_vmx(v);
	uint32_t field = vmcs_field_of(msr);

	if (msr == MSR_EFER) {
		*value = vmx_efer(x);
		return true;
	}
	if (msr == MSR_PAT && x->shadow) {
		*value = x->pat;
		return true;
	}
	if (field) {
		*value = vmread(field);
		return true;
	}
	if (msr == x->lazy_msr) {
		*value = 0; /* nothing but 0 was written yet */
		return true;
	}
	return rdmsr_safe(msr, value) == 0;
}

/* SDM volume 3A "IA-32e Mode Initialization": LME is fixed while paging is on. LMA follows. */
static bool write_efer(struct vmx_vcpu *x, uint64_t value)
{
	uint64_t changed = vmx_efer(x) ^ value;
	bool paging = vmx_cr0(x) & CR0_PG;

	if ((changed & EFER_LME) && paging)
		return false;
	vmx_put_efer(x, value);
	if (x->shadow && paging && (changed & EFER_NXE))
		vmx_shadow_load(x, true);
	return true;
}

bool vmx_msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	struct vmx_vcpu *x = to_vmx(v);
	uint32_t field = vmcs_field_of(msr);

	if (msr == MSR_EFER)
		return write_efer(x, value);
	if (msr == MSR_PAT && x->shadow) {
		x->pat = value; /* memory is write-back for all guests, whatever their tables say */
		return true;
	}
	if (field) {
		vmwrite(field, value);
		return true;
	}
	if (msr == x->lazy_msr) {
		if (value == 0)
			return true;
		open_lazy(x);
	}
	return wrmsr_safe(msr, value) == 0;
}

void vmx_tsc_changed(struct vcpu *v)
{
	vmwrite(VMCS_TSC_OFFSET, v->tsc_offset);
	to_vmx(v)->event_due = 0;
}
