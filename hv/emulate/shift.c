/*
 * Shifts and rotates, one bit after the other: at most 63 rounds, and every flag falls out.
 */
#include "hv/emulate/shift.h"

#include "hv/base/x86.h"
#include "hv/emulate/flags.h"

struct shifter {
	unsigned bits; /* of the operand */
	uint64_t value, fill;
	bool carry;
};

static unsigned effective_count(unsigned size, unsigned count) { return count & (size == 8 ? 63 : 31); }

static bool top_bit(const struct shifter *s, uint64_t value) { return value >> (s->bits - 1) & 1; }

static void left(struct shifter *s, bool in)
{
	s->carry = top_bit(s, s->value);
	s->value = truncate_to(s->value << 1 | in, s->bits / 8);
}

static void right(struct shifter *s, bool in)
{
	s->carry = s->value & 1;
	s->value = s->value >> 1 | (uint64_t)in << (s->bits - 1);
}

static void one_bit(struct shifter *s, enum insn_op op)
{
	switch (op) {
	case OP_ROL: left(s, top_bit(s, s->value)); break;
	case OP_RCL: left(s, s->carry); break;
	case OP_SHL: left(s, false); break;
	case OP_ROR: right(s, s->value & 1); break;
	case OP_RCR: right(s, s->carry); break;
	case OP_SHR: right(s, false); break;
	case OP_SAR: right(s, top_bit(s, s->value)); break;
	case OP_SHLD:
		left(s, top_bit(s, s->fill));
		s->fill <<= 1;
		break;
	default: /* OP_SHRD */
		right(s, s->fill & 1);
		s->fill >>= 1;
		break;
	}
}

static bool goes_left(enum insn_op op)
{
	return op == OP_ROL || op == OP_RCL || op == OP_SHL || op == OP_SHLD;
}

/* OF says whether the last bit changed the sign: left, that is the carry; right, the sign's neighbour. */
static uint64_t carry_and_overflow(const struct shifter *s, enum insn_op op)
{
	bool sign = top_bit(s, s->value), before = goes_left(op) ? s->carry : top_bit(s, s->value << 1);

	return (s->carry ? RFLAGS_CF : 0) | (sign != before ? RFLAGS_OF : 0);
}

uint64_t shift_compute(enum insn_op op, unsigned size, uint64_t value, uint64_t fill, unsigned count,
		       uint64_t *rflags)
{
	struct shifter s = { 8 * size, truncate_to(value, size), truncate_to(fill, size), *rflags & RFLAGS_CF };
	uint64_t changed = RFLAGS_CF | RFLAGS_OF, flags;

	count = effective_count(size, count);
	if (count == 0)
		return s.value;
	for (unsigned i = 0; i < count; i++)
		one_bit(&s, op);
	flags = carry_and_overflow(&s, op);
	if (op > OP_RCR) { /* rotates leave the others alone */
		changed |= RFLAGS_ZF | RFLAGS_SF | RFLAGS_PF | RFLAGS_AF;
		flags |= flags_of_result(s.value, size);
	}
	*rflags = (*rflags & ~changed) | flags;
	return s.value;
}
