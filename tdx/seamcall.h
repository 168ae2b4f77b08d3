/*
 * SEAMCALL: how every call of a TDX module is made, counted, and repeated. Whether the module is the
 * machine's or the one in software is decided once, by tdx_use(); nobody else knows.
 *
 * The policy, by class of status (tdx/status.h): what is busy is tried again a bounded number of times,
 * here; a caller that may is then to stop all vCPUs and try once more (tdx_call_alone(), or mmu/ for the
 * secure EPT). Nothing else is ever repeated here. Typed wrappers of the leafs are in tdx/tdh.h.
 */
#ifndef TDX_SEAMCALL_H
#define TDX_SEAMCALL_H

#include "hv/base/types.h"
#include "tdx/abi/leaf.h"
#include "tdx/status.h"

struct tdx_ops {
	const char *name; /* "the TDX module" */
	bool software;    /* it protects nobody */
	/*
	 * One SEAMCALL on the running CPU, which is in VMX operation: RAX holds leaf and version, then the
	 * status; TDX_NO_MODULE when the instruction failed. RSP is not looked at. Any lock.
	 */
	void (*call)(void *ctx, struct tdx_regs *r);
	void *ctx;
	/* NULL, or what is to be done in place of the clearing of a page that was private: memory is
	 * accessible again from here on. */
	void (*clear)(void *ctx, hpa_t page, uint64_t npages);
};

/* SEAMCALL, the instruction; pages are cleared by MOVDIR64B, which makes their integrity good again. */
extern const struct tdx_ops tdx_hardware;

/* Start-up, before any call. NULL: none any more. */
void tdx_use(const struct tdx_ops *ops);
/* The module in use, or NULL. */
const struct tdx_ops *tdx_ops(void);

#define TDX_BUSY_TRIES 64

/* What a leaf takes, and on return what it gives. */
struct tdx_operands {
	uint64_t rcx, rdx, r8, r9;
};

/* RAX as leaf and version. Returns the status; repeats what is busy. */
uint64_t tdx_call(uint32_t leaf, struct tdx_operands *o);
/* The same for a leaf of which only the status counts. */
uint64_t tdx_call4(uint32_t leaf, uint64_t rcx, uint64_t rdx, uint64_t r8, uint64_t r9);
/* With all registers, and never repeated: VP.ENTER. Returns the status, which is in RAX too. */
uint64_t tdx_call_once(struct tdx_regs *r);

/* Who can take all vCPUs of a TD out of it. */
struct tdx_kicker {
	/* While barred, no vCPU enters the TD. */
	void (*bar)(void *ctx, bool barred);
	/* Returns once every vCPU that was in the TD has left it. */
	void (*kick)(void *ctx);
	void *ctx;
};
/* The same; when it stays busy, once more with every vCPU out. k may be NULL. */
uint64_t tdx_call_alone(uint32_t leaf, struct tdx_operands *o, const struct tdx_kicker *k);

/* A page that the module has given back: it is in the hypervisor's map again, its contents are cleared, its integrity
 * restored. */
void tdx_page_clear(hpa_t page, uint64_t npages);

/* Since start-up, by leaf. */
struct tdx_leaf_counts {
	uint64_t calls;   /* repeated ones included */
	uint64_t repeats;
	uint64_t failed;  /* ended with a status that is an error */
};
extern struct tdx_leaf_counts tdx_counts[TDH_LEAF_COUNT];
extern uint64_t tdx_kicks; /* by tdx_call_alone() */

#endif
