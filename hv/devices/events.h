/*
 * What a device can ask of its whole machine. The machine decides what becomes of it.
 */
#ifndef HV_DEVICES_EVENTS_H
#define HV_DEVICES_EVENTS_H

#include "hv/base/types.h"

/* Called on the vCPU whose access caused it, with no device lock held. The call returns: the vCPU
 * stops before it is entered again. */
struct machine_events {
	void (*power_off)(void *vm);
	void (*reset)(void *vm, const char *why); /* why: a constant string, for the report */
	void (*debug_exit)(void *vm, uint32_t value);
	void *vm;
};

#endif
