/*
 * The instructions, one small function for each family, chosen by a table. Each finds its operand,
 * reads, computes, writes memory, and only then changes registers: whatever refuses comes first.
 */
#include "hv/emulate/emulate.h"

#include <errno.h>

#include "hv/base/format.h"
#include "hv/base/panic.h"
#include "hv/emulate/operand.h"

/* Most fetches are of one page: a second one follows only if the instruction crosses into the next. */
static enum emu_result fetch_more(struct emu_cpu *cpu, gva_t la)
{
	unsigned got = 0;
	enum emu_result result = cpu->ops->fetch(cpu, la + cpu->byte_count, cpu->bytes + cpu->byte_count,
						 INSN_MAX_BYTES - cpu->byte_count, &got);
	INVARIANT(result != EMU_DONE || got > 0);
	cpu->byte_count += got;
	return result;
}

/* In 64-bit mode CS has no base. The CPU fetched from here: the address is in the limit. */
static gva_t code_address(struct emu_cpu *cpu)
{
	struct emu_segment cs;

	if (LIKELY(cpu->mode == CPU_MODE_64))
		return cpu->rip;
	cpu->ops->segment(cpu, SEG_CS, &cs);
	return (uint32_t)(cs.base + cpu->rip);
}

static enum emu_result refuse(struct emu_cpu *cpu, int err)
{
	switch (err) {
	case -EILSEQ: return emu_raise(cpu, VEC_UD);
	case -E2BIG: return emu_raise_error0(cpu, VEC_GP);
	default: return emu_unsupported(cpu, "it is not one of the instructions that are emulated");
	}
}

static enum emu_result fetch_and_decode(struct emu_cpu *cpu, const struct insn **in)
{
	gva_t la = code_address(cpu);
	int err;

	__builtin_memset(cpu->bytes, 0, sizeof(cpu->bytes));
	cpu->byte_count = 0;
	do {
		enum emu_result result = fetch_more(cpu, la);
		if (UNLIKELY(result != EMU_DONE))
			return result;
		err = decode_cached(cpu->cache, cpu->rip, cpu->bytes, cpu->byte_count, cpu->mode, in);
	} while (UNLIKELY(err == -ENODATA));
	return LIKELY(err == 0) ? EMU_DONE : refuse(cpu, err);
}

static enum emu_result emulate_mov(struct emu_cpu *cpu, const struct insn *in)
{
	enum emu_access access = in->form == FORM_LOAD ? ACCESS_READ : ACCESS_WRITE;
	enum emu_result result;
	struct emu_addr at;
	uint64_t value;

	result = emu_place_operand(cpu, in, access, &at);
	if (UNLIKELY(result != EMU_DONE))
		return result;
	if (access == ACCESS_WRITE) {
		result = cpu->ops->write(cpu, at, in->size, emu_source(cpu, in));
	} else {
		result = cpu->ops->read(cpu, at, in->size, &value);
		if (LIKELY(result == EMU_DONE))
			emu_reg_write(cpu, in, value);
	}
	return LIKELY(result == EMU_DONE) ? emu_retire(cpu, in) : result;
}

/* MOVZX, MOVSX, MOVSXD; CMOVcc, which reads, and clears a 64-bit register's high half, in any case. */
static enum emu_result emulate_extend(struct emu_cpu *cpu, const struct insn *in)
{
	struct emu_addr at;
	uint64_t value;
	enum emu_result result = emu_load(cpu, in, ACCESS_READ, &at, &value);

	if (result != EMU_DONE)
		return result;
	if (in->op == OP_MOVSX)
		value = sign_extend(value, in->mem_size);
	if (in->op == OP_CMOV && !condition_holds(in->cond, cpu->rflags))
		value = emu_reg_read(cpu, in);
	emu_reg_write(cpu, in, value);
	return emu_retire(cpu, in);
}

static enum emu_result emulate_setcc(struct emu_cpu *cpu, const struct insn *in)
{
	struct emu_addr at;
	enum emu_result result = emu_place_operand(cpu, in, ACCESS_WRITE, &at);

	if (result == EMU_DONE)
		result = cpu->ops->write(cpu, at, 1, condition_holds(in->cond, cpu->rflags));
	return result == EMU_DONE ? emu_retire(cpu, in) : result;
}

/* op register, memory: the result goes to the register, and CMP has none. */
static enum emu_result alu_to_register(struct emu_cpu *cpu, const struct insn *in)
{
	struct emu_addr at;
	uint64_t value;
	enum emu_result result = emu_load(cpu, in, ACCESS_READ, &at, &value);

	if (result != EMU_DONE)
		return result;
	value = alu_compute(in->op, in->size, emu_reg_read(cpu, in), value, &cpu->rflags);
	if (in->op != OP_CMP)
		emu_reg_write(cpu, in, value);
	return emu_retire(cpu, in);
}

static enum emu_result emulate_alu(struct emu_cpu *cpu, const struct insn *in)
{
	bool writes = in->op != OP_CMP && in->op != OP_TEST;
	uint64_t rflags = cpu->rflags, old, value;
	enum emu_result result;
	struct emu_addr at;

	if (in->form == FORM_LOAD)
		return alu_to_register(cpu, in);
	result = emu_load(cpu, in, writes ? ACCESS_WRITE : ACCESS_READ, &at, &old);
	if (result != EMU_DONE)
		return result;
	value = alu_compute(in->op, in->size, old, emu_source(cpu, in), &rflags);
	if (writes)
		return emu_store_and_retire(cpu, in, at, old, value, rflags);
	cpu->rflags = rflags;
	return emu_retire(cpu, in);
}

/* A bit number in a register counts from the operand's address on, in both directions. */
static uint64_t bit_string_offset(const struct emu_cpu *cpu, const struct insn *in, uint64_t *bit)
{
	uint64_t offset = emu_effective_offset(cpu, in);

	if (in->form == FORM_IMM) {
		*bit = in->imm;
	} else {
		*bit = sign_extend(emu_reg_read(cpu, in), in->size);
		offset += (uint64_t)((int64_t)*bit >> 3) & ~(uint64_t)(in->size - 1);
	}
	*bit &= 8u * in->size - 1;
	return truncate_to(offset, in->addr_size);
}

static enum emu_result emulate_bit(struct emu_cpu *cpu, const struct insn *in)
{
	uint64_t bit, old, value, rflags = cpu->rflags;
	uint64_t offset = bit_string_offset(cpu, in, &bit);
	enum emu_access access = in->op == OP_BT ? ACCESS_READ : ACCESS_WRITE;
	struct emu_addr at;
	enum emu_result result = emu_place(cpu, in, in->segment, offset, in->size, access, &at);

	if (result == EMU_DONE)
		result = cpu->ops->read(cpu, at, in->size, &old);
	if (result != EMU_DONE)
		return result;
	value = bit_compute(in->op, old, (unsigned)bit, &rflags);
	if (access == ACCESS_WRITE)
		return emu_store_and_retire(cpu, in, at, old, value, rflags);
	cpu->rflags = rflags;
	return emu_retire(cpu, in);
}

static enum emu_result emulate_push(struct emu_cpu *cpu, const struct insn *in)
{
	unsigned width = emu_stack_bytes(cpu);
	uint64_t top = truncate_to(cpu->gpr[4] - in->size, width), value;
	struct emu_addr stack, at;
	enum emu_result result = emu_place(cpu, in, SEG_SS, top, in->size, ACCESS_WRITE, &stack);

	if (result == EMU_DONE)
		result = emu_load(cpu, in, ACCESS_READ, &at, &value);
	if (result == EMU_DONE)
		result = cpu->ops->write(cpu, stack, in->size, value);
	if (result != EMU_DONE)
		return result;
	emu_gpr_set(&cpu->gpr[4], width, top);
	return emu_retire(cpu, in);
}

/* The destination's address is computed with rSP already moved on. SDM volume 2B, POP. */
static enum emu_result emulate_pop(struct emu_cpu *cpu, const struct insn *in)
{
	unsigned width = emu_stack_bytes(cpu);
	uint64_t before = cpu->gpr[4], value;
	struct emu_addr stack, at;
	enum emu_result result =
		emu_place(cpu, in, SEG_SS, truncate_to(before, width), in->size, ACCESS_READ, &stack);

	if (result != EMU_DONE)
		return result;
	emu_gpr_set(&cpu->gpr[4], width, before + in->size);
	result = emu_place_operand(cpu, in, ACCESS_WRITE, &at);
	if (result == EMU_DONE)
		result = cpu->ops->read(cpu, stack, in->size, &value);
	if (result == EMU_DONE)
		result = cpu->ops->write(cpu, at, in->size, value);
	if (result == EMU_DONE)
		return emu_retire(cpu, in);
	cpu->gpr[4] = before;
	return result;
}

typedef enum emu_result (*emulate_fn)(struct emu_cpu *cpu, const struct insn *in);

static const emulate_fn emulators[OP_COUNT] = {
	[OP_ADD] = emulate_alu, [OP_OR] = emulate_alu, [OP_ADC] = emulate_alu, [OP_SBB] = emulate_alu,
	[OP_AND] = emulate_alu, [OP_SUB] = emulate_alu, [OP_XOR] = emulate_alu, [OP_CMP] = emulate_alu,
	[OP_TEST] = emulate_alu, [OP_INC] = emulate_alu, [OP_DEC] = emulate_alu, [OP_NOT] = emulate_alu,
	[OP_NEG] = emulate_alu,
	[OP_ROL] = emu_shift, [OP_ROR] = emu_shift, [OP_RCL] = emu_shift, [OP_RCR] = emu_shift,
	[OP_SHL] = emu_shift, [OP_SHR] = emu_shift, [OP_SAR] = emu_shift,
	[OP_SHLD] = emu_shift, [OP_SHRD] = emu_shift,
	[OP_MUL] = emu_multiply, [OP_IMUL] = emu_multiply, [OP_DIV] = emu_divide, [OP_IDIV] = emu_divide,
	[OP_MOV] = emulate_mov, [OP_MOVZX] = emulate_extend, [OP_MOVSX] = emulate_extend,
	[OP_MOVBE] = emu_movbe, [OP_CMOV] = emulate_extend, [OP_SETCC] = emulate_setcc,
	[OP_XMOV] = emu_xmm_move, [OP_XMOVA] = emu_xmm_move, [OP_XMOVL] = emu_xmm_move,
	[OP_XMOVH] = emu_xmm_move,
	[OP_XCHG] = emu_exchange, [OP_XADD] = emu_exchange, [OP_CMPXCHG] = emu_cmpxchg,
	[OP_CMPXCHG2] = emu_cmpxchg2,
	[OP_BT] = emulate_bit, [OP_BTS] = emulate_bit, [OP_BTR] = emulate_bit, [OP_BTC] = emulate_bit,
	[OP_PUSH] = emulate_push, [OP_POP] = emulate_pop,
	[OP_MOVS] = emu_string, [OP_CMPS] = emu_string, [OP_STOS] = emu_string, [OP_LODS] = emu_string,
	[OP_SCAS] = emu_string,
};

enum emu_result emulate_decoded(struct emu_cpu *cpu, const struct insn *in)
{
	return emulators[in->op](cpu, in);
}

enum emu_result emulate_instruction(struct emu_cpu *cpu)
{
	const struct insn *in;
	enum emu_result result = fetch_and_decode(cpu, &in);

	return LIKELY(result == EMU_DONE) ? emulate_decoded(cpu, in) : result;
}

void emulate_explain(const struct emu_cpu *cpu, struct failure *f)
{
	char hex[3 * sizeof(cpu->bytes) + 1] = "";

	for (unsigned i = 0; i < cpu->byte_count; i++)
		format(hex + 3 * i, 4, " %02x", cpu->bytes[i]);
	fail(f, -ENOTSUP, "cannot emulate the %d-bit instruction at rip %lx, bytes%s: %s", (int)cpu->mode,
	     cpu->rip, hex, cpu->reason ? cpu->reason : "no reason was given");
}
