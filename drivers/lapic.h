/*
 * The local APIC of the host's CPUs: xAPIC and x2APIC, EOI, inter-processor interrupts, timer.
 * SDM vol. 3A, "Advanced Programmable Interrupt Controller (APIC)".
 */
#ifndef DRIVERS_LAPIC_H
#define DRIVERS_LAPIC_H

#include "hv/base/failure.h"
#include "hv/base/msr.h"
#include "hv/base/types.h"
#include "hv/base/x86.h"

#define LAPIC_REG_EOI 0xb0

extern bool lapic_x2apic;               /* mode of all CPUs; fixed by lapic_init */
extern volatile uint32_t *lapic_window; /* xAPIC registers */

/* Boot CPU: chooses the mode and sets up this CPU's APIC. -EIO with a sentence. */
int lapic_init(struct failure *f);
/* The same mode and settings on another CPU. */
void lapic_init_cpu(void);
/* Boot CPU, after clock_init: TSC-deadline mode or, without it, a measured one-shot rate. */
int lapic_timer_init(struct failure *f);
bool lapic_has_deadline_timer(void);

uint32_t lapic_id(void);

static inline void lapic_eoi(void)
{
	if (LIKELY(lapic_x2apic))
		wrmsr(MSR_X2APIC + (LAPIC_REG_EOI >> 4), 0);
	else
		lapic_window[LAPIC_REG_EOI / 4] = 0;
}

/* Fixed, physical, edge. All stores before are visible to the interrupted CPU. Any CPU. */
void lapic_send_ipi(uint32_t apic_id, uint8_t vector);
void lapic_send_nmi(uint32_t apic_id);
void lapic_send_init(uint32_t apic_id);
void lapic_send_sipi(uint32_t apic_id, uint8_t page);

/* One interrupt HOST_VECTOR_TIMER on this CPU at that TSC (at once when past; UINT64_MAX: none). */
void lapic_timer_arm(uint64_t tsc_deadline);

#endif
