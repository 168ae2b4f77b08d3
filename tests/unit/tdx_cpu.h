/*
 * CPUs for the TDs of tdx_guest.h: what they see of private memory is what the secure EPT says, walked bit by bit as
 * hardware does, or a TLB that only a flush empties. A guest is a function that does one step after each VM entry.
 */
#ifndef TESTS_UNIT_TDX_CPU_H
#define TESTS_UNIT_TDX_CPU_H

#include "hv/base/types.h"

enum tdx_step_kind {
	TDX_STEP_INTERRUPT, /* the host is to have its turn */
	TDX_STEP_TOUCH,     /* an access that the CPU found no translation for: EPT violation */
	TDX_STEP_ACCEPT,    /* TDG.MEM.PAGE.ACCEPT */
};

struct tdx_step {
	enum tdx_step_kind kind;
	gpa_t gpa;
	uint32_t level; /* of ACCEPT, as the module counts them */
};

/* What comes of the last ACCEPT: whether it has been carried out, and the guest's RAX. */
struct tdx_accepted {
	bool done;
	uint64_t status;
};

/* The next step of a vCPU, on the thread that entered it. */
extern struct tdx_step (*tdx_cpu_script)(uint32_t vcpu, struct tdx_accepted last);

/* Makes them the CPUs of tdx_world, whose module is ready. root: of the secure EPT, once there is one. */
void tdx_cpu_start(void);
void tdx_cpu_root(hpa_t root);

/* The page that the vCPU reaches at gpa, by its TLB or by a walk; NULL: none. On the thread that runs it. */
void *tdx_cpu_reach(uint32_t vcpu, gpa_t gpa);

extern uint64_t tdx_cpu_tlb_hits;

#endif
