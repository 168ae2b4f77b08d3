/*
 * A guest's ACPI fixed hardware: PM1 event and control registers, SCI, the PM timer of 3.579545 MHz
 * (315/88 MHz, three times the PIT's clock; 24 bits wide, so the FADT leaves TMR_VAL_EXT clear).
 * There is no SMI_CMD: ACPI mode is always on.
 */
#ifndef HV_DEVICES_VPM_H
#define HV_DEVICES_VPM_H

#include "hv/base/spin.h"
#include "hv/bus.h"
#include "hv/devices/events.h"
#include "hv/irq.h"
#include "hv/vclock.h"

struct vpm {
	struct spinlock lock; /* outermost of device -> controller -> APIC */
	uint16_t status, enable, control;
	uint64_t carry_seen;  /* carries of the PM timer accounted for in TMR_STS */
	bool sci_high;
	struct vclock *clock;
	struct vtimer timer;  /* the timer's next carry, only while TMR_EN is set */
	struct irq_line sci;
	struct machine_events events;
};

void vpm_init(struct vpm *pm, struct vclock *clock, const struct irq_line *sci,
	      const struct machine_events *events);
int vpm_attach(struct vpm *pm, struct bus *b, struct failure *f);
void vpm_reset(struct vpm *pm);

#endif
