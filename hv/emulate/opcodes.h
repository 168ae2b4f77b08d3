/*
 * The decoder's tables, for hv/emulate/decode.c and hv/emulate/opcodes.c alone:
 * SDM volume 2D, appendix "Opcode Map", reduced to what Gnomon carries out.
 */
#ifndef HV_EMULATE_OPCODES_H
#define HV_EMULATE_OPCODES_H

#include "hv/emulate/decode.h"

/* A table entry's kind: an enum insn_form, or one of these. */
enum opcode_kind {
	KIND_MOFFS_LOAD = FORM_STRING + 1, /* accumulator <- absolute address, no ModRM */
	KIND_MOFFS_STORE,
	KIND_GROUP,   /* op is an index of opcode_groups; ModRM.reg chooses */
	KIND_PREFIXED, /* op is an index of opcode_prefixed; the mandatory prefix chooses */
	KIND_OTHER,   /* not carried out here */
	KIND_INVALID, /* #UD with a memory operand */
	KIND_ESCAPE,  /* 0Fh */
	KIND_ESCAPE_38, /* 0Fh 38h */
	KIND_PREFIX,  /* op is an enum prefix; this and what follows come before an opcode */
	KIND_REX,     /* in 64-bit mode; else INC and DEC of a register */
};

enum prefix {
	PREFIX_ES, PREFIX_CS, PREFIX_SS, PREFIX_DS, PREFIX_FS, PREFIX_GS, /* as enum insn_segment */
	PREFIX_OPERAND, PREFIX_ADDRESS, PREFIX_LOCK, PREFIX_REPNE, PREFIX_REPE,
};

#define ATTR_BYTE 0x01   /* operands are bytes */
#define ATTR_IMM8 0x02   /* a byte of immediate, sign-extended */
#define ATTR_IMM 0x04    /* an immediate of operand size, at most 4 bytes */
#define ATTR_SRC8 0x08   /* the memory operand is a byte */
#define ATTR_SRC16 0x10  /* ... a word */
#define ATTR_SRC32 0x20  /* ... a doubleword */
#define ATTR_LOCK 0x40   /* may have LOCK */
#define ATTR_WIDE 0x80   /* operand size 8 rather than 4 in 64-bit mode */
#define ATTR_ONLY64 0x100 /* another instruction outside 64-bit mode */
#define ATTR_NO64 0x200  /* #UD in 64-bit mode */
#define ATTR_COND 0x400  /* the opcode's low bits are a condition */
#define ATTR_BARE 0x800  /* 66h, F2h and F3h make it something else; never 16 bits */
#define ATTR_ONE 0x1000  /* the immediate is 1 and not encoded */
#define ATTR_PAIR 0x2000 /* two registers of 4 bytes, 8 with REX.W; the memory operand holds both */
#define ATTR_XMM 0x4000  /* an XMM register: all 16 bytes */
#define ATTR_XMM_D 0x8000  /* ... 4 bytes of it */
#define ATTR_XMM_Q 0x10000 /* ... 8 bytes; with XMM_D: 8 with REX.W, else 4 */
#define ATTR_OWN_SIZES (ATTR_SRC8 | ATTR_SRC16 | ATTR_SRC32 | ATTR_PAIR | ATTR_XMM | ATTR_XMM_D | ATTR_XMM_Q)

struct opcode {
	uint8_t op;   /* enum insn_op, group, row of opcode_prefixed or prefix */
	uint8_t kind; /* enum insn_form or enum opcode_kind */
	uint32_t attr;
};

enum opcode_group { GROUP_80, GROUP_81, GROUP_83, GROUP_82, GROUP_8F, GROUP_C0, GROUP_C1, GROUP_C6, GROUP_C7,
		    GROUP_D0, GROUP_D1, GROUP_D2, GROUP_D3, GROUP_F6, GROUP_F7, GROUP_FE, GROUP_FF, GROUP_0FBA,
		    GROUP_0FC7, GROUP_COUNT };

/* Opcodes after 0Fh, or 0Fh 38h, that a prefix makes another instruction. */
enum opcode_row { ROW_10, ROW_11, ROW_12, ROW_13, ROW_16, ROW_17, ROW_28, ROW_29, ROW_2B, ROW_6E, ROW_6F,
		  ROW_7E, ROW_7F, ROW_D6, ROW_E7, ROW_F0, ROW_382A, ROW_38F0, ROW_38F1, ROW_COUNT };
enum mandatory_prefix { MANDATORY_NONE, MANDATORY_66, MANDATORY_F3, MANDATORY_F2, MANDATORY_COUNT };

extern const struct opcode opcode_one_byte[256];
extern const struct opcode opcode_two_byte[256]; /* after 0Fh */
extern const struct opcode opcode_0f38[256]; /* after 0Fh 38h */
extern const struct opcode opcode_groups[GROUP_COUNT][8];
extern const struct opcode opcode_prefixed[ROW_COUNT][MANDATORY_COUNT];

#endif
