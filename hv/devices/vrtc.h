/*
 * A guest's MC146818 clock with 128 bytes of CMOS at 70h/71h. Its time is the VM's epoch plus guest
 * time plus what the guest set. Flags are found when register C is read; a timer runs only while an
 * interrupt is enabled.
 */
#ifndef HV_DEVICES_VRTC_H
#define HV_DEVICES_VRTC_H

#include "hv/base/spin.h"
#include "hv/bus.h"
#include "hv/irq.h"
#include "hv/vclock.h"

#define VRTC_CENTURY 0x32 /* CMOS index of the century, for the FADT */

struct vrtc {
	struct spinlock lock; /* outermost of device -> controller -> APIC */
	uint8_t cmos[128];    /* time registers are current only while the clock stands still */
	uint8_t index;
	uint64_t bias_ns;     /* RTC time in ns since 1970 = guest ns + bias */
	uint64_t frozen_ns;   /* the RTC time at which the clock was stopped */
	uint64_t update_seen; /* last second accounted for in UF and AF */
	uint64_t period_seen; /* last periodic tick accounted for in PF */
	struct vclock *clock;
	struct vtimer timer;
	struct irq_line irq;
};

void vrtc_init(struct vrtc *r, struct vclock *clock, const struct irq_line *irq);
int vrtc_attach(struct vrtc *r, struct bus *b, struct failure *f);
/* Interrupts off, flags clear, time from the host again; the rest of CMOS stays, as with a battery. */
void vrtc_reset(struct vrtc *r);
/* The memory sizes firmware leaves in CMOS: bytes below and above 4 GiB. Before the guest runs. */
void vrtc_set_memory(struct vrtc *r, uint64_t below_4g, uint64_t above_4g);

#endif
