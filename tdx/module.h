/*
 * The TDX module of this machine: its start-up, what it told of itself, and the key ids it has for TDs.
 *
 * Start-up is SYS.INIT, SYS.LP.INIT on every CPU, SYS.RD of what must be known, SYS.CONFIG with TDMRs and
 * PAMTs (tdx/tdmr.h), WBINVD on every CPU, SYS.KEY.CONFIG on one CPU of each package, SYS.TDMR.INIT until all
 * memory is usable. TDX Module 1.5 base specification, "Intel TDX Module Lifecycle".
 */
#ifndef TDX_MODULE_H
#define TDX_MODULE_H

#include "hv/base/failure.h"
#include "hv/base/frame.h"
#include "hv/base/types.h"
#include "tdx/abi/fields.h"
#include "tdx/abi/params.h"
#include "tdx/seamcall.h"
#include "tdx/tdmr.h"

#define TDX_MAX_HKIDS 1024 /* used of those there are */
#define TDX_MAX_TDCX 9     /* pages of a TD's control structure */
#define TDX_MAX_TDVPS 15   /* pages of a vCPU's, the TDVPR among them */

/* The machine as start-up and TDs need it. */
struct tdx_machine {
	const struct tdx_ops *ops;
	uint32_t first_hkid, hkids; /* private key ids */
	uint32_t keyid_shift;       /* where a physical address carries one */
	uint32_t hpa_bits;          /* physical addresses without it */
	uint32_t gpaw;              /* 0: the module's 48; else the width that a software module has to offer */
	uint32_t cpus;
	uint32_t (*package_of)(void *ctx, uint32_t cpu);
	/* Runs fn on that CPU and returns when it has. The caller holds no lock. */
	void (*on_cpu)(void *ctx, uint32_t cpu, void (*fn)(void *arg), void *arg);
	uint32_t (*this_cpu)(void *ctx);
	void (*flush_caches)(void *ctx); /* WBINVD, on the running CPU */
	void *ctx;
};

struct tdx_module {
	struct tdx_machine machine;
	bool ready;
	char why_not[sizeof(((struct failure *)0)->text)]; /* while it is not */
	uint32_t major, minor, update, build, build_date;
	uint64_t features;
	uint32_t max_tdmrs, max_reserved;
	uint64_t pamt_entry[TDX_PAMTS]; /* bytes */
	uint32_t tdcx_pages, tdvps_pages;
	uint64_t attributes_fixed0, attributes_fixed1, xfam_fixed0, xfam_fixed1;
	uint32_t cpuid_configs;
	struct {
		uint32_t leaf, subleaf; /* subleaf ~0: it has none */
		struct tdx_cpuid_values mask; /* bits a TD may be given */
	} cpuid[TDX_TD_PARAMS_CPUIDS];
	struct tdmr_set memory;
	uint32_t global_hkid;
	uint64_t hkid_used[TDX_MAX_HKIDS / 64];
	uint64_t tdmr_calls; /* that start-up took */
};

extern struct tdx_module tdx_module;

/*
 * Starts it. On an error there are no TDs: f and tdx_module.why_not say why, nothing of the host's memory is
 * lost but what the module was given and may have kept. Boot CPU, once, all CPUs up and in VMX operation.
 */
int tdx_module_start(const struct tdx_machine *machine, struct failure *f);

/* Bit of guest-physical addresses that means shared memory. */
uint32_t tdx_shared_bit(void);

/* All of the memory that TDs may have, in bytes. */
uint64_t tdx_memory_bytes(void);
/* Whether TDs may have these frames: they lie in memory the module was given. */
bool tdx_memory_fits(hpa_t first, uint64_t npages);
/* A cleared frame that they may have, on record as owner's and out of the hypervisor's map; HPA_NONE when there is
 * none. */
hpa_t tdx_frame_alloc(frame_owner_t owner);

/* A free key id; 0 when all are in use. And back. Any CPU; no lock. */
uint32_t tdx_hkid_alloc(void);
void tdx_hkid_free(uint32_t hkid);
uint32_t tdx_hkids_free(void);

/*
 * Runs leaf on one CPU of each package until done, in the class of the policy: INTERRUPTED_RESUMABLE is gone
 * on with. Stops at the first status that is an error. The caller holds no lock.
 */
uint64_t tdx_on_packages(uint64_t (*leaf)(void *arg), void *arg);
/* The same on one CPU. */
uint64_t tdx_on_cpu(uint32_t cpu, uint64_t (*leaf)(void *arg), void *arg);

/* The address of a page with a key id in it. */
hpa_t tdx_keyed(hpa_t page, uint32_t hkid);

#endif
