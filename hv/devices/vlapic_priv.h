/*
 * What the files of the virtual local APIC share among themselves: register access, bit names,
 * and the calls between them. SDM volume 3A, chapter "Advanced Programmable Interrupt Controller".
 */
#ifndef HV_DEVICES_VLAPIC_PRIV_H
#define HV_DEVICES_VLAPIC_PRIV_H

#include "hv/devices/vlapic.h"

#define LVT_VECTOR 0xffu
#define LVT_DELIVERY(lvt) ((lvt) >> 8 & 7)
#define LVT_MASKED BIT(16)
#define LVT_TIMER_MODE(lvt) ((lvt) >> 17 & 3)

#define SVR_ENABLE BIT(8)

#define ESR_SEND_ILLEGAL BIT(5)
#define ESR_RECEIVE_ILLEGAL BIT(6)
#define ESR_ILLEGAL_REGISTER BIT(7)

#define APIC_FIRST_VECTOR 16 /* 0..15 are illegal in an interrupt message */

/* SDM figure "Local Vector Table": bits 18:17 of the timer's entry. */
enum vlapic_timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE, TIMER_RESERVED };

#define POSTED_ON BIT(0) /* posted_desc.control */

#define POSTED_LEVEL BIT(0)   /* posted_level holds vectors */
#define POSTED_ILLEGAL BIT(1) /* a message with an illegal vector came */
#define POSTED_EXTINT BIT(2)
#define POSTED_LINT(pin) BIT(3 + (pin))

static inline uint32_t *vlapic_reg(const struct vlapic *a, uint32_t offset)
{
	return (uint32_t *)(void *)(a->regs + offset);
}

/* The 32-bit word of a 256-bit register (IRR, ISR, TMR) that holds vector: one word every 16 bytes. */
static inline uint32_t *vlapic_vector_word(const struct vlapic *a, uint32_t base, uint8_t vector)
{
	return vlapic_reg(a, base + (vector & 0xe0u) / 2);
}

static inline uint32_t vlapic_vector_bit(uint8_t vector) { return 1u << (vector & 31); }

/* vlapic.c */
void vlapic_update_ppr(struct vlapic *a);
/* Merges 64 vectors, all of one trigger mode, into word i of IRR and TMR. */
void vlapic_accept_word(struct vlapic *a, unsigned i, uint64_t vectors, bool level);

/* vlapic_remote.c */
void vlapic_remote_raise(struct vlapic *a, uint8_t vector);

/* vlapic_regs.c */
void vlapic_regs_reset(struct vlapic *a);
void vlapic_error(struct vlapic *a, uint32_t esr_bit);
void vlapic_derive_ldr(struct vlapic *a); /* ID and LDR of x2APIC mode */

/* vlapic_ipi.c. command: ICR bits 31:0; dest: 8 bits in xAPIC mode, 32 in x2APIC mode. */
void vlapic_ipi(struct vlapic *a, uint32_t command, uint32_t dest);
void vlapic_self_ipi(struct vlapic *a, uint8_t vector);

/* vlapic_timer.c */
void vlapic_timer_stop(struct vlapic *a);
void vlapic_timer_set_mode(struct vlapic *a, uint32_t lvt);
void vlapic_timer_start(struct vlapic *a, uint32_t count);
void vlapic_timer_set_divider(struct vlapic *a, uint32_t value);
uint32_t vlapic_timer_count(const struct vlapic *a);

static inline bool vlapic_software_enabled(const struct vlapic *a)
{
	return *vlapic_reg(a, VLAPIC_SVR) & SVR_ENABLE;
}

/* Accepts an edge-triggered vector of the APIC's own; it is a legal one. */
static inline void vlapic_raise(struct vlapic *a, uint8_t vector)
{
	uint32_t *irr = vlapic_vector_word(a, VLAPIC_IRR, vector);
	uint32_t bit = vlapic_vector_bit(vector);
	if (UNLIKELY(a->remote)) {
		vlapic_remote_raise(a, vector);
		return;
	}
	if (UNLIKELY(*(irr - (VLAPIC_IRR - VLAPIC_TMR) / 4) & bit)) {
		vlapic_accept_word(a, vector / 64, BIT(vector & 63), false);
		return;
	}
	*irr |= bit;
	a->irr_pending = true;
}

/* The same for a vector out of a local vector table entry: an illegal one is an error received. */
static inline void vlapic_raise_lvt(struct vlapic *a, uint8_t vector)
{
	if (UNLIKELY(vector < APIC_FIRST_VECTOR))
		vlapic_error(a, ESR_RECEIVE_ILLEGAL);
	else
		vlapic_raise(a, vector);
}

#endif
