/*
 * A TD with one vCPU for tests of the host's side: the real run loop, exits and calls over the real address
 * space, devices' bus, local APIC, CPUID and MSR policy. What enters the TD, is said to the module about a
 * vCPU, or waits for time, is scripted here.
 */
#ifndef TESTS_UNIT_TD_WORLD_H
#define TESTS_UNIT_TD_WORLD_H

/* The C library has a function of a name that the scheduler uses too. */
#define sched_yield c_library_sched_yield
#include <pthread.h>
#undef sched_yield

#include "tdx/abi/ghci.h"
#include "tdx/vp.h"
#include "tests/unit/mirror_world.h"

#define TD_RAM MIB(128)      /* from 0 on, all private; nobody looks at it */
#define TD_RAM_HPA GIB(1)
#define TD_PORT 0x100        /* 16 ports of a device that remembers */
#define TD_MMIO 0xfec00000ul /* its registers: one page */

extern struct vm td_vm;
extern struct tdx_vcpu td_vcpu;

/* What happened since td_world_start(). */
extern struct td_seen {
	unsigned stops, entries, notifications, flushes, ticks, blocks, irqs, nmis, pend_nmis, writes;
	uint32_t requests;           /* of vcpu_request(), together */
	uint8_t irq;                 /* the vector of the last one */
	uint64_t armed, blocked_until;
	struct {
		uint16_t port;
		unsigned size;
		uint32_t value;
		uint64_t offset, mmio_value;
	} out;                       /* the last write to the device */
	char stop[300];
} td_seen;

/* What the device answers. */
extern uint32_t td_port_value;
extern uint64_t td_mmio_value;

/* One stay in the TD: r is what VP.ENTER took, and becomes what it gives. NULL: an external interrupt, at once. */
extern void (*td_guest)(struct tdx_regs *r);
/* What sched_tick() answers, and what the requests taken are, once. */
extern bool td_yield;
extern uint32_t td_taken;
extern uint64_t td_details; /* VCPU_STATE_DETAILS */
extern int td_write_error;
extern bool td_lossy; /* the external table may keep pages at the end */

void td_world_start(void);
void td_world_end(void);

/* As a TDG.VP.VMCALL with all of R10 to R15 passed; others of td_vcpu.regs are as the test left them. */
enum exit_result td_call(uint64_t function, uint64_t r12, uint64_t r13, uint64_t r14, uint64_t r15);
static inline uint64_t td_answer(enum tdx_reg r) { return td_vcpu.answer.gpr[r]; }

#endif
