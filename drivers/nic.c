/*
 * Finds the network card and hands it to its driver. Owns the one card in use.
 */
#include "drivers/nic.h"

#include <errno.h>
#include <string.h>

#include "drivers/e1000.h"
#include "drivers/vtd.h"
#include "hv/base/format.h"
#include "hv/base/log.h"

#define CLASS_ETHERNET 0x0200
#define DRIVEN "82540EM, 82545EM, 82574L"

static struct e1000 card;
static bool in_use;

struct search {
	uint32_t wanted;
	struct pci_function found, other; /* the card; the first Ethernet card without a driver */
	bool has_found, has_other;
};

struct nic *nic_get(void) { return in_use ? &card.nic : NULL; }

const char *nic_irq_name(enum nic_irq irq)
{
	static const char *const names[] = { "MSI-X", "MSI", "INTx", "polled" };

	return names[irq];
}

static bool consider(void *ctx, const struct pci_function *p)
{
	struct search *s = ctx;

	if (s->wanted != NIC_ANY && s->wanted != p->address)
		return false;
	if (e1000_model_of(p)) {
		s->found = *p;
		s->has_found = true;
		return true;
	}
	if (!s->has_other && (p->class_code >> 8 == CLASS_ETHERNET || s->wanted != NIC_ANY)) {
		s->other = *p;
		s->has_other = true;
	}
	return false;
}

static int say_none(const struct search *s, struct failure *f)
{
	char place[PCI_PLACE_MAX];

	pci_place(s->has_other ? s->other.address : s->wanted, place);
	if (s->has_other)
		return fail(f, -ENODEV, "there is no driver for the device %04x:%04x at %s, only for " DRIVEN, s->other.vendor,
			    s->other.device, place);
	if (s->wanted != NIC_ANY)
		return fail(f, -ENODEV, "there is no PCI device at %s: the command pci lists those there are", place);
	return fail(f, -ENODEV, "there is no network card, at least none on PCI");
}

static void describe(const struct nic *n)
{
	char link[48] = "no link yet";

	if (n->link)
		format(link, sizeof link, "link at %u Mbit/s, %s duplex", n->speed, n->full_duplex ? "full" : "half");
	log_info("nic: %s at %s, MAC %02x:%02x:%02x:%02x:%02x:%02x, %s, %s%s", n->name, n->place, n->mac[0],
		 n->mac[1], n->mac[2], n->mac[3], n->mac[4], n->mac[5], link,
		 n->irq == NIC_IRQ_POLL ? "no interrupt of it arrives: " : "interrupts by ", nic_irq_name(n->irq));
}

struct nic *nic_start(uint32_t address, void (*notify)(void), struct failure *f)
{
	struct search s = { .wanted = address };
	struct failure why;
	int err;

	in_use = false;
	memset(&card, 0, sizeof card);
	pci_for_each(consider, &s);
	if (!s.has_found) {
		say_none(&s, f);
		return NULL;
	}
	vtd_pass_dma();
	err = e1000_start(&card, &s.found, notify, &why);
	if (err) {
		fail(f, err, "the %s at %s cannot be used: %s", card.nic.name, card.nic.place, why.text);
		return NULL;
	}
	in_use = true;
	describe(&card.nic);
	return &card.nic;
}
