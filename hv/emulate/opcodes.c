/* The decoder's opcode tables: policy of what Gnomon carries out. Data only. */
#include "hv/emulate/opcodes.h"

#define ALU(base, alu, lock)                                                                        \
	[base] = { alu, FORM_STORE, ATTR_BYTE | (lock) }, [base + 1] = { alu, FORM_STORE, lock },   \
	[base + 2] = { alu, FORM_LOAD, ATTR_BYTE }, [base + 3] = { alu, FORM_LOAD, 0 }
/* An opcode and its successor: the byte form and the one of operand size. */
#define PAIR(code, op, kind, attr) [code] = { op, kind, (attr) | ATTR_BYTE }, [code + 1] = { op, kind, attr }
#define PREFIX(code, which) [code] = { which, KIND_PREFIX, 0 }
#define NO64(code) [code] = { 0, KIND_OTHER, ATTR_NO64 }
#define GROUP(code, which) [code] = { which, KIND_GROUP, 0 }
#define PREFIXED(code, row) [code] = { row, KIND_PREFIXED, 0 }

/* Every entry that no later initialiser names. */
#define OTHERWISE(first, last) [first ... last] = { 0, KIND_OTHER, 0 }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__
#pragma clang diagnostic ignored "-Winitializer-overrides"
#endif

const struct opcode opcode_one_byte[256] = {
	OTHERWISE(0x00, 0xff),
	ALU(0x00, OP_ADD, ATTR_LOCK), ALU(0x08, OP_OR, ATTR_LOCK),
	ALU(0x10, OP_ADC, ATTR_LOCK), ALU(0x18, OP_SBB, ATTR_LOCK),
	ALU(0x20, OP_AND, ATTR_LOCK), ALU(0x28, OP_SUB, ATTR_LOCK),
	ALU(0x30, OP_XOR, ATTR_LOCK), ALU(0x38, OP_CMP, 0),
	NO64(0x06), NO64(0x07), NO64(0x0e), NO64(0x16), NO64(0x17), NO64(0x1e), NO64(0x1f),
	NO64(0x27), NO64(0x2f), NO64(0x37), NO64(0x3f), NO64(0x60), NO64(0x61), NO64(0x9a),
	NO64(0xce), NO64(0xd4), NO64(0xd5), NO64(0xea),
	[0x0f] = { 0, KIND_ESCAPE, 0 },
	PREFIX(0x26, PREFIX_ES), PREFIX(0x2e, PREFIX_CS), PREFIX(0x36, PREFIX_SS), PREFIX(0x3e, PREFIX_DS),
	PREFIX(0x64, PREFIX_FS), PREFIX(0x65, PREFIX_GS), PREFIX(0x66, PREFIX_OPERAND),
	PREFIX(0x67, PREFIX_ADDRESS), PREFIX(0xf0, PREFIX_LOCK), PREFIX(0xf2, PREFIX_REPNE),
	PREFIX(0xf3, PREFIX_REPE),
	[0x40 ... 0x4f] = { 0, KIND_REX, 0 },
	[0x63] = { OP_MOVSX, FORM_LOAD, ATTR_SRC32 | ATTR_ONLY64 },
	[0x69] = { OP_IMUL, FORM_LOAD_IMM, ATTR_IMM },
	[0x6b] = { OP_IMUL, FORM_LOAD_IMM, ATTR_IMM8 },
	GROUP(0x80, GROUP_80), GROUP(0x81, GROUP_81), GROUP(0x82, GROUP_82), GROUP(0x83, GROUP_83),
	PAIR(0x84, OP_TEST, FORM_STORE, 0),
	PAIR(0x86, OP_XCHG, FORM_STORE, ATTR_LOCK),
	PAIR(0x88, OP_MOV, FORM_STORE, 0),
	PAIR(0x8a, OP_MOV, FORM_LOAD, 0),
	GROUP(0x8f, GROUP_8F),
	PAIR(0xa0, OP_MOV, KIND_MOFFS_LOAD, 0),
	PAIR(0xa2, OP_MOV, KIND_MOFFS_STORE, 0),
	PAIR(0xa4, OP_MOVS, FORM_STRING, 0),
	PAIR(0xa6, OP_CMPS, FORM_STRING, 0),
	PAIR(0xaa, OP_STOS, FORM_STRING, 0),
	PAIR(0xac, OP_LODS, FORM_STRING, 0),
	PAIR(0xae, OP_SCAS, FORM_STRING, 0),
	GROUP(0xc0, GROUP_C0), GROUP(0xc1, GROUP_C1), GROUP(0xc6, GROUP_C6), GROUP(0xc7, GROUP_C7),
	GROUP(0xd0, GROUP_D0), GROUP(0xd1, GROUP_D1), GROUP(0xd2, GROUP_D2), GROUP(0xd3, GROUP_D3),
	GROUP(0xf6, GROUP_F6), GROUP(0xf7, GROUP_F7), GROUP(0xfe, GROUP_FE), GROUP(0xff, GROUP_FF),
};

const struct opcode opcode_two_byte[256] = {
	OTHERWISE(0x00, 0xff),
	PREFIXED(0x10, ROW_10), PREFIXED(0x11, ROW_11), PREFIXED(0x12, ROW_12), PREFIXED(0x13, ROW_13),
	PREFIXED(0x16, ROW_16), PREFIXED(0x17, ROW_17), PREFIXED(0x28, ROW_28), PREFIXED(0x29, ROW_29),
	PREFIXED(0x2b, ROW_2B), PREFIXED(0x6e, ROW_6E), PREFIXED(0x6f, ROW_6F), PREFIXED(0x7e, ROW_7E),
	PREFIXED(0x7f, ROW_7F), PREFIXED(0xd6, ROW_D6), PREFIXED(0xe7, ROW_E7), PREFIXED(0xf0, ROW_F0),
	[0x38] = { 0, KIND_ESCAPE_38, 0 },
	[0x40 ... 0x4f] = { OP_CMOV, FORM_LOAD, ATTR_COND },
	[0x90 ... 0x9f] = { OP_SETCC, FORM_UNARY, ATTR_BYTE | ATTR_COND },
	[0xa3] = { OP_BT, FORM_STORE, 0 },
	[0xa4] = { OP_SHLD, FORM_STORE_IMM, ATTR_IMM8 },
	[0xa5] = { OP_SHLD, FORM_STORE, 0 },
	[0xab] = { OP_BTS, FORM_STORE, ATTR_LOCK },
	[0xac] = { OP_SHRD, FORM_STORE_IMM, ATTR_IMM8 },
	[0xad] = { OP_SHRD, FORM_STORE, 0 },
	[0xaf] = { OP_IMUL, FORM_LOAD, 0 },
	PAIR(0xb0, OP_CMPXCHG, FORM_STORE, ATTR_LOCK),
	[0xb3] = { OP_BTR, FORM_STORE, ATTR_LOCK },
	[0xb6] = { OP_MOVZX, FORM_LOAD, ATTR_SRC8 },
	[0xb7] = { OP_MOVZX, FORM_LOAD, ATTR_SRC16 },
	GROUP(0xba, GROUP_0FBA),
	[0xbb] = { OP_BTC, FORM_STORE, ATTR_LOCK },
	[0xbe] = { OP_MOVSX, FORM_LOAD, ATTR_SRC8 },
	[0xbf] = { OP_MOVSX, FORM_LOAD, ATTR_SRC16 },
	PAIR(0xc0, OP_XADD, FORM_STORE, ATTR_LOCK),
	[0xc3] = { OP_MOV, FORM_STORE, ATTR_BARE }, /* MOVNTI: a device's write is never cached */
	GROUP(0xc7, GROUP_0FC7),
};

const struct opcode opcode_0f38[256] = {
	OTHERWISE(0x00, 0xff),
	PREFIXED(0x2a, ROW_382A), PREFIXED(0xf0, ROW_38F0), PREFIXED(0xf1, ROW_38F1),
};
#pragma GCC diagnostic pop

#define ALU_GROUP(attr)                                                                             \
	{ { OP_ADD, FORM_IMM, (attr) | ATTR_LOCK }, { OP_OR, FORM_IMM, (attr) | ATTR_LOCK },        \
	  { OP_ADC, FORM_IMM, (attr) | ATTR_LOCK }, { OP_SBB, FORM_IMM, (attr) | ATTR_LOCK },       \
	  { OP_AND, FORM_IMM, (attr) | ATTR_LOCK }, { OP_SUB, FORM_IMM, (attr) | ATTR_LOCK },       \
	  { OP_XOR, FORM_IMM, (attr) | ATTR_LOCK }, { OP_CMP, FORM_IMM, attr } }
#define OTHER { 0, KIND_OTHER, 0 }
#define INVALID { 0, KIND_INVALID, 0 }
/* ModRM.reg 1 is TEST too: the manual leaves it out, every CPU has it. */
#define UNARY_GROUP(attr, imm)                                                                      \
	{ { OP_TEST, FORM_IMM, (attr) | (imm) }, { OP_TEST, FORM_IMM, (attr) | (imm) },             \
	  { OP_NOT, FORM_UNARY, (attr) | ATTR_LOCK }, { OP_NEG, FORM_UNARY, (attr) | ATTR_LOCK },   \
	  { OP_MUL, FORM_UNARY, attr }, { OP_IMUL, FORM_UNARY, attr },                              \
	  { OP_DIV, FORM_UNARY, attr }, { OP_IDIV, FORM_UNARY, attr } }
/* ModRM.reg 6 is SHL too. */
#define SHIFT_GROUP(form, attr)                                                                     \
	{ { OP_ROL, form, attr }, { OP_ROR, form, attr }, { OP_RCL, form, attr }, { OP_RCR, form, attr }, \
	  { OP_SHL, form, attr }, { OP_SHR, form, attr }, { OP_SHL, form, attr }, { OP_SAR, form, attr } }
#define BIT_IMM(op, lock) { op, FORM_IMM, ATTR_IMM8 | (lock) }

const struct opcode opcode_groups[GROUP_COUNT][8] = {
	[GROUP_80] = ALU_GROUP(ATTR_BYTE | ATTR_IMM8),
	[GROUP_81] = ALU_GROUP(ATTR_IMM),
	[GROUP_82] = ALU_GROUP(ATTR_BYTE | ATTR_IMM8 | ATTR_NO64),
	[GROUP_83] = ALU_GROUP(ATTR_IMM8),
	[GROUP_8F] = { { OP_POP, FORM_UNARY, ATTR_WIDE }, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER },
	[GROUP_C0] = SHIFT_GROUP(FORM_IMM, ATTR_BYTE | ATTR_IMM8),
	[GROUP_C1] = SHIFT_GROUP(FORM_IMM, ATTR_IMM8),
	[GROUP_D0] = SHIFT_GROUP(FORM_IMM, ATTR_BYTE | ATTR_ONE),
	[GROUP_D1] = SHIFT_GROUP(FORM_IMM, ATTR_ONE),
	[GROUP_D2] = SHIFT_GROUP(FORM_UNARY, ATTR_BYTE),
	[GROUP_D3] = SHIFT_GROUP(FORM_UNARY, 0),
	[GROUP_C6] = { { OP_MOV, FORM_IMM, ATTR_BYTE | ATTR_IMM8 }, INVALID, INVALID, INVALID, INVALID,
		       INVALID, INVALID, INVALID },
	[GROUP_C7] = { { OP_MOV, FORM_IMM, ATTR_IMM }, INVALID, INVALID, INVALID, INVALID, INVALID,
		       INVALID, INVALID },
	[GROUP_F6] = UNARY_GROUP(ATTR_BYTE, ATTR_IMM8),
	[GROUP_F7] = UNARY_GROUP(0, ATTR_IMM),
	[GROUP_FE] = { { OP_INC, FORM_UNARY, ATTR_BYTE | ATTR_LOCK }, { OP_DEC, FORM_UNARY, ATTR_BYTE | ATTR_LOCK },
		       INVALID, INVALID, INVALID, INVALID, INVALID, INVALID },
	[GROUP_FF] = { { OP_INC, FORM_UNARY, ATTR_LOCK }, { OP_DEC, FORM_UNARY, ATTR_LOCK }, OTHER, OTHER,
		       OTHER, OTHER, { OP_PUSH, FORM_UNARY, ATTR_WIDE }, INVALID },
	[GROUP_0FBA] = { INVALID, INVALID, INVALID, INVALID, BIT_IMM(OP_BT, 0), BIT_IMM(OP_BTS, ATTR_LOCK),
			 BIT_IMM(OP_BTR, ATTR_LOCK), BIT_IMM(OP_BTC, ATTR_LOCK) },
	[GROUP_0FC7] = { INVALID, { OP_CMPXCHG2, FORM_UNARY, ATTR_PAIR | ATTR_LOCK }, OTHER, OTHER, OTHER,
			 OTHER, OTHER, OTHER },
};

#define LOAD(op, attr) { op, FORM_LOAD, attr }
#define STORE(op, attr) { op, FORM_STORE, attr }

/* Columns: no mandatory prefix, 66h, F3h, F2h. Without one it is often an MMX instruction. */
const struct opcode opcode_prefixed[ROW_COUNT][MANDATORY_COUNT] = {
	[ROW_10] = { LOAD(OP_XMOV, ATTR_XMM), LOAD(OP_XMOV, ATTR_XMM), LOAD(OP_XMOV, ATTR_XMM_D),
		     LOAD(OP_XMOV, ATTR_XMM_Q) }, /* MOVUPS, MOVUPD, MOVSS, MOVSD */
	[ROW_11] = { STORE(OP_XMOV, ATTR_XMM), STORE(OP_XMOV, ATTR_XMM), STORE(OP_XMOV, ATTR_XMM_D),
		     STORE(OP_XMOV, ATTR_XMM_Q) },
	[ROW_12] = { LOAD(OP_XMOVL, ATTR_XMM_Q), LOAD(OP_XMOVL, ATTR_XMM_Q), OTHER, OTHER },
	[ROW_13] = { STORE(OP_XMOVL, ATTR_XMM_Q), STORE(OP_XMOVL, ATTR_XMM_Q), OTHER, OTHER },
	[ROW_16] = { LOAD(OP_XMOVH, ATTR_XMM_Q), LOAD(OP_XMOVH, ATTR_XMM_Q), OTHER, OTHER },
	[ROW_17] = { STORE(OP_XMOVH, ATTR_XMM_Q), STORE(OP_XMOVH, ATTR_XMM_Q), OTHER, OTHER },
	[ROW_28] = { LOAD(OP_XMOVA, ATTR_XMM), LOAD(OP_XMOVA, ATTR_XMM), OTHER, OTHER },
	[ROW_29] = { STORE(OP_XMOVA, ATTR_XMM), STORE(OP_XMOVA, ATTR_XMM), OTHER, OTHER },
	[ROW_2B] = { STORE(OP_XMOVA, ATTR_XMM), STORE(OP_XMOVA, ATTR_XMM), OTHER, OTHER }, /* MOVNTPx */
	[ROW_6E] = { OTHER, LOAD(OP_XMOV, ATTR_XMM_D | ATTR_XMM_Q), OTHER, OTHER }, /* MOVD, MOVQ */
	[ROW_6F] = { OTHER, LOAD(OP_XMOVA, ATTR_XMM), LOAD(OP_XMOV, ATTR_XMM), OTHER }, /* MOVDQA, MOVDQU */
	[ROW_7E] = { OTHER, STORE(OP_XMOV, ATTR_XMM_D | ATTR_XMM_Q), LOAD(OP_XMOV, ATTR_XMM_Q), OTHER },
	[ROW_7F] = { OTHER, STORE(OP_XMOVA, ATTR_XMM), STORE(OP_XMOV, ATTR_XMM), OTHER },
	[ROW_D6] = { OTHER, STORE(OP_XMOV, ATTR_XMM_Q), OTHER, OTHER }, /* MOVQ */
	[ROW_E7] = { OTHER, STORE(OP_XMOVA, ATTR_XMM), OTHER, OTHER },  /* MOVNTDQ */
	[ROW_F0] = { OTHER, OTHER, OTHER, LOAD(OP_XMOV, ATTR_XMM) },    /* LDDQU */
	[ROW_382A] = { OTHER, LOAD(OP_XMOVA, ATTR_XMM), OTHER, OTHER }, /* MOVNTDQA */
	[ROW_38F0] = { LOAD(OP_MOVBE, 0), LOAD(OP_MOVBE, 0), OTHER, OTHER },
	[ROW_38F1] = { STORE(OP_MOVBE, 0), STORE(OP_MOVBE, 0), OTHER, OTHER },
};
