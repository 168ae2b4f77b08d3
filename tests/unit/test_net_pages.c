/* sources: hv/net/metrics.c hv/net/page.c hv/net/plot.c hv/net/stats.c hv/net/text.c hv/net/counts.c hv/base/format.c tests/unit/net_world.c */
/*
 * What /metrics and the page say: /metrics is read by the grammar of Prometheus' text format and its numbers compared
 * with the guests'; the page's tags are matched, and nothing a guest may be called breaks out of its place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail

#include "hv/base/clock.h"
#include "hv/base/x86.h"
#include "hv/net/counts.h"
#include "hv/net/metrics.h"
#include "hv/net/page.h"
#include "hv/net/plot.h"
#include "tests/unit/net_world.h"
#include "tests/unit/support/support.h"

static char whole[1 << 20];

static int setup(void **state)
{
	(void)state;
	net_world_start();
	assert_true(stats_start());
	net_vcpus[0].stats.count[12] = 1234567;
	net_vcpus[0].stats.cycles[12] = 5000000000;
	net_vcpus[1].stats.count[30] = 7;
	net_vcpus[2].stats.count[30] = 8;
	net_vcpus[2].stats.count[0] = 9;
	net_contexts[2].run_time = 1500000001;
	net_mmu_stats = (struct mmu_stats){ .faults = { 11, 12, 13 }, .mapped = { 0, 100, 20, 3 }, .tables = 5,
		.splits = 4 };
	net_shadow_counts = (struct shadow_counts){ .pages = 77, .zapped = 78 };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	net_world_end();
	return 0;
}

static bool next_metrics(struct text *t, void *at)
{
	bool last = metrics_piece(t, at);

	assert_true(t->len > 0 || last);
	return last;
}

static bool next_page(struct text *t, void *at) { return page_piece(t, at); }

/* In pieces of that size, each in a block of its own, so that a byte too many is seen. */
static size_t collect(bool (*next)(struct text *t, void *at), void *at, size_t piece)
{
	size_t len = 0;
	bool last;

	stats_refresh(rdtsc());
	do {
		struct text t = { .at = malloc(piece), .size = piece };

		last = next(&t, at);
		assert_false(t.cut);
		memcpy(whole + len, t.at, t.len);
		len += t.len;
		free(t.at);
	} while (!last);
	whole[len] = 0;
	return len;
}

static size_t make_metrics(size_t piece)
{
	struct metrics_at at = { 0 };

	return collect(next_metrics, &at, piece);
}

static size_t make_page(size_t piece, bool still)
{
	struct page_at at = { .still = still };

	return collect(next_page, &at, piece);
}

/* ---- the text format's grammar ---- */

static const char *p; /* where the reader is */

static size_t name_len(const char *s, bool colon)
{
	size_t n = 0;

	while ((s[n] >= 'a' && s[n] <= 'z') || (s[n] >= 'A' && s[n] <= 'Z') || s[n] == '_' || (colon && s[n] == ':') ||
	       (n && s[n] >= '0' && s[n] <= '9'))
		n++;
	assert_true(n > 0);
	return n;
}

static void expect(const char *text)
{
	assert_memory_equal(p, text, strlen(text));
	p += strlen(text);
}

static void read_labels(void)
{
	char names[8][40];
	unsigned count = 0;

	do {
		size_t n;

		p++;
		n = name_len(p, false);
		assert_true(n < 40 && count < 8);
		snprintf(names[count], sizeof names[0], "%.*s", (int)n, p);
		for (unsigned i = 0; i < count; i++)
			assert_string_not_equal(names[i], names[count]);
		count++;
		p += n;
		expect("=\"");
		for (; *p != '"'; p++) {
			assert_true((unsigned char)*p >= ' ');
			if (*p == '\\')
				assert_non_null(strchr("\\\"n", *++p));
		}
		p++;
	} while (*p == ',');
	expect("}");
}

/* Reads all of it; returns how many samples there are. */
static unsigned read_metrics(void)
{
	static const char *lines[8192];
	char family[80] = "", seen[8192] = "";
	unsigned samples = 0;

	for (p = whole; *p;) {
		size_t n;

		if (*p == '#') {
			expect("# HELP ");
			n = name_len(p, true);
			snprintf(family, sizeof family, " %.*s ", (int)n, p);
			assert_null(strstr(seen, family)); /* all of a family stands together */
			strcat(seen, family);
			p = strchr(p, '\n');
			expect("\n# TYPE ");
			assert_memory_equal(p, family + 1, n + 1);
			p += n + 1;
			if (*p == 'c') {
				expect("counter\n");
				assert_memory_equal(family + strlen(family) - 7, "_total ", 7);
			} else {
				expect("gauge\n");
			}
			continue;
		}
		lines[samples] = p;
		n = name_len(p, true);
		assert_true(n + 2 == strlen(family) && memcmp(family + 1, p, n) == 0);
		p += n;
		if (*p == '{')
			read_labels();
		for (unsigned i = 0; i < samples; i++)
			assert_true(strncmp(lines[i], lines[samples], (size_t)(p - lines[samples]) + 1) != 0);
		expect(" ");
		n = strspn(p, "0123456789");
		assert_true(n > 0);
		p += n;
		if (*p == '.') {
			n = strspn(++p, "0123456789");
			assert_true(n > 0);
			p += n;
		}
		expect("\n");
		samples++;
	}
	return samples;
}

static void has(const char *line) { assert_non_null(strstr(whole, line)); }

static void metrics_by_the_grammar(void **state)
{
	unsigned samples;
	size_t len = make_metrics(65536);
	char *first = strdup(whole), *uptime;

	(void)state;
	samples = read_metrics();
	assert_true(samples > 100);
	has("\ngnomon_vcpu_exits_total{guest=\"linux\",vcpu=\"0\",reason=\"HLT\"} 1234567\n");
	has("\ngnomon_vcpu_exit_seconds_total{guest=\"linux\",vcpu=\"0\",reason=\"HLT\"} 5.000000000\n");
	has("\ngnomon_vcpu_exits_total{guest=\"second\",vcpu=\"0\",reason=\"I/O \\\"instruction\\\\\\\"\"} 7\n");
	has("\ngnomon_vcpu_exits_total{guest=\"second\",vcpu=\"1\",reason=\"exception or NMI\"} 9\n");
	has("\ngnomon_vcpu_run_seconds_total{guest=\"second\",vcpu=\"1\"} 1.500000001\n");
	has("\ngnomon_guest_running{guest=\"second\"} 1\n");
	has("\ngnomon_mmu_faults_total{guest=\"linux\",result=\"retry\"} 12\n");
	has("\ngnomon_mmu_mapped_bytes{guest=\"linux\",size=\"2M\"} 41943040\n");
	has("\ngnomon_mmu_mapped_bytes{guest=\"linux\",size=\"1G\"} 3221225472\n");
	has("\ngnomon_shadow_events_total{guest=\"second\",event=\"page zapped\"} 78\n");
	assert_null(strstr(whole, "gnomon_shadow_pages{guest=\"linux\""));
	assert_null(strstr(whole, "gnomon_mmu_private_mapped_bytes{"));
	/* The pieces' size changes nothing but the time that is shown. */
	for (size_t piece = METRICS_LINE; piece < 2000; piece += 37) {
		assert_int_equal(make_metrics(piece), len);
		uptime = strstr(whole, "\ngnomon_uptime_seconds ");
		memcpy(uptime, strstr(first, "\ngnomon_uptime_seconds "), strcspn(uptime + 1, "\n") + 1);
		assert_string_equal(whole, first);
	}
	free(first);
}

static void guests_come_and_go(void **state)
{
	unsigned all, none;

	(void)state;
	make_metrics(4096);
	all = read_metrics();
	net_guests[0].vcpu_count = 0;
	net_guests[0].mmu_ready = false;
	net_guests[0].state = VM_OFF;
	make_metrics(4096);
	assert_in_range(read_metrics(), 1, all - 1);
	has("\ngnomon_guest_running{guest=\"linux\"} 0\n");
	make_page(8192, true);
	has("It has not been started yet");
	net_guest_count = 0;
	make_metrics(METRICS_LINE);
	none = read_metrics();
	assert_in_range(none, 10, all - 1);
	make_page(PAGE_ROW_MAX, true);
	has("</body></html>");
}

/* Names cannot hold such characters; should that change, the format still holds. */
static void labels_are_escaped(void **state)
{
	(void)state;
	strcpy(net_configs[0].name, "a\"\\\n\x01\xe4{}");
	make_metrics(4096);
	assert_true(read_metrics() > 100);
	has("{guest=\"a\\\"\\\\\\n?\?{}\"}");
}

/* ---- the page ---- */

/* Elements that are open at the same time; those without an end, and cells whose end may be left out, are not kept. */
static void match_tags(void)
{
	static const char *const single[] = { "meta", "rect", "polygon", "polyline", "th", "!DOCTYPE" };
	char open[32][16];
	unsigned depth = 0;

	for (const char *at = whole; (at = strchr(at, '<')); at++) {
		bool end = at[1] == '/', alone = false;
		char name[16];

		assert_int_equal(sscanf(at + 1 + end, "%15[A-Za-z0-9!]", name), 1);
		for (size_t i = 0; i < sizeof single / sizeof *single; i++)
			alone |= strcmp(name, single[i]) == 0;
		assert_non_null(strchr(at, '>'));
		if (alone)
			continue;
		if (end) {
			assert_true(depth > 0);
			assert_string_equal(open[--depth], name);
		} else {
			assert_true(depth < 32);
			strcpy(open[depth++], name);
		}
	}
	assert_int_equal(depth, 0);
}

static void the_page(void **state)
{
	size_t len = make_page(65536, true);

	(void)state;
	match_tags();
	has(">linux</a></td><td>running</td>");
	has("<h2 id=\"second\">second</h2>");
	has("<tr><td>HLT</td><td class=\"n\">1&#8239;234&#8239;567</td>");
	has("<tr><td>faults: retry</td><td class=\"n\">12</td>");
	has("<tr><td>shadow pages zapped</td><td class=\"n\">78</td>");
	has("Memory of the host");
	assert_null(strstr(whole, "<script"));
	assert_null(strstr(whole, "<polyline")); /* one sample makes no line */
	assert_null(strstr(whole, "refresh\""));
	for (size_t piece = PAGE_ROW_MAX; piece < 9000; piece += 501) {
		assert_int_equal(make_page(piece, true), len);
		match_tags();
	}
}

/* As much of everything as there can be: no row is longer than it may be. */
static void the_longest_rows(void **state)
{
	uint64_t now = rdtsc();

	(void)state;
	memset(net_configs[0].name, '"', CONFIG_NAME_MAX - 1);
	memset(net_guests[0].stop_reason, '&', sizeof net_guests[0].stop_reason - 1);
	for (unsigned i = 0; i < 200; i++) {
		net_vcpus[0].stats.count[12] += i % 2 ? UINT64_MAX / 1024 : 1;
		stats_refresh(now += STATS_APART_MS * tsc_khz);
	}
	assert_int_equal(stats_count(), STATS_SAMPLES);
	net_vcpus[0].stats.cycles[12] = UINT64_MAX / 2;
	make_page(PAGE_ROW_MAX, false);
	match_tags();
	has("http-equiv=\"refresh\"");
	has("&quot;&quot;");
	assert_null(strstr(whole, "\"\"\""));
}

/* Samples come no faster than they may, whoever asks; rates are for each second. */
static void rates(void **state)
{
	uint64_t now = 1000;

	(void)state;
	stats_refresh(now);
	net_vcpus[0].stats.count[12] += 5000;
	stats_refresh(now + STATS_APART_MS * tsc_khz - 1);
	assert_int_equal(stats_count(), 1);
	stats_refresh(now + 2000 * tsc_khz);
	assert_int_equal(stats_count(), 2);
	assert_true(stats_sample(1)->guest[0].exits - stats_sample(0)->guest[0].exits == 5000);
	struct page_at at = { .still = true };
	struct text t = { .at = whole, .size = sizeof whole };
	assert_true(page_piece(&t, &at));
	whole[t.len] = 0;
	has("<td class=\"n\">2&#8239;500</td>");
	has("The plots span 2 s;");
	memset(&net_vcpus[0].stats, 0, sizeof net_vcpus[0].stats); /* `exits linux clear` */
	stats_refresh(now + 3000 * tsc_khz);
	at = (struct page_at){ .still = true };
	t = (struct text){ .at = whole, .size = sizeof whole };
	assert_true(page_piece(&t, &at));
	whole[t.len] = 0;
	has("<polyline class=\"line\" points=\"0,");
}

/* ---- plots and text ---- */

static const char *plotted(struct text *t)
{
	whole[t->len] = 0;
	return whole;
}

static void plots(void **state)
{
	const struct plot_point points[] = { { 100, 0 }, { 150, 10 }, { 300, 5 } };
	const uint64_t parts[] = { 1, 0, 1, UINT64_MAX / 4 };
	struct text t = { .at = whole, .size = sizeof whole };

	(void)state;
	plot_line(&t, points, 1, 100, 22);
	assert_int_equal(t.len, 0);
	plot_line(&t, points, 3, 100, 22);
	assert_non_null(strstr(plotted(&t), "<polyline class=\"line\" points=\"0,21 25,1 100,11 \"/>"));
	t.len = 0;
	plot_bar(&t, 1, 4, 100);
	assert_non_null(strstr(plotted(&t), "width=\"25\" height=\"10\"/></svg>"));
	t.len = 0;
	plot_bar(&t, 7, 0, 100); /* a part of nothing: a mark, not a fault */
	plot_bar(&t, 0, 0, 100);
	assert_non_null(strstr(plotted(&t), "</svg>"));
	t.len = 0;
	plot_stack(&t, parts, 4, 100);
	assert_null(strstr(plotted(&t), "class=\"p1\""));
	assert_non_null(strstr(plotted(&t), "class=\"p3\" x=\"0\" width=\"100\""));
}

static void numbers(void **state)
{
	char buffer[64];
	struct text t = { .at = buffer, .size = sizeof buffer };

	(void)state;
	text_number(&t, 0);
	text_char(&t, ' ');
	text_number(&t, UINT64_MAX);
	text_char(&t, ' ');
	text_decimal(&t, 5, 3);
	text_char(&t, ' ');
	text_decimal(&t, 12345, 3);
	text_char(&t, 0);
	assert_string_equal(buffer, "0 18446744073709551615 0.005 12.345");
	t.len = 0;
	text_grouped(&t, 1000);
	text_char(&t, ' ');
	text_grouped(&t, 999);
	text_char(&t, 0);
	assert_string_equal(buffer, "1&#8239;000 999");
	assert_false(t.cut);
	for (unsigned i = 0; i < 100; i++)
		text_add(&t, "x");
	assert_true(t.cut && t.len == t.size);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(metrics_by_the_grammar), TEST(guests_come_and_go), TEST(labels_are_escaped), TEST(the_page),
		TEST(the_longest_rows), TEST(rates), TEST(plots), TEST(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
