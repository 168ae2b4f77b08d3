/*
 * Event decisions, pure.
 */
#include "vmx/core/inject.h"

#include "hv/base/x86.h"
#include "vmx/core/reasons.h"

#define VEC_OF 4

enum fault_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

/* SDM table "Interrupt and Exception Classes". Interrupts of all kinds are benign. */
static enum fault_class classify(struct vmx_event e)
{
	if (INTR_TYPE(e.info) != INTR_HARD_EXCEPTION)
		return BENIGN;
	switch (INTR_VECTOR(e.info)) {
	case VEC_DE:
	case VEC_TS:
	case VEC_NP:
	case VEC_SS:
	case VEC_GP:
	case VEC_CP:
		return CONTRIBUTORY;
	case VEC_PF:
	case VEC_VE:
		return PAGE_FAULT;
	case VEC_DF:
		return DOUBLE_FAULT;
	default:
		return BENIGN;
	}
}

struct vmx_event inject_exception(unsigned vector, int64_t error)
{
	/* INT3 and INTO are software exceptions for VM entry as well: SDM "VM-Entry Controls for Event
	 * Injection". Both instructions are one byte long. */
	bool software = vector == VEC_BP || vector == VEC_OF;
	unsigned type = software ? INTR_SOFT_EXCEPTION : INTR_HARD_EXCEPTION;
	struct vmx_event e = {
		.info = INTR_VALID | INTR_TYPE_BITS(type) | vector,
		.length = software ? 1 : 0,
	};

	if (error >= 0) {
		e.info |= INTR_ERROR_CODE;
		e.error = (uint32_t)error;
	}
	return e;
}

/* SDM table "Conditions for Generating a Double Fault". Where both are handled serially, the second
 * comes first, and the first comes again when its instruction is restarted. */
struct vmx_event inject_combine(struct vmx_event prior, struct vmx_event next, bool *shutdown)
{
	enum fault_class first = prior.info ? classify(prior) : BENIGN, second = classify(next);
	bool grave = second == CONTRIBUTORY || second == PAGE_FAULT;

	*shutdown = first == DOUBLE_FAULT && grave;
	if (*shutdown)
		return (struct vmx_event){ 0 };
	if ((first == CONTRIBUTORY && second == CONTRIBUTORY) || (first == PAGE_FAULT && grave))
		return inject_exception(VEC_DF, 0);
	return next;
}

struct vmx_event inject_cut_short(uint32_t idt_info, uint32_t idt_error, uint32_t length)
{
	struct vmx_event e = { 0 };

	if (!(idt_info & INTR_VALID))
		return e;
	/* Bit 12 is undefined here and reserved in the entry field. */
	e.info = idt_info & (INTR_VALID | INTR_ERROR_CODE | 0x7ff);
	if (idt_info & INTR_ERROR_CODE)
		e.error = idt_error;
	switch (INTR_TYPE(idt_info)) {
	case INTR_SOFT_INTERRUPT:
	case INTR_PRIV_SOFT_EXCEPTION:
	case INTR_SOFT_EXCEPTION:
		e.length = length;
		break;
	default:
		break;
	}
	return e;
}

static bool nmi_open(const struct inject_state *s)
{
	return !s->nmi_blocked && !s->sti_shadow && !s->mov_ss_shadow;
}

static bool interrupt_open(const struct inject_state *s)
{
	return s->interrupts_on && !s->sti_shadow && !s->mov_ss_shadow;
}

struct inject_decision inject_decide(const struct inject_state *s)
{
	struct inject_decision d = { .choice = INJECT_NOTHING };

	if (s->event)
		d.choice = INJECT_EVENT;
	else if (s->nmi_pending && nmi_open(s))
		d.choice = INJECT_NMI;
	else if (s->interrupt && interrupt_open(s))
		d.choice = INJECT_INTERRUPT;
	if (s->nmi_pending && d.choice != INJECT_NMI) {
		/* Without virtual NMIs the end of a handler is not seen: the next moment at which
		 * interrupts are open is taken for it. */
		d.nmi_window = s->virtual_nmi;
		d.interrupt_window = !s->virtual_nmi;
	}
	d.interrupt_window |= s->interrupt && d.choice != INJECT_INTERRUPT;
	return d;
}
