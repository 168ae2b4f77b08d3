/* INS and OUTS: one transfer after the other, each complete before the next starts. */
#include "hv/emulate/string_io.h"

#include "hv/emulate/operand.h"

static enum emu_result place(struct emu_cpu *cpu, const struct string_io *io, struct emu_addr *at)
{
	enum insn_segment segment = io->in ? SEG_ES : (enum insn_segment)io->segment;
	uint64_t offset = truncate_to(cpu->gpr[io->in ? RDI : RSI], io->addr_size);

	at->gpa = GPA_UNKNOWN;
	return emu_linear(cpu, segment, offset, io->size, io->in ? ACCESS_WRITE : ACCESS_READ, &at->la);
}

/* The memory is probed before the port is read: reading a port often consumes what it delivers. */
static enum emu_result transfer_in(struct emu_cpu *cpu, const struct string_io *io, struct emu_addr at)
{
	enum emu_result result = cpu->ops->probe_write(cpu, &at, io->size);

	if (result != EMU_DONE)
		return result;
	return cpu->ops->write(cpu, at, io->size, io->port_read(cpu, io->port, io->size));
}

static enum emu_result transfer_out(struct emu_cpu *cpu, const struct string_io *io, struct emu_addr at)
{
	uint64_t value;
	enum emu_result result = cpu->ops->read(cpu, at, io->size, &value);

	if (result == EMU_DONE)
		io->port_write(cpu, io->port, io->size, (uint32_t)value);
	return result;
}

static enum emu_result transfer(struct emu_cpu *cpu, const struct string_io *io)
{
	uint64_t step = cpu->rflags & RFLAGS_DF ? -(uint64_t)io->size : io->size;
	uint64_t *pointer = &cpu->gpr[io->in ? RDI : RSI];
	struct emu_addr at;
	enum emu_result result = place(cpu, io, &at);

	if (result == EMU_DONE)
		result = io->in ? transfer_in(cpu, io, at) : transfer_out(cpu, io, at);
	if (result == EMU_DONE)
		emu_gpr_set(pointer, io->addr_size, *pointer + step);
	return result;
}

enum emu_result emulate_string_io(struct emu_cpu *cpu, const struct string_io *io)
{
	enum emu_result result;

	if (!io->repeat) {
		result = transfer(cpu, io);
		return result == EMU_DONE ? emu_retire_length(cpu, io->length) : result;
	}
	for (unsigned i = 0; i < cpu->max_iterations && truncate_to(cpu->gpr[RCX], io->addr_size) != 0; i++) {
		result = transfer(cpu, io);
		if (result != EMU_DONE)
			return result;
		emu_gpr_set(&cpu->gpr[RCX], io->addr_size, cpu->gpr[RCX] - 1);
	}
	if (truncate_to(cpu->gpr[RCX], io->addr_size) != 0)
		return EMU_RETRY;
	return emu_retire_length(cpu, io->length);
}
