/*
 * The virtual APIC of a TD's vCPU: always in x2APIC mode, in the virtual-APIC page. What the host posts moves
 * from the posted-interrupt descriptor to IRR before each entry, by the module's own hand: whether the CPU
 * could do it makes no difference to host or guest. Where the CPU delivers no virtual interrupts, the module
 * does that too. SDM volume 3C, "APIC Virtualization and Virtual Interrupts".
 */
#include "tdx/soft/run.h"

#include "tdx/abi/fields.h"

/* Offsets in the virtual-APIC page. ISR, TMR and IRR: 8 registers of 32 bits, 16 bytes apart. */
#define APIC_TPR 0x80u
#define APIC_PPR 0xa0u
#define APIC_ISR 0x100u
#define APIC_IRR 0x200u
#define APIC_WORDS 8u

#define MSR_X2APIC 0x800u
#define X2APIC_PPR 0x80au
#define X2APIC_EOI 0x80bu

#define VECTOR_CLASS 0xf0u

/* SDM "Posted-Interrupt Processing". */
struct posted {
	uint64_t pir[4];
	uint32_t control; /* bit 0: outstanding notification */
};

static uint8_t *page_of(struct run *r) { return vp_page(r->m, r->vp, TDVPS_VAPIC); }

static uint32_t *word(uint8_t *page, uint32_t set, unsigned i) { return (uint32_t *)(void *)(page + set + 16 * i); }

static int highest(uint8_t *page, uint32_t set)
{
	for (unsigned i = APIC_WORDS; i-- > 0;)
		if (*word(page, set, i))
			return (int)(i * 32 + 31 - (unsigned)__builtin_clz(*word(page, set, i)));
	return -1;
}

static void set_bit(uint8_t *page, uint32_t set, unsigned vector, bool on)
{
	uint32_t *w = word(page, set, vector / 32), bit = 1u << vector % 32;

	*w = on ? *w | bit : *w & ~bit;
}

/* SDM "PPR Virtualization". */
static uint32_t priority(uint8_t *page)
{
	uint32_t tpr = *word(page, APIC_TPR, 0) & 0xff;
	int isr = highest(page, APIC_ISR);
	uint32_t class = isr < 0 ? 0 : (uint32_t)isr & VECTOR_CLASS;

	return (tpr & VECTOR_CLASS) >= class ? tpr : class;
}

static void update_priority(uint8_t *page) { *word(page, APIC_PPR, 0) = priority(page); }

static int deliverable(uint8_t *page)
{
	int irr = highest(page, APIC_IRR);

	return irr >= 0 && ((uint32_t)irr & VECTOR_CLASS) > (priority(page) & VECTOR_CLASS) ? irr : -1;
}

bool vp_interrupt_pending(struct soft *m, struct soft_vp *vp)
{
	return deliverable(vp_page(m, vp, TDVPS_VAPIC)) >= 0;
}

/* NULL: the host has not turned posting on, or there is no memory where it says. */
static struct posted *posted_of(struct run *r)
{
	const struct soft_platform *p = &r->m->platform;
	hpa_t at = r->vp->posted_descriptor;
	uint8_t *page;

	if (!(r->vp->pin_controls & TDX_PIN_POSTED_INTERRUPTS))
		return NULL;
	page = p->map_shared(p->ctx, align_down(at, PAGE_SIZE));
	return page ? (struct posted *)(void *)(page + (at & PAGE_MASK & ~(uint64_t)63)) : NULL;
}

/* The notification is taken back before the requests are read: one that comes later notifies anew. */
static void take_posted(struct run *r, uint8_t *page)
{
	struct posted *d = posted_of(r);

	if (!d || !(__atomic_load_n(&d->control, __ATOMIC_ACQUIRE) & 1))
		return;
	__atomic_fetch_and(&d->control, ~1u, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < ARRAY_LEN(d->pir); i++) {
		uint64_t bits = __atomic_exchange_n(&d->pir[i], 0, __ATOMIC_SEQ_CST);

		*word(page, APIC_IRR, 2 * i) |= (uint32_t)bits;
		*word(page, APIC_IRR, 2 * i + 1) |= (uint32_t)(bits >> 32);
	}
}

/* The CPU clears IRR bits as it delivers, so only the highest one has to be told. */
static void update_rvi(struct run *r, uint8_t *page)
{
	int irr = highest(page, APIC_IRR);
	uint64_t status;

	if (irr < 0)
		return;
	status = run_read(r, VMCS_GUEST_INTR_STATUS);
	if ((int)(status & 0xff) < irr)
		run_write(r, VMCS_GUEST_INTR_STATUS, (status & 0xff00) | (uint32_t)irr);
}

/* An exit when TPR alone holds back what is highest, and falls below it. SDM "TPR Virtualization". */
static void update_threshold(struct run *r, uint8_t *page)
{
	int irr = highest(page, APIC_IRR);
	uint32_t tpr = *word(page, APIC_TPR, 0) >> 4 & 0xf, wanted = 0;

	if (irr >= 0 && (uint32_t)irr >> 4 <= tpr)
		wanted = (uint32_t)irr >> 4;
	if (wanted == r->vp->tpr_threshold)
		return;
	r->vp->tpr_threshold = wanted;
	run_write(r, VMCS_TPR_THRESHOLD, wanted);
}

void apic_prepare(struct run *r)
{
	uint8_t *page = page_of(r);

	take_posted(r, page);
	if (r->m->controls.vid)
		update_rvi(r, page);
	else
		update_threshold(r, page);
}

int apic_pending(struct run *r) { return r->m->controls.vid ? -1 : deliverable(page_of(r)); }

int apic_accept(struct run *r)
{
	uint8_t *page = page_of(r);
	int vector = deliverable(page);

	set_bit(page, APIC_IRR, (unsigned)vector, false);
	set_bit(page, APIC_ISR, (unsigned)vector, true);
	update_priority(page);
	return vector;
}

/* Exits acknowledge the interrupt, so the host's would be lost if it were taken for a notification. */
bool apic_is_notification(struct run *r, uint64_t intr_info)
{
	return (r->vp->pin_controls & TDX_PIN_POSTED_INTERRUPTS) && (intr_info & INTR_VALID) &&
	       INTR_VECTOR(intr_info) == r->vp->posted_vector;
}

uint64_t apic_read(struct run *r, uint32_t msr)
{
	uint8_t *page = page_of(r);

	return msr == X2APIC_PPR ? priority(page) : *word(page, (msr - MSR_X2APIC) * 16, 0);
}

static bool end_of_interrupt(uint8_t *page, uint64_t value)
{
	int isr = highest(page, APIC_ISR);

	if (value)
		return false;
	if (isr >= 0)
		set_bit(page, APIC_ISR, (unsigned)isr, false);
	update_priority(page);
	return true;
}

/* Vectors below 16 are no interrupts: an APIC refuses to send them. */
static bool self_ipi(uint8_t *page, uint64_t value)
{
	if (value & ~(uint64_t)0xff)
		return false;
	if (value >= 16)
		set_bit(page, APIC_IRR, (unsigned)value, true);
	return true;
}

bool apic_write(struct run *r, uint32_t msr, uint64_t value)
{
	return msr == X2APIC_EOI ? end_of_interrupt(page_of(r), value) : self_ipi(page_of(r), value);
}
