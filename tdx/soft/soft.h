/*
 * A TDX module in software: the same SEAMCALL and TDCALL interface, states, locks, status codes and
 * measurement as the real one, on plain VMX. It protects nobody: it exists so that the path of a TD can
 * run and be tested where there is no TDX. This header is all that its user sees.
 *
 * It is a library: no allocation, no global state. What it knows is in struct soft, in the PAMTs, and in
 * the pages that the host hands over by SEAMCALL, as with the real module. Any register and any content
 * of shared memory gives a status; what the host must not touch are the pages it has handed over, and no
 * pointer to one of them outlives the call in which it was made.
 */
#ifndef TDX_SOFT_SOFT_H
#define TDX_SOFT_SOFT_H

#include "hv/base/failure.h"
#include "hv/base/types.h"
#include "tdx/abi/leaf.h"
#include "tdx/abi/params.h"
#include "tdx/soft/cpu.h"
#include "tdx/soft/lock.h"

#define SOFT_MAX_LPS 256
#define SOFT_MAX_PACKAGES 8
#define SOFT_MAX_HKIDS 64 /* private ones */
#define SOFT_MAX_MAPS 64  /* pages that one call has mapped at the same time */

struct soft_vp; /* tdx/soft/vp.h */

/* What a test can make go wrong; struct soft_platform.fail. */
enum soft_fault {
	SOFT_FAULT_BUSY,       /* a lock that could be had: operand is the id that the status would carry */
	SOFT_FAULT_ENTRY_BUSY, /* the lock of an S-EPT entry: operand is its level */
	SOFT_FAULT_EPOCH_BUSY, /* TRACK finds vCPUs in the previous epoch */
	SOFT_FAULT_KEY,        /* no key can be generated */
	SOFT_FAULTS
};

enum soft_register { SOFT_XCR0, SOFT_CR2, SOFT_DR6 };

/* The machine as the module sees it. All functions are called with the locks of the SEAMCALL held. */
struct soft_platform {
	void *ctx;
	uint32_t hpa_bits;           /* MAXPHYADDR, without key ids: 36..52 */
	uint32_t lps;                /* logical processors, at most SOFT_MAX_LPS */
	uint32_t packages;           /* at most SOFT_MAX_PACKAGES */
	uint32_t first_private_hkid; /* ids below are shared */
	uint32_t private_hkids;      /* at least 2: one for the module, the others for TDs */
	uint32_t keyid_shift;        /* where a physical address carries a key id: at least hpa_bits */
	uint32_t num_cmrs;
	struct soft_cpu cpu;
	struct tdx_range cmrs[TDX_MAX_CMRS]; /* ascending, disjoint, in units of 4K: where PAMTs and TDs may be */

	uint32_t (*package_of)(void *ctx, uint32_t lp);
	/*
	 * The module's ways to memory. A page that it owns is mapped for this LP alone and only while it is needed:
	 * map() gives the 4K page at page, writable, until map_release() with a mark that map_mark() gave before; each
	 * mark is released once.
	 * map_large() does so with the 2M page at page, of which there is one at a time, until any map_release().
	 * The host's pages are always there: map_shared() gives NULL where there is no memory of the host's.
	 */
	void *(*map)(void *ctx, hpa_t page);
	void *(*map_large)(void *ctx, hpa_t page);
	uint32_t (*map_mark)(void *ctx);
	void (*map_release)(void *ctx, uint32_t mark);
	void *(*map_shared)(void *ctx, hpa_t page);
	bool (*entropy)(void *ctx, uint64_t *value); /* false: none at the moment */
	bool (*interrupt_pending)(void *ctx, uint32_t lp);
	uint64_t (*now)(void *ctx); /* TSC of this LP */

	/*
	 * The vCPU's hardware. vmcs_create makes the second page of the TDVPS a VMCS with nothing in it.
	 * vmcs_read and vmcs_write are only called on the LP that the vCPU is associated with, and make its
	 * VMCS current first if it is not.
	 */
	void (*vmcs_create)(void *ctx, struct soft_vp *vp);
	uint64_t (*vmcs_read)(void *ctx, struct soft_vp *vp, uint32_t field);
	void (*vmcs_write)(void *ctx, struct soft_vp *vp, uint32_t field, uint64_t value);
	/* One VM entry to one VM exit, with the registers of vp->gpr. What the exit was is in the VMCS. */
	void (*run)(void *ctx, struct soft_vp *vp);
	/*
	 * Around the runs of one VP.ENTER: the guest's extended state, debug registers, CR2 and the MSRs of
	 * td_switched_msrs[] go into the LP, and out of it to the TDVPS. load takes the XMM registers in the
	 * mask from the LP, where the host left them; save leaves those in the mask to the host, and nothing
	 * of the guest in the others.
	 */
	void (*load)(void *ctx, struct soft_vp *vp, uint32_t xmm);
	void (*save)(void *ctx, struct soft_vp *vp, uint32_t xmm);
	/* Between them: vp->xcr0, vp->cr2 or vp->dr6 was changed and goes into the LP. */
	void (*apply)(void *ctx, struct soft_vp *vp, enum soft_register reg);
	/* An interrupt that an exit acknowledged and that is the module's own: it is at its end. */
	void (*end_of_interrupt)(void *ctx);
	/* VMCLEAR: the vCPU may next run on another LP. */
	void (*flush)(void *ctx, struct soft_vp *vp);
	/* This LP forgets every translation of the vCPU's TD: INVEPT of its roots. */
	void (*flush_tlb)(void *ctx, struct soft_vp *vp);

	/* NULL but in tests: true makes the fault happen. */
	bool (*fail)(void *ctx, enum soft_fault fault, uint32_t operand);
};

/* Key ownership. */
enum soft_kot_state { SOFT_KOT_FREE, SOFT_KOT_ASSIGNED, SOFT_KOT_FLUSHED, SOFT_KOT_RESERVED };
struct soft_kot_entry {
	uint8_t state;           /* enum soft_kot_state */
	uint8_t wbinvd_packages; /* FLUSHED: packages that have still to write their caches back */
};

enum soft_sys_state {
	SOFT_SYS_INIT_PENDING,
	SOFT_SYS_INIT_DONE,
	SOFT_SYS_CONFIG_DONE,
	SOFT_SYS_READY,
	SOFT_SYS_SHUTDOWN,
};

struct soft_tdmr {
	struct tdx_tdmr_info info;
	struct sharex lock;   /* of TDMR.INIT */
	uint64_t initialised; /* bytes of it, from its base, whose PAMT entries are valid */
};

/* All of the module's own state; zeroed memory is a module that soft_init() has not seen. */
struct soft {
	struct soft_platform platform;
	struct soft_controls controls; /* of every TD's VMCS */
	uint32_t state; /* enum soft_sys_state */
	struct sharex sys_lock, kot_lock, ket_lock;
	struct sharex wbcache_lock[SOFT_MAX_PACKAGES];
	uint64_t lp_initialised[SOFT_MAX_LPS / 64];
	uint32_t lps_initialised;
	uint32_t global_hkid;
	uint8_t packages_keyed;                      /* those that have the global key */
	uint64_t wbcache_hkids[SOFT_MAX_PACKAGES];   /* ids that an interrupted CACHE.WB has still to do */
	struct soft_kot_entry kot[SOFT_MAX_HKIDS];   /* by id less first_private_hkid */
	uint32_t num_tdmrs;
	struct soft_tdmr tdmr[TDX_MAX_TDMRS];        /* ascending */
	uint64_t mac_key[4];                         /* of this boot, for the MAC of reports */
};

/* Refuses, in a sentence, a platform that the module cannot run on. 0, -EINVAL, or -ENODEV for a lack of VMX. */
int soft_init(struct soft *m, const struct soft_platform *p, struct failure *why);

/*
 * One SEAMCALL on that LP: RAX holds the leaf, then the status; leafs that return nothing in a register
 * leave it as it was. From any number of LPs at once, not twice at once on one.
 */
void soft_seamcall(struct soft *m, uint32_t lp, struct tdx_regs *r);

#endif
