/*
 * What the next VM entry delivers to the guest: exceptions of the module's making, #VE, what an exit cut short,
 * NMIs that the host asked for, and interrupts where the CPU delivers none by itself. The decisions are those
 * of vmx/core/inject.c. SDM volume 3C, "Event Injection"; TDX Module 1.5 base specification, "#VE".
 */
#include "tdx/soft/run.h"

struct ve_info *run_ve_info(struct run *r) { return vp_page(r->m, r->vp, TDVPS_VE_INFO); }

/* A fault's return address is the instruction itself, and RF keeps its breakpoint from striking again. */
static bool is_fault(const struct vmx_event *e)
{
	unsigned vector = INTR_VECTOR(e->info);

	return INTR_TYPE(e->info) == INTR_HARD_EXCEPTION && vector != VEC_DB && vector != VEC_DF &&
	       vector != VEC_MC;
}

static void set_rf(struct run *r) { run_write(r, VMCS_GUEST_RFLAGS, run_read(r, VMCS_GUEST_RFLAGS) | RFLAGS_RF); }

void event_exception(struct run *r, unsigned vector, int64_t error)
{
	bool shutdown;

	r->vp->event = inject_combine(r->vp->event, inject_exception(vector, error), &shutdown);
	r->vp->shutdown |= shutdown;
	if (!shutdown && is_fault(&r->vp->event))
		set_rf(r);
}

/* An NMI whose delivery was cut short has set blocking already; entry delivers it again only where there is none. */
bool event_keep_delivery(struct run *r)
{
	uint32_t info = (uint32_t)run_read(r, VMCS_IDT_VECTORING_INFO);

	if (LIKELY(!(info & INTR_VALID)))
		return false;
	r->vp->event = inject_cut_short(info, (uint32_t)run_read(r, VMCS_IDT_VECTORING_ERROR),
					(uint32_t)run_read(r, VMCS_EXIT_INSN_LENGTH));
	if (INTR_TYPE(info) == INTR_NMI)
		run_write(r, VMCS_GUEST_INTERRUPTIBILITY,
			  run_read(r, VMCS_GUEST_INTERRUPTIBILITY) & ~BLOCKING_NMI);
	return true;
}

/* RF is set for the #DF as well: the module does so in both cases. */
void event_ve(struct run *r, uint32_t reason, uint64_t qualification, uint64_t gla, uint64_t gpa)
{
	struct ve_info *i = run_ve_info(r);

	if (i->busy) {
		event_exception(r, VEC_DF, 0);
		set_rf(r);
		return;
	}
	*i = (struct ve_info){
		.reason = reason,
		.busy = VE_BUSY,
		.qualification = qualification,
		.gla = gla,
		.gpa = gpa,
		.length = (uint32_t)run_read(r, VMCS_EXIT_INSN_LENGTH),
		.info = (uint32_t)run_read(r, VMCS_EXIT_INSN_INFO),
	};
	event_exception(r, VEC_VE, -1);
}

static void set_primary(struct run *r, uint32_t value)
{
	if (value == r->vp->primary_controls)
		return;
	r->vp->primary_controls = value;
	run_write(r, VMCS_PRIMARY_CONTROLS, value);
}

static void write_entry(struct run *r, const struct vmx_event *e)
{
	if (e->info & INTR_ERROR_CODE)
		run_write(r, VMCS_ENTRY_ERROR_CODE, e->error);
	if (e->length)
		run_write(r, VMCS_ENTRY_INSN_LENGTH, e->length);
	run_write(r, VMCS_ENTRY_INTR_INFO, e->info);
}

static void deliver(struct run *r, enum inject_choice choice)
{
	switch (choice) {
	case INJECT_EVENT:
		write_entry(r, &r->vp->event);
		r->vp->event = (struct vmx_event){ 0 };
		break;
	case INJECT_NMI:
		r->vp->pend_nmi = 0;
		write_entry(r, &(struct vmx_event){ .info = INTR_VALID | INTR_TYPE_BITS(INTR_NMI) | VEC_NMI });
		break;
	case INJECT_INTERRUPT:
		write_entry(r, &(struct vmx_event){ .info = INTR_VALID | INTR_TYPE_BITS(INTR_EXTERNAL) |
							    (uint32_t)apic_accept(r) });
		break;
	case INJECT_NOTHING:
		break;
	}
}

/* A #VE that the guest has yet to read comes before an NMI, whose handler could raise another one. */
static struct inject_state state_of(struct run *r)
{
	struct inject_state s = {
		.event = r->vp->event.info != 0,
		.nmi_pending = r->vp->pend_nmi && !run_ve_info(r)->busy,
		.interrupt = apic_pending(r) >= 0,
		.virtual_nmi = true,
	};
	uint64_t blocking;

	if (!s.nmi_pending && !s.interrupt)
		return s;
	blocking = run_read(r, VMCS_GUEST_INTERRUPTIBILITY);
	s.interrupts_on = run_read(r, VMCS_GUEST_RFLAGS) & RFLAGS_IF;
	s.sti_shadow = blocking & BLOCKING_STI;
	s.mov_ss_shadow = blocking & BLOCKING_MOV_SS;
	s.nmi_blocked = blocking & BLOCKING_NMI;
	return s;
}

void event_prepare(struct run *r)
{
	uint32_t primary = r->vp->primary_controls & ~(PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW);
	struct inject_state s = state_of(r);
	struct inject_decision d = inject_decide(&s);

	deliver(r, d.choice);
	/* One more may wait behind the one just taken. */
	if (d.choice == INJECT_INTERRUPT && apic_pending(r) >= 0)
		d.interrupt_window = true;
	if (d.nmi_window)
		primary |= PRIMARY_NMI_WINDOW;
	if (d.interrupt_window)
		primary |= PRIMARY_INTERRUPT_WINDOW;
	set_primary(r, primary);
}
