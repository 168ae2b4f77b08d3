/*
 * Operands of emulated instructions: registers, addresses with their segment checks, and the end of
 * an instruction. Shared by the files of hv/emulate alone.
 */
#ifndef HV_EMULATE_OPERAND_H
#define HV_EMULATE_OPERAND_H

#include "hv/base/types.h"
#include "hv/base/x86.h"
#include "hv/emulate/emulate.h"
#include "hv/emulate/flags.h"

enum emu_access { ACCESS_READ, ACCESS_WRITE };

/* One vector without error code, or #GP(0) and #SS(0) with it. All return EMU_FAULT. */
enum emu_result emu_raise(struct emu_cpu *cpu, unsigned vector);
enum emu_result emu_raise_error0(struct emu_cpu *cpu, unsigned vector);
enum emu_result emu_unsupported(struct emu_cpu *cpu, const char *reason);

/* segment:offset for size bytes: checks limit and type, or canonical form; *la is the linear address. */
enum emu_result emu_linear(struct emu_cpu *cpu, enum insn_segment segment, uint64_t offset, unsigned size,
			   enum emu_access access, gva_t *la);

/* emu_linear() and, when it is the access of the exit, the gpa from there. A write whose address
 * must be walked is probed, so that a later write does not fault. */
enum emu_result emu_place(struct emu_cpu *cpu, const struct insn *in, enum insn_segment segment,
			  uint64_t offset, unsigned size, enum emu_access access, struct emu_addr *at);

/* The offset that ModRM, SIB and displacement make, truncated to the address size. */
uint64_t emu_effective_offset(const struct emu_cpu *cpu, const struct insn *in);

/* Bits of the stack pointer in use: 2, 4 or 8 bytes. */
unsigned emu_stack_bytes(struct emu_cpu *cpu);

/* A general register's low size bytes become value: sizes 1 and 2 keep the rest, 4 clears it. */
static inline void emu_gpr_set(uint64_t *gpr, unsigned size, uint64_t value)
{
	if (LIKELY(size >= 4))
		*gpr = size == 4 ? (uint32_t)value : value;
	else
		*gpr = (*gpr & ~truncate_to(~(uint64_t)0, size)) | truncate_to(value, size);
}

static inline uint64_t emu_reg_read(const struct emu_cpu *cpu, const struct insn *in)
{
	return truncate_to(cpu->gpr[in->reg] >> in->reg_shift, in->size);
}

static inline void emu_reg_write(struct emu_cpu *cpu, const struct insn *in, uint64_t value)
{
	uint64_t *gpr = &cpu->gpr[in->reg];

	if (UNLIKELY(in->reg_shift))
		*gpr = (*gpr & ~(uint64_t)0xff00) | (value & 0xff) << 8;
	else
		emu_gpr_set(gpr, in->size, value);
}

/* The instruction is over: rip moves on, and RF, which only ever covers one instruction, goes. */
static inline enum emu_result emu_retire_length(struct emu_cpu *cpu, unsigned length)
{
	uint64_t next = cpu->rip + length;

	cpu->rip = cpu->mode == CPU_MODE_64 ? next : (uint32_t)next;
	cpu->rflags &= ~RFLAGS_RF;
	return EMU_DONE;
}

static inline enum emu_result emu_retire(struct emu_cpu *cpu, const struct insn *in)
{
	return emu_retire_length(cpu, in->length);
}

/* emulate_string.c: MOVS, CMPS, STOS, LODS, SCAS. */
enum emu_result emu_string(struct emu_cpu *cpu, const struct insn *in);

#endif
