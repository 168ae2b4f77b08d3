/*
 * A machine for the software TDX module: 4 GiB of memory, 4 LPs in 2 packages, vCPUs that do as a test says,
 * and everything that can go wrong on demand. The host's side of the calls is here too.
 *
 * Memory: 0..1G is the host's; TDMR 0 is 1G..2G with a hole of 16M at its end, in which its PAMTs are; TDMR 1
 * is 2G..4G, its PAMTs are in the host's part.
 */
#ifndef TESTS_UNIT_SOFT_WORLD_H
#define TESTS_UNIT_SOFT_WORLD_H

#include "tdx/abi/fields.h"
#include "tdx/abi/leaf.h"
#include "tdx/abi/params.h"
#include "tdx/abi/status.h"
#include "tdx/soft/pamt.h"
#include "tdx/soft/vp.h"

#define WORLD_LPS 4
#define WORLD_PACKAGES 2
#define WORLD_MEMORY GIB(4)
#define WORLD_TDMR0 GIB(1)
#define WORLD_TDMR1 GIB(2)
#define WORLD_TDMRS 2
#define WORLD_HOLE MIB(16) /* reserved, at the end of TDMR 0 */
#define WORLD_GLOBAL_HKID 32
#define WORLD_HKIDS 8 /* private: 32 to 39 */
#define WORLD_HKID(i) (WORLD_GLOBAL_HKID + 1 + (i))
#define WORLD_KEYID_SHIFT 46
#define WORLD_HPA_BITS 46
#define WORLD_GPA_BITS 46
#define WORLD_SHARED BIT(WORLD_GPA_BITS - 1)
#define WORLD_VCPUS 16 /* of a TD */

/* "code|operand", as the conformance checks write it. */
#define ST(code, operand) ((uint64_t)(code) << 32 | (operand))

struct world {
	struct soft m;
	uint8_t *memory;
	uint8_t *window;    /* NULL, or where the module has its view of the memory: world_confined */
	uint64_t most_maps; /* pages that it had mapped at the same time */
	uint32_t packages; /* in use, of the platform to come */
	uint64_t tsc;      /* grows with each look */
	bool no_entropy;
	bool interrupt[WORLD_LPS];
	uint64_t flushes, tlb_flushes, ends_of_interrupt;
	uint64_t applied[SOFT_DR6 + 1]; /* by register */
	uint32_t xmm_in, xmm_out;       /* masks of the last load and save */
	/* What the vCPU does from VM entry to VM exit; NULL: an external interrupt ends it. */
	void (*guest)(struct soft_vp *vp);
	/* While flush_tlb: the epoch is locked, shared. */
	void (*on_tlb_flush)(struct soft_vp *vp);
	/* NULL, or as struct soft_platform.fail. */
	bool (*fault)(enum soft_fault fault, uint32_t operand);
	hpa_t next_page; /* of world_page() */
};
extern struct world world;

/* A machine on which no call was made yet. Ends an earlier one. */
void world_start(void);
/* The same, with the module READY and all TDMRs initialised. */
void world_ready(void);
/* What world_ready() does, in two steps. */
void world_configure(void);
void world_init_tdmrs(void);
void world_end(void);
/* From the next world_start() on: what the module does not have mapped just now is out of its reach, so that a pointer
 * which it keeps too long is a fault. One thread only, and slow. */
extern bool world_confined;

void *world_at(hpa_t hpa);
/* A page of TDMR 1 that was not yet handed out. */
hpa_t world_page(void);
/* The same of 2M. */
hpa_t world_large_page(void);
/* The TDMRs of this world as TDMR_INFOs and the array of their addresses, at WORLD_TDMR_ARRAY. */
#define WORLD_TDMR_ARRAY MIB(64)
struct tdx_tdmr_info *world_tdmr_info(uint32_t i);
void world_write_tdmrs(void);

/* ---- calls ---- */
extern struct tdx_regs out; /* registers of the last call */
uint64_t sc(uint32_t lp, uint64_t leaf, uint64_t rcx, uint64_t rdx, uint64_t r8, uint64_t r9);
/* The same as leaf 0 with all registers: as in out. */
uint64_t enter(uint32_t lp, hpa_t tdvpr);

/* ---- TDs ---- */
struct world_td {
	hpa_t tdr;
	uint32_t hkid;
	hpa_t tdcx[TDX_TDCS_PAGES];
	hpa_t vp[WORLD_VCPUS]; /* TDVPRs */
	uint32_t vcpus;
};
#define WORLD_PARAMS MIB(65)
/* Good parameters, at WORLD_PARAMS. */
struct tdx_td_params *world_params(void);
/* Up to MNG.KEY.CONFIG on all packages. */
void td_create(struct world_td *td, uint32_t hkid);
void td_add_tdcs(struct world_td *td);
/* All of that and MNG.INIT. */
void td_build(struct world_td *td, uint32_t hkid);
/* A vCPU with all its pages, initialised on lp. */
hpa_t td_add_vcpu(struct world_td *td, uint32_t lp);
/* A TDVPR with all its pages that VP.INIT has not seen. */
hpa_t td_add_pages_of_vcpu(struct world_td *td);
/* td_build(), one vCPU on LP 0, or as many on LPs from 0 on, MR.FINALIZE. */
void td_run(struct world_td *td, uint32_t hkid);
void td_run_with(struct world_td *td, uint32_t hkid, uint32_t vcpus);
struct soft_tdr *td_tdr(const struct world_td *td);
struct soft_tdcs *td_tdcs(const struct world_td *td);
struct soft_vp *td_vp(const struct world_td *td, uint32_t i);

/*
 * Calls fn for the page of each entry of a TD's secure EPT that is not free: level is the page's, 4K for a table. Fails
 * the test where the entry is locked, has rights without being mapped, or is blocked later than now, and where the
 * PAMT has no page of that kind and size of this TD that nobody holds.
 */
void td_for_each_page(hpa_t tdr, void (*fn)(void *ctx, hpa_t page, uint32_t level, bool leaf), void *ctx);

/* ---- what a scripted guest says of its exit ---- */
void guest_exits(struct soft_vp *vp, uint32_t reason, uint64_t qualification);
uint64_t *guest_field(struct soft_vp *vp, uint32_t field);

#endif
