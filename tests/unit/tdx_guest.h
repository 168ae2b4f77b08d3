/*
 * A TD with memory on the machine of tdx_world.h: as a back end builds it, with nobody inside.
 */
#ifndef TESTS_UNIT_TDX_GUEST_H
#define TESTS_UNIT_TDX_GUEST_H

#include "mmu/inspect.h"
#include "mmu/mirror.h"
#include "tdx/td.h"
#include "tests/unit/tdx_world.h"

#define TDX_GUEST_VM 5
#define TDX_GUEST_BYTES MIB(16)
#define TDX_GUEST_VCPUS 3

struct tdx_guest {
	struct td td;
	struct mmu mmu;
	struct mmu_vcpu vcpu[TDX_GUEST_VCPUS];
	bool mmu_ready;
	hpa_t ram; /* contiguous */
	struct failure why;
};
extern struct tdx_guest tdx_guest;

/* Each returns 0 or the error, with tdx_guest.why. */
int tdx_guest_create(void);
int tdx_guest_vcpus(void);
/* n pages from gfn on, all bytes of page i being i + 1. */
int tdx_guest_image(gfn_t gfn, uint64_t n, bool measure);
/* All of that and MR.FINALIZE. */
int tdx_guest_build(void);
/* td_end() and the address space; frames that are on record as the VM's are freed. */
int tdx_guest_destroy(void);

/* VP.ENTER of a vCPU on a CPU, with operands as they were. */
uint64_t tdx_guest_enter(uint32_t index, uint32_t cpu, struct tdx_regs *r);

/* Until it is no longer to be retried. */
enum fault_result tdx_guest_fault(gfn_t gfn);
int tdx_guest_convert(gfn_t gfn, uint64_t npages, bool private);

/* NULL, or how the mirror differs from the secure EPT, entry by entry. Nothing is under way. */
const char *tdx_guest_differs(void);

#endif
