/*
 * The local APIC in either mode, and the I/O APIC, as a tiny guest uses them. Registers are named
 * by their xAPIC offsets (VLAPIC_* of hv/devices/vlapic.h).
 */
#ifndef TESTS_GUESTS_LIB_APIC_H
#define TESTS_GUESTS_LIB_APIC_H

#include "hv/base/types.h"
#include "hv/devices/vlapic.h"

#define APIC_SVR_ENABLE 0x100
#define APIC_LVT_MASKED 0x10000
#define APIC_TIMER_PERIODIC 0x20000
#define APIC_TIMER_DEADLINE 0x40000
#define APIC_DIVIDE_1 0xb
#define APIC_DIVIDE_16 0x3

#define ICR_FIXED 0x000
#define ICR_NMI 0x400
#define ICR_INIT 0x500
#define ICR_STARTUP 0x600
#define ICR_LOGICAL 0x800
#define ICR_PENDING 0x1000
#define ICR_ASSERT 0x4000
#define ICR_SELF 0x40000
#define ICR_ALL 0x80000
#define ICR_OTHERS 0xc0000

#define IOAPIC_ID 0
#define IOAPIC_VERSION 1
#define IOAPIC_PIN(pin) (0x10 + 2 * (pin)) /* low half; + 1: high half */
#define IOAPIC_ACTIVE_LOW 0x2000
#define IOAPIC_REMOTE_IRR 0x4000
#define IOAPIC_LEVEL 0x8000
#define IOAPIC_MASKED 0x10000

#define SPURIOUS_VECTOR 0xff

/* Software-enables the APIC in the mode it is in; every CPU. */
void apic_enable(void);
/* Goes to x2APIC mode; false when CPUID does not offer it. */
bool apic_enter_x2apic(void);
bool apic_is_x2apic(void);
uint32_t apic_read(uint32_t reg);
void apic_write(uint32_t reg, uint32_t value);
uint32_t apic_id(void);
void apic_eoi(void);
/* Sends and, in xAPIC mode, waits until it is delivered. command: ICR_* | vector. */
void apic_send(uint32_t destination, uint32_t command);
/* Bit `vector` of the 256-bit register that starts at reg (IRR, ISR, TMR). */
bool apic_test_bit(uint32_t reg, uint8_t vector);

uint32_t ioapic_read(uint32_t reg);
void ioapic_write(uint32_t reg, uint32_t value);
/* Routes a pin to this CPU; flags: IOAPIC_*. */
void ioapic_route(unsigned pin, uint8_t vector, uint32_t flags);

#endif
