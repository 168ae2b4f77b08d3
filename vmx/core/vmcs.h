/*
 * VMREAD, VMWRITE and the other VMX instructions, one inline function each.
 * SDM volume 3C, chapter "VMX Instruction Reference".
 */
#ifndef VMX_CORE_VMCS_H
#define VMX_CORE_VMCS_H

#include "hv/base/types.h"
#include "vmx/core/fields.h"

/* A field the current VMCS must have failed: reports the field and panics. */
NORETURN void vmcs_access_failed(uint32_t field, bool write);

/* False when the CPU has no such field or no VMCS is current. */
static inline bool vmcs_try_read(uint32_t field, uint64_t *value)
{
	bool failed;
	__asm__ volatile("vmread %2, %1" : "=@ccbe"(failed), "=r"(*value) : "r"((uint64_t)field));
	return !failed;
}

static inline bool vmcs_try_write(uint32_t field, uint64_t value)
{
	bool failed;
	__asm__ volatile("vmwrite %1, %2" : "=@ccbe"(failed) : "r"(value), "r"((uint64_t)field) : "memory");
	return !failed;
}

static inline uint64_t vmread(uint32_t field)
{
	uint64_t value;
	if (UNLIKELY(!vmcs_try_read(field, &value)))
		vmcs_access_failed(field, false);
	return value;
}

static inline void vmwrite(uint32_t field, uint64_t value)
{
	if (UNLIKELY(!vmcs_try_write(field, value)))
		vmcs_access_failed(field, true);
}

/* Fields that every CPU with VMX has, or that the exit at hand proves it has: while a VMCS is current
 * these cannot fail. For the exit path. */
static inline uint64_t vmread_always(uint32_t field)
{
	uint64_t value;
	__asm__ volatile("vmread %1, %0" : "=r"(value) : "r"((uint64_t)field) : "cc");
	return value;
}

static inline void vmwrite_always(uint32_t field, uint64_t value)
{
	__asm__ volatile("vmwrite %0, %1" : : "r"(value), "r"((uint64_t)field) : "cc");
}

/* All take the physical address of a 4K region that begins with the VMCS revision; false: VMfail. */
static inline bool vmxon(hpa_t region)
{
	bool failed;
	__asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(region) : "memory");
	return !failed;
}

static inline void vmxoff(void) { __asm__ volatile("vmxoff" : : : "cc", "memory"); }

static inline bool vmclear(hpa_t region)
{
	bool failed;
	__asm__ volatile("vmclear %1" : "=@ccbe"(failed) : "m"(region) : "memory");
	return !failed;
}

static inline bool vmptrld(hpa_t region)
{
	bool failed;
	__asm__ volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(region) : "memory");
	return !failed;
}

/* Physical address of the current VMCS, all ones when there is none. */
static inline hpa_t vmcs_current(void)
{
	hpa_t region;
	__asm__ volatile("vmptrst %0" : "=m"(region) : : "cc");
	return region;
}

#define INVEPT_SINGLE 1
#define INVEPT_ALL 2
#define INVVPID_ADDRESS 0
#define INVVPID_SINGLE 1
#define INVVPID_ALL 2

static inline bool invept(uint64_t type, uint64_t eptp)
{
	struct { uint64_t eptp, zero; } descriptor = { eptp, 0 };
	bool failed;
	__asm__ volatile("invept %1, %2" : "=@ccbe"(failed) : "m"(descriptor), "r"(type) : "memory");
	return !failed;
}

static inline bool invvpid_with(uint64_t type, uint16_t vpid, uint64_t linear)
{
	struct { uint64_t vpid, linear; } descriptor = { vpid, linear };
	bool failed;
	__asm__ volatile("invvpid %1, %2" : "=@ccbe"(failed) : "m"(descriptor), "r"(type) : "memory");
	return !failed;
}

static inline bool invvpid(uint64_t type, uint16_t vpid) { return invvpid_with(type, vpid, 0); }
/* Fails for an address that is not canonical. */
static inline bool invvpid_address(uint16_t vpid, uint64_t linear)
{
	return invvpid_with(INVVPID_ADDRESS, vpid, linear);
}

#endif
