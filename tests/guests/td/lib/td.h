/*
 * What a tiny guest in a TD has beside tests/guests/lib: TDCALL, and a handler for #VE which asks the host, so
 * that port, MSR, CPUID and HLT instructions of the library work as outside a TD.
 */
#ifndef TESTS_GUESTS_TD_LIB_TD_H
#define TESTS_GUESTS_TD_LIB_TD_H

#include "hv/base/types.h"
#include "tdx/abi/ghci.h"
#include "tdx/abi/leaf.h"
#include "tdx/abi/status.h"

#define VEC_VE 20

/* What a module call left in the registers; in: all but RAX, which is the leaf. Returns the status. */
uint64_t td_leaf(unsigned leaf, struct tdx_regs *r);
/* The same without operands but RCX, RDX and R8. */
uint64_t td_leaf3(unsigned leaf, uint64_t rcx, uint64_t rdx, uint64_t r8);
/* TDG.VP.VMCALL with R11 = function and R12..R15 from a; R11..R15 of the answer go there. Returns R10. */
uint64_t td_vmcall(unsigned function, uint64_t a[5]);

/* The last #VE, and how many there were by exit reason. */
struct td_ve {
	uint64_t reason, qualification, gla, gpa;
	uint32_t length;
};
extern volatile struct td_ve td_last_ve;
extern volatile uint32_t td_ve_count[80];

extern uint64_t td_shared_bit;

/* Maps one 4K page at va to gpa's shared counterpart, or to gpa as private. */
void td_map_shared(uint64_t va, uint64_t gpa);
/* MapGPA until the host has no more to do; returns R10. */
uint64_t td_map_gpa(uint64_t gpa, uint64_t size);
/* TDG.MEM.PAGE.ACCEPT. */
uint64_t td_accept(uint64_t gpa, unsigned level);

#endif
