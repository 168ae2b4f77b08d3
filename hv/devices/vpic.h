/*
 * A guest's pair of 8259A interrupt controllers, the slave on the master's pin 2, with the
 * edge/level registers ELCR at 4d0h. Its INTR output is an irq_line; whoever takes the interrupt
 * calls vpic_ack for the vector.
 */
#ifndef HV_DEVICES_VPIC_H
#define HV_DEVICES_VPIC_H

#include "hv/base/spin.h"
#include "hv/bus.h"
#include "hv/irq.h"

enum vpic_init_state { VPIC_READY, VPIC_WANTS_ICW2, VPIC_WANTS_ICW3, VPIC_WANTS_ICW4 };

struct vpic_chip {
	uint8_t irr, isr, imr;
	uint8_t lines;        /* pins that are high */
	uint8_t elcr;         /* pins that are level-triggered */
	uint8_t base;         /* vector of pin 0 */
	uint8_t lowest;       /* pin of lowest priority */
	uint8_t init;         /* enum vpic_init_state */
	bool single, wants_icw4;
	bool auto_eoi, rotate_on_auto_eoi;
	bool special_mask, fully_nested;
	bool read_isr, poll;
};

struct vpic {
	struct spinlock lock;     /* taken with a device's lock held; the output line is set under it */
	struct vpic_chip chip[2]; /* master, slave */
	bool out;                 /* level of INTR */
	struct irq_line intr;
};

void vpic_init(struct vpic *p, const struct irq_line *intr);
int vpic_attach(struct vpic *p, struct bus *b, struct failure *f);
void vpic_reset(struct vpic *p); /* keeps the levels of its pins */

/* The line of pin 0..15 (2 is the cascade: setting it has no effect). */
struct irq_line vpic_line(struct vpic *p, unsigned pin);
/* Whether INTR is high. Any CPU, no lock. */
bool vpic_pending(const struct vpic *p);
/* The two INTA cycles: the vector, a spurious one (pin 7) when the request has gone. Takes the lock. */
uint8_t vpic_ack(struct vpic *p);

#endif
