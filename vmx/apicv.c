/*
 * APIC virtualisation: which of its controls are on in which mode of the guest's APIC, and keeping
 * the CPU's copy of its state (RVI, SVI, TPR threshold, EOI-exit bitmap) in step with the vlapic.
 * SDM volume 3C, chapter "APIC Virtualization and Virtual Interrupts".
 */
#include "vmx/vmx.h"

#include "drivers/lapic.h"
#include "hv/base/vectors.h"
#include "hv/exits.h"
#include "hv/guest/guest.h"
#include "vmx/core/vmcs.h"

#define APIC_CONTROLS (SECONDARY_APIC_ACCESS | SECONDARY_X2APIC | SECONDARY_APIC_REGISTER | SECONDARY_VID)

#define APIC_BASE_ENABLE BIT(11)

static enum apic_mode mode_of(const struct vlapic *a)
{
	if (!(a->apic_base & APIC_BASE_ENABLE) || !vmx_uses(FEATURE_TPR_SHADOW))
		return APIC_VIRT_NONE;
	if (vlapic_x2apic(a))
		return vmx_uses(FEATURE_VIRT_X2APIC) ? APIC_VIRT_X2APIC : APIC_VIRT_NONE;
	return vmx_uses(FEATURE_VIRT_APIC_ACCESS) ? APIC_VIRT_XAPIC : APIC_VIRT_NONE;
}

static uint32_t controls_for(enum apic_mode mode)
{
	uint32_t c = 0;

	if (mode == APIC_VIRT_NONE)
		return 0;
	c |= mode == APIC_VIRT_X2APIC ? SECONDARY_X2APIC : SECONDARY_APIC_ACCESS;
	if (vmx_uses(FEATURE_APIC_REGISTER))
		c |= SECONDARY_APIC_REGISTER;
	if (vmx_uses(FEATURE_VID))
		c |= SECONDARY_VID;
	return c;
}

/* MOV CR8 is the vlapic's TPR, by the shadow where the CPU has one. */
static uint32_t primary_for(uint32_t primary)
{
	if (vmx_uses(FEATURE_TPR_SHADOW))
		return primary | PRIMARY_TPR_SHADOW;
	return primary | PRIMARY_CR8_LOAD | PRIMARY_CR8_STORE;
}

/* SDM "Virtual-Interrupt Delivery" and "Posted-Interrupt Processing": the pin control needs VID. */
static void set_posted(struct vmx_vcpu *x)
{
	uint32_t pin = x->words[CONTROL_PIN];

	vmwrite(VMCS_PIN_CONTROLS, x->vid ? pin | PIN_POSTED_INTERRUPTS : pin);
	__atomic_store_n(&x->posted, x->vid, __ATOMIC_RELAXED);
	x->v.lapic.irr_pending = true; /* prepare() sees to what was posted in the mode before */
}

/*
 * SDM "Posted-Interrupt Processing". A notification that comes while the vCPU is on its way into the
 * guest stays pending, as interrupts are off, and is taken there. One that comes when it has left may
 * be lost to another vCPU or to the host: prepare() and a vCPU about to block look for themselves.
 */
bool vmx_notify(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);

	if (!__atomic_load_n(&x->posted, __ATOMIC_RELAXED) || vlapic_needs_exit(&v->lapic) ||
	    !(__atomic_load_n(&x->run_seq, __ATOMIC_SEQ_CST) & 1))
		return false;
	lapic_send_ipi(v->cpu->apic_id, HOST_VECTOR_POSTED);
	return true;
}

static void write_eoi_exits(struct vlapic *a)
{
	for (unsigned i = 0; i < 4; i++)
		vmwrite(VMCS_EOI_EXIT_0 + 2 * i, a->eoi_exit[i]);
	a->eoi_exit_dirty = false;
}

static unsigned not_below_0(int vector) { return vector < 0 ? 0 : (unsigned)vector; }

void vmx_apic_changed(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);
	struct vlapic *a = &v->lapic;

	x->apic_mode = mode_of(a);
	x->secondary = (x->secondary & ~APIC_CONTROLS) | controls_for(x->apic_mode);
	x->vid = x->secondary & SECONDARY_VID;
	vmwrite(VMCS_SECONDARY_CONTROLS, x->secondary);
	vmx_set_primary(x, primary_for(x->primary));
	if (vmx_uses(FEATURE_POSTED_INTERRUPTS))
		set_posted(x);
	vmx_msr_bitmap_build(x);
	if (vmx_uses(FEATURE_TPR_SHADOW)) {
		x->tpr_threshold = 0;
		vmwrite(VMCS_TPR_THRESHOLD, 0);
	}
	if (x->vid) {
		vmwrite(VMCS_GUEST_INTR_STATUS, not_below_0(vlapic_highest_isr(a)) << 8 |
						not_below_0(vlapic_highest_irr(a)));
		write_eoi_exits(a);
	}
	a->irr_pending = true; /* whoever delivers now has not looked at IRR yet */
	/* Translations of the APIC page hold whether it is virtualised: SDM "Treatment of APIC-Access". */
	vmx_flush_tlb(x);
	exits_cpuid_changed(v);
}

/* The CPU clears IRR bits as it delivers, so only the highest one has to be told, and only once. */
static void update_rvi(struct vlapic *a)
{
	int irr = vlapic_highest_irr(a);
	uint64_t status;

	a->irr_pending = false;
	if (irr < 0)
		return;
	status = vmread(VMCS_GUEST_INTR_STATUS);
	if ((status & 0xff) != (unsigned)irr)
		vmwrite(VMCS_GUEST_INTR_STATUS, (status & 0xff00) | (unsigned)irr);
}

/* SDM "TPR Virtualization": an exit when TPR's class falls below the threshold, so that an interrupt
 * that TPR alone holds back is delivered then. */
static void update_threshold(struct vmx_vcpu *x)
{
	struct vlapic *a = &x->v.lapic;
	unsigned tpr = a->regs[VLAPIC_TPR] >> 4;
	int irr = a->irr_pending ? vlapic_highest_irr(a) : -1;
	uint32_t threshold = irr >= 0 && (unsigned)irr >> 4 <= tpr ? (unsigned)irr >> 4 : 0;

	if (threshold == x->tpr_threshold)
		return;
	x->tpr_threshold = threshold;
	vmwrite(VMCS_TPR_THRESHOLD, threshold);
}

void vmx_apic_update(struct vmx_vcpu *x)
{
	if (x->vid) {
		if (UNLIKELY(x->v.lapic.eoi_exit_dirty))
			write_eoi_exits(&x->v.lapic);
		if (x->v.lapic.irr_pending)
			update_rvi(&x->v.lapic);
	} else if (vmx_uses(FEATURE_TPR_SHADOW)) {
		update_threshold(x);
	}
}

/* SDM "APIC-Access VM Exits". These exits give no linear address: "Basic VM-Exit Information" leaves
 * that field undefined for them. */
enum exit_result vmx_exit_apic_access(struct vcpu *v)
{
	uint64_t q = vmread(VMCS_EXIT_QUALIFICATION);
	gpa_t gpa = GUEST_LAPIC_BASE + APIC_ACCESS_OFFSET(q);
	unsigned type = APIC_ACCESS_TYPE(q);

	vmx_keep_delivery(to_vmx(v));
	if (type != APIC_ACCESS_READ && type != APIC_ACCESS_WRITE) {
		vm_stop(v->vm, "vCPU %u used its APIC page (%lx) for code, a stack of interrupts or page "
			"tables (access type %u)", v->index, gpa, type);
		return EXIT_RESUME;
	}
	return exit_mmio(v, gpa, type == APIC_ACCESS_WRITE);
}

/* The CPU has stored the value and moved RIP on: SDM "APIC-Write VM Exits". */
enum exit_result vmx_exit_apic_write(struct vcpu *v)
{
	vlapic_apic_write(&v->lapic, vmread(VMCS_EXIT_QUALIFICATION) & 0xfff);
	return EXIT_RESUME;
}

enum exit_result vmx_exit_virtual_eoi(struct vcpu *v)
{
	vlapic_eoi_level(&v->lapic, vmread(VMCS_EXIT_QUALIFICATION) & 0xff);
	return EXIT_RESUME;
}

/* What TPR held back is looked at before every entry. */
enum exit_result vmx_exit_tpr(struct vcpu *v)
{
	v->lapic.irr_pending = true;
	return EXIT_RESUME;
}
