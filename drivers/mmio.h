/*
 * Registers of devices in mapped memory. Uncached accesses are done in program order and after all stores
 * to memory before them: SDM vol. 3A, "Memory Ordering"; the compiler is held to the same.
 * Host tests supply a device.
 */
#ifndef DRIVERS_MMIO_H
#define DRIVERS_MMIO_H

#include "hv/base/types.h"

#ifdef GNOMON_HOST_TEST
uint8_t mmio_read8(const volatile void *at);
uint16_t mmio_read16(const volatile void *at);
uint32_t mmio_read32(const volatile void *at);
void mmio_write8(volatile void *at, uint8_t value);
void mmio_write16(volatile void *at, uint16_t value);
void mmio_write32(volatile void *at, uint32_t value);
#else
static inline uint8_t mmio_read8(const volatile void *at)
{
	uint8_t v;
	__asm__ volatile("movb %1, %0" : "=q"(v) : "m"(*(const volatile uint8_t *)at) : "memory");
	return v;
}

static inline uint16_t mmio_read16(const volatile void *at)
{
	uint16_t v;
	__asm__ volatile("movw %1, %0" : "=r"(v) : "m"(*(const volatile uint16_t *)at) : "memory");
	return v;
}

static inline uint32_t mmio_read32(const volatile void *at)
{
	uint32_t v;
	__asm__ volatile("movl %1, %0" : "=r"(v) : "m"(*(const volatile uint32_t *)at) : "memory");
	return v;
}

static inline void mmio_write8(volatile void *at, uint8_t value)
{
	__asm__ volatile("movb %1, %0" : "=m"(*(volatile uint8_t *)at) : "q"(value) : "memory");
}

static inline void mmio_write16(volatile void *at, uint16_t value)
{
	__asm__ volatile("movw %1, %0" : "=m"(*(volatile uint16_t *)at) : "r"(value) : "memory");
}

static inline void mmio_write32(volatile void *at, uint32_t value)
{
	__asm__ volatile("movl %1, %0" : "=m"(*(volatile uint32_t *)at) : "r"(value) : "memory");
}
#endif

#endif
