/*
 * A guest's PC: its devices, wired together. The one place that knows all of them.
 */
#ifndef HV_PC_H
#define HV_PC_H

#include "hv/devices/events.h"
#include "hv/devices/vioapic.h"
#include "hv/devices/vpci.h"
#include "hv/devices/vpic.h"
#include "hv/devices/vpit.h"
#include "hv/devices/vpm.h"
#include "hv/devices/vreset.h"
#include "hv/devices/vrtc.h"
#include "hv/devices/vuart.h"
#include "hv/bus.h"
#include "hv/vclock_run.h"
#include "hv/vm.h"

struct console_guest;

struct pc {
	struct bus bus;
	struct vclock clock;
	struct apic_bus apic_bus;
	struct machine_events events;
	struct vpic pic;
	bool no_pic;                   /* a TD has none: nobody can inject what it would */
	struct vioapic ioapic;
	struct vpit pit;
	struct vrtc rtc;
	struct vuart com1;
	struct vpm pm;
	struct vreset reset;
	struct vpci pci;
	struct console_guest *console; /* hv/console.h */
};

/* Sets vm->pc, vm->bus and vm->clock. Nothing is left on failure. Monitor's context. */
int pc_create(struct vm *vm, struct failure *f);
/* Before any vCPU has run. */
void pc_destroy(struct vm *vm);
/* All devices to their power-on state, guest time to zero. No vCPU runs. */
void pc_power_on(struct vm *vm);
/* A local APIC has seen an EOI for a level-triggered vector. Any of the VM's CPUs. */
void pc_eoi(struct pc *pc, uint8_t vector);

#endif
