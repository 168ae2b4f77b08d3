/*
 * A guest's access to what is no RAM: its local APIC's page belongs to the vCPU, all else to the bus.
 */
#ifndef HV_MMIO_DEVICE_H
#define HV_MMIO_DEVICE_H

#include "hv/vm.h"

static inline bool is_lapic_page(const struct vcpu *v, gpa_t gpa)
{
	uint64_t base = v->lapic.apic_base;

	return ((gpa ^ base) & VLAPIC_BASE_ADDR) == 0 && (base & VLAPIC_BASE_EN) && !vlapic_x2apic(&v->lapic);
}

/* size is 1, 2, 4 or 8, and the access lies within a page. Bits of the result beyond size are void. */
static inline uint64_t mmio_device_read(struct vcpu *v, gpa_t gpa, unsigned size)
{
	uint64_t value = ~(uint64_t)0;

	if (is_lapic_page(v, gpa))
		return vlapic_mmio_read(&v->lapic, gpa & PAGE_MASK);
	bus_mmio_read(v->vm->bus, gpa, size, &value); /* nobody there: all ones */
	return value;
}

static inline void mmio_device_write(struct vcpu *v, gpa_t gpa, unsigned size, uint64_t value)
{
	if (is_lapic_page(v, gpa))
		vlapic_mmio_write(&v->lapic, gpa & PAGE_MASK, (uint32_t)value);
	else
		bus_mmio_write(v->vm->bus, gpa, size, value);
}

#endif
