/*
 * A guest's 8254 interval timer and port 61h. Counters are computed from guest time when they are
 * read; only channel 0, which interrupts, ever sets a timer. The clock is 105/88 MHz (1.193182 MHz),
 * a third of the ACPI timer's, so that the two agree exactly.
 */
#ifndef HV_DEVICES_VPIT_H
#define HV_DEVICES_VPIT_H

#include "hv/base/spin.h"
#include "hv/bus.h"
#include "hv/irq.h"
#include "hv/vclock.h"

struct vpit_channel {
	uint8_t mode;         /* 0..5 */
	uint8_t access;       /* 1: low byte, 2: high byte, 3: low then high */
	bool bcd;
	bool gate;
	bool loaded;          /* a count was written since the control word */
	bool triggered;       /* modes 1 and 5: the gate rose since the control word */
	bool write_high_next, read_high_next;
	uint8_t write_low;    /* first byte of a two-byte count */
	uint32_t count;       /* ticks per round, 1..65536 */
	uint32_t next_count;  /* takes its place when the round ends or at a trigger; 0: none */
	uint64_t start;       /* PIT tick at which count was loaded */
	uint64_t paused_at;   /* tick at which the gate fell, modes 0, 2, 3, 4 */
	uint8_t latched;      /* bytes of latch still to be read */
	uint16_t latch;
	bool status_latched;
	uint8_t status;
};

struct vpit {
	struct spinlock lock; /* outermost of device -> controller -> APIC */
	struct vpit_channel ch[3];
	uint8_t sysb;         /* port 61h as written, bits 3:0 */
	uint64_t next_edge;   /* tick of channel 0's next rising edge, VTIMER_OFF: none */
	struct vclock *clock;
	struct vtimer timer;
	struct irq_line irq;
};

void vpit_init(struct vpit *p, struct vclock *clock, const struct irq_line *irq);
int vpit_attach(struct vpit *p, struct bus *b, struct failure *f);
void vpit_reset(struct vpit *p);

#endif
