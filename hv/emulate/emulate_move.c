/*
 * MOVBE, and moves between memory and an XMM register: memset, memcpy and streaming stores of guests
 * that reach a device or a write-protected page. 16 bytes are two accesses of 8, as the SDM allows
 * ("Guaranteed Atomic Operations" ends at 8).
 */
#include "hv/emulate/operand.h"

static uint64_t swap_bytes(uint64_t value, unsigned size) { return __builtin_bswap64(value) >> (64 - 8 * size); }

enum emu_result emu_movbe(struct emu_cpu *cpu, const struct insn *in)
{
	enum emu_access access = in->form == FORM_LOAD ? ACCESS_READ : ACCESS_WRITE;
	struct emu_addr at;
	uint64_t value;
	enum emu_result result = emu_place_operand(cpu, in, access, &at);

	if (result != EMU_DONE)
		return result;
	if (access == ACCESS_WRITE)
		result = cpu->ops->write(cpu, at, in->size, swap_bytes(emu_reg_read(cpu, in), in->size));
	else
		result = cpu->ops->read(cpu, at, in->size, &value);
	if (result != EMU_DONE)
		return result;
	if (access == ACCESS_READ)
		emu_reg_write(cpu, in, swap_bytes(value, in->size));
	return emu_retire(cpu, in);
}

static enum emu_result xmm_store(struct emu_cpu *cpu, const struct insn *in, struct emu_addr at,
				 const uint64_t x[2])
{
	enum emu_result result;

	if (in->size < 16)
		return cpu->ops->write(cpu, at, in->size, truncate_to(x[in->op == OP_XMOVH], in->size));
	result = cpu->ops->write(cpu, at, 8, x[0]);
	return result == EMU_DONE ? cpu->ops->write(cpu, emu_upper_half(at), 8, x[1]) : result;
}

static enum emu_result xmm_load(struct emu_cpu *cpu, const struct insn *in, struct emu_addr at, uint64_t x[2])
{
	enum emu_result result;

	if (in->op == OP_XMOVH)
		return cpu->ops->read(cpu, at, 8, &x[1]);
	result = cpu->ops->read(cpu, at, in->size == 4 ? 4 : 8, &x[0]);
	if (result != EMU_DONE || in->op == OP_XMOVL)
		return result;
	x[1] = 0;
	return in->size == 16 ? cpu->ops->read(cpu, emu_upper_half(at), 8, &x[1]) : EMU_DONE;
}

/* The register is asked for first: whether it can be used comes before anything memory says. */
enum emu_result emu_xmm_move(struct emu_cpu *cpu, const struct insn *in)
{
	enum emu_access access = in->form == FORM_LOAD ? ACCESS_READ : ACCESS_WRITE;
	struct emu_addr at;
	uint64_t x[2];
	enum emu_result result = cpu->ops->xmm_read(cpu, in->reg, x);

	if (result == EMU_DONE)
		result = (in->op == OP_XMOVA ? emu_place_aligned : emu_place_operand)(cpu, in, access, &at);
	if (result == EMU_DONE)
		result = (access == ACCESS_READ ? xmm_load(cpu, in, at, x) : xmm_store(cpu, in, at, x));
	if (result != EMU_DONE)
		return result;
	if (access == ACCESS_READ)
		cpu->ops->xmm_write(cpu, in->reg, x);
	return emu_retire(cpu, in);
}
