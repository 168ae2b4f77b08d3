/*
 * A machine for the host's side of TDX: RAM with a record of owners that poisons what is freed, CPUs in two
 * packages, and under them the software TDX module, in which every SEAMCALL can be made to go wrong.
 *
 * RAM is 1G..1G+48M; CMRs are all of 0..4G.
 */
#ifndef TESTS_UNIT_TDX_WORLD_H
#define TESTS_UNIT_TDX_WORLD_H

#include "tdx/module.h"

struct soft;
struct soft_vp;

#define WORLD_RAM GIB(1)
#define WORLD_RAM_BYTES MIB(48)
#define WORLD_CPUS 4
#define WORLD_PACKAGES 2
#define WORLD_HPA_BITS 46
#define WORLD_FIRST_HKID 32
#define WORLD_HKIDS 8
#define WORLD_GPAW 46
#define WORLD_SHARED(gpa) ((gpa) | BIT(WORLD_GPAW - 1))

/* One status in place of what a leaf would have answered. */
struct tdx_wrong {
	uint32_t leaf;
	uint32_t after;  /* calls of that leaf that go well first */
	uint32_t times;  /* then so many go wrong; ~0: all */
	uint64_t status;
	bool late;       /* the call is carried out all the same */
	uint32_t done;   /* how many went wrong so far */
};

struct tdx_world {
	struct soft *soft;
	struct tdx_machine machine;
	struct tdx_ops ops;
	struct tdx_wrong wrong, also;
	uint64_t calls[TDH_LEAF_COUNT]; /* those that went wrong included */
	uint64_t frames_left;           /* allocations that still succeed */
	uint64_t tables_left;           /* times that frames can still be taken out of the hypervisor's map */
	uint32_t cache_flushes;         /* WBINVD, one bit per CPU */
	bool interrupt;                 /* one is pending on every CPU */
	uint64_t bars, kicks;
	/* NULL, or what a bar and a kick do. */
	void (*on_bar)(bool bar);
	void (*on_kick)(void);
	/* What a vCPU does from VM entry to VM exit; NULL: an external interrupt ends it. */
	void (*guest)(struct soft_vp *vp);
	/* NULL, or tells fields of SYS.RD in place of the module. */
	bool (*field)(uint64_t field, uint64_t *value);
};
extern struct tdx_world tdx_world;
extern __thread uint32_t tdx_world_cpu; /* the running one */

/* The machine, its module not started; ends an earlier one. */
void tdx_world_start(void);
/* The same with the module started. */
void tdx_world_ready(void);
void tdx_world_end(void);

/* A SEAMCALL that nothing goes wrong with and nobody counts. Returns RAX. */
uint64_t tdx_world_raw(struct tdx_regs *r);

/* Marks the leafs that the host has a function for (tdx/tdh.h), and VP.ENTER; those of the module's start-up, or the
 * others. */
void tdx_world_host_leafs(bool start_up, bool made[TDH_LEAF_COUNT]);

/* Frames on record as that owner's. frame_count() counts the same. */
uint64_t tdx_world_free_frames(void);

/*
 * NULL, or what is wrong: every page the module has must be on record as a TD's; and, with exact, no page that it has
 * not. Both at any time but in the middle of a call.
 */
const char *tdx_world_owners_wrong(bool exact);

#endif
