/* The decoder's opcode tables: policy of what Gnomon carries out. Data only. */
#include "hv/emulate/opcodes.h"

#define ALU(base, alu, lock)                                                                        \
	[base] = { alu, FORM_STORE, ATTR_BYTE | (lock) }, [base + 1] = { alu, FORM_STORE, lock },   \
	[base + 2] = { alu, FORM_LOAD, ATTR_BYTE }, [base + 3] = { alu, FORM_LOAD, 0 }
/* An opcode and its successor: the byte form and the one of operand size. */
#define PAIR(code, op, kind, attr) [code] = { op, kind, (attr) | ATTR_BYTE }, [code + 1] = { op, kind, attr }
#define PREFIX(code, which) [code] = { which, KIND_PREFIX, 0 }
#define NO64(code) [code] = { 0, KIND_OTHER, ATTR_NO64 }

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
	[0x80] = { GROUP_80, KIND_GROUP, 0 },
	[0x81] = { GROUP_81, KIND_GROUP, 0 },
	[0x82] = { GROUP_82, KIND_GROUP, 0 },
	[0x83] = { GROUP_83, KIND_GROUP, 0 },
	PAIR(0x84, OP_TEST, FORM_STORE, 0),
	PAIR(0x86, OP_XCHG, FORM_STORE, ATTR_LOCK),
	PAIR(0x88, OP_MOV, FORM_STORE, 0),
	PAIR(0x8a, OP_MOV, FORM_LOAD, 0),
	[0x8f] = { GROUP_8F, KIND_GROUP, 0 },
	PAIR(0xa0, OP_MOV, KIND_MOFFS_LOAD, 0),
	PAIR(0xa2, OP_MOV, KIND_MOFFS_STORE, 0),
	PAIR(0xa4, OP_MOVS, FORM_STRING, 0),
	PAIR(0xa6, OP_CMPS, FORM_STRING, 0),
	PAIR(0xaa, OP_STOS, FORM_STRING, 0),
	PAIR(0xac, OP_LODS, FORM_STRING, 0),
	PAIR(0xae, OP_SCAS, FORM_STRING, 0),
	[0xc6] = { GROUP_C6, KIND_GROUP, 0 },
	[0xc7] = { GROUP_C7, KIND_GROUP, 0 },
	[0xf6] = { GROUP_F6, KIND_GROUP, 0 },
	[0xf7] = { GROUP_F7, KIND_GROUP, 0 },
	[0xfe] = { GROUP_FE, KIND_GROUP, 0 },
	[0xff] = { GROUP_FF, KIND_GROUP, 0 },
};

const struct opcode opcode_two_byte[256] = {
	OTHERWISE(0x00, 0xff),
	[0x40 ... 0x4f] = { OP_CMOV, FORM_LOAD, ATTR_COND },
	[0x90 ... 0x9f] = { OP_SETCC, FORM_UNARY, ATTR_BYTE | ATTR_COND },
	[0xa3] = { OP_BT, FORM_STORE, 0 },
	[0xab] = { OP_BTS, FORM_STORE, ATTR_LOCK },
	PAIR(0xb0, OP_CMPXCHG, FORM_STORE, ATTR_LOCK),
	[0xb3] = { OP_BTR, FORM_STORE, ATTR_LOCK },
	[0xb6] = { OP_MOVZX, FORM_LOAD, ATTR_SRC8 },
	[0xb7] = { OP_MOVZX, FORM_LOAD, ATTR_SRC16 },
	[0xba] = { GROUP_0FBA, KIND_GROUP, 0 },
	[0xbb] = { OP_BTC, FORM_STORE, ATTR_LOCK },
	[0xbe] = { OP_MOVSX, FORM_LOAD, ATTR_SRC8 },
	[0xbf] = { OP_MOVSX, FORM_LOAD, ATTR_SRC16 },
	PAIR(0xc0, OP_XADD, FORM_STORE, ATTR_LOCK),
	[0xc3] = { OP_MOV, FORM_STORE, ATTR_BARE }, /* MOVNTI: a device's write is never cached */
};
#pragma GCC diagnostic pop

#define ALU_GROUP(attr)                                                                             \
	{ { OP_ADD, FORM_IMM, (attr) | ATTR_LOCK }, { OP_OR, FORM_IMM, (attr) | ATTR_LOCK },        \
	  { OP_ADC, FORM_IMM, (attr) | ATTR_LOCK }, { OP_SBB, FORM_IMM, (attr) | ATTR_LOCK },       \
	  { OP_AND, FORM_IMM, (attr) | ATTR_LOCK }, { OP_SUB, FORM_IMM, (attr) | ATTR_LOCK },       \
	  { OP_XOR, FORM_IMM, (attr) | ATTR_LOCK }, { OP_CMP, FORM_IMM, attr } }
#define OTHER { 0, KIND_OTHER, 0 }
#define INVALID { 0, KIND_INVALID, 0 }
/* ModRM.reg 1 is TEST too: the manual leaves it out, every CPU has it. MUL and DIV are not wanted. */
#define UNARY_GROUP(attr, imm)                                                                      \
	{ { OP_TEST, FORM_IMM, (attr) | (imm) }, { OP_TEST, FORM_IMM, (attr) | (imm) },             \
	  { OP_NOT, FORM_UNARY, (attr) | ATTR_LOCK }, { OP_NEG, FORM_UNARY, (attr) | ATTR_LOCK },   \
	  OTHER, OTHER, OTHER, OTHER }
#define BIT_IMM(op, lock) { op, FORM_IMM, ATTR_IMM8 | (lock) }

const struct opcode opcode_groups[GROUP_COUNT][8] = {
	[GROUP_80] = ALU_GROUP(ATTR_BYTE | ATTR_IMM8),
	[GROUP_81] = ALU_GROUP(ATTR_IMM),
	[GROUP_82] = ALU_GROUP(ATTR_BYTE | ATTR_IMM8 | ATTR_NO64),
	[GROUP_83] = ALU_GROUP(ATTR_IMM8),
	[GROUP_8F] = { { OP_POP, FORM_UNARY, ATTR_WIDE }, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER },
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
};
