/*
 * TDCALL, as the shim makes it: one function for all leafs, and by it what the shim asks of the module and of
 * the host. TDX Module 1.5 ABI, "Guest-Side (TDCALL) Interface Functions"; Guest-Host-Communication Interface
 * for TDX 1.5. What the host answers is not to be trusted.
 */
#ifndef TDX_SHIM_TDCALL_H
#define TDX_SHIM_TDCALL_H

#include "hv/base/failure.h"
#include "hv/base/types.h"
#include "tdx/abi/leaf.h"

/* TDG.VP.VMCALL: which registers go to the host and come back. Not RAX, RCX, RSP and RBP. */
#define VMCALL_MASK (0xffffu & ~(1u << TDX_RAX | 1u << TDX_RCX | 1u << TDX_RSP | 1u << TDX_RBP))
/* Of a call without operands beside R10..R15: the others keep what they hold. */
#define VMCALL_MASK_R10_R15 0xfc00u

/* Makes the call that r->gpr[TDX_RAX] names; r holds what came back. Returns the status, RAX. */
uint64_t tdcall(struct tdx_regs *r);

struct td_info {
	uint32_t gpaw;      /* width of guest-physical addresses; the highest bit says shared */
	uint32_t index;     /* of this vCPU */
	uint32_t max_vcpus;
};

/* TDG.VP.INFO. -EIO with a sentence: the module refused, or gave a width that cannot be. */
MUST_CHECK int td_info_get(struct td_info *info, struct failure *f);

/* TDG.MR.RTMR.EXTEND with 48 bytes at digest, which lie at a multiple of 64 below 4 GiB. -EIO. */
MUST_CHECK int td_rtmr_extend(unsigned rtmr, const uint8_t *digest, struct failure *f);

/* Makes [start, end) private: MapGPA as often as the host wants to be asked. Whole pages, without the shared
 * bit. -EIO: the host refuses, or gets nowhere. */
MUST_CHECK int td_map_private(gpa_t start, gpa_t end, struct failure *f);

/* Writes text to the serial port COM1. */
void td_print(const char *text);

/* Says to the host, in the first words of text, why the TD cannot go on. Does not return. */
NORETURN void td_fatal(const char *text);

#endif
