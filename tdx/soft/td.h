/*
 * A TD in the pages of its host: the TDR and the TDCS, and the checks that every leaf with a TD makes
 * before it does anything else. TDX Module 1.5 base specification, "TD Life Cycle Management", "TDR" and
 * "TDCS". The layout of the pages is the module's own affair; only their number and order are ABI.
 */
#ifndef TDX_SOFT_TD_H
#define TDX_SOFT_TD_H

#include "tdx/soft/pamt.h"

#define TD_MAX_TDCX 9

/* The TDR's page. Its PAMT entry's lock protects what no comment excludes. */
struct soft_tdr {
	uint32_t lifecycle; /* enum tdx_lifecycle */
	uint32_t hkid;
	uint32_t fatal;          /* atomic: nothing but teardown is left */
	uint32_t packages_keyed; /* bit by package: it has the TD's key */
	uint64_t uuid[4];
	uint64_t children;       /* atomic: pages of 4K that belong to the TD, without the TDR */
	uint32_t num_tdcx;
	hpa_t tdcx[TD_MAX_TDCX];
};
_Static_assert(sizeof(struct soft_tdr) <= 4096, "TDR");

/* Pages of the TDCS, by the order in which they were added. */
enum tdcs_page {
	TDCS_BASE,        /* struct soft_tdcs */
	TDCS_CPUID,       /* what CPUID says to the TD */
	TDCS_MSR_BITMAP,  /* of VMX */
	TDCS_SEPT_ROOT,   /* the root of the secure EPT */
	TDCS_MERGED_ROOT, /* the root that CPUs walk: private entries of SEPT_ROOT, shared ones of the host's */
	TDCS_MERGED_LOW,  /* where the shared bit lies inside a root entry: the table below it */
};

#define TD_DIGEST 48 /* bytes of SHA-384 */
#define TD_RTMRS 4
#define TD_MR_CONTEXT 512 /* bytes that the running measurement takes */

/* The first page of the TDCS. */
struct soft_tdcs {
	struct sharex op_state_lock;
	uint32_t op_state;        /* enum tdx_op_state */
	uint32_t num_vcpus;       /* atomic: that VP.INIT has seen */
	uint32_t num_associated;  /* atomic: vCPUs that an LP may still have something of */

	/* TD_PARAMS, checked. */
	uint64_t attributes, xfam, eptp_controls, config_flags;
	uint32_t max_vcpus;
	uint32_t gpa_bits;        /* the shared bit is the one below */
	uint32_t ept_levels;      /* 4 */
	uint32_t tsc_frequency;   /* units of TDX_TSC_UNIT */
	struct tdx_cpuid_values cpuid_config[TDX_TD_PARAMS_CPUIDS];
	uint8_t mrconfigid[TD_DIGEST], mrowner[TD_DIGEST], mrownerconfig[TD_DIGEST];

	uint64_t td_ctls, notify_enables; /* the guest's */
	uint64_t hp_lock_timeout;         /* microseconds */
	uint64_t tsc_offset;              /* of all vCPUs: the TD's TSC is 0 at MNG.INIT */

	/* TLB tracking: 3.3 of the ABI facts. vCPUs inside are counted in refcount[epoch & 1]. */
	struct sharex epoch_lock;
	uint64_t epoch;
	uint32_t refcount[2]; /* atomic */

	struct sharex sept_lock; /* the tree; entries have bit 11 */
	uint32_t merged_lock;    /* atomic: of tdx/soft/merged.c */

	/* Measurement. */
	struct sharex rtmr_lock;
	uint8_t mrtd[TD_DIGEST];
	uint8_t rtmr[TD_RTMRS][TD_DIGEST];
	uint64_t mr_context[TD_MR_CONTEXT / 8];
};
_Static_assert(sizeof(struct soft_tdcs) <= 4096, "TDCS");

/* A TD that a call has at hand, locked. */
struct soft_td {
	hpa_t hpa;
	struct pamt_entry *pamt;
	struct soft_tdr *tdr;
	struct soft_tdcs *tdcs; /* NULL before td_check() */
};

/* Check 1 of the TDR page in operand reg, which is locked in that mode. No state of the TD is looked at. */
uint64_t td_lock(struct soft_call *c, enum tdx_reg reg, enum lock_mode mode, struct soft_td *td) MUST_CHECK;
/* The same for the owner of a page that the call has locked; busy is OPERAND_BUSY | TDX_OP_TDR. */
uint64_t td_lock_owner(struct soft_call *c, const struct pamt_entry *page, enum lock_mode mode,
	struct soft_td *td) MUST_CHECK;

/* TD_FATAL, then TD_KEYS_NOT_CONFIGURED. */
uint64_t td_check_keys(const struct soft_td *td) MUST_CHECK;
/*
 * The ladder: keys, TDCS_NOT_ALLOCATED, OPERAND_BUSY | TDX_OP_OP_STATE, and OP_STATE_INCORRECT by the leaf's
 * row in the table of states. Maps the TDCS, and locks the op state in that mode.
 */
uint64_t td_check(struct soft_call *c, struct soft_td *td, enum lock_mode op_state) MUST_CHECK;
/* Both: what most leafs begin with. The op state is shared. */
uint64_t td_open(struct soft_call *c, enum tdx_reg reg, enum lock_mode mode, struct soft_td *td) MUST_CHECK;

/* Maps a page of the TDCS. */
void *td_page(struct soft *m, const struct soft_td *td, enum tdcs_page page);

/* From now on only teardown works. */
static inline void td_set_fatal(struct soft_td *td) { __atomic_store_n(&td->tdr->fatal, 1, __ATOMIC_RELEASE); }

/* Pages of 4K that the TD gains or (negative) loses. */
static inline void td_count(struct soft_td *td, int64_t pages)
{
	__atomic_fetch_add(&td->tdr->children, (uint64_t)pages, __ATOMIC_RELAXED);
}

/* TLB tracking is enforced from FINALIZE on: before, no vCPU has run. */
static inline bool td_tracks(const struct soft_td *td) { return td->tdcs->op_state == TDX_RUNNABLE; }

/* Of every TD of this module: what GPAW is to the TD. */
uint32_t td_gpa_bits(const struct soft *m);

static inline uint64_t td_shared_bit(const struct soft_tdcs *tdcs) { return BIT(tdcs->gpa_bits - 1); }

#endif
