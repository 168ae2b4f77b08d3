/*
 * Multiplication and division as the CPU does them, with results of two operands' width.
 * SDM volume 2A and 2B, "MUL", "IMUL", "DIV", "IDIV". Pure.
 */
#ifndef HV_EMULATE_MULTIPLY_H
#define HV_EMULATE_MULTIPLY_H

#include "hv/base/types.h"

/* A value of twice size bytes: each half is zero-extended. */
struct wide {
	uint64_t low, high;
};

/* a * b, each size bytes. *rflags: CF and OF tell whether the high half says more than the low one
 * (or than its sign); the other status flags, which are undefined, stay. */
struct wide multiply(bool with_sign, unsigned size, uint64_t a, uint64_t b, uint64_t *rflags);

/* False: #DE, as the divisor is zero or the quotient too large. No flag is defined, none changes. */
bool divide(bool with_sign, unsigned size, struct wide dividend, uint64_t divisor, uint64_t *quotient,
	    uint64_t *remainder);

#endif
