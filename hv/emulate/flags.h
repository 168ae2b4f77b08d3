/*
 * Arithmetic as the CPU does it: result and status flags of the integer operations, and the
 * conditions over them. SDM volume 1, appendix "EFLAGS Cross-Reference". Pure.
 */
#ifndef HV_EMULATE_FLAGS_H
#define HV_EMULATE_FLAGS_H

#include "hv/base/types.h"
#include "hv/emulate/decode.h"

/* The low size bytes; size is 1, 2, 4 or 8. */
static inline uint64_t truncate_to(uint64_t value, unsigned size)
{
	return value << (64 - 8 * size) >> (64 - 8 * size);
}

static inline uint64_t sign_extend(uint64_t value, unsigned size)
{
	return (uint64_t)((int64_t)(value << (64 - 8 * size)) >> (64 - 8 * size));
}

/* ZF, SF and PF, which look at the result alone; PF at its low byte. */
uint64_t flags_of_result(uint64_t result, unsigned size);

/*
 * dst op src for OP_ADD to OP_NEG, truncated to size bytes; *rflags gets the status flags, with AF
 * clear where it is undefined. CMP and TEST return dst, INC, DEC, NOT and NEG have no src.
 */
uint64_t alu_compute(enum insn_op op, unsigned size, uint64_t dst, uint64_t src, uint64_t *rflags);

/* BT, BTS, BTR, BTC of bit number bit, below 8 * size: the new value; *rflags gets CF, others stay. */
uint64_t bit_compute(enum insn_op op, uint64_t value, unsigned bit, uint64_t *rflags);

/* Whether condition cc (0..15, an opcode's low four bits) holds. */
bool condition_holds(unsigned cc, uint64_t rflags);

#endif
