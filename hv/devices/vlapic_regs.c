/*
 * Register access to a guest's local APIC, by MMIO page and by x2APIC MSRs: one table says which
 * registers and bits exist in which mode; the effects of a write are in one switch.
 * SDM tables "Local APIC Register Address Map" and "... Supported by x2APIC".
 */
#include "hv/devices/vlapic.h"

#include <string.h>

#include "hv/devices/vlapic_priv.h"

#define X2APIC_MSR_BASE 0x800u
#define MSR_OF(offset) (X2APIC_MSR_BASE + (offset) / 16)
#define REG_COUNT 0x40 /* registers lie every 16 bytes, the last at 3f0h */

/* Version 14h, LVT entries 0..5 (no CMCI), no EOI-broadcast suppression. */
#define VERSION_VALUE 0x00050014u

/* ICR bits that must be zero in x2APIC mode; bit 12, delivery status, is no longer used. */
#define X2_ICR_RESERVED (BITS(31, 20) | BITS(17, 16) | BIT(13))
#define ICR_STATUS BIT(12)

enum {
	XR = 1,      /* readable in xAPIC mode */
	XW = 2,      /* writable in xAPIC mode */
	X2R = 4,     /* likewise in x2APIC mode */
	X2W = 8,
	RO = XR | X2R,
	RW = XR | XW | X2R | X2W,
};

struct reg_rule {
	uint8_t access;
	uint32_t mask;    /* bits that a write sets */
	uint32_t ignored; /* bits a write may hold without effect; all others are reserved */
};

#define RULE(offset) [(offset) / 16]
#define RULES(offset, count) [(offset) / 16 ... (offset) / 16 + (count) - 1]

static const struct reg_rule rules[REG_COUNT] = {
	RULE(VLAPIC_ID) = { RO | XW, 0, 0 }, /* read-only in newer CPUs; the write is no error */
	RULE(VLAPIC_VERSION) = { RO, 0, 0 },
	RULE(VLAPIC_TPR) = { RW, 0xff, 0 },
	RULE(0x090) = { XR, 0, 0 }, /* arbitration priority: reads 0, not used since the Pentium 4 */
	RULE(VLAPIC_PPR) = { RO, 0, 0 },
	RULE(VLAPIC_EOI) = { XR | XW | X2W, 0, 0 },
	RULE(0x0c0) = { XR, 0, 0 }, /* remote read: likewise */
	RULE(VLAPIC_LDR) = { RO | XW, 0xff000000, 0 },
	RULE(VLAPIC_DFR) = { XR | XW, 0xf0000000, 0 },
	RULE(VLAPIC_SVR) = { RW, 0x1ff, 0x200 }, /* bit 9: focus checking, of older buses */
	RULES(VLAPIC_ISR, 8) = { RO, 0, 0 },
	RULES(VLAPIC_TMR, 8) = { RO, 0, 0 },
	RULES(VLAPIC_IRR, 8) = { RO, 0, 0 },
	RULE(VLAPIC_ESR) = { RW, 0, 0 },
	RULE(VLAPIC_ICR) = { RW, 0x000ccfff, 0 },
	RULE(VLAPIC_ICR_HIGH) = { XR | XW, 0xff000000, 0 },
	RULE(VLAPIC_LVT_TIMER) = { RW, 0x000700ff, 0x1000 },
	RULE(VLAPIC_LVT_THERMAL) = { RW, 0x000107ff, 0x1000 },
	RULE(VLAPIC_LVT_PMC) = { RW, 0x000107ff, 0x1000 },
	RULE(VLAPIC_LVT_LINT0) = { RW, 0x0001a7ff, 0x5000 },
	RULE(VLAPIC_LVT_LINT1) = { RW, 0x0001a7ff, 0x5000 },
	RULE(VLAPIC_LVT_ERROR) = { RW, 0x000100ff, 0x1000 },
	RULE(VLAPIC_TIMER_INIT) = { RW, 0xffffffff, 0 },
	RULE(VLAPIC_TIMER_COUNT) = { RO, 0, 0 },
	RULE(VLAPIC_TIMER_DIVIDE) = { RW, 0xb, 0 },
	RULE(VLAPIC_SELF_IPI) = { X2W, 0xff, 0 },
};

static const uint16_t lvts[] = {
	VLAPIC_LVT_TIMER, VLAPIC_LVT_THERMAL, VLAPIC_LVT_PMC,
	VLAPIC_LVT_LINT0, VLAPIC_LVT_LINT1, VLAPIC_LVT_ERROR,
};

void vlapic_derive_ldr(struct vlapic *a)
{
	*vlapic_reg(a, VLAPIC_ID) = a->id;
	*vlapic_reg(a, VLAPIC_LDR) = a->id >> 4 << 16 | 1u << (a->id & 15);
	*vlapic_reg(a, VLAPIC_ICR + 4) = 0;
}

static void mask_lvts(struct vlapic *a)
{
	for (unsigned i = 0; i < ARRAY_LEN(lvts); i++)
		*vlapic_reg(a, lvts[i]) |= LVT_MASKED;
}

void vlapic_regs_reset(struct vlapic *a)
{
	memset(a->regs, 0, PAGE_SIZE);
	*vlapic_reg(a, VLAPIC_VERSION) = VERSION_VALUE;
	*vlapic_reg(a, VLAPIC_DFR) = 0xffffffff;
	*vlapic_reg(a, VLAPIC_SVR) = 0xff;
	*vlapic_reg(a, VLAPIC_ID) = a->id << 24;
	mask_lvts(a);
	vlapic_timer_set_mode(a, 0);
	vlapic_timer_set_divider(a, 0);
	if (vlapic_x2apic(a))
		vlapic_derive_ldr(a);
}

/* SDM "Error Handling": the error interrupt is re-armed by the write that moves pending errors to ESR. */
void vlapic_error(struct vlapic *a, uint32_t esr_bit)
{
	bool armed = a->esr_pending == 0;
	a->esr_pending |= esr_bit;
	if (armed)
		vlapic_local(a, VLAPIC_LVT_ERROR);
}

static void write_svr(struct vlapic *a, uint32_t value)
{
	*vlapic_reg(a, VLAPIC_SVR) = value;
	if (!(value & SVR_ENABLE))
		mask_lvts(a);
}

static void write_lvt(struct vlapic *a, uint32_t offset, uint32_t value)
{
	if (!(*vlapic_reg(a, VLAPIC_SVR) & SVR_ENABLE))
		value |= LVT_MASKED;
	if (offset == VLAPIC_LVT_TIMER)
		vlapic_timer_set_mode(a, value);
	*vlapic_reg(a, offset) = value;
}

static void write_esr(struct vlapic *a)
{
	*vlapic_reg(a, VLAPIC_ESR) = a->esr_pending;
	a->esr_pending = 0;
}

static void write_icr(struct vlapic *a, uint32_t command)
{
	*vlapic_reg(a, VLAPIC_ICR) = command;
	vlapic_ipi(a, command, *vlapic_reg(a, VLAPIC_ICR_HIGH) >> 24);
}

/* Stores and acts; value holds only bits that its rule lets through. */
static void write_reg(struct vlapic *a, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case VLAPIC_ID:
		*vlapic_reg(a, VLAPIC_ID) = a->id << 24;
		break;
	case VLAPIC_TPR:
		*vlapic_reg(a, VLAPIC_TPR) = value;
		vlapic_update_ppr(a);
		break;
	case VLAPIC_EOI:
		vlapic_eoi(a);
		break;
	case VLAPIC_DFR:
		*vlapic_reg(a, VLAPIC_DFR) = value | 0x0fffffff;
		break;
	case VLAPIC_SVR:
		write_svr(a, value);
		break;
	case VLAPIC_ESR:
		write_esr(a);
		break;
	case VLAPIC_ICR:
		write_icr(a, value);
		break;
	case VLAPIC_LVT_TIMER:
	case VLAPIC_LVT_THERMAL:
	case VLAPIC_LVT_PMC:
	case VLAPIC_LVT_LINT0:
	case VLAPIC_LVT_LINT1:
	case VLAPIC_LVT_ERROR:
		write_lvt(a, offset, value);
		break;
	case VLAPIC_TIMER_INIT:
		vlapic_timer_start(a, value);
		break;
	case VLAPIC_TIMER_DIVIDE:
		vlapic_timer_set_divider(a, value);
		*vlapic_reg(a, VLAPIC_TIMER_DIVIDE) = value;
		break;
	default: /* LDR, ICR_HIGH */
		*vlapic_reg(a, offset) = value;
		break;
	}
}

static uint32_t read_reg(struct vlapic *a, uint32_t offset)
{
	if (offset == VLAPIC_TIMER_COUNT)
		return vlapic_timer_count(a);
	if (offset == VLAPIC_PPR)
		vlapic_update_ppr(a); /* the CPU may have moved TPR without an exit */
	return *vlapic_reg(a, offset);
}

/* The rule of an xAPIC access, or NULL with the error on record: SDM "Error Status Register", illegal
 * register address. Only the first four bytes of each sixteen mean anything. */
static const struct reg_rule *xapic_rule(struct vlapic *a, uint32_t offset)
{
	if (offset & 0xf)
		return NULL;
	const struct reg_rule *r = offset / 16 < REG_COUNT ? &rules[offset / 16] : NULL;
	if (r && r->access & (XR | XW))
		return r;
	vlapic_error(a, ESR_ILLEGAL_REGISTER);
	return NULL;
}

uint32_t vlapic_mmio_read(struct vlapic *a, uint32_t offset)
{
	const struct reg_rule *r = xapic_rule(a, offset);
	return r ? read_reg(a, offset) : 0;
}

void vlapic_mmio_write(struct vlapic *a, uint32_t offset, uint32_t value)
{
	if (LIKELY(offset == VLAPIC_EOI)) { /* which takes any value, and is what a guest writes most */
		vlapic_eoi(a);
		return;
	}
	const struct reg_rule *r = xapic_rule(a, offset);
	if (r && r->access & XW)
		write_reg(a, offset, value & r->mask);
}

static bool x2apic_rule(const struct vlapic *a, uint32_t msr, uint8_t access)
{
	uint32_t index = msr - X2APIC_MSR_BASE;
	return vlapic_x2apic(a) && index < REG_COUNT && rules[index].access & access;
}

bool vlapic_msr_read(struct vlapic *a, uint32_t msr, uint64_t *value)
{
	if (!x2apic_rule(a, msr, X2R))
		return false;
	uint32_t offset = (msr - X2APIC_MSR_BASE) * 16;
	*value = read_reg(a, offset);
	if (offset == VLAPIC_ICR)
		*value |= (uint64_t)*vlapic_reg(a, VLAPIC_ICR + 4) << 32;
	return true;
}

static bool write_x2_icr(struct vlapic *a, uint64_t value)
{
	if (value & X2_ICR_RESERVED)
		return false;
	uint32_t command = (uint32_t)(value & ~ICR_STATUS);
	*vlapic_reg(a, VLAPIC_ICR) = command;
	*vlapic_reg(a, VLAPIC_ICR + 4) = (uint32_t)(value >> 32);
	vlapic_ipi(a, command, (uint32_t)(value >> 32));
	return true;
}

NOINLINE static bool write_x2_other(struct vlapic *a, uint32_t msr, uint64_t value)
{
	if (!x2apic_rule(a, msr, X2W))
		return false;
	const struct reg_rule *r = &rules[msr - X2APIC_MSR_BASE];
	if (value & ~(uint64_t)(r->mask | r->ignored))
		return false;
	write_reg(a, (msr - X2APIC_MSR_BASE) * 16, (uint32_t)value & r->mask);
	return true;
}

/* The registers a guest writes all the time come first, by themselves. */
bool vlapic_msr_write(struct vlapic *a, uint32_t msr, uint64_t value)
{
	if (UNLIKELY(!vlapic_x2apic(a)))
		return false;
	if (msr == MSR_OF(VLAPIC_EOI)) {
		if (value)
			return false;
		vlapic_eoi(a);
		return true;
	}
	if (msr == MSR_OF(VLAPIC_ICR))
		return write_x2_icr(a, value);
	if (msr == MSR_OF(VLAPIC_SELF_IPI)) {
		if (value > 0xff)
			return false;
		vlapic_self_ipi(a, (uint8_t)value);
		return true;
	}
	return write_x2_other(a, msr, value);
}

static void apply_x2(struct vlapic *a, uint32_t offset)
{
	switch (offset) {
	case VLAPIC_TPR:
		vlapic_update_ppr(a);
		break;
	case VLAPIC_EOI:
		vlapic_eoi(a);
		break;
	case VLAPIC_ICR:
		vlapic_ipi(a, *vlapic_reg(a, VLAPIC_ICR), *vlapic_reg(a, VLAPIC_ICR + 4));
		break;
	case VLAPIC_SELF_IPI:
		vlapic_self_ipi(a, (uint8_t)*vlapic_reg(a, VLAPIC_SELF_IPI));
		break;
	default: /* no other x2APIC write is virtualised */
		break;
	}
}

void vlapic_apic_write(struct vlapic *a, uint32_t offset)
{
	if (vlapic_x2apic(a))
		apply_x2(a, offset);
	else
		vlapic_mmio_write(a, offset, *vlapic_reg(a, offset & 0xffc));
}
