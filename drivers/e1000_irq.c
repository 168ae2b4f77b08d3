/*
 * How Intel's gigabit cards get attention: MSI-X, MSI, INTx or polling. Owns the interrupt registers and
 * the handler. The handler masks the card; service lets it interrupt again, so that frames that come while
 * others are looked at cost no interrupt.
 */
#include "drivers/e1000.h"

#include "drivers/ioapic.h"
#include "drivers/lapic.h"
#include "hv/base/clock.h"
#include "hv/base/log.h"
#include "hv/base/percpu.h"
#include "hv/base/spin.h"
#include "hv/base/trap.h"
#include "hv/base/vectors.h"
#include "hv/base/x86.h"

#define ALL 0xffffffffu
#define INTERVAL 781        /* 200 us in units of 256 ns: at most 5000 interrupts a second */
#define IVAR_ALL_TO_0 (BIT(3) | BIT(11) | BIT(19)) /* receive queue 0, send queue 0, other: vector 0, valid */
#define PROVOKE_NS 10000000
#define MAX_UNCLAIMED 1000
#define MAX_SILENT 8
#define SILENT_NS 10000000

#define ALWAYS (E1000_LINK_CHANGED | E1000_RECEIVE_LOW | E1000_RECEIVE_OVERRUN | E1000_RECEIVED)

static struct e1000 *card; /* the handler's */

static uint32_t wanted(const struct e1000 *e)
{
	uint32_t causes = ALWAYS | (e->want_room ? E1000_SENT : 0);

	if (e->nic.irq == NIC_IRQ_MSIX)
		causes |= E1000_Q_RECEIVED | E1000_Q_OTHER | (e->want_room ? E1000_Q_SENT : 0);
	return causes;
}

/* Under MSI-X reading the causes clears them only while none is enabled. */
static uint32_t acknowledge(struct e1000 *e)
{
	uint32_t causes;

	if (e->nic.irq == NIC_IRQ_MSIX) {
		e1000_write(e, E1000_IMC, ALL);
		return e1000_read(e, E1000_ICR) | E1000_Q_OTHER; /* a vector of its own: it is the card's */
	}
	causes = e1000_read(e, E1000_ICR);
	if (causes == ALL)
		return 0;
	if (causes)
		e1000_write(e, E1000_IMC, ALL);
	return causes;
}

/* Another device on the line that nobody serves would keep this CPU here. */
static void count_unclaimed(struct e1000 *e)
{
	if (e->nic.irq != NIC_IRQ_INTX || ++e->unclaimed < MAX_UNCLAIMED)
		return;
	ioapic_mask_pci(e->line);
	e->line_storms = true;
	e->notify();
}

static void on_interrupt(void)
{
	struct e1000 *e = card;
	uint32_t causes = e->nic.irq == NIC_IRQ_POLL || e->panicked ? 0 : acknowledge(e);

	e->nic.counters.interrupts++;
	if (!causes) {
		count_unclaimed(e);
		return;
	}
	e->unclaimed = 0;
	e->causes |= causes;
	e->masked = true;
	e->notify();
}

void e1000_irq_set_up(struct e1000 *e)
{
	e->masked = false;
	e->causes = 0;
	e1000_write(e, E1000_ITR, INTERVAL);
	if (e->nic.irq != NIC_IRQ_MSIX)
		return;
	e1000_write(e, E1000_EIAC, 0);
	e1000_write(e, E1000_EITR0, INTERVAL);
	e1000_write(e, E1000_IVAR, IVAR_ALL_TO_0);
	e1000_write(e, E1000_CTRL_EXT, e1000_read(e, E1000_CTRL_EXT) | (uint32_t)E1000_CTRL_EXT_PBA);
}

void e1000_irq_enable(struct e1000 *e)
{
	if (e->nic.irq != NIC_IRQ_POLL && !e->masked)
		e1000_write(e, E1000_IMS, wanted(e));
}

uint32_t e1000_irq_take(struct e1000 *e)
{
	uint32_t causes = e->causes;

	if (e->nic.irq == NIC_IRQ_POLL)
		return e1000_read(e, E1000_ICR);
	if (!e->masked)
		return 0;
	causes |= e1000_read(e, E1000_ICR); /* what came since: it is looked at now, too */
	e->causes = 0;
	e->masked = false;
	e1000_irq_enable(e);
	return causes;
}

static void poll_from_now(struct e1000 *e)
{
	if (e->nic.irq == NIC_IRQ_INTX)
		ioapic_mask_pci(e->line);
	pci_no_interrupts(e->address);
	e1000_write(e, E1000_IMC, ALL);
	e->nic.irq = NIC_IRQ_POLL;
	e->nic.poll_ms = NIC_POLL_MS;
	e->masked = false;
	e->causes = 0;
}

/* Looks less than 10 ms apart count once: an interrupt may be on its way, and interrupts are off here. */
void e1000_irq_check(struct e1000 *e, uint32_t causes)
{
	uint64_t now = rdtsc();

	if (e->line_storms && e->nic.irq == NIC_IRQ_INTX) {
		log_warn("nic: another device on interrupt line %u storms: the card is polled from now on", e->line);
		poll_from_now(e);
	}
	if (e->nic.irq == NIC_IRQ_POLL || causes || !e1000_frame_waits(e)) {
		e->silent = 0;
		return;
	}
	if (e->silent && now - e->silent_at < ns_to_tsc(SILENT_NS))
		return;
	e->silent_at = now;
	if (++e->silent < MAX_SILENT)
		return;
	log_warn("nic: frames come, but %s interrupts do not: the card is polled from now on", nic_irq_name(e->nic.irq));
	poll_from_now(e);
}

static int use_msix(struct e1000 *e, struct failure *f)
{
	return pci_use_msix(e->address, this_cpu()->apic_id, HOST_VECTOR_NIC, f);
}

static int use_msi(struct e1000 *e, struct failure *f)
{
	return pci_use_msi(e->address, this_cpu()->apic_id, HOST_VECTOR_NIC, f);
}

static int use_intx(struct e1000 *e, struct failure *f)
{
	e->line = pci_use_intx(e->address);
	if (e->line == PCI_NO_LINE)
		return fail(f, -ENODEV, "firmware gave it no interrupt line");
	return ioapic_route_pci(e->line, this_cpu()->apic_id, HOST_VECTOR_NIC, f);
}

static const struct {
	enum nic_irq irq;
	int (*use)(struct e1000 *e, struct failure *f);
} ways[] = {
	{ NIC_IRQ_MSIX, use_msix },
	{ NIC_IRQ_MSI, use_msi },
	{ NIC_IRQ_INTX, use_intx },
};

static bool becomes_pending(void)
{
	uint64_t start = rdtsc(), ticks = ns_to_tsc(PROVOKE_NS);

	while (!lapic_is_pending(HOST_VECTOR_NIC)) {
		if (rdtsc() - start > ticks)
			return false;
		cpu_pause();
	}
	return true;
}

/*
 * Interrupts are off: one that arrives stays pending in the local APIC, to be taken later and found without
 * cause. A vector that is pending before the card was asked is somebody else's on a shared line.
 */
static bool arrives(struct e1000 *e)
{
	bool came = false;

	if (!lapic_is_pending(HOST_VECTOR_NIC)) {
		e1000_write(e, E1000_IMS, E1000_LINK_CHANGED | (e->nic.irq == NIC_IRQ_MSIX ? E1000_Q_OTHER : 0));
		e1000_write(e, E1000_ICS, E1000_LINK_CHANGED);
		came = becomes_pending();
	}
	e1000_write(e, E1000_IMC, ALL);
	e1000_read(e, E1000_ICR);
	return came;
}

void e1000_irq_choose(struct e1000 *e)
{
	struct failure f;

	card = e;
	trap_set_irq(HOST_VECTOR_NIC, on_interrupt);
	for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
		if (ways[i].use(e, &f))
			continue;
		e->nic.irq = ways[i].irq;
		e1000_irq_set_up(e);
		e->nic.poll_ms = 0;
		if (arrives(e))
			return;
		poll_from_now(e);
	}
	poll_from_now(e);
}
