/*
 * The ways a PC guest resets or leaves: CF9h, the keyboard controller's pulse at 64h, port 92h, and
 * the debug-exit port. No keyboard controller is behind 64h: its status reads ffh, which drivers take
 * for absence.
 */
#ifndef HV_DEVICES_VRESET_H
#define HV_DEVICES_VRESET_H

#include "hv/bus.h"
#include "hv/devices/events.h"

struct vreset {
	struct machine_events events;
	uint8_t cf9, port92; /* as written; only the bit that resets matters across CPUs */
};

void vreset_init(struct vreset *r, const struct machine_events *events);
/* All ports but CF9h, which lies inside PCI's address register: vpci passes it on. */
int vreset_attach(struct vreset *r, struct bus *b, struct failure *f);
void vreset_reset(struct vreset *r);

uint8_t vreset_cf9_read(const struct vreset *r);
void vreset_cf9_write(struct vreset *r, uint8_t value);

#endif
