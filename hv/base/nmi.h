/*
 * Non-maskable interrupts: what a CPU is sent one for, and the note that it makes of where it was.
 * An NMI that nobody on this machine has sent came from outside: a button, a management board, an emulator.
 */
#ifndef HV_BASE_NMI_H
#define HV_BASE_NMI_H

#include "hv/base/percpu.h"
#include "hv/base/trap.h"
#include "hv/base/types.h"

/* What for. Nothing: from outside. */
#define NMI_LEAVE BIT(0) /* out of the guest; no more than that */
#define NMI_TELL BIT(1)  /* note where you are */

/* Any CPU, any context, NMI included; no lock. Several at the same time may arrive as one, with all reasons. */
void nmi_send(struct cpu *c, uint32_t why);

struct context; /* hv/sched.h */

/* Where a CPU was when the latest NMI came. */
#define NMI_RETURNS 8
struct nmi_note {
	uint32_t count; /* atomic: notes made; the others hold still once it has gone up */
	bool in_guest;
	uint64_t rip;   /* in_guest: the guest's, 0 when it keeps that to itself */
	unsigned found;
	uint64_t returns[NMI_RETURNS]; /* as of backtrace_collect() */
	const struct context *runs;    /* NULL: not known */
	uint32_t exit;                 /* its vCPU's latest, by the back end's number */
};
const struct nmi_note *nmi_note(const struct cpu *c);
/* NMIs from outside that this CPU has taken. */
uint64_t nmi_outside_count(const struct cpu *c);

/* What follows an NMI, on its stack, NMIs blocked: no lock, no log, nothing that may fault. */
struct nmi_hooks {
	void (*complete)(const struct cpu *c, struct nmi_note *n); /* rip of a guest, what runs */
	bool (*is_alarm)(const struct cpu *c);  /* whether the watch's own alarm has rung: sent by nobody, either */
	void (*taken)(struct cpu *c, uint32_t why);
};
/* Start-up; they stay. */
void nmi_set_hooks(const struct nmi_hooks *hooks);

/* For the trap handler: with every NMI. Does not return when the CPU is to stop. */
void nmi_take(const struct trap_frame *f);

#endif
