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

#define VLAPIC_BASE_BSP BIT(8)
#define VLAPIC_BASE_EXTD BIT(10)
#define VLAPIC_BASE_EN BIT(11)
#define VLAPIC_BASE_ADDR BITS(51, 12)

/* How an IPI names its targets, as vlapic_host.send sees it. */
enum vlapic_shorthand {
	VLAPIC_BY_DEST = 0,      /* whoever matches msg->dest */
	VLAPIC_ALL_BUT_SELF = 3, /* everyone else; msg->dest is void */
};

/*
 * regs, posted, tsc_hz, timer_hz and remote are set by the owner before vlapic_init; regs and posted point
 * at zeroed frames.
 */
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
	uint8_t timer_mode;     /* enum vlapic_timer_mode of vlapic_priv.h */
	uint8_t timer_shift;    /* log2 of the divider */
	uint32_t events;        /* atomic: VLAPIC_PENDING_* */
	uint8_t sipi_vector;
	bool extint;            /* an ExtINT message of the I/O APIC waits for the PIC's vector */
	/*
	 * Set by the owner before vlapic_init: interrupts are delivered by somebody who has IRR, ISR, TPR and EOI
	 * to himself and takes vectors from the descriptor alone, as a TDX module does for a TD. What is left
	 * here is x2APIC mode from power-on, which does not end, and the registers that interrupts come from:
	 * ICR, LVT, timer. Every vector goes into the descriptor, the own ones too, as an edge; there is no
	 * notice of an EOI, no ExtINT, INIT or SIPI. Functions on IRR and ISR are not for such an APIC.
	 */
	bool remote;
	uint64_t eoi_exit[4];   /* vectors whose EOI the I/O APIC must hear of: TMR in 64-bit words */
	bool eoi_exit_dirty;    /* set when eoi_exit changes, cleared by whoever loads it into a VMCS */
	/* Hint: IRR may hold what its deliverer has not seen. Set it when hardware may have set IRR bits. */
	uint32_t irr_pending;
	uint32_t esr_pending;
	/* What other CPUs post beside the descriptor, all atomic. Level-triggered vectors never go
	 * through the descriptor: the CPU would merge them without setting TMR, and their EOI be lost. */
	uint64_t posted_level[4];
	uint32_t posted_other;  /* POSTED_* of vlapic_priv.h */
};

struct vlapic_host {
	/* Routes an IPI by the VM's apic_bus. The self shorthand and the self half of all-including-self
	 * have been dealt with. */
	void (*send)(void *ctx, const struct apic_msg *msg, enum vlapic_shorthand shorthand);
	/* Tells the I/O APIC of an EOI for a level-triggered vector. */
	void (*eoi)(void *ctx, uint8_t vector);
	/* Guest TSC now. */
	uint64_t (*tsc)(void *ctx);
	/* Wakes or interrupts this vCPU after something was posted; any CPU, the vCPU's own included (it
	 * then syncs before it enters, no IPI needed). With posted-interrupt processing the notification
	 * vector is enough unless vlapic_needs_exit(). */
	void (*kick)(void *ctx);
	/* The APIC's mode (off, xAPIC, x2APIC) changed: VMX controls follow. */
	void (*mode_changed)(void *ctx);
};

/* Sets identity and the power-on state. */
void vlapic_init(struct vlapic *a, uint32_t id, bool bsp, const struct vlapic_host *host, void *ctx);
/* Power-on state, or with init_only the state after INIT: IA32_APIC_BASE survives. Drops what was
 * posted, but not events. */
void vlapic_reset(struct vlapic *a, bool init_only);
/* Owner only: the descriptor holds vectors that whoever delivers may not have been notified of. */
bool vlapic_remote_pending(const struct vlapic *a);
/* x2APIC MSRs that are not the deliverer's; false: refused. */
bool vlapic_remote_msr_read(struct vlapic *a, uint32_t msr, uint64_t *value);
bool vlapic_remote_msr_write(struct vlapic *a, uint32_t msr, uint64_t value);
/* What firmware leaves on the boot CPU: enabled, LINT0 ExtINT, LINT1 NMI ("virtual wire mode"). */
void vlapic_virtual_wire(struct vlapic *a);

bool vlapic_enabled(const struct vlapic *a);  /* APIC_BASE.EN and SVR.enable */
static inline bool vlapic_x2apic(const struct vlapic *a)
{
	const uint64_t both = VLAPIC_BASE_EN | VLAPIC_BASE_EXTD;
	return (a->apic_base & both) == both;
}
bool vlapic_matches(const struct vlapic *a, const struct apic_msg *m); /* destination test; any CPU */
/* Any CPU: posts a message that matches; an APIC that is off takes nothing. INIT, SIPI and NMI set
 * events, fixed goes to the posted bitmap. For APIC_LOWEST the caller chose the target already. */
void vlapic_post(struct vlapic *a, const struct apic_msg *m);
/* Any CPU: a rising edge on pin LINT0 or LINT1, acted on by the owner's next vlapic_sync_posted. */
void vlapic_post_lint(struct vlapic *a, unsigned pin);
/* Any CPU: something is posted that posted-interrupt hardware does not take. */
bool vlapic_needs_exit(const struct vlapic *a);
/* For lowest-priority delivery: folds over the matching APICs, best starting as NULL; the lower task
 * priority wins, the earlier on a tie, so a caller that rotates its starting point spreads the load.
 * Software-disabled APICs are passed over. Any CPU. */
struct vlapic *vlapic_arbitrate(struct vlapic *best, struct vlapic *candidate);

/* Owner only. Merges posted vectors into IRR (and TMR, eoi_exit); of a remote APIC, only what does not go
 * through the descriptor. True when IRR may have changed. */
bool vlapic_sync_posted(struct vlapic *a);
/* Highest vector in IRR above PPR's class, or -1. Goes by TPR and ISR, not by the PPR register. */
int vlapic_pending_vector(struct vlapic *a);
int vlapic_highest_irr(const struct vlapic *a); /* -1: none. For RVI */
int vlapic_highest_isr(const struct vlapic *a); /* for SVI */
/* The CPU takes the vector: IRR -> ISR, PPR follows. */
void vlapic_accept(struct vlapic *a, uint8_t vector);
/* EOI register write. */
void vlapic_eoi(struct vlapic *a);
/* EOI-induced VM exit: the CPU has cleared ISR already; tells the I/O APIC. */
void vlapic_eoi_level(struct vlapic *a, uint8_t vector);
/* True when the PIC's interrupt may be taken: LINT0 is ExtINT, an ExtINT message came, or the APIC is
 * off. vlapic_extint_taken follows each vpic_ack(). */
bool vlapic_takes_extint(const struct vlapic *a);
void vlapic_extint_taken(struct vlapic *a);

/* xAPIC page; offset in 0..fffh. Wrong sizes and reserved registers behave as the SDM says. */
uint32_t vlapic_mmio_read(struct vlapic *a, uint32_t offset);
void vlapic_mmio_write(struct vlapic *a, uint32_t offset, uint32_t value);
/* x2APIC MSRs 800h..8ffh; false: #GP. */
bool vlapic_msr_read(struct vlapic *a, uint32_t msr, uint64_t *value);
bool vlapic_msr_write(struct vlapic *a, uint32_t msr, uint64_t value);
/* IA32_APIC_BASE; false: #GP (illegal transition, reserved bits, an address other than FEE00000h:
 * moving the page is not offered). */
bool vlapic_set_base(struct vlapic *a, uint64_t value);
/* IA32_TSC_DEADLINE. Outside TSC-deadline mode it reads 0 and writes are ignored. */
uint64_t vlapic_get_tsc_deadline(const struct vlapic *a);
void vlapic_set_tsc_deadline(struct vlapic *a, uint64_t value);
/* After a write that the CPU already stored in the page (APIC-write VM exit): side effects only. */
void vlapic_apic_write(struct vlapic *a, uint32_t offset);
/* The timer's deadline has passed: sets IRR, re-arms a periodic timer without drift. Periods that were
 * missed are skipped, and one shorter than 10 us fires every 10 us. */
void vlapic_timer_expired(struct vlapic *a, uint64_t now_tsc);
/* LVT-driven local interrupt (LINT0/LINT1/error), owner only. */
void vlapic_local(struct vlapic *a, uint32_t lvt_offset);

#endif
