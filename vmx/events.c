/*
 * Event injection and windows against the VMCS; the decisions are vmx/core/inject.c's.
 */
#include "vmx/vmx.h"

#include "hv/base/x86.h"
#include "hv/exits.h"
#include "vmx/core/vmcs.h"

void vmx_set_primary(struct vmx_vcpu *x, uint32_t value)
{
	if (x->primary == value)
		return;
	x->primary = value;
	vmwrite(VMCS_PRIMARY_CONTROLS, value);
}

/* A fault's return address is the instruction itself, and RF keeps its breakpoint from striking
 * again: SDM volume 3B "Instruction-Breakpoint Exception Condition". */
static bool is_fault(const struct vmx_event *e)
{
	unsigned vector = INTR_VECTOR(e->info);

	if (INTR_TYPE(e->info) != INTR_HARD_EXCEPTION)
		return false;
	return vector != VEC_DB && vector != VEC_DF && vector != VEC_MC;
}

void vmx_queue(struct vmx_vcpu *x, struct vmx_event e)
{
	x->event = e;
	if (e.info)
		x->attention |= ATTENTION_EVENT;
	else
		x->attention &= ~ATTENTION_EVENT;
}

void vmx_inject(struct vcpu *v, unsigned vector, int64_t error)
{
	struct vmx_vcpu *x = to_vmx(v);
	bool shutdown;

	/* Real mode pushes no error codes, and VM entry checks that. */
	if (!(vmread(VMCS_GUEST_CR0) & CR0_PE))
		error = -1;
	vmx_queue(x, inject_combine(x->event, inject_exception(vector, error), &shutdown));
	if (shutdown)
		vm_stop(v->vm, "vCPU %u shut down: exception %u came up while a double fault was being "
			"delivered", v->index, vector);
	else if (is_fault(&x->event))
		vmwrite(VMCS_GUEST_RFLAGS, vmread(VMCS_GUEST_RFLAGS) | RFLAGS_RF);
}

static void set_nmi_blocking(struct vmx_vcpu *x, bool on)
{
	uint64_t state;

	if (!vmx_uses(FEATURE_VIRTUAL_NMI)) {
		x->nmi_masked = on;
		return;
	}
	state = vmread(VMCS_GUEST_INTERRUPTIBILITY);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, on ? state | BLOCKING_NMI : state & ~BLOCKING_NMI);
}

/* An NMI whose delivery was cut short has set blocking already; entry delivers it again only where there
 * is none. */
void vmx_keep_event(struct vmx_vcpu *x, uint64_t info)
{
	vmx_queue(x, inject_cut_short((uint32_t)info, (uint32_t)vmread(VMCS_IDT_VECTORING_ERROR),
				      (uint32_t)vmread(VMCS_EXIT_INSN_LENGTH)));
	if (INTR_TYPE(info) == INTR_NMI)
		set_nmi_blocking(x, false);
}

/* SDM "Information for VM Exits Due to Vectored Events", NMI unblocking due to IRET. */
void vmx_undo_iret(struct vmx_vcpu *x) { set_nmi_blocking(x, true); }

static bool nmi_blocked(const struct vmx_vcpu *x, uint64_t interruptibility)
{
	return vmx_uses(FEATURE_VIRTUAL_NMI) ? interruptibility & BLOCKING_NMI : x->nmi_masked;
}

/* The vector that vmx_deliver_events may deliver as an interrupt, from PIC or APIC; -1: none. With
 * virtual-interrupt delivery the APIC's are the CPU's affair. */
static bool interrupt_waits(struct vmx_vcpu *x)
{
	if (x->attention & ATTENTION_EXTINT) {
		if (exit_extint_pending(&x->v))
			return true;
		x->attention &= ~ATTENTION_EXTINT;
	}
	return !x->vid && vlapic_pending_vector(&x->v.lapic) >= 0;
}

static void write_entry_event(const struct vmx_event *e)
{
	if (e->info & INTR_ERROR_CODE)
		vmwrite(VMCS_ENTRY_ERROR_CODE, e->error);
	if (e->length)
		vmwrite(VMCS_ENTRY_INSN_LENGTH, e->length);
	vmwrite(VMCS_ENTRY_INTR_INFO, e->info);
}

static void write_interrupt(uint32_t vector)
{
	vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_TYPE_BITS(INTR_EXTERNAL) | vector);
}

static void deliver_interrupt(struct vmx_vcpu *x)
{
	int vector = x->attention & ATTENTION_EXTINT ? exit_extint_vector(&x->v) : -1;

	if (vector < 0) {
		vector = x->vid ? -1 : vlapic_pending_vector(&x->v.lapic);
		if (vector < 0)
			return;
		vlapic_accept(&x->v.lapic, (uint8_t)vector);
	}
	write_interrupt((uint32_t)vector);
}

static void deliver_nmi(struct vmx_vcpu *x)
{
	x->attention &= ~ATTENTION_NMI;
	x->nmi_masked = true;
	write_entry_event(&(struct vmx_event){ .info = INTR_VALID | INTR_TYPE_BITS(INTR_NMI) | VEC_NMI });
}

void vmx_deliver_queued(struct vmx_vcpu *x)
{
	write_entry_event(&x->event);
	vmx_queue(x, (struct vmx_event){ 0 });
}

static void deliver(struct vmx_vcpu *x, enum inject_choice choice)
{
	switch (choice) {
	case INJECT_EVENT:
		vmx_deliver_queued(x);
		break;
	case INJECT_NMI:
		deliver_nmi(x);
		break;
	case INJECT_INTERRUPT:
		deliver_interrupt(x);
		break;
	case INJECT_NOTHING:
		break;
	}
}

static void set_windows(struct vmx_vcpu *x, bool nmi, bool interrupt)
{
	uint32_t primary = x->primary & ~(PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW);

	if (nmi)
		primary |= PRIMARY_NMI_WINDOW;
	if (interrupt)
		primary |= PRIMARY_INTERRUPT_WINDOW;
	if (nmi || interrupt)
		x->attention |= ATTENTION_WINDOW;
	else
		x->attention &= ~ATTENTION_WINDOW;
	vmx_set_primary(x, primary);
}

/* What inject_decide comes to when there is nothing but the APIC's own interrupts, which is nearly always.
 * True: one must wait for a window. */
static bool deliver_apic(struct vmx_vcpu *x)
{
	struct vlapic *a = &x->v.lapic;
	int vector = vlapic_pending_vector(a);

	if (vector < 0)
		return false;
	if (!(vmread(VMCS_GUEST_RFLAGS) & RFLAGS_IF) ||
	    (vmread(VMCS_GUEST_INTERRUPTIBILITY) & (BLOCKING_STI | BLOCKING_MOV_SS)))
		return true;
	vlapic_accept(a, (uint8_t)vector);
	write_interrupt((uint32_t)vector);
	return vlapic_pending_vector(a) >= 0; /* one more may wait behind it */
}

static void deliver_any(struct vmx_vcpu *x)
{
	struct inject_state s = { .event = x->attention & ATTENTION_EVENT,
				  .nmi_pending = x->attention & ATTENTION_NMI };
	struct inject_decision d;

	s.interrupt = interrupt_waits(x);
	if (s.interrupt || s.nmi_pending) {
		uint64_t blocking = vmread(VMCS_GUEST_INTERRUPTIBILITY);

		s.interrupts_on = vmread(VMCS_GUEST_RFLAGS) & RFLAGS_IF;
		s.sti_shadow = blocking & BLOCKING_STI;
		s.mov_ss_shadow = blocking & BLOCKING_MOV_SS;
		s.nmi_blocked = nmi_blocked(x, blocking);
		s.virtual_nmi = vmx_uses(FEATURE_VIRTUAL_NMI);
	}
	d = inject_decide(&s);
	deliver(x, d.choice);
	/* One more may wait behind the one just taken. */
	if (d.choice == INJECT_INTERRUPT && interrupt_waits(x))
		d.interrupt_window = true;
	set_windows(x, d.nmi_window, d.interrupt_window);
}

void vmx_deliver_events(struct vmx_vcpu *x)
{
	if (!x->vid && !(x->attention & (ATTENTION_EVENT | ATTENTION_NMI | ATTENTION_EXTINT)))
		set_windows(x, false, deliver_apic(x));
	else
		deliver_any(x);
	vmx_apic_update(x);
}
