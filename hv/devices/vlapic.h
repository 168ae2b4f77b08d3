/*
 * A guest's local APIC: xAPIC and x2APIC registers, IRR/ISR/PPR, ICR, LVT, and the timer
 * (one-shot, periodic, TSC-deadline). Registers live in a page of the virtual-APIC layout, so that
 * APIC-register virtualisation and virtual-interrupt delivery work on the very same state.
 *
 * Who may touch what: everything but vlapic_post belongs to the vCPU's own host CPU. Others post a
 * vector into the posted bitmap and kick; the owner merges it into IRR before entry.
 */
#ifndef HV_DEVICES_VLAPIC_H
#define HV_DEVICES_VLAPIC_H

#include "hv/base/types.h"
#include "hv/irq.h"

#define VLAPIC_ID 0x020
#define VLAPIC_VERSION 0x030
#define VLAPIC_TPR 0x080
#define VLAPIC_PPR 0x0a0
#define VLAPIC_EOI 0x0b0
#define VLAPIC_LDR 0x0d0
#define VLAPIC_DFR 0x0e0
#define VLAPIC_SVR 0x0f0
#define VLAPIC_ISR 0x100
#define VLAPIC_TMR 0x180
#define VLAPIC_IRR 0x200
#define VLAPIC_ESR 0x280
#define VLAPIC_LVT_CMCI 0x2f0
#define VLAPIC_ICR 0x300
#define VLAPIC_ICR_HIGH 0x310
#define VLAPIC_LVT_TIMER 0x320
#define VLAPIC_LVT_THERMAL 0x330
#define VLAPIC_LVT_PMC 0x340
#define VLAPIC_LVT_LINT0 0x350
#define VLAPIC_LVT_LINT1 0x360
#define VLAPIC_LVT_ERROR 0x370
#define VLAPIC_TIMER_INIT 0x380
#define VLAPIC_TIMER_COUNT 0x390
#define VLAPIC_TIMER_DIVIDE 0x3e0
#define VLAPIC_SELF_IPI 0x3f0

/* What INIT, SIPI and NMI messages leave for the vCPU loop to act on. */
#define VLAPIC_PENDING_INIT BIT(0)
#define VLAPIC_PENDING_SIPI BIT(1)
#define VLAPIC_PENDING_NMI BIT(2)

/* The posted-interrupt descriptor, SDM "Posted-Interrupt Processing": 64 bytes, 64-byte aligned. */
struct posted_desc {
	uint64_t pir[4];
	uint32_t control; /* bit 0: outstanding notification (ON); bit 1: suppress */
	uint32_t notification[7];
} __attribute__((aligned(64)));

struct vlapic_host; /* callbacks, below */

struct vlapic {
	uint8_t *regs;          /* the 4K virtual-APIC page, at phys_to_virt of a VM_META frame */
	struct posted_desc *posted; /* page-aligned (an emulator wants that), in a VM_META frame of its own */
	const struct vlapic_host *host;
	void *ctx;              /* for host callbacks: the vCPU */
	uint32_t id;            /* initial APIC id = vCPU index */
	uint64_t apic_base;     /* IA32_APIC_BASE */
	uint64_t tsc_deadline;  /* guest TSC, 0: disarmed */
	uint64_t timer_deadline; /* guest TSC at which the timer fires next, UINT64_MAX: never, all modes */
	uint64_t timer_period;  /* guest TSC ticks per full count, periodic and one-shot modes */
	uint64_t timer_hz;      /* count rate before the divider: what CPUID 15h.ECX tells the guest */
	uint64_t tsc_hz;
	uint32_t events;        /* atomic: VLAPIC_PENDING_* */
	uint8_t sipi_vector;
	uint64_t eoi_exit[4];   /* vectors whose EOI the I/O APIC must hear of */
	bool irr_pending;       /* hint: IRR may be non-empty */
	uint32_t esr_pending;
};

struct vlapic_host {
	/* Routes an IPI by apic_bus; the self and broadcast shorthands are resolved by vlapic. */
	void (*send)(void *ctx, const struct apic_msg *msg, uint32_t shorthand);
	/* Tells the I/O APIC of an EOI for a level-triggered vector. */
	void (*eoi)(void *ctx, uint8_t vector);
	/* Guest TSC now. */
	uint64_t (*tsc)(void *ctx);
	/* Wakes or interrupts this vCPU after something was posted; any CPU. */
	void (*kick)(void *ctx);
	/* The APIC's mode (off, xAPIC, x2APIC) changed: VMX controls follow. */
	void (*mode_changed)(void *ctx);
};

/* Power-on state; also after INIT (with keep_base: IA32_APIC_BASE survives INIT). */
void vlapic_init(struct vlapic *a, uint32_t id, bool bsp, const struct vlapic_host *host, void *ctx);
void vlapic_reset(struct vlapic *a, bool init_only);

bool vlapic_enabled(const struct vlapic *a);  /* APIC_BASE.EN and SVR.enable */
bool vlapic_x2apic(const struct vlapic *a);
bool vlapic_matches(const struct vlapic *a, const struct apic_msg *m); /* destination test; any CPU */
/* Any CPU: posts a message that matches. INIT/SIPI/NMI set events; fixed goes to the posted bitmap.
 * For APIC_LOWEST the caller chose the target already. */
void vlapic_post(struct vlapic *a, const struct apic_msg *m);

/* Owner only. Merges posted vectors into IRR (and TMR, eoi_exit). True when IRR changed. */
bool vlapic_sync_posted(struct vlapic *a);
/* Highest vector in IRR above PPR's class, or -1. Does not change state. */
int vlapic_pending_vector(struct vlapic *a);
int vlapic_highest_irr(const struct vlapic *a); /* -1: none. For RVI */
int vlapic_highest_isr(const struct vlapic *a); /* for SVI */
/* The CPU takes the vector: IRR -> ISR, PPR follows. */
void vlapic_accept(struct vlapic *a, uint8_t vector);
/* EOI register write, or virtualised EOI exit for the vector. */
void vlapic_eoi(struct vlapic *a);
void vlapic_eoi_level(struct vlapic *a, uint8_t vector);
/* True when LINT0 accepts ExtINT from the PIC (or the APIC is off). */
bool vlapic_takes_extint(const struct vlapic *a);

/* xAPIC page; offset in 0..fffh. Wrong sizes and reserved registers behave as the SDM says. */
uint32_t vlapic_mmio_read(struct vlapic *a, uint32_t offset);
void vlapic_mmio_write(struct vlapic *a, uint32_t offset, uint32_t value);
/* x2APIC MSRs 800h..8ffh; false: #GP. */
bool vlapic_msr_read(struct vlapic *a, uint32_t msr, uint64_t *value);
bool vlapic_msr_write(struct vlapic *a, uint32_t msr, uint64_t value);
/* IA32_APIC_BASE; false: #GP (illegal transition, reserved bits). */
bool vlapic_set_base(struct vlapic *a, uint64_t value);
/* IA32_TSC_DEADLINE. */
uint64_t vlapic_get_tsc_deadline(const struct vlapic *a);
void vlapic_set_tsc_deadline(struct vlapic *a, uint64_t value);
/* After a write that the CPU already stored in the page (APIC-write VM exit): side effects only. */
void vlapic_apic_write(struct vlapic *a, uint32_t offset);
/* The timer's deadline has passed: sets IRR, re-arms a periodic timer without drift. */
void vlapic_timer_expired(struct vlapic *a, uint64_t now_tsc);
/* LVT-driven local interrupt (LINT0/LINT1/error). */
void vlapic_local(struct vlapic *a, uint32_t lvt_offset);

#endif
