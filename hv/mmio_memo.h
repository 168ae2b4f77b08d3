/*
 * Device accesses that a guest repeats, and writes to its page tables. A guest reaches its devices by a few
 * MOVs in its kernel: for each, the decoded instruction is remembered with all that led to it, which is the
 * paging state, the guest's own page-table entries for the code and, for a write, for the data, and the code
 * bytes. The next exit at the same place reads all of these again, and skips the walk and the emulator if
 * nothing has changed: what is done is what they would do. Nothing ever has to be invalidated. Under another CR3 the
 * first entries are read there: where they are the same, so is the rest.
 *
 * One table per vCPU, zeroed before first use, for that vCPU's CPU alone.
 */
#ifndef HV_MMIO_MEMO_H
#define HV_MMIO_MEMO_H

#include "hv/emulate/decode.h"
#include "hv/vm.h"
#include "mmu/walk_cache.h"

#define MMIO_MEMOS 32

/* Aligned to a power of two: finding one is a shift. */
struct __attribute__((aligned(512))) mmio_memo {
	gva_t rip;
	uint32_t cs_ar;
	struct walk_line code;   /* of RIP's page; generation 0: empty */
	struct walk_line data;   /* of the operand's page, when it is written */
	struct decode_slot insn; /* a MOV between a register or an immediate and memory, in 64-bit mode */
};

struct mmio_memos {
	struct mmio_memo memo[MMIO_MEMOS];
};

/* The exit was for an instruction's access to gpa, which is no RAM: the CPU's walk, or under shadow paging one of the
 * guest's tables as they are, has let it through. True: done, and RIP is behind the instruction. False: nothing has
 * happened. */
bool mmio_memo_repeat(struct vcpu *v, gpa_t gpa);

/* The same of a write to RAM at gpa, where the walk of the guest's tables leads that has just let it through at gva. */
bool mmio_memo_write(struct vcpu *v, gva_t gva, gpa_t gpa);

/* Remembers the instruction at rip, which has just been decoded and carried out with this state at its
 * begin, if it is one of those. */
void mmio_memo_keep(struct vcpu *v, const struct guest_paging *paging, uint32_t cs_ar, gva_t rip);

#endif
