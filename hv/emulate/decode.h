/*
 * Decoding of the guest instructions that Gnomon carries out itself: those with a memory operand
 * that a guest may point at a device or at a write-protected page. Pure: bytes in, struct insn out.
 */
#ifndef HV_EMULATE_DECODE_H
#define HV_EMULATE_DECODE_H

#include "hv/base/types.h"

/* Size of code by CS.L and CS.D; real mode is CPU_MODE_16. */
enum cpu_mode { CPU_MODE_16 = 16, CPU_MODE_32 = 32, CPU_MODE_64 = 64 };

/* Longest instruction, SDM volume 2A "Instruction Format". */
#define INSN_MAX_BYTES 15

/* The first eight are in the order of the ModRM.reg field of opcodes 80h..83h. */
enum insn_op {
	OP_ADD, OP_OR, OP_ADC, OP_SBB, OP_AND, OP_SUB, OP_XOR, OP_CMP,
	OP_TEST, OP_INC, OP_DEC, OP_NOT, OP_NEG,
	OP_ROL, OP_ROR, OP_RCL, OP_RCR, OP_SHL, OP_SHR, OP_SAR, OP_SHLD, OP_SHRD,
	OP_MUL, OP_IMUL, OP_DIV, OP_IDIV,
	OP_MOV, OP_MOVZX, OP_MOVSX, OP_MOVBE, OP_CMOV, OP_SETCC,
	OP_XMOV,      /* XMM register: all of it, or its low bytes; a load clears the rest */
	OP_XMOVA,     /* all of it, and memory must be aligned */
	OP_XMOVL, OP_XMOVH, /* its low or high half; a load keeps the other */
	OP_XCHG, OP_XADD, OP_CMPXCHG,
	OP_CMPXCHG2,  /* CMPXCHG8B, CMPXCHG16B: of two registers, each of operand size */
	OP_BT, OP_BTS, OP_BTR, OP_BTC,
	OP_PUSH, OP_POP,
	OP_MOVS, OP_CMPS, OP_STOS, OP_LODS, OP_SCAS,
	OP_COUNT,
};

/* Which operands there are; the first is the destination. */
enum insn_form {
	FORM_LOAD,   /* register, memory */
	FORM_STORE,  /* memory, register */
	FORM_IMM,    /* memory, immediate */
	FORM_LOAD_IMM,  /* register, memory, immediate */
	FORM_STORE_IMM, /* memory, register, immediate */
	FORM_UNARY,  /* memory; a shift's count is CL */
	FORM_STRING, /* what rSI and rDI point at */
};

/* Segment registers by their encoding. */
enum insn_segment { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };

enum insn_repeat { REPEAT_NONE, REPEAT_NE, REPEAT_E }; /* F2h, F3h; kept for all instructions */

#define INSN_REG_RIP 16   /* base only */
#define INSN_REG_NONE 255 /* no base, no index */

struct insn {
	uint8_t op;        /* enum insn_op */
	uint8_t form;      /* enum insn_form */
	uint8_t length;    /* bytes */
	uint8_t size;      /* operand size: 1, 2, 4 or 8; of XMM moves 4, 8 or 16 */
	uint8_t mem_size;  /* the memory operand's: smaller for MOVZX and MOVSX, twice for CMPXCHG2 */
	uint8_t addr_size; /* 2, 4 or 8 */
	uint8_t reg;       /* the general or XMM register operand, 0..15 in encoding order */
	uint8_t reg_shift; /* 8 for AH, CH, DH and BH, which have reg 0..3; else 0 */
	uint8_t base;      /* 0..15, INSN_REG_RIP or INSN_REG_NONE */
	uint8_t index;     /* 0..15 or INSN_REG_NONE */
	uint8_t scale;     /* shift of the index: 0..3 */
	uint8_t segment;   /* enum insn_segment of the memory operand; a string's source */
	uint8_t repeat;    /* enum insn_repeat */
	uint8_t lock;      /* 1 with a LOCK prefix */
	uint8_t cond;      /* condition of CMOVcc and SETcc: the opcode's low four bits */
	int64_t disp;      /* sign-extended; all 64 bits for a moffs64 */
	uint64_t imm;      /* sign-extended from its encoded size */
};

/*
 * Decodes the instruction at bytes[0..len). 0, or a negative errno with *out undefined:
 * -ENODATA: it is longer than len bytes (len below 15), -E2BIG: longer than 15, which is #GP(0),
 * -EILSEQ: the CPU answers #UD, -ENOTSUP: perhaps valid, but not a form of struct insn.
 */
int decode(const uint8_t *bytes, unsigned len, enum cpu_mode mode, struct insn *out);

/*
 * Decodings remembered by address: a guest reaches its devices from a few places. An entry counts
 * only when mode and bytes are the same, so nothing ever has to be invalidated. One per vCPU,
 * zeroed before first use.
 */
#define DECODE_CACHE_SLOTS 16

struct decode_cache {
	struct decode_slot {
		uint64_t bytes[2], mask[2]; /* the instruction's bytes; ones where it has some */
		uint32_t mode;              /* enum cpu_mode; 0: empty */
		struct insn insn;
	} slot[DECODE_CACHE_SLOTS];
};

static inline struct decode_slot *decode_slot_of(struct decode_cache *cache, gva_t rip)
{
	return &cache->slot[(rip ^ rip >> 4) % DECODE_CACHE_SLOTS];
}

/* The rest of decode_cached(): decodes into the slot. */
int decode_into_slot(struct decode_slot *slot, const uint8_t bytes[16], unsigned len, enum cpu_mode mode);

/* As decode(), for len bytes fetched from rip into a buffer of 16. *out stays valid until the
 * cache's next use. */
static inline int decode_cached(struct decode_cache *cache, gva_t rip, const uint8_t bytes[16], unsigned len,
				enum cpu_mode mode, const struct insn **out)
{
	struct decode_slot *slot = decode_slot_of(cache, rip);
	uint64_t word[2];

	__builtin_memcpy(word, bytes, sizeof(word));
	*out = &slot->insn;
	if (LIKELY((word[0] & slot->mask[0]) == slot->bytes[0] && (word[1] & slot->mask[1]) == slot->bytes[1] &&
		   slot->mode == mode && slot->insn.length <= len))
		return 0;
	return decode_into_slot(slot, bytes, len, mode);
}

const char *insn_op_name(enum insn_op op);

#endif
