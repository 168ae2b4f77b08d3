/*
 * Registers of devices in mapped memory. Uncached accesses are done in program order and after all stores
 * to memory before them: SDM vol. 3A, "Memory Ordering"; the compiler is held to the same.
 * Host tests supply a device.
 */
#ifndef DRIVERS_MMIO_H
#define DRIVERS_MMIO_H

#include "hv/base/types.h"

#ifdef GNOMON_HOST_TEST
uint32_t mmio_read32(const volatile void *at);
void mmio_write32(volatile void *at, uint32_t value);
#else
static inline uint32_t mmio_read32(const volatile void *at)
{
	uint32_t v;
	__asm__ volatile("movl %1, %0" : "=r"(v) : "m"(*(const volatile uint32_t *)at) : "memory");
	return v;
}

static inline void mmio_write32(volatile void *at, uint32_t value)
{
	__asm__ volatile("movl %1, %0" : "=m"(*(volatile uint32_t *)at) : "r"(value) : "memory");
}
#endif

#endif
