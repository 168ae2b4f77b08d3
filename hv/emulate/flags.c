/* Results and status flags of the integer operations. */
#include "hv/emulate/flags.h"

#include "hv/base/x86.h"

#define STATUS_FLAGS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

static inline uint64_t sign_bit(unsigned size) { return BIT(8 * size - 1); }

uint64_t flags_of_result(uint64_t result, unsigned size)
{
	uint64_t flags = 0;

	if (result == 0)
		flags |= RFLAGS_ZF;
	if (result & sign_bit(size))
		flags |= RFLAGS_SF;
	if (!__builtin_parity(result & 0xff))
		flags |= RFLAGS_PF;
	return flags;
}

static void set_status(uint64_t *rflags, uint64_t status) { *rflags = (*rflags & ~STATUS_FLAGS) | status; }

static uint64_t logic(unsigned size, uint64_t result, uint64_t *rflags)
{
	set_status(rflags, flags_of_result(result, size));
	return result;
}

/* carries has a one in each bit that carried (or borrowed) out. */
static uint64_t arithmetic_flags(unsigned size, uint64_t result, uint64_t carries, uint64_t overflow)
{
	uint64_t flags = flags_of_result(result, size);

	if (carries & sign_bit(size))
		flags |= RFLAGS_CF;
	if (carries & BIT(3))
		flags |= RFLAGS_AF;
	if (overflow & sign_bit(size))
		flags |= RFLAGS_OF;
	return flags;
}

static uint64_t add(unsigned size, uint64_t a, uint64_t b, uint64_t carry, uint64_t *rflags)
{
	uint64_t sum = truncate_to(a + b + carry, size);
	uint64_t carries = (a & b) | ((a | b) & ~sum);

	set_status(rflags, arithmetic_flags(size, sum, carries, (a ^ sum) & (b ^ sum)));
	return sum;
}

static uint64_t subtract(unsigned size, uint64_t a, uint64_t b, uint64_t borrow, uint64_t *rflags)
{
	uint64_t difference = truncate_to(a - b - borrow, size);
	uint64_t borrows = (~a & b) | ((~a | b) & difference);

	set_status(rflags, arithmetic_flags(size, difference, borrows, (a ^ b) & (a ^ difference)));
	return difference;
}

/* INC and DEC leave CF alone. */
static uint64_t keep_carry(uint64_t result, uint64_t before, uint64_t *rflags)
{
	*rflags = (*rflags & ~RFLAGS_CF) | (before & RFLAGS_CF);
	return result;
}

uint64_t alu_compute(enum insn_op op, unsigned size, uint64_t dst, uint64_t src, uint64_t *rflags)
{
	uint64_t before = *rflags, carry = before & RFLAGS_CF;

	dst = truncate_to(dst, size);
	src = truncate_to(src, size);
	switch (op) {
	case OP_ADD: return add(size, dst, src, 0, rflags);
	case OP_ADC: return add(size, dst, src, carry, rflags);
	case OP_SUB: return subtract(size, dst, src, 0, rflags);
	case OP_SBB: return subtract(size, dst, src, carry, rflags);
	case OP_CMP: subtract(size, dst, src, 0, rflags); return dst;
	case OP_OR: return logic(size, dst | src, rflags);
	case OP_AND: return logic(size, dst & src, rflags);
	case OP_XOR: return logic(size, dst ^ src, rflags);
	case OP_TEST: logic(size, dst & src, rflags); return dst;
	case OP_INC: return keep_carry(add(size, dst, 1, 0, rflags), before, rflags);
	case OP_DEC: return keep_carry(subtract(size, dst, 1, 0, rflags), before, rflags);
	case OP_NEG: return subtract(size, 0, dst, 0, rflags);
	default: return truncate_to(~dst, size); /* OP_NOT: no flag changes */
	}
}

uint64_t bit_compute(enum insn_op op, uint64_t value, unsigned bit, uint64_t *rflags)
{
	*rflags = (*rflags & ~RFLAGS_CF) | (value >> bit & 1 ? RFLAGS_CF : 0);
	switch (op) {
	case OP_BTS: return value | BIT(bit);
	case OP_BTR: return value & ~BIT(bit);
	case OP_BTC: return value ^ BIT(bit);
	default: return value;
	}
}

/* Pairs of a condition and its opposite: O, B, Z, BE, S, P, L, LE. */
bool condition_holds(unsigned cc, uint64_t rflags)
{
	bool less = !(rflags & RFLAGS_SF) != !(rflags & RFLAGS_OF);
	bool holds;

	switch (cc >> 1) {
	case 0: holds = rflags & RFLAGS_OF; break;
	case 1: holds = rflags & RFLAGS_CF; break;
	case 2: holds = rflags & RFLAGS_ZF; break;
	case 3: holds = rflags & (RFLAGS_CF | RFLAGS_ZF); break;
	case 4: holds = rflags & RFLAGS_SF; break;
	case 5: holds = rflags & RFLAGS_PF; break;
	case 6: holds = less; break;
	default: holds = less || rflags & RFLAGS_ZF; break;
	}
	return holds != (cc & 1);
}
