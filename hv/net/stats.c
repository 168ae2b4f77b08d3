/* Samples of guests' statistics, in a ring. */
#include "hv/net/stats.h"

#include <string.h>

#include "hv/base/clock.h"
#include "hv/net/memory.h"
#include "hv/vm_life.h"
#include "mmu/inspect.h"

struct stats {
	uint32_t taken; /* samples ever */
	struct stats_mmu mmu[CONFIG_MAX_VMS];
	struct stats_sample samples[STATS_SAMPLES];
};

static struct stats *stats;

bool stats_start(void)
{
	stats = net_memory_take(sizeof(*stats));
	return stats != NULL;
}

uint64_t stats_exits(const struct vm *vm, uint32_t reason)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		n += vm->vcpus[i]->stats.count[reason];
	return n;
}

uint64_t stats_root_ticks(const struct vm *vm, uint32_t reason)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		n += vm->vcpus[i]->stats.cycles[reason];
	return n;
}

static struct stats_totals totals_of(const struct vm *vm)
{
	struct stats_totals t = { 0 };

	for (uint32_t reason = 0; reason < EXIT_REASONS; reason++) {
		t.exits += stats_exits(vm, reason);
		t.root += stats_root_ticks(vm, reason);
	}
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		t.run += vm->vcpus[i]->context->run_time;
	return t;
}

static void look_at_mmu(struct stats_mmu *s, const struct vm *vm)
{
	s->valid = vm->mmu_ready;
	s->has_shadow = s->valid && vm->mmu->config.kind == MMU_SHADOW;
	if (s->valid)
		mmu_stats_sum(vm->mmu, &s->mmu);
	if (s->has_shadow)
		mmu_shadow_count(vm->mmu, &s->shadow);
}

void stats_refresh(uint64_t now)
{
	struct stats_sample *s;

	if (stats->taken && now - stats_sample(stats_count() - 1)->tsc < STATS_APART_MS * tsc_khz)
		return;
	s = &stats->samples[stats->taken % STATS_SAMPLES];
	s->tsc = now;
	for (uint32_t i = 0; i < vms_count(); i++) {
		s->guest[i] = totals_of(vm_at(i));
		look_at_mmu(&stats->mmu[i], vm_at(i));
	}
	stats->taken++;
}

uint32_t stats_count(void) { return (uint32_t)min_u64(stats->taken, STATS_SAMPLES); }

const struct stats_sample *stats_sample(uint32_t index)
{
	return &stats->samples[(stats->taken - stats_count() + index) % STATS_SAMPLES];
}

const struct stats_mmu *stats_mmu(uint32_t vm) { return &stats->mmu[vm]; }
