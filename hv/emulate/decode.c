/*
 * The instruction decoder: prefixes, an opcode from the tables, ModRM, SIB, displacement, immediate.
 * SDM volume 2A, chapter "Instruction Format". Every byte is read once, and none past the end.
 */
#include "hv/emulate/decode.h"

#include <errno.h>

#include "hv/emulate/opcodes.h"

#define SEGMENT_DEFAULT 0xff

#define REX_W 8
#define REX_R 4
#define REX_X 2
#define REX_B 1

struct decoder {
	const uint8_t *at, *end;
	enum cpu_mode mode;
	uint8_t rex;     /* 40h..4fh, 0 without */
	uint8_t segment; /* override, or SEGMENT_DEFAULT */
	bool operand_prefix, address_prefix;
};

/* Bytes of operand and address in each mode, without and with the prefix that toggles them. */
static const uint8_t operand_bytes[3][2] = { { 2, 4 }, { 4, 2 }, { 4, 2 } };
static const uint8_t address_bytes[3][2] = { { 2, 4 }, { 4, 2 }, { 8, 4 } };

static inline unsigned mode_index(enum cpu_mode mode) { return mode >> 5; }

/* The next n bytes (1, 2, 4 or 8), sign-extended. The builtin: one load, and no call when freestanding. */
static inline int take_signed(struct decoder *d, unsigned n, int64_t *value)
{
	int8_t v1;
	int16_t v2;
	int32_t v4;

	if ((size_t)(d->end - d->at) < n)
		return -ENODATA;
	switch (n) {
	case 1: __builtin_memcpy(&v1, d->at, 1); *value = v1; break;
	case 2: __builtin_memcpy(&v2, d->at, 2); *value = v2; break;
	case 4: __builtin_memcpy(&v4, d->at, 4); *value = v4; break;
	default: __builtin_memcpy(value, d->at, 8); break;
	}
	d->at += n;
	return 0;
}

static inline int take_byte(struct decoder *d, uint8_t *value)
{
	if (UNLIKELY(d->at == d->end))
		return -ENODATA;
	*value = *d->at++;
	return 0;
}

/* In 64-bit mode only FS and GS have a base, and the other overrides are as good as absent. */
static void apply_segment(struct decoder *d, enum insn_segment segment)
{
	if (d->mode != CPU_MODE_64 || segment >= SEG_FS)
		d->segment = segment;
}

static void apply_prefix(struct decoder *d, enum prefix prefix, struct insn *in)
{
	switch (prefix) {
	case PREFIX_OPERAND: d->operand_prefix = true; break;
	case PREFIX_ADDRESS: d->address_prefix = true; break;
	case PREFIX_LOCK: in->lock = 1; break;
	case PREFIX_REPNE: in->repeat = REPEAT_NE; break;
	case PREFIX_REPE: in->repeat = REPEAT_E; break;
	default: apply_segment(d, (enum insn_segment)prefix); break;
	}
}

/* Consumes prefixes and the opcode's first byte. A REX counts only right before the opcode. */
static int take_first(struct decoder *d, uint8_t *code, struct insn *in)
{
	for (;;) {
		if (take_byte(d, code) != 0)
			return -ENODATA;
		const struct opcode *o = &opcode_one_byte[*code];
		if (LIKELY(o->kind < KIND_PREFIX))
			return 0;
		if (o->kind == KIND_PREFIX) {
			d->rex = 0;
			apply_prefix(d, (enum prefix)o->op, in);
		} else if (d->mode == CPU_MODE_64) {
			d->rex = *code;
		} else {
			return -ENOTSUP; /* INC or DEC of a register */
		}
	}
}

/* What 16-bit ModRM.rm adds up: BX+SI BX+DI BP+SI BP+DI SI DI BP BX. */
static const uint8_t base16[8] = { 3, 3, 5, 5, 6, 7, 5, 3 };
static const uint8_t index16[8] = { 6, 7, 6, 7, INSN_REG_NONE, INSN_REG_NONE, INSN_REG_NONE, INSN_REG_NONE };

static int memory_operand16(struct decoder *d, uint8_t modrm, struct insn *in)
{
	unsigned mod = modrm >> 6, rm = modrm & 7;

	in->base = base16[rm];
	in->index = index16[rm];
	in->segment = in->base == 5 ? SEG_SS : SEG_DS;
	if (mod == 0 && rm == 6) {
		in->base = INSN_REG_NONE;
		in->segment = SEG_DS;
		return take_signed(d, 2, &in->disp);
	}
	return mod == 0 ? 0 : take_signed(d, mod, &in->disp);
}

/* SIB: base 5 without displacement bits is "disp32 alone", index 4 is "no index". */
static int take_sib(struct decoder *d, struct insn *in)
{
	uint8_t sib;

	if (take_byte(d, &sib) != 0)
		return -ENODATA;
	unsigned index = (sib >> 3 & 7) | (d->rex & REX_X ? 8 : 0);
	if (index != 4) {
		in->index = (uint8_t)index;
		in->scale = sib >> 6;
	}
	in->base = sib & 7;
	return 0;
}

static int memory_operand(struct decoder *d, uint8_t modrm, struct insn *in)
{
	unsigned mod = modrm >> 6;
	bool sib = (modrm & 7) == 4;

	in->base = modrm & 7;
	in->index = INSN_REG_NONE;
	if (sib && take_sib(d, in) != 0)
		return -ENODATA;
	in->segment = SEG_DS;
	if (mod == 0 && in->base == 5) {
		in->base = !sib && d->mode == CPU_MODE_64 ? INSN_REG_RIP : INSN_REG_NONE;
		return take_signed(d, 4, &in->disp);
	}
	in->base |= (uint8_t)(d->rex & REX_B) << 3;
	if (in->base == 4 || in->base == 5)
		in->segment = SEG_SS;
	if (mod == 0)
		return 0;
	return mod == 1 ? take_signed(d, 1, &in->disp) : take_signed(d, 4, &in->disp);
}

/* AH, CH, DH and BH are 4..7 of the byte registers only when there is no REX prefix. */
static inline void set_register(const struct decoder *d, unsigned field, struct insn *in)
{
	in->reg = (uint8_t)(field | (d->rex & REX_R ? 8 : 0));
	if (in->size == 1 && d->rex == 0 && field >= 4) {
		in->reg = (uint8_t)(field - 4);
		in->reg_shift = 8;
	}
}

/* Operands whose size the operand size does not tell. */
static void set_own_sizes(const struct decoder *d, unsigned attr, struct insn *in)
{
	bool w = d->rex & REX_W;

	if (attr & ATTR_SRC8)
		in->mem_size = 1;
	else if (attr & ATTR_SRC16)
		in->mem_size = 2;
	else if (attr & ATTR_SRC32)
		in->mem_size = 4;
	else if (attr & ATTR_PAIR)
		in->mem_size = 2 * (in->size = w ? 8 : 4);
	else if (attr & ATTR_XMM)
		in->mem_size = in->size = 16;
	else
		in->mem_size = in->size = attr & ATTR_XMM_D && !(attr & ATTR_XMM_Q && w) ? 4 : 8;
}

static inline void set_sizes(const struct decoder *d, unsigned attr, struct insn *in)
{
	unsigned mode = mode_index(d->mode);

	in->size = operand_bytes[mode][d->operand_prefix];
	if (d->rex & REX_W || (attr & ATTR_WIDE && d->mode == CPU_MODE_64 && in->size == 4))
		in->size = 8;
	if (attr & ATTR_BYTE)
		in->size = 1;
	if (UNLIKELY(attr & ATTR_BARE && in->size == 2))
		in->size = 4;
	in->mem_size = in->size;
	if (UNLIKELY(attr & ATTR_OWN_SIZES))
		set_own_sizes(d, attr, in);
}

/* The form of an opcode that 66h, F3h or F2h make another one; of the last two the later counts. */
static const struct opcode *choose_by_prefix(const struct decoder *d, const struct opcode *o, struct insn *in)
{
	static const uint8_t rows[] = { [REPEAT_NE] = MANDATORY_F2, [REPEAT_E] = MANDATORY_F3 };
	unsigned row = d->operand_prefix ? MANDATORY_66 : MANDATORY_NONE;

	if (in->repeat != REPEAT_NONE)
		row = rows[in->repeat];
	o = &opcode_prefixed[o->op][row];
	in->op = o->op;
	in->form = o->kind;
	return o;
}

static int take_immediate(struct decoder *d, unsigned attr, struct insn *in)
{
	int64_t value;
	int err = take_signed(d, attr & ATTR_IMM8 ? 1 : in->size == 2 ? 2 : 4, &value);

	if (err == 0)
		in->imm = (uint64_t)value;
	return err;
}

static bool is_bare(const struct decoder *d, const struct insn *in)
{
	return !d->operand_prefix && in->repeat == REPEAT_NONE;
}

/* The refusals that depend on mode and prefixes, in one place. */
static int check_opcode(const struct decoder *d, const struct opcode *o, const struct insn *in)
{
	if (o->attr & ATTR_NO64 && d->mode == CPU_MODE_64)
		return -EILSEQ;
	/* The manual and Zydis differ on how much MOVSXD to 16 bits, which nobody uses, reads. */
	if (o->attr & ATTR_ONLY64 && (d->mode != CPU_MODE_64 || (d->operand_prefix && !(d->rex & REX_W))))
		return -ENOTSUP;
	if (o->attr & ATTR_BARE && !is_bare(d, in))
		return -ENOTSUP;
	return 0;
}

/* Strings and absolute addresses: no ModRM. */
static int decode_plain(struct decoder *d, const struct opcode *o, struct insn *in)
{
	if (o->kind > KIND_MOFFS_STORE)
		return o->attr & ATTR_NO64 && d->mode == CPU_MODE_64 ? -EILSEQ : -ENOTSUP;
	if (in->lock)
		return -EILSEQ;
	set_sizes(d, o->attr, in);
	in->segment = d->segment == SEGMENT_DEFAULT ? SEG_DS : d->segment;
	in->base = INSN_REG_NONE;
	in->index = INSN_REG_NONE;
	if (o->kind == FORM_STRING)
		return 0;
	in->form = o->kind == KIND_MOFFS_LOAD ? FORM_LOAD : FORM_STORE;
	return take_signed(d, in->addr_size, &in->disp);
}

static int decode_modrm(struct decoder *d, const struct opcode *o, uint8_t code, struct insn *in)
{
	uint8_t modrm;
	int err;

	if (take_byte(d, &modrm) != 0)
		return -ENODATA;
	unsigned field = modrm >> 3 & 7;
	if (o->kind == KIND_GROUP) {
		o = &opcode_groups[o->op][field];
		in->op = o->op;
		in->form = o->kind;
	} else if (UNLIKELY(o->kind == KIND_PREFIXED)) {
		o = choose_by_prefix(d, o, in);
	}
	if (UNLIKELY(modrm >= 0xc0))
		return o->attr & ATTR_NO64 && d->mode == CPU_MODE_64 ? -EILSEQ : -ENOTSUP;
	if (UNLIKELY(o->kind > FORM_UNARY))
		return o->kind == KIND_INVALID ? -EILSEQ : -ENOTSUP;
	if (UNLIKELY(o->attr & (ATTR_NO64 | ATTR_ONLY64 | ATTR_BARE))) {
		err = check_opcode(d, o, in);
		if (err != 0)
			return err;
	}
	if (in->lock && !(o->attr & ATTR_LOCK))
		return -EILSEQ;

	set_sizes(d, o->attr, in);
	set_register(d, field, in);
	in->cond = o->attr & ATTR_COND ? code & 0xf : 0;
	err = in->addr_size == 2 ? memory_operand16(d, modrm, in) : memory_operand(d, modrm, in);
	if (err != 0)
		return err;
	if (d->segment != SEGMENT_DEFAULT)
		in->segment = d->segment;
	if (UNLIKELY(o->attr & ATTR_ONE))
		in->imm = 1;
	return o->attr & (ATTR_IMM8 | ATTR_IMM) ? take_immediate(d, o->attr, in) : 0;
}

static int decode_insn(struct decoder *d, struct insn *in)
{
	uint8_t code;
	int err = take_first(d, &code, in);

	if (err != 0)
		return err;
	const struct opcode *o = &opcode_one_byte[code];
	if (o->kind == KIND_ESCAPE) {
		if (take_byte(d, &code) != 0)
			return -ENODATA;
		o = &opcode_two_byte[code];
		if (UNLIKELY(o->kind == KIND_ESCAPE_38)) {
			if (take_byte(d, &code) != 0)
				return -ENODATA;
			o = &opcode_0f38[code];
		}
	}
	in->op = o->op;
	in->form = o->kind;
	in->addr_size = address_bytes[mode_index(d->mode)][d->address_prefix];
	if (o->kind <= FORM_UNARY || o->kind == KIND_GROUP || o->kind == KIND_PREFIXED)
		return decode_modrm(d, o, code, in);
	return decode_plain(d, o, in);
}

int decode(const uint8_t *bytes, unsigned len, enum cpu_mode mode, struct insn *out)
{
	struct decoder d = {
		.at = bytes,
		.end = bytes + (len < INSN_MAX_BYTES ? len : INSN_MAX_BYTES),
		.mode = mode,
		.segment = SEGMENT_DEFAULT,
	};

	*out = (struct insn){ 0 };
	int err = decode_insn(&d, out);
	out->length = (uint8_t)(d.at - bytes);
	return err == -ENODATA && len >= INSN_MAX_BYTES ? -E2BIG : err;
}

int decode_into_slot(struct decode_slot *slot, const uint8_t bytes[16], unsigned len, enum cpu_mode mode)
{
	slot->mode = 0;
	int err = decode(bytes, len, mode, &slot->insn);
	if (err != 0)
		return err;
	unsigned bits = slot->insn.length * 8u;
	slot->mask[0] = bits >= 64 ? ~(uint64_t)0 : BIT(bits) - 1;
	slot->mask[1] = bits <= 64 ? 0 : BIT(bits - 64) - 1;
	__builtin_memcpy(slot->bytes, bytes, sizeof(slot->bytes));
	slot->bytes[0] &= slot->mask[0];
	slot->bytes[1] &= slot->mask[1];
	slot->mode = mode;
	return 0;
}

const char *insn_op_name(enum insn_op op)
{
	static const char *const names[OP_COUNT] = {
		[OP_ADD] = "ADD", [OP_OR] = "OR", [OP_ADC] = "ADC", [OP_SBB] = "SBB", [OP_AND] = "AND",
		[OP_SUB] = "SUB", [OP_XOR] = "XOR", [OP_CMP] = "CMP", [OP_TEST] = "TEST", [OP_INC] = "INC",
		[OP_DEC] = "DEC", [OP_NOT] = "NOT", [OP_NEG] = "NEG", [OP_ROL] = "ROL", [OP_ROR] = "ROR",
		[OP_RCL] = "RCL", [OP_RCR] = "RCR", [OP_SHL] = "SHL", [OP_SHR] = "SHR", [OP_SAR] = "SAR",
		[OP_SHLD] = "SHLD", [OP_SHRD] = "SHRD", [OP_MUL] = "MUL", [OP_IMUL] = "IMUL", [OP_DIV] = "DIV",
		[OP_IDIV] = "IDIV", [OP_MOV] = "MOV", [OP_MOVZX] = "MOVZX", [OP_MOVSX] = "MOVSX",
		[OP_MOVBE] = "MOVBE", [OP_CMOV] = "CMOVcc", [OP_SETCC] = "SETcc", [OP_XMOV] = "a move of XMM",
		[OP_XMOVA] = "an aligned move of XMM", [OP_XMOVL] = "MOVLPx", [OP_XMOVH] = "MOVHPx",
		[OP_XCHG] = "XCHG", [OP_XADD] = "XADD", [OP_CMPXCHG] = "CMPXCHG",
		[OP_CMPXCHG2] = "CMPXCHG8B/16B", [OP_BT] = "BT", [OP_BTS] = "BTS",
		[OP_BTR] = "BTR", [OP_BTC] = "BTC", [OP_PUSH] = "PUSH", [OP_POP] = "POP", [OP_MOVS] = "MOVS",
		[OP_CMPS] = "CMPS", [OP_STOS] = "STOS", [OP_LODS] = "LODS", [OP_SCAS] = "SCAS",
	};
	return op < OP_COUNT ? names[op] : "?";
}
