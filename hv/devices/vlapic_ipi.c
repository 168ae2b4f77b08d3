/*
 * Interprocessor interrupts: the ICR and SELF IPI registers of a guest's local APIC.
 * SDM "Issuing Interprocessor Interrupts".
 */
#include "hv/devices/vlapic.h"
#include "hv/devices/vlapic_priv.h"

#define ICR_LOGICAL BIT(11)
#define ICR_ASSERT BIT(14)
#define ICR_LEVEL BIT(15)
#define ICR_SHORTHAND(icr) ((icr) >> 18 & 3)

enum { SHORTHAND_NONE, SHORTHAND_SELF, SHORTHAND_ALL, SHORTHAND_OTHERS };

void vlapic_self_ipi(struct vlapic *a, uint8_t vector)
{
	if (UNLIKELY(vector < APIC_FIRST_VECTOR))
		vlapic_error(a, ESR_SEND_ILLEGAL);
	else if (vlapic_enabled(a))
		vlapic_raise(a, vector);
}

static void send(struct vlapic *a, uint32_t command, uint32_t dest, enum vlapic_shorthand shorthand)
{
	/* Every IPI but INIT level de-assert, which is not sent at all, is an edge: SDM "Interrupt
	 * Command Register", trigger mode and level. */
	struct apic_msg m = {
		.dest = dest,
		.logical = command & ICR_LOGICAL,
		.x2apic_dest = vlapic_x2apic(a),
		.mode = (enum apic_delivery)(command >> 8 & 7),
		.vector = (uint8_t)command,
		.assert = true,
	};
	a->host->send(a->ctx, &m, shorthand);
}

/* SDM table "Valid Combinations for the Pentium 4 and Intel Xeon Processors Local xAPIC ICR": the
 * shorthands that include self take fixed interrupts only. Other combinations send nothing. */
static void send_special(struct vlapic *a, uint32_t command, uint32_t dest)
{
	unsigned shorthand = ICR_SHORTHAND(command);
	unsigned mode = command >> 8 & 7;
	if (shorthand == SHORTHAND_SELF || shorthand == SHORTHAND_ALL || mode == 3 || mode == APIC_EXTINT)
		return;
	if (mode == APIC_INIT && (command & (ICR_LEVEL | ICR_ASSERT)) == ICR_LEVEL)
		return; /* INIT level de-assert, not supported since the Pentium 4 */
	send(a, command, dest, shorthand == SHORTHAND_OTHERS ? VLAPIC_ALL_BUT_SELF : VLAPIC_BY_DEST);
}

void vlapic_ipi(struct vlapic *a, uint32_t command, uint32_t dest)
{
	unsigned mode = command >> 8 & 7;
	uint8_t vector = (uint8_t)command;
	if (UNLIKELY(mode <= APIC_LOWEST && vector < APIC_FIRST_VECTOR)) {
		vlapic_error(a, ESR_SEND_ILLEGAL);
		return;
	}
	if (UNLIKELY(mode != APIC_FIXED)) {
		send_special(a, command, dest);
		return;
	}
	switch (ICR_SHORTHAND(command)) {
	case SHORTHAND_NONE:
		send(a, command, dest, VLAPIC_BY_DEST);
		break;
	case SHORTHAND_SELF:
		vlapic_self_ipi(a, vector);
		break;
	case SHORTHAND_ALL:
		vlapic_self_ipi(a, vector);
		send(a, command, dest, VLAPIC_ALL_BUT_SELF);
		break;
	case SHORTHAND_OTHERS:
		send(a, command, dest, VLAPIC_ALL_BUT_SELF);
		break;
	}
}
