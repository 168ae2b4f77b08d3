/*
 * XCHG, XADD and compare-and-exchange. On RAM the locked ones end in one locked access of the host:
 * when memory has changed since it was read, the guest runs the instruction again.
 */
#include "hv/emulate/operand.h"

/* XCHG and XADD: memory gets a new value, the register memory's old one. */
enum emu_result emu_exchange(struct emu_cpu *cpu, const struct insn *in)
{
	uint64_t rflags = cpu->rflags, old, value = emu_reg_read(cpu, in);
	struct emu_addr at;
	enum emu_result result = emu_load(cpu, in, ACCESS_WRITE, &at, &old);

	if (result != EMU_DONE)
		return result;
	if (in->op == OP_XADD)
		value = alu_compute(OP_ADD, in->size, old, value, &rflags);
	result = emu_store_and_retire(cpu, in, at, old, value, rflags);
	if (result == EMU_DONE)
		emu_reg_write(cpu, in, old);
	return result;
}

/* Memory is written whatever the comparison says: with its old value when it failed. */
enum emu_result emu_cmpxchg(struct emu_cpu *cpu, const struct insn *in)
{
	uint64_t rflags = cpu->rflags, old, rax = truncate_to(cpu->gpr[RAX], in->size), value;
	struct emu_addr at;
	enum emu_result result = emu_load(cpu, in, ACCESS_WRITE, &at, &old);

	if (result != EMU_DONE)
		return result;
	alu_compute(OP_CMP, in->size, rax, old, &rflags);
	value = old == rax ? emu_reg_read(cpu, in) : old;
	result = emu_store_and_retire(cpu, in, at, old, value, rflags);
	if (result == EMU_DONE && old != rax)
		emu_gpr_set(&cpu->gpr[RAX], in->size, old);
	return result;
}

/* One value of mem_size bytes from two registers, as memory has it. */
static void join(const struct emu_cpu *cpu, const struct insn *in, unsigned low, unsigned high, uint64_t value[2])
{
	value[0] = cpu->gpr[low];
	value[1] = cpu->gpr[high];
	if (in->size == 4) {
		value[0] = (uint32_t)value[0] | value[1] << 32;
		value[1] = 0;
	}
}

static void split(struct emu_cpu *cpu, const struct insn *in, const uint64_t value[2])
{
	emu_gpr_set(&cpu->gpr[RAX], in->size, value[0]);
	emu_gpr_set(&cpu->gpr[RDX], in->size, in->size == 4 ? value[0] >> 32 : value[1]);
}

static enum emu_result load_pair(struct emu_cpu *cpu, const struct insn *in, struct emu_addr *at, uint64_t value[2])
{
	enum emu_result result;

	value[1] = 0;
	if (in->size == 4)
		return emu_load(cpu, in, ACCESS_WRITE, at, value);
	result = emu_place_aligned(cpu, in, ACCESS_WRITE, at);
	if (result == EMU_DONE)
		result = cpu->ops->read(cpu, *at, 8, &value[0]);
	return result == EMU_DONE ? cpu->ops->read(cpu, emu_upper_half(*at), 8, &value[1]) : result;
}

/* CMPXCHG8B and CMPXCHG16B: rDX:rAX with memory, which gets rCX:rBX. The halves were read one after the
 * other, but the exchange that follows takes place only if both still hold. */
enum emu_result emu_cmpxchg2(struct emu_cpu *cpu, const struct insn *in)
{
	uint64_t old[2], expected[2], wanted[2];
	struct emu_addr at;
	enum emu_result result = load_pair(cpu, in, &at, old);
	bool equal;

	if (result != EMU_DONE)
		return result;
	join(cpu, in, RAX, RDX, expected);
	join(cpu, in, RBX, RCX, wanted);
	equal = old[0] == expected[0] && old[1] == expected[1];
	result = cpu->ops->compare_exchange(cpu, at, in->mem_size, old, equal ? wanted : old);
	if (result != EMU_DONE)
		return result;
	if (!equal)
		split(cpu, in, old);
	cpu->rflags = (cpu->rflags & ~RFLAGS_ZF) | (equal ? RFLAGS_ZF : 0);
	return emu_retire(cpu, in);
}
