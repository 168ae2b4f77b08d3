/*
 * Shifts and rotates as the CPU does them: result and status flags. SDM volume 2B, "RCL/RCR/ROL/ROR"
 * and "SAL/SAR/SHL/SHR", "SHLD", "SHRD". Pure.
 */
#ifndef HV_EMULATE_SHIFT_H
#define HV_EMULATE_SHIFT_H

#include "hv/emulate/decode.h"

/*
 * value, size bytes of it, shifted or rotated by OP_ROL to OP_SHRD; only the bits of count that the
 * CPU looks at count. SHLD and SHRD take bits of fill in at the other end, and zeros once it is used
 * up. *rflags changes as the CPU's, with AF clear and OF by the rule for a count of one where the
 * manual leaves them undefined.
 */
uint64_t shift_compute(enum insn_op op, unsigned size, uint64_t value, uint64_t fill, unsigned count,
		       uint64_t *rflags);

#endif
