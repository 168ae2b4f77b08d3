/*
 * Monitor commands on guest memory: mmu (walks and counts), audit (isolation).
 */
#include <string.h>

#include "hv/base/frame.h"
#include "hv/base/map_ram.h"
#include "hv/base/percpu.h"
#include "hv/base/window.h"
#include "hv/monitor/commands.h"
#include "hv/vm_life.h"
#include "mmu/check.h"
#include "mmu/dirty.h"
#include "mmu/inspect.h"
#include "mmu/nx.h"
#include "mmu/shadow.h"

static void show_walk(struct monitor_out *out, struct vm *vm, gpa_t gpa)
{
	static const char *const kinds[] = { "empty", "frozen", "MMIO", "table", "leaf" };
	struct mmu_step steps[ROOT_LEVEL];
	int n = mmu_walk_gpa(vm->mmu, gpa, steps);

	if (vm->mmu->config.kind == MMU_SHADOW)
		mon_printf(out, "guest %s has no tables by guest-physical address: its memory is mapped by shadow "
			   "paging\n", vm->config->name);
	else if (n == 0)
		mon_printf(out, "%lx is beyond the guest's physical address width\n", gpa);
	for (int i = 0; i < n; i++)
		mon_printf(out, "  level %d table %lx[%u] = %016lx %s\n", steps[i].level, steps[i].table,
			   steps[i].index, steps[i].spte,
			   (unsigned)steps[i].kind < ARRAY_LEN(kinds) ? kinds[steps[i].kind] : "?");
}

/* In the order of struct shadow_counts, two a line. */
static const struct {
	const char *name;
	size_t offset;
} shadow_rows[] = {
#define ROW(name, field) { name, offsetof(struct shadow_counts, field) }
	ROW("shadow pages", pages),
	ROW("  of guest tables", indirect),
	ROW("  unsync of these", unsync),
	ROW("  at most", budget),
	ROW("pages created", created),
	ROW("pages found again", reused),
	ROW("pages zapped", zapped),
	ROW("  recycled", recycled),
	ROW("  written too often", flooded),
	ROW("loads of a root", loads),
	ROW("  one of the last", loads_cached),
	ROW("INVLPG", invlpgs),
	ROW("flushes of all", flushes),
	ROW("writes emulated", emulated_writes),
	ROW("entries made ahead", prefetched),
	ROW("unsync asked by faults", unsync_calls[0]),
	ROW("  skipped", unsync_skips[0]),
	ROW("unsync asked ahead", unsync_calls[1]),
	ROW("  skipped", unsync_skips[1]),
	ROW("hash searches", hash_searches),
	ROW("  pages looked at", hash_nodes),
	ROW("  of other frames", collisions),
	ROW("pages made unsync", unsyncs),
	ROW("pages synced", syncs),
	ROW("  entries changed", synced_entries),
	ROW("entries for devices made", mmio_made),
	ROW("  accesses by them", mmio_hits),
	ROW("bytes of metadata", metadata_bytes),
#undef ROW
};

static void show_shadow(struct monitor_out *out, struct vm *vm, const struct hugepage_census *frames)
{
	struct shadow_counts c;

	mmu_shadow_count(vm->mmu, &c);
	for (size_t i = 0; i < ARRAY_LEN(shadow_rows); i++)
		mon_printf(out, "  %-24s %12lu%s", shadow_rows[i].name,
			   *(uint64_t *)((char *)&c + shadow_rows[i].offset), i % 2 ? "\n" : "  ");
	mon_printf(out, "  2M frames %lu, without a page table %lu; page tables in the others %lu, sum of squares %lu\n",
		   frames->frames, frames->free, frames->reasons, frames->squares);
}

static void show_mirror(struct monitor_out *out, const struct mmu_counts *c, const struct mmu_stats *s)
{
	mon_printf(out, "  private: mapped 4K %lu, 2M %lu, 1G %lu; tables %lu; frames kept at 4K %lu\n",
		   c->mirror.mapped[LEVEL_4K], c->mirror.mapped[LEVEL_2M], c->mirror.mapped[LEVEL_1G],
		   c->mirror.tables, c->mirror.kept_4k);
	mon_printf(out, "  removed %lu, split %lu, tracks %lu, kicks for busy %lu, refused %lu\n", s->mirror.removed,
		   s->mirror.demoted, c->mirror.tracks, c->mirror.kicks, c->mirror.refused);
}

static void show_sizes(struct monitor_out *out, const struct vm *vm, const struct mmu_stats *s)
{
	mon_printf(out, "  large leafs split %lu, made large again %lu, rights given back %lu; large pages are "
		   "%sexecutable\n", s->splits, s->collapses, s->granted, vm->mmu->config.nx_huge ? "not " : "");
}

/* What the lock has cost beyond taking it, in ticks of the TSC. */
static void show_waits(struct monitor_out *out, const struct mmu_counts *c)
{
	const struct {
		const char *who;
		const struct rw_waits *waits;
	} rows[] = {
		{ "changes for each other", &c->waits.writers },
		{ "for readers", &c->waits.for_readers },
		{ "readers for changes", &c->waits.readers },
		{ "flushes for CPUs in the guest", &c->waits.flushes },
	};

	mon_printf(out, "  waits");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		mon_printf(out, "%s %s %lu, mean %lu ticks", i ? ";" : ":", rows[i].who, rows[i].waits->count,
			   rows[i].waits->count ? rows[i].waits->ticks / rows[i].waits->count : 0);
	mon_printf(out, "\n");
}

static void show_counts(struct monitor_out *out, struct vm *vm)
{
	struct mmu_counts c;
	struct mmu_stats s;

	mmu_count(vm->mmu, &c);
	mmu_stats_sum(vm->mmu, &s);
	mon_printf(out, "guest %s, %s: %lu MiB in %lu slots; mapped 4K %lu, 2M %lu, 1G %lu, MMIO entries %lu\n",
		   vm->config->name, vm_mmu_name(vm), c.pages >> 8, c.slots, c.mapped[LEVEL_4K], c.mapped[LEVEL_2M],
		   c.mapped[LEVEL_1G], c.mapped[0]);
	if (c.mirror.tables)
		show_mirror(out, &c, &s);
	mon_printf(out, "  tables %lu in %lu frames, slot records %lu frames, flushes %lu\n  faults:", c.tables,
		   c.table_frames, c.metadata_frames, c.flushes);
	for (unsigned r = 0; r < FAULT_RESULTS; r++)
		if (s.faults[r])
			mon_printf(out, " %s %lu", fault_result_names[r], s.faults[r]);
	mon_printf(out, "\n");
	show_waits(out, &c);
	if (vm->mmu->config.kind == MMU_SHADOW)
		show_shadow(out, vm, &c.shadowed);
	else
		show_sizes(out, vm, &s);
}

/* mmu skip NAME on|off: the unsync fast skip, so that both ways can be compared. */
static int skip_command(struct monitor_out *out, int argc, char **argv)
{
	struct vm *vm = argc == 4 ? command_vm(out, argc, argv, 2) : NULL;
	bool on = argc == 4 && strcmp(argv[3], "on") == 0;

	if (argc != 4 || (!on && strcmp(argv[3], "off") != 0)) {
		mon_printf(out, "write mmu skip NAME on, or off\n");
		return -EINVAL;
	}
	if (!vm)
		return -EINVAL;
	if (!vm->mmu_ready || vm->mmu->config.kind != MMU_SHADOW) {
		mon_printf(out, "guest %s has no shadow pages\n", vm->config->name);
		return -EINVAL;
	}
	mmu_shadow_set_skip(vm->mmu, on);
	return 0;
}

/* mmu recover NAME: large pages where nothing was executed since the last time. */
static int recover_command(struct monitor_out *out, int argc, char **argv)
{
	struct vm *vm = command_vm(out, argc, argv, 2);

	if (!vm)
		return -EINVAL;
	if (!vm->mmu_ready || !vm->mmu->config.nx_huge) {
		mon_printf(out, "large pages of guest %s are executable, or it has none\n", vm->config->name);
		return -EINVAL;
	}
	mmu_nx_recover(vm->mmu, UINT64_MAX);
	return 0;
}

/* ---- the dirty log ---- */

static int log_change(struct monitor_out *out, struct vm *vm, gfn_t gfn,
		      int (*change)(struct mmu *mmu, gfn_t gfn, struct failure *f))
{
	struct failure f = { 0 };
	int err = change(vm->mmu, gfn, &f);

	if (err)
		mon_printf(out, "%s\n", f.text);
	return err;
}

static int log_start(struct monitor_out *out, struct vm *vm, gfn_t gfn, uint64_t npages)
{
	(void)npages;
	return log_change(out, vm, gfn, mmu_dirty_start);
}

static int log_stop(struct monitor_out *out, struct vm *vm, gfn_t gfn, uint64_t npages)
{
	(void)npages;
	return log_change(out, vm, gfn, mmu_dirty_stop);
}

static int log_show(struct monitor_out *out, struct vm *vm, gfn_t gfn, uint64_t npages)
{
	int64_t dirty = mmu_dirty_fetch(vm->mmu, gfn, 0, align_up(npages, 64) / 64, NULL);

	if (dirty < 0)
		mon_printf(out, "  gfn %9lx, %9lu pages: not logged\n", gfn, npages);
	else
		mon_printf(out, "  gfn %9lx, %9lu pages: %lu written to\n", gfn, npages, (uint64_t)dirty);
	return 0;
}

static const struct {
	const char *word;
	int (*act)(struct monitor_out *out, struct vm *vm, gfn_t gfn, uint64_t npages);
} log_actions[] = { { "on", log_start }, { "off", log_stop }, { "show", log_show } };

/* mmu dirty NAME on|off|show: logs writes to all of a guest's memory; which pages since the last look. */
static int dirty_command(struct monitor_out *out, int argc, char **argv)
{
	struct vm *vm = argc == 4 ? command_vm(out, argc, argv, 2) : NULL;
	gfn_t gfn = 0;
	uint64_t npages;
	size_t i = 0;
	int err = 0;

	while (i < ARRAY_LEN(log_actions) && (argc != 4 || strcmp(argv[3], log_actions[i].word) != 0))
		i++;
	if (i == ARRAY_LEN(log_actions)) {
		mon_printf(out, "write mmu dirty NAME on, off or show\n");
		return -EINVAL;
	}
	if (!vm)
		return -EINVAL;
	if (!vm->mmu_ready) {
		mon_printf(out, "guest %s has not been started yet\n", vm->config->name);
		return -EINVAL;
	}
	for (; mmu_slot_next(vm->mmu, &gfn, &npages) && !err; gfn += npages)
		err = log_actions[i].act(out, vm, gfn, npages);
	return err;
}

static int mmu_command(struct monitor_out *out, int argc, char **argv)
{
	struct vm *vm;
	uint64_t gpa;

	if (argc > 1 && strcmp(argv[1], "skip") == 0)
		return skip_command(out, argc, argv);
	if (argc > 1 && strcmp(argv[1], "dirty") == 0)
		return dirty_command(out, argc, argv);
	if (argc > 1 && strcmp(argv[1], "recover") == 0)
		return recover_command(out, argc, argv);
	vm = command_vm(out, argc, argv, 1);
	if (!vm)
		return -EINVAL;
	if (!vm->mmu_ready) {
		mon_printf(out, "guest %s has not been started yet\n", vm->config->name);
		return -EINVAL;
	}
	if (argc <= 2) {
		show_counts(out, vm);
		return 0;
	}
	if (!command_number(out, argv[2], &gpa))
		return -EINVAL;
	show_walk(out, vm, gpa);
	return 0;
}

/* ---- audit ---- */

struct audit {
	struct monitor_out *out;
	const struct vm *vm;
	uint64_t frames, wrong;
};

static void expect_owner(struct audit *a, hpa_t frame, frame_owner_t want, const char *what)
{
	frame_owner_t owner = frame_owner(frame);

	a->frames++;
	if (owner == want)
		return;
	if (a->wrong++ < 8)
		mon_printf(a->out, "  guest %s: frame %lx, %s, is on record as owner %x and not %x\n",
			   a->vm->config->name, frame, what, owner, want);
}

static int audit_mmu_run(void *ctx, hpa_t first, uint64_t npages, enum mmu_frame_use use)
{
	struct audit *a = ctx;
	const struct {
		frame_owner_t owner;
		const char *what;
	} want[] = {
		[MMU_FRAME_MAPPED] = { OWNER_VM(a->vm->id), "mapped by the guest" },
		[MMU_FRAME_TABLE] = { OWNER_VM_META(a->vm->id), "an EPT table" },
		[MMU_FRAME_META] = { OWNER_VM_META(a->vm->id), "a slot record" },
		[MMU_FRAME_PRIVATE] = { OWNER_TD(a->vm->id), "private memory of the guest" },
		[MMU_FRAME_EXTERNAL] = { OWNER_TD(a->vm->id), "a table of the secure EPT" },
	};

	for (uint64_t i = 0; i < npages; i++)
		expect_owner(a, first + i * PAGE_SIZE, want[use].owner, want[use].what);
	return 0;
}

static int audit_backend_frame(void *ctx, hpa_t frame, frame_owner_t owner)
{
	expect_owner(ctx, frame, owner, "used by the CPU for it");
	return 0;
}

static bool audit_vm(struct monitor_out *out, struct vm *vm)
{
	struct audit a = { .out = out, .vm = vm };
	struct failure f = { 0 };
	int err = mmu_check(vm->mmu, &f);

	if (err)
		mon_printf(out, "  guest %s: %s\n", vm->config->name, f.text);
	mmu_for_each_frame(vm->mmu, audit_mmu_run, &a);
	vm->backend->for_each_frame(vm, audit_backend_frame, &a);
	mon_printf(out, "guest %s: %lu frames looked at, %lu with a wrong owner\n", vm->config->name, a.frames,
		   a.wrong);
	return !err && !a.wrong;
}

static void report_mapped(void *ctx, uint64_t va, hpa_t frame)
{
	struct audit *a = ctx;

	if (a->wrong++ < 8)
		mon_printf(a->out, "  the hypervisor maps frame %lx of owner %x at %lx\n", frame, frame_owner(frame), va);
}

/* What a TDX module holds is in no page table of the hypervisor's but the windows of CPUs that just use it. */
static bool audit_hypervisor(struct monitor_out *out)
{
	struct audit a = { .out = out };
	uint64_t windows = 0, mapped = map_find_hidden(report_mapped, &a);

	for (uint32_t i = 0; i < cpu_count; i++)
		windows += window_pages(i);
	mon_printf(out, "hypervisor: %lu pages mapped, %lu of a TD or the TDX module; %lu in windows; other CPUs told %lu "
		   "times to forget some\n", mapped, a.wrong, windows, map_flushes_sent());
	return !a.wrong && !window_pages(this_cpu()->index);
}

/* Owners are unique by construction (one record per frame), so a guest that reaches only frames
 * recorded as its own reaches nobody else's. */
static int audit_command(struct monitor_out *out, int argc, char **argv)
{
	bool good = audit_hypervisor(out);

	(void)argc;
	(void)argv;
	for (uint32_t i = 0; i < vms_count(); i++)
		if (vm_at(i)->mmu_ready)
			good &= audit_vm(out, vm_at(i));
	mon_printf(out, good ? "audit: every guest reaches its own memory only\n"
			     : "audit: ISOLATION IS BROKEN, see above\n");
	return good ? 0 : -EFAULT;
}

const struct monitor_command commands_mmu[] = {
	{ "mmu", "[NAME [GPA] | skip NAME on|off | dirty NAME on|off|show | recover NAME]",
	  "a guest's mappings by level, the walk of one address, the pages it writes to", mmu_command },
	{ "audit", "", "prove that every guest reaches only its own memory, and the hypervisor no TD's", audit_command },
	{ NULL, NULL, NULL, NULL },
};
