/*
 * The life of a TD: created with a key of its own and control pages, initialised, given vCPUs and its first
 * memory, measured, finalized; run (tdx/vp.h); and at its end its key is released first, after which every
 * page is taken back. A TD's pages are on record as OWNER_TD(id) while the module holds them.
 * TDX Module 1.5 base specification, "TD Life Cycle Management".
 *
 * All functions but those that say so are for one CPU at a time, no lock held: they may run parts on other
 * CPUs. Private memory is mapped by mmu/ through td->external (tdx/sept.h).
 */
#ifndef TDX_TD_H
#define TDX_TD_H

#include "hv/base/failure.h"
#include "hv/base/frame.h"
#include "hv/base/types.h"
#include "hv/guest/guest.h"
#include "mmu/external.h"
#include "tdx/abi/params.h"
#include "tdx/module.h"
#include "tdx/seamcall.h"

enum td_state {
	TD_NONE,        /* zeroed memory: there is nothing to end */
	TD_CREATED,     /* has a TDR and perhaps more */
	TD_INITIALIZED, /* takes vCPUs and its first memory */
	TD_RUNNABLE,
	TD_RELEASED,    /* its key is gone: pages may be taken back */
	TD_LOST,        /* the module kept it: what it has is on record as its own until the machine restarts */
};

extern const char *const td_state_names[];

#define TD_NO_CPU (~(uint32_t)0)

struct td_vcpu {
	hpa_t page[TDX_MAX_TDVPS]; /* the TDVPR first */
	uint32_t count;            /* of those the module has */
	uint32_t cpu;              /* which has it since VP.INIT, VP.ENTER, VP.RD or VP.WR; TD_NO_CPU: none */
	bool ready;                /* VP.INIT is done */
};

/* Pages of which an error left unknown whether the module has them. */
#define TD_MAX_DOUBTS (GUEST_MAX_VCPUS + 2)

struct td {
	uint32_t id;   /* the VM's: frame owners OWNER_TD(id), OWNER_VM(id), OWNER_VM_META(id) */
	enum td_state state;
	uint32_t hkid; /* 0: none */
	hpa_t tdr;
	uint32_t tdcx_count;
	hpa_t tdcx[TDX_MAX_TDCX];
	uint32_t vcpu_count;
	struct td_vcpu vcpu[GUEST_MAX_VCPUS];
	struct tdx_kicker kicker;
	struct mmu_external external; /* for struct mmu_config */
	hpa_t source;                 /* of the page of the first image that is being added, else 0 */
	uint32_t doubt_count;         /* atomic */
	struct {
		hpa_t page;
		uint64_t npages;
	} doubt[TD_MAX_DOUBTS];
	char broken[sizeof(((struct failure *)0)->text)]; /* what the first unexpected status was, or "" */
	uint32_t broken_once;         /* atomic: somebody has written it */
};

/* What a TD is to be. */
struct td_config {
	uint64_t attributes; /* TDX_ATTR_* */
	uint64_t xfam;       /* of what the module allows, the bits of XCR0 and IA32_XSS it may use */
	uint32_t max_vcpus;
	uint32_t tsc_units;  /* of TDX_TSC_UNIT */
	/* What CPUID shall say; only the bits count that the module leaves to the host. NULL: all of those 0. */
	void (*cpuid)(void *ctx, uint32_t leaf, uint32_t subleaf, struct tdx_cpuid_values *v);
	void *cpuid_ctx;
	struct tdx_kicker kicker; /* functions as in struct mmu_external; not used before the first vCPU runs */
};

/* Up to MNG.INIT. On failure nothing is left. td is zeroed memory, or one that has been destroyed. */
int td_create(struct td *td, uint32_t id, const struct td_config *config, struct failure *f);

/* Adds the next vCPU; it finds rcx in RCX and R8. Afterwards no CPU has it. On failure td_end() is due. */
int td_vcpu_create(struct td *td, uint64_t rcx, struct failure *f);

/* The running CPU is about to do VP.ENTER, VP.RD or VP.WR. */
void td_vcpu_claim(struct td *td, uint32_t index);
/* Takes it away from the CPU that has it, on that CPU: VP.FLUSH. */
int td_vcpu_flush(struct td *td, uint32_t index, struct failure *f);
/* A field, from the running CPU, which then has the vCPU. */
int td_vcpu_write(struct td *td, uint32_t index, uint64_t field, uint64_t value, uint64_t mask, struct failure *f);
int td_vcpu_read(struct td *td, uint32_t index, uint64_t field, uint64_t *value, struct failure *f);

struct mmu_vcpu;
/*
 * Adds one page of the first image: a copy of the one at source, which stays ours. Its address is measured, and
 * with measure its contents. mv: mmu->host of the address space over td->external. Errors of mmu_mirror_build();
 * after -EIO td_end() is due. Takes the mmu's lock.
 */
int td_add_page(struct td *td, struct mmu_vcpu *mv, gfn_t gfn, hpa_t source, bool measure, struct failure *f);

/* The image and the vCPUs are complete: the measurement is settled, and the TD can run. */
int td_finalize(struct td *td, struct failure *f);

/* A field of the TD: TDX_TD_*. -EIO. */
int td_read(struct td *td, uint64_t field, uint64_t *value, struct failure *f);

/*
 * The end, from every state, with every vCPU out for good: releases the key, takes back the private memory that
 * mmu knows of (NULL: there is none yet), then the control pages. mmu itself is destroyed after, by the caller,
 * and only frames that are on record as OWNER_VM(id) are free for others then. 0, or -EIO: f says what is lost.
 */
int td_end(struct td *td, struct mmu *mmu, struct failure *f);

#endif
