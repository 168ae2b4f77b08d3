/*
 * Shifts, rotates, multiplication and division with a memory operand.
 */
#include "hv/emulate/operand.h"

#include "hv/emulate/multiply.h"
#include "hv/emulate/shift.h"

static unsigned shift_count(const struct emu_cpu *cpu, const struct insn *in)
{
	return (uint8_t)(in->form == FORM_UNARY || in->form == FORM_STORE ? cpu->gpr[RCX] : in->imm);
}

/* Memory is written, with what it had, for a count of zero too. */
enum emu_result emu_shift(struct emu_cpu *cpu, const struct insn *in)
{
	uint64_t rflags = cpu->rflags, old, fill, value;
	struct emu_addr at;
	enum emu_result result = emu_load(cpu, in, ACCESS_WRITE, &at, &old);

	if (result != EMU_DONE)
		return result;
	fill = in->op >= OP_SHLD ? emu_reg_read(cpu, in) : 0;
	value = shift_compute(in->op, in->size, old, fill, shift_count(cpu, in), &rflags);
	return emu_store_and_retire(cpu, in, at, old, value, rflags);
}

/* rDX:rAX, or AX for bytes. */
static struct wide wide_get(const struct emu_cpu *cpu, unsigned size)
{
	if (size == 1)
		return (struct wide){ cpu->gpr[RAX] & 0xff, cpu->gpr[RAX] >> 8 & 0xff };
	return (struct wide){ truncate_to(cpu->gpr[RAX], size), truncate_to(cpu->gpr[RDX], size) };
}

static void wide_set(struct emu_cpu *cpu, unsigned size, struct wide w)
{
	if (size == 1) {
		emu_gpr_set(&cpu->gpr[RAX], 2, w.high << 8 | w.low);
		return;
	}
	emu_gpr_set(&cpu->gpr[RAX], size, w.low);
	emu_gpr_set(&cpu->gpr[RDX], size, w.high);
}

/* MUL and IMUL of the accumulator; IMUL of a register, or of memory by an immediate, into a register. */
enum emu_result emu_multiply(struct emu_cpu *cpu, const struct insn *in)
{
	uint64_t other, value;
	struct emu_addr at;
	struct wide product;
	enum emu_result result = emu_load(cpu, in, ACCESS_READ, &at, &value);

	if (result != EMU_DONE)
		return result;
	switch (in->form) {
	case FORM_LOAD: other = emu_reg_read(cpu, in); break;
	case FORM_LOAD_IMM: other = in->imm; break;
	default: other = cpu->gpr[RAX]; break;
	}
	product = multiply(in->op == OP_IMUL, in->size, other, value, &cpu->rflags);
	if (in->form == FORM_UNARY)
		wide_set(cpu, in->size, product);
	else
		emu_reg_write(cpu, in, product.low);
	return emu_retire(cpu, in);
}

enum emu_result emu_divide(struct emu_cpu *cpu, const struct insn *in)
{
	struct emu_addr at;
	struct wide w;
	uint64_t divisor;
	enum emu_result result = emu_load(cpu, in, ACCESS_READ, &at, &divisor);

	if (result != EMU_DONE)
		return result;
	if (!divide(in->op == OP_IDIV, in->size, wide_get(cpu, in->size), divisor, &w.low, &w.high))
		return emu_raise(cpu, VEC_DE);
	wide_set(cpu, in->size, w);
	return emu_retire(cpu, in);
}
