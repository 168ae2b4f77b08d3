/*
 * String instructions. Each iteration is complete before the next starts, so a fault or the end of
 * the exit's allowance leaves rCX, rSI and rDI where the CPU would. SDM volume 2B, "REP".
 */
#include "hv/emulate/operand.h"

static enum emu_result place_source(struct emu_cpu *cpu, const struct insn *in, struct emu_addr *at)
{
	return emu_place(cpu, in, in->segment, truncate_to(cpu->gpr[RSI], in->addr_size), in->size,
			 ACCESS_READ, at);
}

/* ES:rDI: no override reaches it. */
static enum emu_result place_destination(struct emu_cpu *cpu, const struct insn *in, enum emu_access access,
					 struct emu_addr *at)
{
	return emu_place(cpu, in, SEG_ES, truncate_to(cpu->gpr[RDI], in->addr_size), in->size, access, at);
}

static void advance(struct emu_cpu *cpu, const struct insn *in, unsigned reg)
{
	uint64_t step = cpu->rflags & RFLAGS_DF ? -(uint64_t)in->size : in->size;

	emu_gpr_set(&cpu->gpr[reg], in->addr_size, cpu->gpr[reg] + step);
}

static enum emu_result step_movs(struct emu_cpu *cpu, const struct insn *in)
{
	struct emu_addr from, to;
	uint64_t value;
	enum emu_result result = place_source(cpu, in, &from);

	if (result == EMU_DONE)
		result = place_destination(cpu, in, ACCESS_WRITE, &to);
	if (result == EMU_DONE)
		result = cpu->ops->read(cpu, from, in->size, &value);
	if (result == EMU_DONE)
		result = cpu->ops->write(cpu, to, in->size, value);
	if (result != EMU_DONE)
		return result;
	advance(cpu, in, RSI);
	advance(cpu, in, RDI);
	return EMU_DONE;
}

static enum emu_result step_stos(struct emu_cpu *cpu, const struct insn *in)
{
	struct emu_addr to;
	enum emu_result result = place_destination(cpu, in, ACCESS_WRITE, &to);

	if (result == EMU_DONE)
		result = cpu->ops->write(cpu, to, in->size, truncate_to(cpu->gpr[RAX], in->size));
	if (result == EMU_DONE)
		advance(cpu, in, RDI);
	return result;
}

static enum emu_result step_lods(struct emu_cpu *cpu, const struct insn *in)
{
	struct emu_addr from;
	uint64_t value;
	enum emu_result result = place_source(cpu, in, &from);

	if (result == EMU_DONE)
		result = cpu->ops->read(cpu, from, in->size, &value);
	if (result != EMU_DONE)
		return result;
	emu_gpr_set(&cpu->gpr[RAX], in->size, value);
	advance(cpu, in, RSI);
	return EMU_DONE;
}

/* Compares source with destination: the other way round than the letters of CMPS suggest. */
static enum emu_result step_cmps(struct emu_cpu *cpu, const struct insn *in)
{
	struct emu_addr a, b;
	uint64_t source, destination;
	enum emu_result result = place_source(cpu, in, &a);

	if (result == EMU_DONE)
		result = place_destination(cpu, in, ACCESS_READ, &b);
	if (result == EMU_DONE)
		result = cpu->ops->read(cpu, a, in->size, &source);
	if (result == EMU_DONE)
		result = cpu->ops->read(cpu, b, in->size, &destination);
	if (result != EMU_DONE)
		return result;
	alu_compute(OP_CMP, in->size, source, destination, &cpu->rflags);
	advance(cpu, in, RSI);
	advance(cpu, in, RDI);
	return EMU_DONE;
}

static enum emu_result step_scas(struct emu_cpu *cpu, const struct insn *in)
{
	struct emu_addr at;
	uint64_t value;
	enum emu_result result = place_destination(cpu, in, ACCESS_READ, &at);

	if (result == EMU_DONE)
		result = cpu->ops->read(cpu, at, in->size, &value);
	if (result != EMU_DONE)
		return result;
	alu_compute(OP_CMP, in->size, cpu->gpr[RAX], value, &cpu->rflags);
	advance(cpu, in, RDI);
	return EMU_DONE;
}

static enum emu_result step(struct emu_cpu *cpu, const struct insn *in)
{
	switch (in->op) {
	case OP_MOVS: return step_movs(cpu, in);
	case OP_STOS: return step_stos(cpu, in);
	case OP_LODS: return step_lods(cpu, in);
	case OP_CMPS: return step_cmps(cpu, in);
	default: return step_scas(cpu, in);
	}
}

/* REPE and REPNE end a comparison early; the others take either prefix as REP. */
static bool is_decided(const struct emu_cpu *cpu, const struct insn *in)
{
	bool equal = cpu->rflags & RFLAGS_ZF;

	if (in->op != OP_CMPS && in->op != OP_SCAS)
		return false;
	return in->repeat == REPEAT_E ? !equal : equal;
}

enum emu_result emu_string(struct emu_cpu *cpu, const struct insn *in)
{
	enum emu_result result;

	if (in->repeat == REPEAT_NONE) {
		result = step(cpu, in);
		return result == EMU_DONE ? emu_retire(cpu, in) : result;
	}
	for (unsigned i = 0; i < cpu->max_iterations; i++) {
		if (truncate_to(cpu->gpr[RCX], in->addr_size) == 0)
			return emu_retire(cpu, in);
		result = step(cpu, in);
		if (result != EMU_DONE)
			return result;
		emu_gpr_set(&cpu->gpr[RCX], in->addr_size, cpu->gpr[RCX] - 1);
		if (is_decided(cpu, in))
			return emu_retire(cpu, in);
	}
	return truncate_to(cpu->gpr[RCX], in->addr_size) == 0 ? emu_retire(cpu, in) : EMU_RETRY;
}
