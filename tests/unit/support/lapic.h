/*
 * A local APIC under test: its page, its descriptor, and callbacks that count.
 * lapic_start() begins anew.
 */
#ifndef TESTS_UNIT_SUPPORT_LAPIC_H
#define TESTS_UNIT_SUPPORT_LAPIC_H

#include "hv/devices/vlapic.h"

#define LAPIC_BASE 0xfee00000ul
#define X2_MSR(offset) (0x800 + (offset) / 16)

extern uint8_t lapic_page[4096];
extern struct vlapic lapic;
extern const struct vlapic_host lapic_host;

extern uint64_t lapic_tsc;
/* What the callbacks saw since lapic_start. */
extern struct lapic_seen {
	unsigned kicks, eois, sends, mode_changes;
	uint8_t eoi;
	struct apic_msg msg;
	enum vlapic_shorthand shorthand;
} seen;

void lapic_start(uint32_t id);
/* Software-enabled, in xAPIC or x2APIC mode. */
void lapic_start_enabled(uint32_t id, bool x2);
uint64_t lapic_rdmsr(uint32_t offset);
bool lapic_wrmsr(uint32_t offset, uint64_t v);
void lapic_post(uint8_t vector, bool level);

#endif
