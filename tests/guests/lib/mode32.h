/*
 * Out of 64-bit mode and back: a list of memory accesses and register loads is carried out in 32-bit
 * protected mode under whatever paging is asked for, by either privilege, and each says how it ended.
 */
#ifndef TESTS_GUESTS_LIB_MODE32_H
#define TESTS_GUESTS_LIB_MODE32_H

#include "hv/base/types.h"

enum op32_kind {
	OP_LOAD,       /* value = what is at address */
	OP_STORE,      /* value goes there */
	OP_CALL,       /* jumps there; UD2 must be what lies there */
	OP_USER_LOAD,  /* the same three from ring 3 */
	OP_USER_STORE,
	OP_USER_CALL,
	OP_INVLPG,
	OP_CR3,        /* loads value */
	OP_CR4,
	OP_CR0,
};

struct op32 { /* as lib/mode32.S has it */
	uint32_t kind, address, value;
	uint32_t vector, error, cr2; /* of a fault; vector 0: none */
	uint32_t unused[2];
};

struct mode32 {
	uint32_t cr0;      /* bits to set besides PE */
	uint32_t cr3, cr4;
	uint32_t efer;     /* EFER_NXE, or EFER_LME to leave it on while paging is off */
	uint32_t ops, count;
	uint32_t cr0_seen;
	struct op32 entry; /* how turning the mode on ended; after a fault no operation is carried out */
};

/* Runs m->count operations; addresses and code below 4 GiB are mapped one to one in all modes, for ring 3 too
 * where it takes part. */
void mode32(struct mode32 *m, struct op32 *ops, unsigned count);

/* The error code with the vector in front: 0 when there was no fault. */
static inline uint32_t op32_fault(const struct op32 *op) { return op->error | op->vector << 8; }

#endif
