/*
 * A TD's guest as a test writes it: one step for each VM entry, which says what the exit was. It has 64-bit
 * code at GUEST_CODE in private memory, behind page tables of its own that map the first GiB to itself.
 */
#ifndef TESTS_UNIT_SOFT_GUEST_H
#define TESTS_UNIT_SOFT_GUEST_H

#include "tests/unit/soft_cpu.h"
#include "tests/unit/soft_tree.h"
#include "tdx/soft/run.h"

#define GUEST_PML4 0x1000ul
#define GUEST_PDPT 0x2000ul
#define GUEST_CODE 0x3000ul
#define GUEST_STEPS 32

typedef void (*guest_step)(struct soft_vp *vp);

struct guest {
	struct world_td td;
	struct soft_vp *vp;
	uint8_t *code; /* the page at GUEST_CODE */
	uint64_t *pml4, *pdpt;
	guest_step step[GUEST_STEPS];
	unsigned steps, at;
	/* What the entry before the step at hand delivered: 0 for nothing. */
	uint32_t injected, injected_error;
	unsigned entries;
};
extern struct guest guest;

/* The CPU that TDs made from now on run on, of a world that is ready. */
void guest_choose_cpu(enum soft_cpu_kind kind);
/* A TD with one vCPU, in 64-bit mode at GUEST_CODE. kind is of the CPU it runs on. */
void guest_start(enum soft_cpu_kind kind);
/* The same, with what is as world_ready() left it already there. */
void guest_start_on_world(void);

/* The steps of the next VP.ENTER; an external interrupt ends it when they are done. */
#define GUEST_DO(...) \
	guest_do((const guest_step[]){ __VA_ARGS__ }, sizeof((guest_step[]){ __VA_ARGS__ }) / sizeof(guest_step))
void guest_do(const guest_step *steps, unsigned n);
/* VP.ENTER with the last call's registers, on LP 0. Returns RAX. */
uint64_t guest_enter(void);
/* All steps done one after the other in one VP.ENTER that an external interrupt ends. */
#define GUEST_RUN(...) do { GUEST_DO(__VA_ARGS__); guest_runs_through(); } while (0)
void guest_runs_through(void);

/* ---- for steps ---- */
void step_exit(struct soft_vp *vp, uint32_t reason, uint64_t qualification);
/* An exception of that vector exits. */
void step_exception(struct soft_vp *vp, unsigned vector);
/* The instruction at RIP is these bytes, and undefined. */
void step_undefined(struct soft_vp *vp, const uint8_t bytes[4]);
/* TDCALL with that leaf in RAX, other registers being as they are. */
void step_tdcall(struct soft_vp *vp, uint64_t rax);
/* An EPT violation at gpa, by a read of linear address gpa. */
void step_violation(struct soft_vp *vp, gpa_t gpa);
/* The vector that the entry delivered, with its type; -1 for nothing. */
int injected_vector(void);

#endif
