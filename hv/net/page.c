/*
 * The page, as a list of parts that each write one row after the other. The parts in the middle are repeated for
 * every guest. Numbers are the ones that the monitor's commands show: vm, exits, mem, mmu.
 */
#include "hv/net/page.h"

#include "hv/base/clock.h"
#include "hv/base/format.h"
#include "hv/base/x86.h"
#include "hv/host.h"
#include "hv/net/plot.h"
#include "hv/net/stats.h"
#include "hv/vm_life.h"

#define LINE_WIDTH 160
#define LINE_HEIGHT 26
#define BAR_WIDTH 120
#define STACK_WIDTH 480

_Static_assert(STATS_SAMPLES <= PLOT_POINTS, "all samples fit in a plot");

/* ---- head ---- */

static const char style[] =
	"<style>"
	":root{color-scheme:light dark;--ink:#1c2530;--dim:#66717d;--rule:#d9dee3;--tint:#f4f6f8;--main:#2f6fab}"
	"@media(prefers-color-scheme:dark){:root{--ink:#dfe5ea;--dim:#8d99a5;--rule:#333c45;--tint:#1d242b;--main:#6aaae4}"
	"body{background:#14191e}}"
	"body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);max-width:62rem;margin:2rem auto;padding:0 1rem}"
	"h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .4rem}h3{font-size:.95rem;margin:1.2rem 0 .3rem}"
	"p{margin:.3rem 0}.dim,th{color:var(--dim)}a{color:var(--main)}"
	"table{border-collapse:collapse;width:100%}table.few{width:auto;min-width:24rem}"
	"th{font-weight:500;text-align:left;font-size:.85rem}"
	"td,th{padding:.25rem .6rem;border-bottom:1px solid var(--rule)}tr:hover td{background:var(--tint)}"
	".n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
	"svg{display:block}svg.key{display:inline}.line{fill:none;stroke:var(--main);stroke-width:1.5}"
	".area{fill:var(--main);opacity:.15}.bar{fill:var(--main)}"
	".p0{fill:#9aa7b3}.p1{fill:#2f6fab}.p2{fill:#58a0dd}.p3{fill:#e0a03c}.p4{fill:#59a66b}.p5{fill:#b5679d}"
	"</style>";

static bool head(struct text *t, const struct page_at *at)
{
	if (at->row > 0)
		return false;
	text_add(t, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Gnomon</title>"
		    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
	if (!at->still)
		text_add(t, "<meta http-equiv=\"refresh\" content=\"5\">");
	text_add(t, style);
	text_add(t, "</head>\n<body>\n<h1>Gnomon</h1>\n");
	return true;
}

/* Days, hours, minutes and seconds, as far as they are there. */
static void write_duration(struct text *t, uint64_t seconds)
{
	if (seconds >= 86400)
		text_printf(t, "%lu d ", seconds / 86400);
	if (seconds >= 3600)
		text_printf(t, "%lu h ", seconds / 3600 % 24);
	if (seconds >= 60)
		text_printf(t, "%lu min ", seconds / 60 % 60);
	text_printf(t, "%lu s", seconds % 60);
}

static bool host(struct text *t, const struct page_at *at)
{
	if (at->row > 0)
		return false;
	text_printf(t, "<p class=\"dim\">%u CPU%s at %lu.%03lu MHz, up ", cpu_count, cpu_count == 1 ? "" : "s",
		    tsc_khz / 1000, tsc_khz % 1000);
	write_duration(t, tsc_to_ns(rdtsc() - host_boot()->tsc_at_entry) / 1000000000);
	if (at->still)
		text_add(t, ". This page stays as it is; <a href=\"/\">the other one</a> is loaded anew every 5 seconds.");
	else
		text_add(t, ". Loaded anew every 5 seconds; <a href=\"/still\">stop that</a>.");
	text_add(t, " Numbers for machines: <a href=\"/metrics\">/metrics</a>; <a href=\"/trace\">/trace</a>.</p>\n");
	return true;
}

/* ---- guests ---- */

/* Change from one sample to the next, for each second. */
static uint64_t per_second(uint64_t from, uint64_t to, uint64_t ticks)
{
	return to > from && ticks ? mul_div(to - from, tsc_khz * 1000, ticks) : 0;
}

/* Exits a second between samples; returns how many points there are. */
static uint32_t exit_rates(uint32_t vm, struct plot_point points[STATS_SAMPLES])
{
	uint32_t count = 0;

	for (uint32_t i = 1; i < stats_count(); i++) {
		const struct stats_sample *a = stats_sample(i - 1), *b = stats_sample(i);

		points[count].at = b->tsc;
		points[count++].value = per_second(a->guest[vm].exits, b->guest[vm].exits, b->tsc - a->tsc);
	}
	return count;
}

/* In percent of one CPU, with one digit behind the point: between the last two samples. */
static void write_share(struct text *t, uint64_t from, uint64_t to, uint64_t ticks)
{
	text_decimal(t, to > from && ticks ? mul_div(to - from, 1000, ticks) : 0, 1);
}

static void write_activity(struct text *t, uint32_t vm)
{
	struct plot_point points[STATS_SAMPLES];
	uint32_t count = exit_rates(vm, points), last = stats_count() - 1;
	const struct stats_sample *a = stats_sample(last ? last - 1 : 0), *b = stats_sample(last);
	uint64_t ticks = b->tsc - a->tsc;

	text_add(t, "<td class=\"n\">");
	text_grouped(t, count ? points[count - 1].value : 0);
	text_add(t, "</td><td>");
	plot_line(t, points, count, LINE_WIDTH, LINE_HEIGHT);
	text_add(t, "</td><td class=\"n\">");
	write_share(t, a->guest[vm].run, b->guest[vm].run, ticks);
	text_add(t, "</td><td class=\"n\">");
	write_share(t, a->guest[vm].root, b->guest[vm].root, ticks);
	text_add(t, "</td>");
}

static bool guests_row(struct text *t, const struct page_at *at)
{
	const struct vm *vm;

	if (at->row > vms_count())
		return false;
	if (at->row == 0) {
		text_add(t, "<h2>Guests</h2>\n<table><tr><th>guest<th>state<th class=\"n\">vCPUs<th class=\"n\">MiB<th>MMU"
			    "<th class=\"n\">exits/s<th>exits over time<th class=\"n\">CPU&nbsp;%"
			    "<th class=\"n\">in&nbsp;Gnomon&nbsp;%<th>last stop</tr>\n");
		return true;
	}
	vm = vm_at(at->row - 1);
	text_add(t, "<tr><td><a href=\"#");
	text_html(t, vm->config->name);
	text_add(t, "\">");
	text_html(t, vm->config->name);
	text_printf(t, "</a></td><td>%s</td><td class=\"n\">%u</td><td class=\"n\">%lu</td><td>%s</td>",
		    vm_state_names[vm->state], vm->config->vcpus, vm->config->memory >> 20, vm_mmu_name(vm));
	write_activity(t, at->row - 1);
	text_add(t, "<td>");
	text_html(t, vm->stop_reason);
	text_add(t, "</td></tr>\n");
	return true;
}

/* The plots' own line: what they span. */
static bool guests_end(struct text *t, const struct page_at *at)
{
	uint64_t ticks = stats_sample(stats_count() - 1)->tsc - stats_sample(0)->tsc;

	if (at->row > 0)
		return false;
	text_add(t, "</table>\n<p class=\"dim\">");
	if (ticks) {
		text_add(t, "The plots span ");
		write_duration(t, tsc_to_ns(ticks) / 1000000000);
		text_add(t, "; a point is added when this page or /metrics is asked for.");
	} else {
		text_add(t, "Plots begin with the second time that this page or /metrics is asked for.");
	}
	text_add(t, "</p>\n");
	return true;
}

/* ---- one guest ---- */

static bool guest_head(struct text *t, const struct page_at *at)
{
	const struct vm *vm = vm_at(at->vm);

	if (at->row > 0)
		return false;
	text_add(t, "<h2 id=\"");
	text_html(t, vm->config->name);
	text_add(t, "\">");
	text_html(t, vm->config->name);
	text_add(t, "</h2>\n");
	if (!vm->vcpu_count)
		text_add(t, "<p class=\"dim\">It has not been started yet.</p>\n");
	return true;
}

static bool vcpu_row(struct text *t, const struct page_at *at)
{
	static const char *const states[] = { "waits for SIPI", "running", "halted", "stopped" };
	const struct vm *vm = vm_at(at->vm);
	const struct vcpu *v;

	if (!vm->vcpu_count || at->row > vm->vcpu_count)
		return false;
	if (at->row == 0) {
		text_add(t, "<table><tr><th>vCPU<th>on CPU<th>state<th class=\"n\">CPU time, ms</tr>\n");
		return true;
	}
	v = vm->vcpus[at->row - 1];
	text_printf(t, "<tr><td>%u</td><td>%u</td><td>%s</td><td class=\"n\">", at->row - 1, v->cpu->index,
		    states[v->state]);
	text_grouped(t, v->context->run_time / tsc_khz);
	text_add(t, "</td></tr>\n");
	if (at->row == vm->vcpu_count)
		text_add(t, "</table>\n");
	return true;
}

static uint64_t total_root(const struct vm *vm)
{
	uint64_t n = 0;

	for (uint32_t reason = 0; reason < EXIT_REASONS; reason++)
		n += stats_root_ticks(vm, reason);
	return n;
}

static void write_reason(struct text *t, const struct vm *vm, uint32_t reason)
{
	uint64_t count = stats_exits(vm, reason), ticks = stats_root_ticks(vm, reason);
	const char *name = vm->backend->reason_name(reason);

	text_printf(t, "<tr><td>%s</td><td class=\"n\">", name ? name : "unknown");
	text_grouped(t, count);
	text_add(t, "</td><td class=\"n\">");
	text_grouped(t, ticks);
	text_add(t, "</td><td class=\"n\">");
	text_grouped(t, ticks / count);
	text_add(t, "</td><td>");
	plot_bar(t, ticks, total_root(vm), BAR_WIDTH);
	text_add(t, "</td></tr>\n");
}

/* Row 0 is the table's head, row 1 + n exit reason n, the one after them its end. */
static bool exits_row(struct text *t, const struct page_at *at)
{
	const struct vm *vm = vm_at(at->vm);

	if (!vm->vcpu_count || at->row > EXIT_REASONS + 1)
		return false;
	if (at->row == 0)
		text_add(t, "<h3>Exits</h3>\n<table><tr><th>reason<th class=\"n\">exits<th class=\"n\">cycles in Gnomon"
			    "<th class=\"n\">each<th>share of these cycles</tr>\n");
	else if (at->row == EXIT_REASONS + 1)
		text_add(t, "</table>\n");
	else if (stats_exits(vm, at->row - 1))
		write_reason(t, vm, at->row - 1);
	return true;
}

/* ---- a guest's memory management ---- */

struct number {
	const char *name;
	uint64_t value;
};

static void write_number(struct text *t, const char *name, uint64_t value)
{
	text_printf(t, "<tr><td>%s</td><td class=\"n\">", name);
	text_grouped(t, value);
	text_add(t, "</td></tr>\n");
}

static bool mmu_row(struct text *t, const struct page_at *at)
{
	const struct stats_mmu *s = stats_mmu(at->vm);
	const struct number numbers[] = {
		{ "4K pages mapped", (uint64_t)s->mmu.mapped[LEVEL_4K] },
		{ "2M pages mapped", (uint64_t)s->mmu.mapped[LEVEL_2M] },
		{ "1G pages mapped", (uint64_t)s->mmu.mapped[LEVEL_1G] },
		{ "tables", (uint64_t)s->mmu.tables },
		{ "large pages split", s->mmu.splits },
		{ "made large again", s->mmu.collapses },
		{ "faults with nothing left to do", s->mmu.spurious },
	};

	if (!s->valid || at->row > ARRAY_LEN(numbers))
		return false;
	if (at->row == 0) {
		text_add(t, "<h3>Memory management, ");
		text_html(t, vm_mmu_name(vm_at(at->vm)));
		text_add(t, "</h3>\n<table class=\"few\"><tr><th>what<th class=\"n\">count</tr>\n");
		return true;
	}
	write_number(t, numbers[at->row - 1].name, numbers[at->row - 1].value);
	return true;
}

/* The rows of what there is nothing of are left out. */
static bool fault_row(struct text *t, const struct page_at *at)
{
	const struct stats_mmu *s = stats_mmu(at->vm);
	char name[80];

	if (!s->valid || at->row >= FAULT_RESULTS)
		return false;
	if (s->mmu.faults[at->row]) {
		format(name, sizeof name, "faults: %s", fault_result_names[at->row]);
		write_number(t, name, s->mmu.faults[at->row]);
	}
	return true;
}

static bool shadow_row(struct text *t, const struct page_at *at)
{
	const struct stats_mmu *s = stats_mmu(at->vm);
	const struct number numbers[] = {
		{ "shadow pages", s->shadow.pages },
		{ "shadow pages, at most", s->shadow.budget },
		{ "shadow pages created", s->shadow.created },
		{ "shadow pages zapped", s->shadow.zapped },
		{ "loads of a root", s->shadow.loads },
		{ "INVLPG", s->shadow.invlpgs },
		{ "writes emulated", s->shadow.emulated_writes },
		{ "pages synced", s->shadow.syncs },
	};

	if (!s->has_shadow || at->row >= ARRAY_LEN(numbers))
		return false;
	write_number(t, numbers[at->row].name, numbers[at->row].value);
	return true;
}

static bool mmu_end(struct text *t, const struct page_at *at)
{
	if (at->row > 0 || !stats_mmu(at->vm)->valid)
		return false;
	text_add(t, "</table>\n");
	return true;
}

/* ---- memory ---- */

static uint64_t guests_frames(void)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < vms_count(); i++) {
		uint32_t id = vm_at(i)->id;

		n += frame_tally(OWNER_VM(id)) + frame_tally(OWNER_VM_META(id)) + frame_tally(OWNER_TD(id));
	}
	return n;
}

static void write_key(struct text *t, uint32_t shade, const char *name)
{
	text_printf(t, "<svg class=\"key\" width=\"10\" height=\"10\"><rect class=\"p%u\" width=\"10\" height=\"10\"/>"
		       "</svg> %s&ensp;", shade, name);
}

static bool memory_head(struct text *t, const struct page_at *at)
{
	const struct {
		const char *name;
		uint64_t frames;
	} shares[] = {
		{ "free", frame_tally(OWNER_FREE) },
		{ "guests", guests_frames() },
		{ "hypervisor", frame_tally(OWNER_HV) + frame_tally(OWNER_PAGE_TABLE) },
		{ "network", frame_tally(OWNER_NET) },
		{ "TDX module", frame_tally(OWNER_PAMT) },
	};
	uint64_t frames[ARRAY_LEN(shares)];

	if (at->row > 0)
		return false;
	for (uint32_t i = 0; i < ARRAY_LEN(shares); i++)
		frames[i] = shares[i].frames;
	text_add(t, "<h2>Memory of the host</h2>\n");
	plot_stack(t, frames, ARRAY_LEN(frames), STACK_WIDTH);
	text_add(t, "<p class=\"dim\">");
	for (uint32_t i = 0; i < ARRAY_LEN(shares); i++)
		if (frames[i])
			write_key(t, i, shares[i].name);
	text_add(t, "</p>\n<table class=\"few\"><tr><th>owner<th class=\"n\">KiB</tr>\n");
	return true;
}

static void write_owner(struct text *t, const char *whose, const char *what, frame_owner_t owner)
{
	uint64_t frames = frame_tally(owner);

	if (!frames)
		return;
	text_add(t, "<tr><td>");
	text_html(t, whose);
	text_add(t, what);
	text_add(t, "</td><td class=\"n\">");
	text_grouped(t, frames * (PAGE_SIZE / KIB(1)));
	text_add(t, "</td></tr>\n");
}

static bool memory_row(struct text *t, const struct page_at *at)
{
	const struct vm *vm;

	if (at->row > vms_count())
		return false;
	if (at->row == 0) {
		write_owner(t, "", "free", OWNER_FREE);
		write_owner(t, "", "hypervisor", OWNER_HV);
		write_owner(t, "", "hypervisor page tables", OWNER_PAGE_TABLE);
		write_owner(t, "", "network", OWNER_NET);
		write_owner(t, "", "TDX module", OWNER_PAMT);
		return true;
	}
	vm = vm_at(at->row - 1);
	write_owner(t, vm->config->name, ": memory", OWNER_VM(vm->id));
	write_owner(t, vm->config->name, ": tables, devices", OWNER_VM_META(vm->id));
	write_owner(t, vm->config->name, ": held by the module", OWNER_TD(vm->id));
	return true;
}

static bool memory_end(struct text *t, const struct page_at *at)
{
	if (at->row > 0)
		return false;
	text_add(t, "</table>\n");
	return true;
}

static bool foot(struct text *t, const struct page_at *at)
{
	if (at->row > 0)
		return false;
	text_add(t, "</body></html>\n");
	return true;
}

/* ---- the list ---- */

/* A part writes row at->row and says whether there was one. */
static const struct {
	bool per_guest;
	bool (*write)(struct text *t, const struct page_at *at);
} parts[] = {
	{ false, head }, { false, host }, { false, guests_row }, { false, guests_end },
	{ false, memory_head }, { false, memory_row }, { false, memory_end },
	{ true, guest_head }, { true, vcpu_row }, { true, exits_row }, { true, mmu_row }, { true, fault_row },
	{ true, shadow_row }, { true, mmu_end },
	{ false, foot },
};

/* Part by part; from the last one of a guest back to the first one of the next guest. */
static void next_part(struct page_at *at)
{
	bool guest_over = parts[at->part].per_guest && !parts[at->part + 1].per_guest;

	at->row = 0;
	at->part++;
	if (!guest_over || ++at->vm >= vms_count())
		return;
	while (parts[at->part - 1].per_guest)
		at->part--;
}

bool page_piece(struct text *t, struct page_at *at)
{
	while (at->part < ARRAY_LEN(parts) && text_room(t) >= PAGE_ROW_MAX) {
		bool none = parts[at->part].per_guest && at->vm >= vms_count();

		if (!none && parts[at->part].write(t, at))
			at->row++;
		else
			next_part(at);
	}
	return at->part == ARRAY_LEN(parts);
}
