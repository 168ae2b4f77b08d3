/*
 * Interprocessor interrupts: the ICR and SELF IPI registers of a guest's local APIC.
 * SDM "Issuing Interprocessor Interrupts".
 */
#include "hv/devices/vlapic.h"
#include "hv/devices/vlapic_priv.h"

#define ICR_LOGICAL BIT(11)
#define ICR_ASSERT BIT(14)
#define ICR_LEVEL BIT(15)
#define ICR_MODE(icr) ((icr) >> 8 & 7)
#define ICR_SHORTHAND(icr) ((icr) >> 18 & 3)

enum { SHORTHAND_SELF = 1, SHORTHAND_ALL, SHORTHAND_OTHERS };

void vlapic_self_ipi(struct vlapic *a, uint8_t vector)
{
	if (UNLIKELY(vector < APIC_FIRST_VECTOR))
		vlapic_error(a, ESR_SEND_ILLEGAL);
	else if (vlapic_software_enabled(a))
		vlapic_raise(a, vector);
}

NOINLINE static void send(struct vlapic *a, uint32_t command, uint32_t dest, enum vlapic_shorthand shorthand)
{
	/* Every IPI but INIT level de-assert, which is not sent at all, is an edge: SDM "Interrupt
	 * Command Register", trigger mode and level. */
	struct apic_msg m = {
		.dest = dest,
		.logical = command & ICR_LOGICAL,
		.x2apic_dest = vlapic_x2apic(a),
		.mode = (enum apic_delivery)ICR_MODE(command),
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
	unsigned mode = ICR_MODE(command);
	if (shorthand == SHORTHAND_SELF || shorthand == SHORTHAND_ALL || mode == 3 || mode == APIC_EXTINT)
		return;
	if (mode == APIC_INIT && (command & (ICR_LEVEL | ICR_ASSERT)) == ICR_LEVEL)
		return; /* INIT level de-assert, not supported since the Pentium 4 */
	send(a, command, dest, shorthand == SHORTHAND_OTHERS ? VLAPIC_ALL_BUT_SELF : VLAPIC_BY_DEST);
}

NOINLINE static void ipi_other(struct vlapic *a, uint32_t command, uint32_t dest)
{
	unsigned mode = ICR_MODE(command);
	uint8_t vector = (uint8_t)command;
	if (mode <= APIC_LOWEST && vector < APIC_FIRST_VECTOR) {
		vlapic_error(a, ESR_SEND_ILLEGAL);
		return;
	}
	if (mode != APIC_FIXED) {
		send_special(a, command, dest);
		return;
	}
	unsigned shorthand = ICR_SHORTHAND(command);
	if (shorthand == SHORTHAND_SELF || shorthand == SHORTHAND_ALL)
		vlapic_self_ipi(a, vector);
	if (shorthand != SHORTHAND_SELF)
		send(a, command, dest, VLAPIC_ALL_BUT_SELF);
}

void vlapic_ipi(struct vlapic *a, uint32_t command, uint32_t dest)
{
	bool plain = !ICR_SHORTHAND(command) && ICR_MODE(command) == APIC_FIXED;
	if (LIKELY(plain && (uint8_t)command >= APIC_FIRST_VECTOR))
		send(a, command, dest, VLAPIC_BY_DEST);
	else
		ipi_other(a, command, dest);
}
