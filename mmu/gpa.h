/*
 * Guest memory for emulated devices, the instruction emulator and the loader: checked reads,
 * writes and pointers by guest-physical address. gpa_write() and gpa_exchange() are the only ways
 * the hypervisor changes a guest's memory by address, besides the pointers it hands out.
 */
#ifndef MMU_GPA_H
#define MMU_GPA_H

#include "hv/base/phys.h"
#include "mmu/slot.h"

/*
 * Where len bytes at gpa are, NULL when any of them is no RAM, or lies in another slot than the
 * first, or len is 0. Between mmu_enter() and mmu_leave(), and valid until then.
 */
static inline void *gpa_to_hva(struct mmu_vcpu *mv, gpa_t gpa, uint64_t len)
{
	const struct slot *s = slot_find(mv, gpa >> PAGE_SHIFT);
	uint64_t into;

	if (UNLIKELY(!s))
		return NULL;
	into = gpa - (s->base << PAGE_SHIFT);
	if (UNLIKELY(len - 1 >= (s->npages << PAGE_SHIFT) - into))
		return NULL;
	return phys_to_virt(gpa + s->offset);
}

/* The slot is read-only or logged: whether bytes at gpa may be written, which are noted as written. Inside the lock. */
bool gpa_writes(const struct slot *s, gpa_t gpa, uint64_t len);

/* As gpa_to_hva(), for writing: NULL too when the slot is read-only. The pages are noted as written. */
static inline void *gpa_to_hva_writable(struct mmu_vcpu *mv, gpa_t gpa, uint64_t len)
{
	void *hva = gpa_to_hva(mv, gpa, len);

	if (UNLIKELY(!hva))
		return NULL;
	/* The slot just found is the hint. */
	if (UNLIKELY(mv->hint->flags & (SLOT_READONLY | SLOT_LOGGED)) && !gpa_writes(mv->hint, gpa, len))
		return NULL;
	return hva;
}

/*
 * Copies len bytes across pages and slots. All of it or nothing: -EFAULT when a byte is no RAM,
 * -EACCES (when writing) if one is read-only. 1, 2, 4 and 8 aligned bytes are one access, as another
 * vCPU sees it. Takes the lock itself.
 */
int gpa_read(struct mmu_vcpu *mv, gpa_t gpa, void *buf, uint64_t len);
int gpa_write(struct mmu_vcpu *mv, gpa_t gpa, const void *buf, uint64_t len);

/*
 * Replaces size bytes that are *old by *new_value in one locked access: 1, 2, 4 or 8 bytes anywhere
 * within a page, or 16 aligned ones. -EAGAIN: they are not *old, and nothing is changed; else as
 * gpa_write(). Takes the lock itself.
 */
int gpa_exchange(struct mmu_vcpu *mv, gpa_t gpa, const void *old, const void *new_value, unsigned size);

#endif
