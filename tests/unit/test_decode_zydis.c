/* sources: hv/emulate/decode.c hv/emulate/opcodes.c */
/* libraries: Zydis */
/*
 * The decoder against Debian's Zydis, on random bytes biased to what it knows: what is decoded must
 * be the same in every operand, what is called #UD must be so, what fails by length must be too long.
 */
#include "hv/emulate/decode.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

#include "hv/emulate/opcodes.h"

#define ROUNDS 1500000

struct reference {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	bool valid;
};

static unsigned long decoded_by_op[OP_COUNT];

static uint64_t state = 88172645463325252u;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static unsigned below(unsigned n) { return (unsigned)(next() >> 16) % n; }

/* Random bytes behind likely prefixes and an opcode of the tables. */
static void make_bytes(uint8_t bytes[16], enum cpu_mode mode)
{
	static const uint8_t prefixes[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
	unsigned n = 0, count = below(8) == 0 ? below(15) : below(3);

	for (unsigned i = 0; i < 16; i++)
		bytes[i] = (uint8_t)(next() >> 24);
	while (n < count)
		bytes[n++] = below(8) == 0 ? 0x40 | below(16) : prefixes[below(sizeof(prefixes))];
	if (mode == CPU_MODE_64 && n < 14 && below(2))
		bytes[n++] = 0x40 | below(16);
	if (below(20) == 0)
		return; /* any opcode */
	bool three = below(16) == 0, two = three || below(2);
	if (two && n < 14)
		bytes[n++] = 0x0f;
	if (three && n < 14)
		bytes[n++] = 0x38;
	const struct opcode *table = three ? opcode_0f38 : two ? opcode_two_byte : opcode_one_byte;
	uint8_t code;
	do
		code = (uint8_t)(next() >> 40);
	while (table[code].kind == KIND_OTHER || table[code].kind >= KIND_PREFIX);
	if (n < 15)
		bytes[n] = code;
	if (n < 14 && below(8) != 0)
		bytes[n + 1] &= below(2) ? 0x3f : 0xbf; /* mostly memory operands */
}

static ZydisDecoder decoders[3];

static void init_decoders(void)
{
	ZydisDecoderInit(&decoders[0], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
	ZydisDecoderInit(&decoders[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	ZydisDecoderInit(&decoders[2], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
}

static void refer(const uint8_t *bytes, unsigned len, enum cpu_mode mode, struct reference *r)
{
	ZyanStatus status = ZydisDecoderDecodeFull(&decoders[mode >> 5], bytes, len, &r->insn, r->operands);

	r->valid = ZYAN_SUCCESS(status);
}

static const ZydisMnemonic mnemonics[OP_COUNT] = {
	[OP_ADD] = ZYDIS_MNEMONIC_ADD, [OP_OR] = ZYDIS_MNEMONIC_OR, [OP_ADC] = ZYDIS_MNEMONIC_ADC,
	[OP_SBB] = ZYDIS_MNEMONIC_SBB, [OP_AND] = ZYDIS_MNEMONIC_AND, [OP_SUB] = ZYDIS_MNEMONIC_SUB,
	[OP_XOR] = ZYDIS_MNEMONIC_XOR, [OP_CMP] = ZYDIS_MNEMONIC_CMP, [OP_TEST] = ZYDIS_MNEMONIC_TEST,
	[OP_INC] = ZYDIS_MNEMONIC_INC, [OP_DEC] = ZYDIS_MNEMONIC_DEC, [OP_NOT] = ZYDIS_MNEMONIC_NOT,
	[OP_NEG] = ZYDIS_MNEMONIC_NEG, [OP_MOV] = ZYDIS_MNEMONIC_MOV, [OP_MOVZX] = ZYDIS_MNEMONIC_MOVZX,
	[OP_MOVSX] = ZYDIS_MNEMONIC_MOVSX, [OP_XCHG] = ZYDIS_MNEMONIC_XCHG, [OP_XADD] = ZYDIS_MNEMONIC_XADD,
	[OP_CMPXCHG] = ZYDIS_MNEMONIC_CMPXCHG, [OP_BT] = ZYDIS_MNEMONIC_BT, [OP_BTS] = ZYDIS_MNEMONIC_BTS,
	[OP_BTR] = ZYDIS_MNEMONIC_BTR, [OP_BTC] = ZYDIS_MNEMONIC_BTC, [OP_PUSH] = ZYDIS_MNEMONIC_PUSH,
	[OP_POP] = ZYDIS_MNEMONIC_POP, [OP_ROL] = ZYDIS_MNEMONIC_ROL, [OP_ROR] = ZYDIS_MNEMONIC_ROR,
	[OP_RCL] = ZYDIS_MNEMONIC_RCL, [OP_RCR] = ZYDIS_MNEMONIC_RCR, [OP_SHL] = ZYDIS_MNEMONIC_SHL,
	[OP_SHR] = ZYDIS_MNEMONIC_SHR, [OP_SAR] = ZYDIS_MNEMONIC_SAR, [OP_SHLD] = ZYDIS_MNEMONIC_SHLD,
	[OP_SHRD] = ZYDIS_MNEMONIC_SHRD, [OP_MUL] = ZYDIS_MNEMONIC_MUL, [OP_IMUL] = ZYDIS_MNEMONIC_IMUL,
	[OP_DIV] = ZYDIS_MNEMONIC_DIV, [OP_IDIV] = ZYDIS_MNEMONIC_IDIV, [OP_MOVBE] = ZYDIS_MNEMONIC_MOVBE,
};

/* Several instructions that move the same. */
static const struct {
	enum insn_op op;
	uint8_t size; /* 0: any */
	ZydisMnemonic mnemonic;
} aliases[] = {
	{ OP_MOV, 0, ZYDIS_MNEMONIC_MOVNTI }, { OP_MOVSX, 0, ZYDIS_MNEMONIC_MOVSXD },
	{ OP_XMOV, 16, ZYDIS_MNEMONIC_MOVUPS }, { OP_XMOV, 16, ZYDIS_MNEMONIC_MOVUPD },
	{ OP_XMOV, 16, ZYDIS_MNEMONIC_MOVDQU }, { OP_XMOV, 16, ZYDIS_MNEMONIC_LDDQU },
	{ OP_XMOV, 4, ZYDIS_MNEMONIC_MOVSS }, { OP_XMOV, 8, ZYDIS_MNEMONIC_MOVSD },
	{ OP_XMOV, 4, ZYDIS_MNEMONIC_MOVD }, { OP_XMOV, 8, ZYDIS_MNEMONIC_MOVQ },
	{ OP_XMOVA, 16, ZYDIS_MNEMONIC_MOVAPS }, { OP_XMOVA, 16, ZYDIS_MNEMONIC_MOVAPD },
	{ OP_XMOVA, 16, ZYDIS_MNEMONIC_MOVDQA }, { OP_XMOVA, 16, ZYDIS_MNEMONIC_MOVNTPS },
	{ OP_XMOVA, 16, ZYDIS_MNEMONIC_MOVNTPD }, { OP_XMOVA, 16, ZYDIS_MNEMONIC_MOVNTDQ },
	{ OP_XMOVA, 16, ZYDIS_MNEMONIC_MOVNTDQA }, { OP_XMOVL, 8, ZYDIS_MNEMONIC_MOVLPS },
	{ OP_XMOVL, 8, ZYDIS_MNEMONIC_MOVLPD }, { OP_XMOVH, 8, ZYDIS_MNEMONIC_MOVHPS },
	{ OP_XMOVH, 8, ZYDIS_MNEMONIC_MOVHPD }, { OP_CMPXCHG2, 4, ZYDIS_MNEMONIC_CMPXCHG8B },
	{ OP_CMPXCHG2, 8, ZYDIS_MNEMONIC_CMPXCHG16B },
};

static bool is_xmm_move(const struct insn *in) { return in->op >= OP_XMOV && in->op <= OP_XMOVH; }

static const ZydisMnemonic cmov[16] = {
	ZYDIS_MNEMONIC_CMOVO, ZYDIS_MNEMONIC_CMOVNO, ZYDIS_MNEMONIC_CMOVB, ZYDIS_MNEMONIC_CMOVNB,
	ZYDIS_MNEMONIC_CMOVZ, ZYDIS_MNEMONIC_CMOVNZ, ZYDIS_MNEMONIC_CMOVBE, ZYDIS_MNEMONIC_CMOVNBE,
	ZYDIS_MNEMONIC_CMOVS, ZYDIS_MNEMONIC_CMOVNS, ZYDIS_MNEMONIC_CMOVP, ZYDIS_MNEMONIC_CMOVNP,
	ZYDIS_MNEMONIC_CMOVL, ZYDIS_MNEMONIC_CMOVNL, ZYDIS_MNEMONIC_CMOVLE, ZYDIS_MNEMONIC_CMOVNLE,
};

static const ZydisMnemonic setcc[16] = {
	ZYDIS_MNEMONIC_SETO, ZYDIS_MNEMONIC_SETNO, ZYDIS_MNEMONIC_SETB, ZYDIS_MNEMONIC_SETNB,
	ZYDIS_MNEMONIC_SETZ, ZYDIS_MNEMONIC_SETNZ, ZYDIS_MNEMONIC_SETBE, ZYDIS_MNEMONIC_SETNBE,
	ZYDIS_MNEMONIC_SETS, ZYDIS_MNEMONIC_SETNS, ZYDIS_MNEMONIC_SETP, ZYDIS_MNEMONIC_SETNP,
	ZYDIS_MNEMONIC_SETL, ZYDIS_MNEMONIC_SETNL, ZYDIS_MNEMONIC_SETLE, ZYDIS_MNEMONIC_SETNLE,
};

/* Rows from OP_MOVS on, columns by size 1, 2, 4, 8. */
static const ZydisMnemonic strings[5][4] = {
	{ ZYDIS_MNEMONIC_MOVSB, ZYDIS_MNEMONIC_MOVSW, ZYDIS_MNEMONIC_MOVSD, ZYDIS_MNEMONIC_MOVSQ },
	{ ZYDIS_MNEMONIC_CMPSB, ZYDIS_MNEMONIC_CMPSW, ZYDIS_MNEMONIC_CMPSD, ZYDIS_MNEMONIC_CMPSQ },
	{ ZYDIS_MNEMONIC_STOSB, ZYDIS_MNEMONIC_STOSW, ZYDIS_MNEMONIC_STOSD, ZYDIS_MNEMONIC_STOSQ },
	{ ZYDIS_MNEMONIC_LODSB, ZYDIS_MNEMONIC_LODSW, ZYDIS_MNEMONIC_LODSD, ZYDIS_MNEMONIC_LODSQ },
	{ ZYDIS_MNEMONIC_SCASB, ZYDIS_MNEMONIC_SCASW, ZYDIS_MNEMONIC_SCASD, ZYDIS_MNEMONIC_SCASQ },
};

static bool same_mnemonic(const struct insn *in, ZydisMnemonic m)
{
	if (in->op == OP_CMOV)
		return m == cmov[in->cond];
	if (in->op == OP_SETCC)
		return m == setcc[in->cond];
	if (in->op >= OP_MOVS)
		return m == strings[in->op - OP_MOVS][__builtin_ctz(in->size)];
	for (unsigned i = 0; i < ARRAY_LEN(aliases); i++)
		if (aliases[i].op == in->op && aliases[i].mnemonic == m)
			return aliases[i].size == 0 || aliases[i].size == in->size;
	return m == mnemonics[in->op];
}

static ZydisRegister as_register(unsigned reg, unsigned shift, unsigned size)
{
	static const ZydisRegisterClass classes[4] = { ZYDIS_REGCLASS_GPR8, ZYDIS_REGCLASS_GPR16,
		                                       ZYDIS_REGCLASS_GPR32, ZYDIS_REGCLASS_GPR64 };

	if (reg == INSN_REG_NONE)
		return ZYDIS_REGISTER_NONE;
	if (reg == INSN_REG_RIP)
		return size == 8 ? ZYDIS_REGISTER_RIP : ZYDIS_REGISTER_EIP;
	if (size == 1)
		reg += shift || reg >= 4 ? 4 : 0;
	return ZydisRegisterEncode(classes[__builtin_ctz(size)], (ZyanU8)reg);
}

static const ZydisDecodedOperand *find_memory(const struct reference *r)
{
	for (unsigned i = 0; i < r->insn.operand_count; i++)
		if (r->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return &r->operands[i];
	return NULL;
}

/* In 64-bit mode only FS and GS make a difference. */
static bool same_segment(const struct insn *in, const ZydisDecodedOperand *o, enum cpu_mode mode)
{
	static const ZydisRegister segments[] = { ZYDIS_REGISTER_ES, ZYDIS_REGISTER_CS, ZYDIS_REGISTER_SS,
		                                  ZYDIS_REGISTER_DS, ZYDIS_REGISTER_FS, ZYDIS_REGISTER_GS };

	if (mode == CPU_MODE_64 && in->segment < SEG_FS)
		return o->mem.segment != ZYDIS_REGISTER_FS && o->mem.segment != ZYDIS_REGISTER_GS;
	return o->mem.segment == segments[in->segment];
}

/* Zydis 4.0 adds R13D to SIB's "disp32 alone" when REX.B and 67h are there, and drops the disp32.
 * The CPU does not: test_emulate_cpu.c has the case. */
static bool is_zydis_wrong(const struct insn *in, const ZydisDecodedOperand *o, enum cpu_mode mode)
{
	return mode == CPU_MODE_64 && in->addr_size == 4 && in->base == INSN_REG_NONE &&
	       o->mem.base == ZYDIS_REGISTER_R13D && o->mem.disp.value == 0;
}

static bool same_memory(const struct insn *in, const ZydisDecodedOperand *o, enum cpu_mode mode)
{
	uint64_t mask = in->addr_size == 8 ? ~(uint64_t)0 : BIT(8 * in->addr_size) - 1;

	if (!o || o->size != 8u * in->mem_size || !same_segment(in, o, mode))
		return false;
	if (is_zydis_wrong(in, o, mode))
		return true;
	return o->mem.base == as_register(in->base, 0, in->addr_size) &&
	       o->mem.index == as_register(in->index, 0, in->addr_size) &&
	       (in->index == INSN_REG_NONE || o->mem.scale == 1u << in->scale) &&
	       (((uint64_t)o->mem.disp.value ^ (uint64_t)in->disp) & mask) == 0;
}

/* A string's source is what an override applies to; STOS and SCAS have none. */
static bool same_string(const struct insn *in, const struct reference *r, enum cpu_mode mode)
{
	uint64_t any = ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE;
	unsigned source = in->op == OP_CMPS ? 0 : 1;

	if (in->op == OP_CMPS || in->op == OP_SCAS) {
		if ((in->repeat == REPEAT_E) != !!(r->insn.attributes & ZYDIS_ATTRIB_HAS_REPE))
			return false;
		if ((in->repeat == REPEAT_NE) != !!(r->insn.attributes & ZYDIS_ATTRIB_HAS_REPNE))
			return false;
	} else if (in->repeat == REPEAT_E && !(r->insn.attributes & any)) {
		return false;
	}
	if (r->insn.address_width != 8u * in->addr_size)
		return false;
	return in->op == OP_STOS || in->op == OP_SCAS || same_segment(in, &r->operands[source], mode);
}

static bool same_register(const struct insn *in, const struct reference *r)
{
	bool loads = in->form == FORM_LOAD || in->form == FORM_LOAD_IMM;
	const ZydisDecodedOperand *o = &r->operands[loads ? 0 : 1];

	if (is_xmm_move(in))
		return o->reg.value == ZydisRegisterEncode(ZYDIS_REGCLASS_XMM, in->reg);
	return o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       o->reg.value == as_register(in->reg, in->reg_shift, in->size);
}

static bool same_immediate(const struct insn *in, const struct reference *r)
{
	const ZydisDecodedOperand *o = &r->operands[in->form == FORM_IMM ? 1 : 2];
	bool byte = (in->op >= OP_BT && in->op <= OP_BTC) || (in->op >= OP_ROL && in->op <= OP_SHRD);
	unsigned bits = byte ? 8 : 8u * in->size;

	return o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && (o->imm.value.u ^ in->imm) << (64 - bits) == 0;
}

static bool same(const struct insn *in, const struct reference *r, enum cpu_mode mode)
{
	if (!r->valid || r->insn.length != in->length || !same_mnemonic(in, r->insn.mnemonic))
		return false;
	if (!!(r->insn.attributes & ZYDIS_ATTRIB_HAS_LOCK) != in->lock)
		return false;
	if (in->form == FORM_STRING)
		return same_string(in, r, mode);
	if (!same_memory(in, find_memory(r), mode))
		return false;
	switch (in->form) {
	case FORM_LOAD:
	case FORM_STORE: return same_register(in, r);
	case FORM_LOAD_IMM:
	case FORM_STORE_IMM: return same_register(in, r) && same_immediate(in, r);
	case FORM_IMM: return same_immediate(in, r);
	default: return true;
	}
}

static void report(const uint8_t *bytes, enum cpu_mode mode, int err, const struct reference *r)
{
	printf("%d-bit", (int)mode);
	for (unsigned i = 0; i < INSN_MAX_BYTES; i++)
		printf(" %02x", bytes[i]);
	printf(": result %d, Zydis says %s %s\n", err, r->valid ? "valid" : "invalid",
	       r->valid ? ZydisMnemonicGetString(r->insn.mnemonic) : "");
	fail();
}

/* With fewer bytes the answer is "more", from an exact block so that reading past it is noticed. */
static void check_truncated(const uint8_t *bytes, unsigned length, enum cpu_mode mode)
{
	unsigned len = below(length);
	uint8_t *exact = malloc(len ? len : 1);
	struct insn in;

	memcpy(exact, bytes, len);
	assert_int_equal(decode(exact, len, mode, &in), -ENODATA);
	free(exact);
}

static void check_one(enum cpu_mode mode)
{
	uint8_t bytes[16];
	struct reference r;
	struct insn in;

	make_bytes(bytes, mode);
	int err = decode(bytes, INSN_MAX_BYTES, mode, &in);
	refer(bytes, INSN_MAX_BYTES, mode, &r);
	switch (err) {
	case 0:
		if (!same(&in, &r, mode))
			report(bytes, mode, err, &r);
		decoded_by_op[in.op]++;
		check_truncated(bytes, in.length, mode);
		break;
	case -EILSEQ:
	case -E2BIG:
		if (r.valid)
			report(bytes, mode, err, &r);
		break;
	default: assert_int_equal(err, -ENOTSUP);
	}
}

static void run(enum cpu_mode mode)
{
	init_decoders();
	memset(decoded_by_op, 0, sizeof(decoded_by_op));
	for (unsigned i = 0; i < ROUNDS; i++)
		check_one(mode);
	for (unsigned op = 0; op < OP_COUNT; op++)
		if (decoded_by_op[op] < ROUNDS / 10000)
			fail_msg("%s decoded only %lu times", insn_op_name(op), decoded_by_op[op]);
}

static void test_16(void **unused)
{
	(void)unused;
	run(CPU_MODE_16);
}

static void test_32(void **unused)
{
	(void)unused;
	run(CPU_MODE_32);
}

static void test_64(void **unused)
{
	(void)unused;
	run(CPU_MODE_64);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_16), cmocka_unit_test(test_32),
		                            cmocka_unit_test(test_64) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
