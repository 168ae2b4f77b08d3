/*
 * The table of metrics and the walk through it: for every metric the guests, their vCPUs and the items (exit reasons,
 * owners of memory) that its row asks for. Numbers are read when their line is written.
 */
#include "hv/net/metrics.h"

#include "hv/base/clock.h"
#include "hv/base/x86.h"
#include "hv/host.h"
#include "hv/net/counts.h"
#include "hv/net/stats.h"
#include "hv/vm_life.h"

enum scope { HOST, GUEST, VCPU };
enum kind { COUNTER, GAUGE };
enum unit { PLAIN, TICKS /* of the TSC, shown as seconds */ };

struct metric {
	const char *name, *help;
	enum scope scope;
	enum kind kind;
	enum unit unit;
	uint32_t items;    /* lines per guest or vCPU; 0: one, without a label of its own */
	const char *label; /* of the items */
	const char *(*item)(const struct metrics_at *at); /* NULL: no line for this item */
	/* False: there is nothing to be said about this one. */
	bool (*value)(const struct metrics_at *at, uint64_t *value);
};

static const struct vm *vm_of(const struct metrics_at *at) { return vm_at(at->vm); }
static const struct vcpu *vcpu_of(const struct metrics_at *at) { return vm_of(at)->vcpus[at->vcpu]; }

/* ---- the host ---- */

static bool uptime(const struct metrics_at *at, uint64_t *value)
{
	(void)at;
	*value = rdtsc() - host_boot()->tsc_at_entry;
	return true;
}

static bool host_cpus(const struct metrics_at *at, uint64_t *value)
{
	(void)at;
	*value = cpu_count;
	return true;
}

static bool tsc_hertz(const struct metrics_at *at, uint64_t *value)
{
	(void)at;
	*value = tsc_khz * 1000;
	return true;
}

static const struct {
	const char *name;
	frame_owner_t owner;
} host_owners[] = {
	{ "free", OWNER_FREE },
	{ "hypervisor", OWNER_HV },
	{ "hypervisor page tables", OWNER_PAGE_TABLE },
	{ "network", OWNER_NET },
	{ "TDX module", OWNER_PAMT },
};

static const char *host_owner(const struct metrics_at *at) { return host_owners[at->item].name; }

static bool host_memory(const struct metrics_at *at, uint64_t *value)
{
	*value = frame_tally(host_owners[at->item].owner) << PAGE_SHIFT;
	return true;
}

/* ---- guests ---- */

static bool guest_running(const struct metrics_at *at, uint64_t *value)
{
	*value = vm_of(at)->state == VM_RUNNING;
	return true;
}

static bool guest_vcpus(const struct metrics_at *at, uint64_t *value)
{
	*value = vm_of(at)->config->vcpus;
	return true;
}

static const char *guest_use(const struct metrics_at *at)
{
	static const char *const uses[] = { "memory", "tables and devices", "held by the TDX module" };

	return uses[at->item];
}

static bool guest_memory(const struct metrics_at *at, uint64_t *value)
{
	uint32_t id = vm_of(at)->id;
	const frame_owner_t owners[] = { OWNER_VM(id), OWNER_VM_META(id), OWNER_TD(id) };

	*value = frame_tally(owners[at->item]) << PAGE_SHIFT;
	return true;
}

/* ---- vCPUs ---- */

static bool vcpu_run(const struct metrics_at *at, uint64_t *value)
{
	*value = vcpu_of(at)->context->run_time;
	return true;
}

static bool vcpu_halted(const struct metrics_at *at, uint64_t *value)
{
	*value = vcpu_of(at)->state == VCPU_HALTED;
	return true;
}

static const char *reason(const struct metrics_at *at)
{
	return vcpu_of(at)->stats.count[at->item] ? vm_of(at)->backend->reason_name(at->item) : NULL;
}

static bool vcpu_exits(const struct metrics_at *at, uint64_t *value)
{
	*value = vcpu_of(at)->stats.count[at->item];
	return true;
}

static bool vcpu_exit_ticks(const struct metrics_at *at, uint64_t *value)
{
	*value = vcpu_of(at)->stats.cycles[at->item];
	return true;
}

/* ---- guests' memory management ---- */

static const char *fault_result(const struct metrics_at *at) { return fault_result_names[at->item]; }

static bool mmu_faults(const struct metrics_at *at, uint64_t *value)
{
	*value = stats_mmu(at->vm)->mmu.faults[at->item];
	return stats_mmu(at->vm)->valid;
}

static bool mmu_spurious(const struct metrics_at *at, uint64_t *value)
{
	*value = stats_mmu(at->vm)->mmu.spurious;
	return stats_mmu(at->vm)->valid;
}

static const char *page_size(const struct metrics_at *at)
{
	static const char *const sizes[] = { "4K", "2M", "1G" };

	return sizes[at->item];
}

/* mmu_stats.mapped counts leafs by level, from 1. */
static uint64_t mapped_bytes(const int64_t *mapped, uint32_t item)
{
	return (uint64_t)mapped[item + 1] << (PAGE_SHIFT + 9 * item);
}

static bool mmu_mapped(const struct metrics_at *at, uint64_t *value)
{
	*value = mapped_bytes(stats_mmu(at->vm)->mmu.mapped, at->item);
	return stats_mmu(at->vm)->valid;
}

static bool mmu_private(const struct metrics_at *at, uint64_t *value)
{
	*value = mapped_bytes(stats_mmu(at->vm)->mmu.mirror.mapped, at->item);
	return stats_mmu(at->vm)->valid && vm_of(at)->config->type == VM_TYPE_TD;
}

static bool mmu_tables(const struct metrics_at *at, uint64_t *value)
{
	*value = (uint64_t)stats_mmu(at->vm)->mmu.tables;
	return stats_mmu(at->vm)->valid;
}

static const struct {
	const char *name;
	size_t offset; /* in struct mmu_stats */
} leaf_changes[] = {
	{ "split", offsetof(struct mmu_stats, splits) },
	{ "made large again", offsetof(struct mmu_stats, collapses) },
	{ "given more rights", offsetof(struct mmu_stats, granted) },
	{ "private: removed", offsetof(struct mmu_stats, mirror.removed) },
	{ "private: split", offsetof(struct mmu_stats, mirror.demoted) },
};

static const char *leaf_change(const struct metrics_at *at) { return leaf_changes[at->item].name; }

static bool mmu_leaf_changes(const struct metrics_at *at, uint64_t *value)
{
	const struct stats_mmu *s = stats_mmu(at->vm);

	*value = *(const uint64_t *)((const char *)&s->mmu + leaf_changes[at->item].offset);
	return s->valid;
}

struct shadow_field {
	const char *name;
	size_t offset; /* in struct shadow_counts */
};

static bool shadow_value(const struct metrics_at *at, const struct shadow_field *fields, uint64_t *value)
{
	const struct stats_mmu *s = stats_mmu(at->vm);

	*value = *(const uint64_t *)((const char *)&s->shadow + fields[at->item].offset);
	return s->has_shadow;
}

#define FIELD(name, field) { name, offsetof(struct shadow_counts, field) }
static const struct shadow_field shadow_levels[] = {
	FIELD("live", pages), FIELD("of guest tables", indirect), FIELD("unsync", unsync), FIELD("at most", budget),
};
static const struct shadow_field shadow_events[] = {
	FIELD("page created", created), FIELD("page found again", reused), FIELD("page zapped", zapped),
	FIELD("page recycled", recycled), FIELD("page written too often", flooded), FIELD("root loaded", loads),
	FIELD("root loaded, one of the last", loads_cached), FIELD("INVLPG", invlpgs), FIELD("flush of all", flushes),
	FIELD("write emulated", emulated_writes), FIELD("entry made ahead", prefetched), FIELD("page unsynced", unsyncs),
	FIELD("page synced", syncs), FIELD("entry changed by a sync", synced_entries),
	FIELD("entry for a device made", mmio_made), FIELD("device access by an entry", mmio_hits),
};
#undef FIELD

static const char *shadow_level(const struct metrics_at *at) { return shadow_levels[at->item].name; }
static const char *shadow_event(const struct metrics_at *at) { return shadow_events[at->item].name; }

static bool shadow_pages(const struct metrics_at *at, uint64_t *value)
{
	return shadow_value(at, shadow_levels, value);
}

static bool shadow_event_count(const struct metrics_at *at, uint64_t *value)
{
	return shadow_value(at, shadow_events, value);
}

/* ---- the services ---- */

static const struct {
	const char *name;
	const uint64_t *value;
} service_counts[] = {
	{ "HTTP answers 2xx", &net_counts.http_answers[2] },
	{ "HTTP answers 4xx", &net_counts.http_answers[4] },
	{ "HTTP answers 5xx", &net_counts.http_answers[5] },
	{ "HTTP connections too slow", &net_counts.http_late },
	{ "monitor sessions", &net_counts.remote_sessions },
	{ "monitor wrong answers", &net_counts.remote_wrong },
	{ "monitor no answer in time", &net_counts.remote_late },
	{ "monitor connections put off", &net_counts.remote_put_off },
	{ "monitor sessions cut off", &net_counts.remote_dropped },
	{ "syslog messages", &net_counts.syslog_sent },
	{ "syslog lines dropped", &net_counts.syslog_dropped },
	{ "console bytes", &net_counts.console_bytes },
	{ "console bytes lost", &net_counts.console_lost },
};

static const char *service_event(const struct metrics_at *at) { return service_counts[at->item].name; }

static bool service_events(const struct metrics_at *at, uint64_t *value)
{
	*value = *service_counts[at->item].value;
	return true;
}

/* ---- the table ---- */

static const struct metric metrics[] = {
	{ "gnomon_uptime_seconds", "Time since the loader started.", HOST, GAUGE, TICKS, 0, NULL, NULL, uptime },
	{ "gnomon_host_cpus", "Host CPUs in use.", HOST, GAUGE, PLAIN, 0, NULL, NULL, host_cpus },
	{ "gnomon_tsc_hertz", "Frequency of the host's time stamp counter.", HOST, GAUGE, PLAIN, 0, NULL, NULL, tsc_hertz },
	{ "gnomon_memory_bytes", "Host memory by owner, that of guests apart.", HOST, GAUGE, PLAIN,
	  ARRAY_LEN(host_owners), "owner", host_owner, host_memory },
	{ "gnomon_guest_running", "1 while the guest runs.", GUEST, GAUGE, PLAIN, 0, NULL, NULL, guest_running },
	{ "gnomon_guest_vcpus", "vCPUs of the guest.", GUEST, GAUGE, PLAIN, 0, NULL, NULL, guest_vcpus },
	{ "gnomon_guest_memory_bytes", "Host memory held for the guest.", GUEST, GAUGE, PLAIN, 3, "use", guest_use,
	  guest_memory },
	{ "gnomon_vcpu_run_seconds_total", "Time the vCPU has had a CPU, the hypervisor's work for it included.", VCPU,
	  COUNTER, TICKS, 0, NULL, NULL, vcpu_run },
	{ "gnomon_vcpu_halted", "1 while the vCPU waits in HLT.", VCPU, GAUGE, PLAIN, 0, NULL, NULL, vcpu_halted },
	{ "gnomon_vcpu_exits_total", "VM exits by reason.", VCPU, COUNTER, PLAIN, EXIT_REASONS, "reason", reason,
	  vcpu_exits },
	{ "gnomon_vcpu_exit_seconds_total", "Time in the hypervisor for VM exits, by reason.", VCPU, COUNTER, TICKS,
	  EXIT_REASONS, "reason", reason, vcpu_exit_ticks },
	{ "gnomon_mmu_faults_total", "Page faults and EPT violations by what came of them.", GUEST, COUNTER, PLAIN,
	  FAULT_RESULTS, "result", fault_result, mmu_faults },
	{ "gnomon_mmu_spurious_faults_total", "Faults at which nothing was left to do.", GUEST, COUNTER, PLAIN, 0, NULL,
	  NULL, mmu_spurious },
	{ "gnomon_mmu_mapped_bytes", "Guest memory mapped, by page size.", GUEST, GAUGE, PLAIN, 3, "size", page_size,
	  mmu_mapped },
	{ "gnomon_mmu_private_mapped_bytes", "Private memory of a TD mapped, by page size.", GUEST, GAUGE, PLAIN, 3,
	  "size", page_size, mmu_private },
	{ "gnomon_mmu_tables", "Page tables linked for the guest, the root apart.", GUEST, GAUGE, PLAIN, 0, NULL, NULL,
	  mmu_tables },
	{ "gnomon_mmu_leaf_changes_total", "Changes to present leaf entries.", GUEST, COUNTER, PLAIN,
	  ARRAY_LEN(leaf_changes), "change", leaf_change, mmu_leaf_changes },
	{ "gnomon_shadow_pages", "Shadow pages of the guest.", GUEST, GAUGE, PLAIN, ARRAY_LEN(shadow_levels), "kind",
	  shadow_level, shadow_pages },
	{ "gnomon_shadow_events_total", "What shadow paging did.", GUEST, COUNTER, PLAIN, ARRAY_LEN(shadow_events),
	  "event", shadow_event, shadow_event_count },
	{ "gnomon_service_events_total", "What the services of the network did.", HOST, COUNTER, PLAIN,
	  ARRAY_LEN(service_counts), "event", service_event, service_events },
};

/* ---- the walk ---- */

static void write_head(struct text *t, const struct metric *m)
{
	text_add(t, "# HELP ");
	text_add(t, m->name);
	text_char(t, ' ');
	text_add(t, m->help);
	text_add(t, "\n# TYPE ");
	text_add(t, m->name);
	text_add(t, m->kind == COUNTER ? " counter\n" : " gauge\n");
}

static void write_label(struct text *t, unsigned *count, const char *name, const char *value)
{
	text_char(t, (*count)++ ? ',' : '{');
	text_add(t, name);
	text_add(t, "=\"");
	text_label(t, value);
	text_char(t, '"');
}

static void write_line(struct text *t, const struct metric *m, const struct metrics_at *at, const char *item,
		       uint64_t value)
{
	unsigned labels = 0;

	text_add(t, m->name);
	if (m->scope >= GUEST)
		write_label(t, &labels, "guest", vm_of(at)->config->name);
	if (m->scope == VCPU) {
		text_add(t, ",vcpu=\"");
		text_number(t, at->vcpu);
		text_char(t, '"');
	}
	if (m->items)
		write_label(t, &labels, m->label, item);
	text_add(t, labels ? "} " : " ");
	if (m->unit == TICKS)
		text_decimal(t, tsc_to_ns(value), 9);
	else
		text_number(t, value);
	text_char(t, '\n');
}

static void write_item(struct text *t, const struct metric *m, const struct metrics_at *at)
{
	const char *item = m->items ? m->item(at) : "";
	uint64_t value;

	if (item && m->value(at, &value))
		write_line(t, m, at, item, value);
}

/* Whether `at` stands at something there is; guests without vCPUs yet are passed over. */
static bool is_there(const struct metric *m, const struct metrics_at *at)
{
	if (m->scope == HOST)
		return at->vm == 0;
	return at->vm < vms_count() && (m->scope == GUEST || at->vcpu < vm_of(at)->vcpu_count);
}

/* To the next item, vCPU, guest, metric: whichever comes first. */
static void advance(const struct metric *m, struct metrics_at *at)
{
	if (is_there(m, at) && ++at->item < m->items)
		return;
	at->item = 0;
	if (m->scope == VCPU && at->vm < vms_count() && ++at->vcpu < vm_of(at)->vcpu_count)
		return;
	at->vcpu = 0;
	if (++at->vm < (m->scope == HOST ? 1 : vms_count()))
		return;
	*at = (struct metrics_at){ .metric = at->metric + 1 };
}

bool metrics_piece(struct text *t, struct metrics_at *at)
{
	while (at->metric < ARRAY_LEN(metrics) && text_room(t) >= METRICS_LINE) {
		const struct metric *m = &metrics[at->metric];

		if (!at->headed)
			write_head(t, m);
		at->headed = true;
		if (is_there(m, at))
			write_item(t, m, at);
		advance(m, at);
	}
	return at->metric == ARRAY_LEN(metrics);
}
