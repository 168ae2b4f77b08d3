/*
 * Control registers. The guest owns every bit that neither VMX operation nor the host's safety
 * needs; MOV to CR0 and CR4 exits only when one of the others would change. SDM "Guest/Host Masks
 * and Read Shadows for CR0 and CR4", "Changes to Instruction Behavior in VMX Non-Root Operation".
 */
#include "vmx/vmx.h"

#include "hv/base/x86.h"
#include "hv/exits.h"
#include "hv/guest/cpuid.h"
#include "hv/guest/msr.h"
#include "mmu/walk.h"
#include "vmx/core/vmcs.h"
#include "vmx/cr_rules.h"
#include "vmx/shadow_rules.h"

/* NE is fixed to 1 in VMX operation. CD and NW are neither saved nor loaded by VM entry and exit:
 * a guest's would be the host CPU's. */
#define CR0_HOST (CR0_NE | CR0_CD | CR0_NW)
/* VMXE is fixed to 1. MCE stays 1: without it a machine check in the guest shuts the CPU down. */
#define CR4_HOST (CR4_VMXE | CR4_MCE)

/* Bits that CPUID shows: a change exits, so that the answers of CPUID are ready without a look at CR4. */
#define CR4_CPUID (CR4_OSXSAVE | CR4_PKE)

#define CR4_BIT(leaf, subleaf, reg, bit, cr4) { { leaf, subleaf, reg, bit }, cr4 }

/* CR4 bits a guest may set, by the CPUID bit that shows the feature. SDM "Control Registers". */
static const struct {
	struct cpuid_bit needs;
	uint64_t bit;
} cr4_bits[] = {
	CR4_BIT(1, 0, CPUID_EDX, 1, CR4_VME | CR4_PVI),
	CR4_BIT(1, 0, CPUID_EDX, 4, CR4_TSD),
	CR4_BIT(1, 0, CPUID_EDX, 2, CR4_DE),
	CR4_BIT(1, 0, CPUID_EDX, 3, CR4_PSE),
	CR4_BIT(1, 0, CPUID_EDX, 6, CR4_PAE),
	CR4_BIT(1, 0, CPUID_EDX, 7, CR4_MCE),
	CR4_BIT(1, 0, CPUID_EDX, 13, CR4_PGE),
	CR4_BIT(1, 0, CPUID_EDX, 24, CR4_OSFXSR),
	CR4_BIT(1, 0, CPUID_EDX, 25, CR4_OSXMMEXCPT),
	CR4_BIT(1, 0, CPUID_ECX, 17, CR4_PCIDE),
	CR4_BIT(1, 0, CPUID_ECX, 26, CR4_OSXSAVE),
	CR4_BIT(7, 0, CPUID_EBX, 0, CR4_FSGSBASE),
	CR4_BIT(7, 0, CPUID_EBX, 7, CR4_SMEP),
	CR4_BIT(7, 0, CPUID_EBX, 20, CR4_SMAP),
	CR4_BIT(7, 0, CPUID_ECX, 2, CR4_UMIP),
	CR4_BIT(7, 0, CPUID_ECX, 3, CR4_PKE),
	CR4_BIT(7, 0, CPUID_ECX, 16, CR4_LA57),
};

static uint64_t cr4_allowed(const struct cpuid_policy *p)
{
	uint64_t allowed = CR4_PCE; /* a part of the architecture without a CPUID bit */

	for (size_t i = 0; i < ARRAY_LEN(cr4_bits); i++)
		if (cpuid_has(p, cr4_bits[i].needs))
			allowed |= cr4_bits[i].bit;
	return allowed;
}

void vmx_cr_masks(struct vmx_vcpu *x)
{
	x->cr4_allowed = cr4_allowed(x->v.cpuid);
	x->cr0_mask = CR0_HOST;
	x->cr0_on = CR0_NE | CR0_ET;
	x->cr4_mask = CR4_HOST | CR4_CPUID | ~x->cr4_allowed;
	if (x->shadow) {
		x->cr0_mask |= SHADOW_CR0_MASK;
		x->cr0_on |= SHADOW_CR0_ON;
		x->cr4_mask |= SHADOW_CR4_MASK;
	}
	vmwrite(VMCS_CR0_MASK, x->cr0_mask);
	vmwrite(VMCS_CR4_MASK, x->cr4_mask);
}

static uint64_t seen(uint64_t real, uint64_t shadow, uint64_t mask)
{
	return (real & ~mask) | (shadow & mask);
}

uint64_t vmx_cr0(const struct vmx_vcpu *x)
{
	return seen(vmread_always(VMCS_GUEST_CR0), x->cr0_shadow, x->cr0_mask);
}

uint64_t vmx_cr4(const struct vmx_vcpu *x)
{
	return seen(vmread_always(VMCS_GUEST_CR4), x->cr4_shadow, x->cr4_mask);
}

uint64_t vmx_cr3(const struct vmx_vcpu *x) { return x->shadow ? x->paging.cr3 : vmread_always(VMCS_GUEST_CR3); }

uint64_t vmx_efer(const struct vmx_vcpu *x) { return x->shadow ? x->paging.efer : vmread(VMCS_GUEST_EFER); }

/* EFER.LMA is LME and paging; the entry control "IA-32e mode guest" has to agree with it. */
static void update_long_mode(struct vmx_vcpu *x, uint64_t efer, uint64_t cr0)
{
	uint64_t controls = vmread(VMCS_ENTRY_CONTROLS) & ~ENTRY_IA32E;

	efer &= ~EFER_LMA;
	if ((efer & EFER_LME) && (cr0 & CR0_PG)) {
		efer |= EFER_LMA;
		controls |= ENTRY_IA32E;
	}
	if (x->shadow)
		x->paging.efer = efer;
	else
		vmwrite(VMCS_GUEST_EFER, efer);
	vmwrite(VMCS_ENTRY_CONTROLS, controls);
}

void vmx_put_efer(struct vmx_vcpu *x, uint64_t value)
{
	update_long_mode(x, value, x->shadow ? x->paging.cr0 : vmread(VMCS_GUEST_CR0));
	if (x->shadow)
		vmx_shadow_efer(x);
}

static void put_hardware_cr4(const struct vmx_vcpu *x, uint64_t value)
{
	uint64_t cr4 = (value & x->cr4_allowed & ~CR4_HOST) | CR4_HOST;

	vmwrite(VMCS_GUEST_CR4, x->shadow ? shadow_hardware_cr4(cr4, x->paging.cr0) : cr4);
}

void vmx_put_cr0(struct vmx_vcpu *x, uint64_t value)
{
	x->cr0_shadow = value;
	vmwrite(VMCS_CR0_SHADOW, value);
	vmwrite(VMCS_GUEST_CR0, (value & ~x->cr0_mask) | x->cr0_on);
	update_long_mode(x, vmx_efer(x), value);
	if (x->shadow) {
		uint64_t cr4 = vmx_cr4(x);

		x->paging.cr0 = value;
		put_hardware_cr4(x, cr4); /* depends on paging */
	}
}

void vmx_put_cr4(struct vmx_vcpu *x, uint64_t value)
{
	bool shown = (vmx_cr4(x) ^ value) & CR4_CPUID;

	x->cr4_shadow = value;
	vmwrite(VMCS_CR4_SHADOW, value);
	put_hardware_cr4(x, value);
	x->paging.cr4 = value;
	if (shown)
		exits_cpuid_changed(&x->v);
}

/* ---- exits ---- */

static enum exit_result refuse(struct vcpu *v)
{
	vmx_inject(v, VEC_GP, 0);
	return EXIT_RESUME;
}

static struct cr_state current_state(const struct vmx_vcpu *x)
{
	return (struct cr_state){
		.cr0 = vmx_cr0(x),
		.cr3 = vmx_cr3(x),
		.cr4 = vmx_cr4(x),
		.efer = vmx_efer(x),
		.cr4_allowed = x->cr4_allowed,
		.cs_long = vmread(VMCS_GUEST_CS_AR) & AR_LONG,
	};
}

/* With EPT the CPU takes the PDPTEs from the VMCS, so a write that is carried out here has to read
 * them. SDM "Loading the PDPTE Registers" tells which writes load them. */
static bool load_pdptes(struct vmx_vcpu *x, const struct cr_state *s)
{
	uint64_t pdpte[4];

	if (guest_load_pdptes(x->v.mmu, s->cr3, x->v.msr->in.gpa_bits, pdpte))
		return false;
	for (unsigned i = 0; i < 4; i++)
		if (x->shadow)
			x->paging.pdpte[i] = pdpte[i];
		else
			vmwrite(VMCS_GUEST_PDPTE0 + 2u * i, pdpte[i]);
	return true;
}

/* Translations of the old mode must not survive: the CPU itself would have dropped them. */
static void drop_translations(struct vmx_vcpu *x)
{
	if (vmx_uses(FEATURE_VPID)) /* without, VM entry drops them */
		invvpid(INVVPID_SINGLE, vmx_vpid(x));
}

static enum exit_result change(struct vmx_vcpu *x, const struct cr_state *from, const struct cr_state *to)
{
	bool flush = cr_change_flushes(from, to), pdptes = cr_change_loads_pdptes(from, to);

	if (!cr_change_valid(from, to))
		return refuse(&x->v);
	if (x->shadow && !(to->cr0 & CR0_PE)) {
		vmx_shadow_no_real_mode(&x->v, "MOV to CR0 clears PE");
		return EXIT_RESUME;
	}
	if (pdptes && !load_pdptes(x, to))
		return refuse(&x->v);
	if (to->cr0 != from->cr0)
		vmx_put_cr0(x, to->cr0);
	if (to->cr4 != from->cr4)
		vmx_put_cr4(x, to->cr4);
	if (x->shadow)
		vmx_shadow_changed(x, pdptes || shadow_other_root(from->cr0 ^ to->cr0, from->cr4 ^ to->cr4), flush);
	else if (flush)
		drop_translations(x);
	return EXIT_ADVANCE;
}

static enum exit_result mov_to_cr(struct vmx_vcpu *x, unsigned number, uint64_t value)
{
	struct cr_state from = current_state(x), to = from;

	switch (number) {
	case 0:
		to.cr0 = value | CR0_ET;
		return change(x, &from, &to);
	case 4:
		to.cr4 = value;
		return change(x, &from, &to);
	case 8: /* without TPR shadow only */
		if (value & ~(uint64_t)0xf)
			return refuse(&x->v);
		vlapic_mmio_write(&x->v.lapic, VLAPIC_TPR, (uint32_t)value << 4);
		return EXIT_ADVANCE;
	default:
		return vmx_exit_impossible(&x->v);
	}
}

/* 64 bits in 64-bit mode, else 32: asked only when it matters. */
static inline uint64_t operand(const struct vmx_vcpu *x, unsigned gpr)
{
	uint64_t value = UNLIKELY(gpr == GPR_RSP) ? vmread_always(VMCS_GUEST_RSP) : x->v.gpr[gpr];

	return LIKELY(!(value >> 32)) || vmx_in_long_mode() ? value : (uint32_t)value;
}

/* CR0 and CR4 are read without an exit. Any register may be the target, and after EXIT_ADVANCE the
 * run loop expects some untouched. */
static enum exit_result mov_from_cr(struct vmx_vcpu *x, unsigned number, unsigned gpr)
{
	uint64_t value = number == 8 ? vlapic_mmio_read(&x->v.lapic, VLAPIC_TPR) >> 4 : x->paging.cr3;

	if (gpr <= GPR_RBX) {
		x->v.gpr[gpr] = value;
		return EXIT_ADVANCE;
	}
	if (gpr == GPR_RSP)
		vmwrite(VMCS_GUEST_RSP, value);
	else
		x->v.gpr[gpr] = value;
	vmx_skip_instruction();
	return EXIT_RESUME;
}

static NOINLINE enum exit_result other_access(struct vmx_vcpu *x, struct cr_access a)
{
	switch (a.type) {
	case CR_MOV_TO:
		return mov_to_cr(x, a.number, operand(x, a.gpr));
	case CR_MOV_FROM:
		return mov_from_cr(x, a.number, a.gpr);
	case CR_CLTS:
		return mov_to_cr(x, 0, vmx_cr0(x) & ~CR0_TS);
	case CR_LMSW: /* sets PE but never clears it: SDM volume 2, "LMSW" */
		return mov_to_cr(x, 0, (vmx_cr0(x) & ~(uint64_t)0xe) | (a.lmsw_source & 0xf));
	}
	return vmx_exit_impossible(&x->v);
}

enum exit_result vmx_exit_cr(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);
	struct cr_access a = cr_access_decode(vmread_always(VMCS_EXIT_QUALIFICATION));

	if (LIKELY(a.type == CR_MOV_TO && a.number == 3)) /* under shadow paging only */
		return vmx_shadow_mov_to_cr3(x, operand(x, a.gpr));
	return other_access(x, a);
}
