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

#define RAX 0
#define RCX 1
#define RDX 2
#define RBX 3
#define RSP 4
#define RSI 6
#define RDI 7

/* One vector without error code, or #GP(0) and #SS(0) with it. All return EMU_FAULT. */
enum emu_result emu_raise(struct emu_cpu *cpu, unsigned vector);
enum emu_result emu_raise_error0(struct emu_cpu *cpu, unsigned vector);
enum emu_result emu_unsupported(struct emu_cpu *cpu, const char *reason);

/* The rest of emu_place(), for what emu_is_exit_operand() does not settle. */
enum emu_result emu_place_checked(struct emu_cpu *cpu, const struct insn *in, enum insn_segment segment,
				  uint64_t offset, unsigned size, enum emu_access access, struct emu_addr *at);

/*
 * The common case in few instructions: a flat address that is the exit's. The guest may have changed
 * the instruction since the CPU walked its tables, so the exit's gpa stands in only for the same
 * linear address, and for a write only if the exit was for a write: no permission is assumed that
 * the CPU did not check. GPA_UNKNOWN fails the last test, and a page's last byte takes the long way.
 */
static inline bool emu_is_exit_operand(const struct emu_cpu *cpu, enum insn_segment segment, uint64_t offset,
				       unsigned size, enum emu_access access)
{
	return offset == cpu->exit_la && cpu->exit_la_valid && (access == ACCESS_READ || cpu->exit_write) &&
	       segment < SEG_FS && cpu->mode == CPU_MODE_64 && (cpu->exit_gpa & PAGE_MASK) + size < PAGE_SIZE;
}

/* emu_linear() and, when it is the access of the exit, the gpa from there. A write whose address
 * must be walked is probed, so that a later write does not fault. */
static inline enum emu_result emu_place(struct emu_cpu *cpu, const struct insn *in, enum insn_segment segment,
					uint64_t offset, unsigned size, enum emu_access access,
					struct emu_addr *at)
{
	if (!emu_is_exit_operand(cpu, segment, offset, size, access))
		return emu_place_checked(cpu, in, segment, offset, size, access, at);
	at->la = offset;
	at->gpa = cpu->exit_gpa;
	return EMU_DONE;
}

/* The offset that ModRM, SIB and displacement make, before it is truncated to the address size. rip: of the
 * instruction itself. */
static inline uint64_t insn_offset(const struct insn *in, const uint64_t *gpr, uint64_t rip)
{
	uint64_t offset = (uint64_t)in->disp;

	if (LIKELY(in->base < INSN_REG_RIP))
		offset += gpr[in->base];
	else if (in->base == INSN_REG_RIP)
		offset += rip + in->length;
	if (UNLIKELY(in->index != INSN_REG_NONE))
		offset += gpr[in->index] << in->scale;
	return offset;
}

static inline uint64_t emu_effective_offset(const struct emu_cpu *cpu, const struct insn *in)
{
	uint64_t offset = insn_offset(in, cpu->gpr, cpu->rip);

	return LIKELY(in->addr_size == 8) ? offset : truncate_to(offset, in->addr_size);
}

/* The memory operand's place, and what it is read as. access is ACCESS_WRITE if it is written afterwards. */
static inline enum emu_result emu_place_operand(struct emu_cpu *cpu, const struct insn *in,
						enum emu_access access, struct emu_addr *at)
{
	return emu_place(cpu, in, in->segment, emu_effective_offset(cpu, in), in->mem_size, access, at);
}

static inline enum emu_result emu_load(struct emu_cpu *cpu, const struct insn *in, enum emu_access access,
				       struct emu_addr *at, uint64_t *value)
{
	enum emu_result result = emu_place_operand(cpu, in, access, at);

	return LIKELY(result == EMU_DONE) ? cpu->ops->read(cpu, *at, in->mem_size, value) : result;
}

/* The same for an operand that must lie at a multiple of its size: #GP(0) otherwise. */
enum emu_result emu_place_aligned(struct emu_cpu *cpu, const struct insn *in, enum emu_access access,
				  struct emu_addr *at);

/* The upper half of an operand of 16 bytes, which memory takes as two of 8. */
static inline struct emu_addr emu_upper_half(struct emu_addr at)
{
	return (struct emu_addr){ at.la + 8, at.gpa == GPA_UNKNOWN ? GPA_UNKNOWN : at.gpa + 8 };
}

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

static inline uint64_t emu_source(const struct emu_cpu *cpu, const struct insn *in)
{
	return in->form == FORM_IMM ? truncate_to(in->imm, in->size) : emu_reg_read(cpu, in);
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

/* The second half of a read-modify-write. XCHG locks without being told. */
static inline enum emu_result emu_store_modified(struct emu_cpu *cpu, const struct insn *in, struct emu_addr at,
						 uint64_t old, uint64_t value)
{
	if (in->lock || in->op == OP_XCHG)
		return cpu->ops->compare_exchange(cpu, at, in->size, &old, &value);
	return cpu->ops->write(cpu, at, in->size, value);
}

static inline enum emu_result emu_store_and_retire(struct emu_cpu *cpu, const struct insn *in, struct emu_addr at,
						   uint64_t old, uint64_t value, uint64_t rflags)
{
	enum emu_result result = emu_store_modified(cpu, in, at, old, value);

	if (result != EMU_DONE)
		return result;
	cpu->rflags = rflags;
	return emu_retire(cpu, in);
}

/* emulate_string.c: MOVS, CMPS, STOS, LODS, SCAS. */
enum emu_result emu_string(struct emu_cpu *cpu, const struct insn *in);
/* emulate_arith.c */
enum emu_result emu_shift(struct emu_cpu *cpu, const struct insn *in);
enum emu_result emu_multiply(struct emu_cpu *cpu, const struct insn *in);
enum emu_result emu_divide(struct emu_cpu *cpu, const struct insn *in);
/* emulate_exchange.c */
enum emu_result emu_exchange(struct emu_cpu *cpu, const struct insn *in);
enum emu_result emu_cmpxchg(struct emu_cpu *cpu, const struct insn *in);
enum emu_result emu_cmpxchg2(struct emu_cpu *cpu, const struct insn *in);
/* emulate_move.c */
enum emu_result emu_movbe(struct emu_cpu *cpu, const struct insn *in);
enum emu_result emu_xmm_move(struct emu_cpu *cpu, const struct insn *in);

#endif
