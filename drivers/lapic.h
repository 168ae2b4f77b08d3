/*
 * The local APIC of the host's CPUs: xAPIC and x2APIC, EOI, inter-processor interrupts, timer.
 * SDM vol. 3A, "Advanced Programmable Interrupt Controller (APIC)".
 */
#ifndef DRIVERS_LAPIC_H
#define DRIVERS_LAPIC_H

#include "hv/base/msr.h"
#include "hv/base/types.h"
#include "hv/base/x86.h"

#define LAPIC_REG_EOI 0xb0

extern bool lapic_x2apic;               /* mode of all CPUs; fixed by lapic_init */
extern volatile uint32_t *lapic_window; /* xAPIC registers */

/* Boot CPU, after map_init: chooses the modes of APIC and timer and sets up this CPU's. Gives up
 * when there is none. */
void lapic_init(void);
/* The same modes and settings on another CPU. */
void lapic_init_cpu(void);
bool lapic_has_deadline_timer(void);

uint32_t lapic_id(void);

static inline void lapic_eoi(void)
{
	if (LIKELY(lapic_x2apic))
		wrmsr(MSR_X2APIC + (LAPIC_REG_EOI >> 4), 0);
	else
		lapic_window[LAPIC_REG_EOI / 4] = 0;
}

/* Whether that vector waits to be taken by this CPU, which has interrupts off. */
bool lapic_is_pending(uint8_t vector);

/* Fixed, physical, edge. All stores before are visible to the interrupted CPU. Any CPU. */
void lapic_send_ipi(uint32_t apic_id, uint8_t vector);
void lapic_send_nmi(uint32_t apic_id); /* any context, NMI included */
void lapic_send_init(uint32_t apic_id);
void lapic_send_sipi(uint32_t apic_id, uint8_t page);

/* This CPU's performance counters cause NMIs from now on; to be said again after each. */
void lapic_counter_nmi(void);

/* One interrupt HOST_VECTOR_TIMER on this CPU at that TSC (at once when past; UINT64_MAX: none). After
 * clock_init; without TSC-deadline mode the first call measures the timer's rate, for 10 ms. */
void lapic_timer_arm(uint64_t tsc_deadline);

#endif
