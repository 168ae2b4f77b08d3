/*
 * Guests' statistics as HTTP shows them: a sample now and then, kept for plots. A sample is only taken when somebody
 * looks, so a network on which nobody asks costs nothing. Monitor's context; no locks but the MMU's, for short.
 */
#ifndef HV_NET_STATS_H
#define HV_NET_STATS_H

#include "hv/vm.h"
#include "mmu/mmu.h"
#include "mmu/shadow.h"

#define STATS_SAMPLES 60
#define STATS_APART_MS 500 /* samples are at least so far apart, however many clients look */

/* Sums over a guest's vCPUs. */
struct stats_totals {
	uint64_t exits;
	uint64_t root; /* host TSC ticks in root mode for them */
	uint64_t run;  /* host TSC ticks its vCPUs had a CPU, root mode included */
};

struct stats_sample {
	uint64_t tsc;
	struct stats_totals guest[CONFIG_MAX_VMS];
};

/* Of the last sample. */
struct stats_mmu {
	bool valid; /* the guest has been built */
	bool has_shadow;
	struct mmu_stats mmu;
	struct shadow_counts shadow;
};

/* Takes the memory for samples; false when there is none. */
bool stats_start(void);
/* Takes a sample unless the last one is recent. now: host TSC. */
void stats_refresh(uint64_t now);

uint32_t stats_count(void);                             /* samples there are */
const struct stats_sample *stats_sample(uint32_t index); /* 0: the oldest */
const struct stats_mmu *stats_mmu(uint32_t vm);          /* by its place: vm_at(vm) */

/* Sums over the vCPUs for one exit reason, as `exits` shows them. */
uint64_t stats_exits(const struct vm *vm, uint32_t reason);
uint64_t stats_root_ticks(const struct vm *vm, uint32_t reason);

#endif
