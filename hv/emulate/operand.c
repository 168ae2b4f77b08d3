/* Where an emulated instruction's operands are: offsets, segments, linear addresses, faults. */
#include "hv/emulate/operand.h"

/* Access rights in the VMCS format, SDM volume 3C, "Guest Register State". */
#define RIGHTS_CODE BIT(3)
#define RIGHTS_EXPAND_DOWN BIT(2) /* of data */
#define RIGHTS_WRITABLE BIT(1)    /* of data; readable, of code */
#define RIGHTS_BIG BIT(14)
#define RIGHTS_UNUSABLE BIT(16)

enum emu_result emu_raise(struct emu_cpu *cpu, unsigned vector)
{
	cpu->fault = (struct emu_fault){ .vector = (uint8_t)vector };
	return EMU_FAULT;
}

enum emu_result emu_raise_error0(struct emu_cpu *cpu, unsigned vector)
{
	cpu->fault = (struct emu_fault){ .vector = (uint8_t)vector, .has_error_code = true };
	return EMU_FAULT;
}

enum emu_result emu_unsupported(struct emu_cpu *cpu, const char *reason)
{
	cpu->reason = reason;
	return EMU_UNSUPPORTED;
}

static enum emu_result raise_segment(struct emu_cpu *cpu, enum insn_segment segment)
{
	return emu_raise_error0(cpu, segment == SEG_SS ? VEC_SS : VEC_GP);
}

static bool type_allows(uint32_t rights, enum emu_access access)
{
	if (rights & RIGHTS_UNUSABLE)
		return false;
	if (rights & RIGHTS_CODE)
		return access == ACCESS_READ && rights & RIGHTS_WRITABLE;
	return access == ACCESS_READ || rights & RIGHTS_WRITABLE;
}

/* An expand-down segment is what lies above its limit. SDM volume 3A, "Limit Checking". */
static bool within_limit(const struct emu_segment *s, uint64_t first, uint64_t last)
{
	if ((s->rights & (RIGHTS_CODE | RIGHTS_EXPAND_DOWN)) == RIGHTS_EXPAND_DOWN)
		return first > s->limit && last <= (s->rights & RIGHTS_BIG ? 0xffffffff : 0xffff);
	return last <= s->limit;
}

static enum emu_result linear_segmented(struct emu_cpu *cpu, enum insn_segment segment, uint64_t offset,
					unsigned size, enum emu_access access, gva_t *la)
{
	struct emu_segment s;

	offset = (uint32_t)offset;
	cpu->ops->segment(cpu, segment, &s);
	if (!type_allows(s.rights, access) || !within_limit(&s, offset, offset + size - 1))
		return raise_segment(cpu, segment);
	*la = (uint32_t)(s.base + offset);
	return EMU_DONE;
}

enum emu_result emu_linear(struct emu_cpu *cpu, enum insn_segment segment, uint64_t offset, unsigned size,
			   enum emu_access access, gva_t *la)
{
	struct emu_segment s;

	if (cpu->mode != CPU_MODE_64)
		return linear_segmented(cpu, segment, offset, size, access, la);
	*la = offset;
	if (segment >= SEG_FS) {
		cpu->ops->segment(cpu, segment, &s);
		*la += s.base;
	}
	if (!is_canonical(*la, cpu->la_bits) || !is_canonical(*la + size - 1, cpu->la_bits))
		return raise_segment(cpu, segment);
	return EMU_DONE;
}

/* Instructions with a second memory operand, which an exit without linear address may be about. */
static bool has_two_memory_operands(const struct insn *in)
{
	return in->op == OP_MOVS || in->op == OP_CMPS || in->op == OP_PUSH || in->op == OP_POP;
}

/* As emu_is_exit_operand(), for addresses that had to be computed with a segment, or not at all. */
static bool is_exit_access(const struct emu_cpu *cpu, const struct insn *in, gva_t la, unsigned size,
			   enum emu_access access)
{
	if (cpu->exit_gpa == GPA_UNKNOWN || ((la ^ cpu->exit_gpa) & PAGE_MASK) != 0 ||
	    (la & PAGE_MASK) + size > PAGE_SIZE)
		return false;
	if (access == ACCESS_WRITE && !cpu->exit_write)
		return false;
	return cpu->exit_la_valid ? la == cpu->exit_la : !has_two_memory_operands(in);
}

enum emu_result emu_place_checked(struct emu_cpu *cpu, const struct insn *in, enum insn_segment segment,
				  uint64_t offset, unsigned size, enum emu_access access, struct emu_addr *at)
{
	enum emu_result result = emu_linear(cpu, segment, offset, size, access, &at->la);

	if (result != EMU_DONE)
		return result;
	at->gpa = GPA_UNKNOWN;
	if (is_exit_access(cpu, in, at->la, size, access))
		at->gpa = cpu->exit_gpa;
	else if (access == ACCESS_WRITE)
		return cpu->ops->probe_write(cpu, at, size);
	return EMU_DONE;
}

enum emu_result emu_place_aligned(struct emu_cpu *cpu, const struct insn *in, enum emu_access access,
				  struct emu_addr *at)
{
	enum emu_result result =
		emu_linear(cpu, in->segment, emu_effective_offset(cpu, in), in->mem_size, access, &at->la);

	if (result != EMU_DONE)
		return result;
	if (!is_aligned(at->la, in->mem_size))
		return emu_raise_error0(cpu, VEC_GP);
	return emu_place_operand(cpu, in, access, at);
}

unsigned emu_stack_bytes(struct emu_cpu *cpu)
{
	struct emu_segment s;

	if (cpu->mode == CPU_MODE_64)
		return 8;
	cpu->ops->segment(cpu, SEG_SS, &s);
	return s.rights & RIGHTS_BIG ? 4 : 2;
}
