/*
 * The guest's instruction bytes, read through its own page tables and the secure EPT. All of it is the guest's to
 * write at any time: a walk reads each entry once, leaves the TD's accepted private memory never, and ends.
 */
#ifndef TDX_SOFT_GUEST_CODE_H
#define TDX_SOFT_GUEST_CODE_H

#include "tdx/soft/run.h"

enum guest_code {
	GUEST_CODE_READ,
	GUEST_CODE_GONE,    /* its page tables lead nowhere now: to run the instruction again shows what is due */
	GUEST_CODE_OUTSIDE, /* they lead out of private memory */
};

/* n bytes at CS:RIP, at most 16. */
enum guest_code guest_code_read(struct run *r, uint8_t *bytes, unsigned n);

#endif
