/* sources: tdx/shim/accept.c tdx/shim/boot.c tdx/shim/efi.c tdx/shim/lazy.c tdx/shim/params.c tdx/shim/tdcall.c hv/guest/bzimage.c hv/guest/loader_parts.c hv/guest/e820.c hv/guest/guest_mem.c hv/base/digest.c hv/base/failure.c hv/base/format.c tests/unit/td_script.c */
/*
 * The TD shim's work on a scripted module: every page accepted once, files taken from a host that changes
 * them, and a sentence for each thing that may go wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "hv/base/digest.h"
#include "hv/guest/e820.h"
#include "hv/guest/guest.h"
#include "hv/guest/loader_parts.h"
#include "tdx/abi/status.h"
#include "tdx/shim/boot.h"
#include "tdx/shim/tdcall.h"
#include "tests/unit/support/bzimage.h"
#include "tests/unit/support/guest_ram.h"
#include "tests/unit/td_script.h"

#include <cmocka.h>

#define RAM MIB(64)
#define SETUP (512 * 5)
#define PAYLOAD 0x9000
#define KERNEL_SIZE (SETUP + PAYLOAD)
#define INITRD_SIZE 70001
#define PREF MIB(16)
#define INIT_SIZE MIB(20)
#define STAGING (RAM - MIB(2))
#define INITRD_AT (STAGING + 0xc000)

static struct guest_mem mem;
static struct shim shim;
static struct shim_params params;
static struct guest_entry entry;
static struct failure f;
static uint8_t *staging, kernel[KERNEL_SIZE];

static void put(unsigned at, uint64_t v, unsigned size) { memcpy(staging + at, &v, size); }

static void make_kernel(void)
{
	const struct test_bzimage header = { .sectors = 4, .payload = PAYLOAD, .xloadflags = 0x7f, .cmdline_size = 2047,
					     .pref = PREF, .init_size = INIT_SIZE };

	for (size_t i = 0; i < KERNEL_SIZE; i++)
		staging[i] = (uint8_t)(i * 7 + (i >> 8));
	test_bzimage_header(staging, &header);
}

/* The parameters measure what is staged now. */
static void measure(void)
{
	sha384_of(staging, params.kernel.size, params.kernel.digest);
	sha384_of(staging + (params.initrd.gpa - STAGING), params.initrd.size, params.initrd.digest);
	memcpy(kernel, staging, KERNEL_SIZE);
}

static void make_params(void)
{
	params = (struct shim_params){
		.magic = SHIM_MAGIC,
		.version = SHIM_VERSION,
		.vcpus = 2,
		.ram_size = RAM,
		.rsdp = GUEST_ACPI_BASE,
		.staging = STAGING,
		.kernel = { .gpa = STAGING, .size = KERNEL_SIZE },
		.initrd = { .gpa = INITRD_AT, .size = INITRD_SIZE },
		.cmdline = "console=ttyS0 quiet",
	};
}

static int setup(void **state)
{
	(void)state;
	mem = test_guest_ram(RAM, false);
	td_script_start(&mem);
	for (gpa_t at = STAGING; at < RAM; at += PAGE_SIZE)
		td.page[at >> PAGE_SHIFT] = TD_SHARED;
	staging = malloc(MIB(2));
	make_kernel();
	memset(staging + (INITRD_AT - STAGING), 0x77, INITRD_SIZE);
	make_params();
	measure();
	shim = (struct shim){ .params = &params, .mem = mem, .staging = staging };
	f.text[0] = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(staging);
	td_script_end();
	test_guest_ram_free(&mem);
	return 0;
}

static void says(const char *text)
{
	if (!strstr(f.text, text))
		fail_msg("\"%s\" does not say \"%s\"", f.text, text);
}

static uint64_t field(gpa_t at, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, test_guest_at(&mem, at, size), size);
	return v;
}

/* ---- accepting ---- */

static void memory_is_accepted_by_2m(void **state)
{
	(void)state;
	td_script_measured(GUEST_ACPI_BASE);
	td_script_measured(GUEST_ACPI_BASE + PAGE_SIZE);
	assert_int_equal(shim_accept_memory(&shim, &f), 0);
	assert_int_equal(shim.accepted.already, 2);
	assert_int_equal(shim.accepted.small, 510);
	assert_int_equal(shim.accepted.large, RAM / MIB(2) - 2);
	for (uint64_t i = 0; i < td.pages; i++)
		assert_int_equal(td.page[i], i < STAGING >> PAGE_SHIFT ? TD_ACCEPTED : TD_SHARED);
}

static void what_is_no_whole_2m_goes_by_4k(void **state)
{
	struct accept_counts counts = { 0 };

	(void)state;
	assert_int_equal(accept_range(MIB(2) - PAGE_SIZE, MIB(4) + PAGE_SIZE, &counts, &f), 0);
	assert_int_equal(counts.small, 2);
	assert_int_equal(counts.large, 1);
	assert_int_equal(accept_range(MIB(2), MIB(4), &counts, &f), 0);
	assert_int_equal(counts.already, 1);
	assert_int_equal(accept_range(MIB(8), MIB(8), &counts, &f), 0);
	assert_int_equal(counts.small, 2);
}

static void memory_above_4g_is_accepted(void **state)
{
	(void)state;
	params.ram_size = GUEST_LOW_RAM_END + MIB(6) + PAGE_SIZE;
	params.staging = MIB(2);
	assert_int_equal(shim_accept_memory(&shim, &f), 0);
	assert_int_equal(td.high_accepted, MIB(6) + PAGE_SIZE);
	assert_int_equal(shim.accepted.large, 1 + 3);
}

static void a_busy_page_is_asked_for_again(void **state)
{
	static const uint64_t busy[] = { 0x8000020000000001, 0x8000020400000001 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(busy); i++) {
		td.bad_gpa = MIB(4) + i * MIB(2);
		td.bad_status = busy[i];
		td.bad_count = 99;
		assert_int_equal(accept_range(td.bad_gpa, td.bad_gpa + MIB(2), &shim.accepted, &f), 0);
		assert_int_equal(td.bad_count, 0);
		assert_int_equal(shim.accepted.large, i + 1);
	}
	td.bad_gpa = MIB(10);
	td.bad_count = 1 << 30;
	assert_int_equal(accept_range(td.bad_gpa, MIB(12), &shim.accepted, &f), -EIO);
	says("page a00000h not accepted: 8000020400000001h");
}

static void a_refused_page_is_named(void **state)
{
	(void)state;
	td.bad_gpa = MIB(6);
	td.bad_status = TDX_OPERAND_INVALID | TDX_RCX;
	td.bad_count = 1;
	assert_int_equal(shim_accept_memory(&shim, &f), -EIO);
	says("page 600000h not accepted: c000010000000001h");
	assert_int_equal(td.page[MIB(6) >> PAGE_SHIFT], TD_PENDING);
}

/* ---- loading ---- */

static void check_loaded(void)
{
	gpa_t bp = entry.rsi, rd = field(bp + 0x218, 4);
	bool tables = false, mailbox = false;

	assert_int_equal(entry.mode, ENTRY_LONG);
	assert_int_equal(entry.rip, PREF + 0x200);
	assert_memory_equal(test_guest_at(&mem, PREF, PAYLOAD), kernel + SETUP, PAYLOAD);
	assert_int_equal(rd, entry.initrd);
	assert_int_equal(field(bp + 0x21c, 4), INITRD_SIZE);
	assert_true(rd >= PREF + INIT_SIZE && rd + INITRD_SIZE <= STAGING);
	assert_int_equal(field(bp + 0x70, 8), GUEST_ACPI_BASE);
	assert_string_equal(test_guest_at(&mem, field(bp + 0x228, 4), 64), params.cmdline);
	for (unsigned i = 0; i < field(bp + 0x1e8, 1); i++) {
		gpa_t e = bp + 0x2d0 + 20 * i;

		assert_int_not_equal(field(e + 16, 4), E820_RESERVED);
		tables |= field(e + 16, 4) == E820_ACPI && field(e, 8) == GUEST_ACPI_BASE;
		mailbox |= field(e + 16, 4) == E820_ACPI_NVS;
		if (field(e, 8) == MIB(1))
			assert_int_equal(field(e + 8, 8), RAM - MIB(1)); /* the staging area is RAM too */
	}
	assert_true(tables && mailbox);
}

static void kernel_and_initrd_are_loaded(void **state)
{
	(void)state;
	assert_int_equal(shim_accept_memory(&shim, &f), 0);
	assert_int_equal(shim_load(&shim, &entry, &f), 0);
	check_loaded();
	for (unsigned i = 0; i < INITRD_SIZE; i++)
		assert_int_equal(field(entry.initrd + i, 1), 0x77);
	assert_int_equal(td.rtmr_count, 2);
	assert_memory_equal(td.rtmr[0], params.kernel.digest, 48);
	assert_memory_equal(td.rtmr[1], params.initrd.digest, 48);
	assert_int_equal(td.rtmr_index[0], SHIM_RTMR);
	assert_int_equal(td.rtmr_index[1], SHIM_RTMR);
}

static void a_kernel_without_initrd(void **state)
{
	(void)state;
	params.initrd.size = 0;
	assert_int_equal(shim_load(&shim, &entry, &f), 0);
	assert_int_equal(field(entry.rsi + 0x21c, 4), 0);
	assert_int_equal(td.rtmr_count, 1);
}

static void other_files_are_refused(void **state)
{
	(void)state;
	staging[0x300] ^= 1;
	assert_int_equal(shim_load(&shim, &entry, &f), -EACCES);
	says("the kernel is not the one that was measured");
	assert_int_equal(td.rtmr_count, 0);
	staging[0x300] ^= 1;
	staging[INITRD_AT - STAGING + INITRD_SIZE - 1] ^= 0x80;
	assert_int_equal(shim_load(&shim, &entry, &f), -EACCES);
	says("the initrd is not the one that was measured");
	assert_int_equal(td.rtmr_count, 1);
}

/* After the kernel was verified the host writes another one, and another initrd, over them. */
static void seize(unsigned count)
{
	if (count == 1)
		memset(staging, 0xcc, MIB(2));
}

static void a_file_that_changes_under_way_is_harmless(void **state)
{
	(void)state;
	td.on_rtmr = seize;
	assert_int_equal(shim_load(&shim, &entry, &f), -EACCES);
	says("the initrd is not");
	assert_memory_equal(test_guest_at(&mem, PREF, PAYLOAD), kernel + SETUP, PAYLOAD);
	make_kernel();
	params.initrd.size = 0;
	td.rtmr_count = 0;
	assert_int_equal(shim_load(&shim, &entry, &f), 0);
	assert_memory_equal(test_guest_at(&mem, PREF, PAYLOAD), kernel + SETUP, PAYLOAD);
}

static void kernels_a_td_cannot_start(void **state)
{
	(void)state;
	put(0x202, 0, 4);
	measure();
	assert_int_equal(shim_load(&shim, &entry, &f), -ENOEXEC);
	says("no bzImage");
	make_kernel();
	put(0x236, 0, 2);
	measure();
	assert_int_equal(shim_load(&shim, &entry, &f), -ENOEXEC);
	says("no 64-bit entry");
	make_kernel();
	put(0x260, RAM - PREF - MIB(2), 4); /* would reach to the staging area, over the kernel's own file */
	measure();
	assert_int_equal(shim_load(&shim, &entry, &f), -ENOMEM);
	params.kernel.size = STAGING;
	assert_int_equal(shim_load(&shim, &entry, &f), -ENOMEM);
	says("no memory for a copy");
}

static void an_rtmr_that_fails_ends_the_start(void **state)
{
	(void)state;
	td.rtmr_status = TDX_OPERAND_BUSY | TDX_OP_RTMR;
	assert_int_equal(shim_load(&shim, &entry, &f), -EIO);
	says("RTMR[1] not extended: 80000200000000a8h");
}

/* ---- the end of the staging area ---- */

static void staging_becomes_private(void **state)
{
	static const enum td_map_answer good[] = { MAP_OK, MAP_PARTS };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
		for (gpa_t at = STAGING; at < RAM; at += PAGE_SIZE)
			td.page[at >> PAGE_SHIFT] = TD_SHARED;
		td.map = good[i];
		td.map_calls = 0;
		shim.accepted.large = 0;
		assert_int_equal(shim_finish(&shim, &entry, &f), 0);
		assert_int_equal(td.map_calls, good[i] == MAP_OK ? 1 : MIB(2) / KIB(64));
		assert_int_equal(shim.accepted.large, 1);
		for (gpa_t at = STAGING; at < RAM; at += PAGE_SIZE)
			assert_int_equal(td.page[at >> PAGE_SHIFT], TD_ACCEPTED);
	}
	assert_null(shim.staging);
}

static void a_host_that_does_not_convert_is_told_of(void **state)
{
	static const struct {
		enum td_map_answer answer;
		const char *text;
	} bad[] = {
		{ MAP_STALL, "host never makes 3e00000h private" },
		{ MAP_REFUSE, "host keeps 3e00000h shared: 8000000000000000h" },
		{ MAP_BACK, "host keeps 3e00000h shared: 1h" },
		{ MAP_BEYOND, "host keeps 3e00000h shared: 1h" },
		{ MAP_UNALIGNED, "host keeps 3e00000h shared: 1h" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		td.map = bad[i].answer;
		assert_int_equal(shim_finish(&shim, &entry, &f), -EIO);
		says(bad[i].text);
	}
}

/* ---- lazy acceptance ---- */

#define TABLE(member) (LAZY_TABLE + offsetof(struct lazy_table, member))

static bool unaccepted(gpa_t gpa)
{
	uint64_t unit = gpa / LAZY_UNIT;

	return field(TABLE(bitmap) + unit / 8, 1) >> unit % 8 & 1;
}

/* As the module has it: a unit is wholly accepted when its bit is clear, and not at all when it is set. */
static void check_bitmap(void)
{
	for (gpa_t gpa = 0; gpa < STAGING; gpa += PAGE_SIZE)
		assert_int_equal(td.page[gpa >> PAGE_SHIFT], unaccepted(gpa) ? TD_PENDING : TD_ACCEPTED);
}

static void only_what_is_needed_is_accepted(void **state)
{
	gpa_t rd;

	(void)state;
	td_script_measured(GUEST_ACPI_BASE);
	params.flags = SHIM_LAZY;
	assert_int_equal(shim_accept_memory(&shim, &f), 0);
	assert_int_equal(shim.accepted.small, 511);
	assert_int_equal(shim.accepted.large, 0);
	check_bitmap();
	assert_int_equal(shim_load(&shim, &entry, &f), 0);
	check_loaded();
	assert_int_equal(shim_finish(&shim, &entry, &f), 0);
	check_bitmap();
	for (gpa_t gpa = PREF; gpa < PREF + INIT_SIZE; gpa += PAGE_SIZE)
		assert_false(unaccepted(gpa));
	rd = entry.initrd;
	assert_false(unaccepted(rd) || unaccepted(rd + INITRD_SIZE - 1) || unaccepted(STAGING) || unaccepted(0));
	assert_true(unaccepted(MIB(2)) && unaccepted(PREF - 1) && unaccepted(PREF + INIT_SIZE));
	assert_int_equal(shim.accepted.large, INIT_SIZE / MIB(2) + 1 + 1);
}

/* By the offsets that Linux has. */
static void efi_tables_lead_to_the_bitmap(void **state)
{
	static const uint8_t guid[16] = { 0x3c, 0xde, 0xd1, 0xd5, 0x5c, 0x10, 0xf9, 0x44, 0x9e, 0xa9, 0xbc, 0xef, 0x98,
					  0x12, 0x00, 0x31 };
	gpa_t info, system, config, table, map;

	(void)state;
	params.flags = SHIM_LAZY;
	assert_int_equal(shim_accept_memory(&shim, &f), 0);
	assert_int_equal(shim_load(&shim, &entry, &f), 0);
	assert_int_equal(shim_finish(&shim, &entry, &f), 0);
	info = entry.rsi + 0x1c0;
	assert_memory_equal(test_guest_at(&mem, info, 4), "EL64", 4);
	system = field(info + 4, 4);
	assert_memory_equal(test_guest_at(&mem, system, 8), "IBI SYST", 8);
	assert_int_equal(field(system + 104, 8), 1);
	assert_int_equal(field(system + 88, 8), 0); /* no run-time services */
	config = field(system + 112, 8);
	assert_memory_equal(test_guest_at(&mem, config, 16), guid, 16);
	table = field(config + 16, 8);
	assert_int_equal(field(table, 4), 1);
	assert_int_equal(field(table + 4, 4), MIB(2));
	assert_int_equal(field(table + 8, 8), 0);
	assert_int_equal(field(table + 16, 8), 8); /* 32 units, in whole words */
	assert_true(table + 24 + 8 <= GUEST_ACPI_BASE + GUEST_ACPI_SIZE && is_aligned(table, 8));
	assert_int_equal(field(info + 8, 4), 40);
	assert_int_equal(field(info + 20, 4), 40);
	map = field(info + 16, 4);
	assert_int_equal(field(map, 4), 15);
	assert_int_equal(field(map + 8, 8), MIB(2));
	assert_int_equal(field(map + 24, 8), (RAM - MIB(2)) >> PAGE_SHIFT);
}

static void lazy_memory_above_4g(void **state)
{
	(void)state;
	params.flags = SHIM_LAZY;
	params.ram_size = GUEST_LOW_RAM_END + MIB(6) + PAGE_SIZE;
	shim.mem.ram_size = params.ram_size;
	td.high_accepted = MIB(6); /* what is no whole unit cannot be left */
	assert_int_equal(shim_accept_memory(&shim, &f), 0);
	assert_int_equal(td.high_accepted, MIB(6) + PAGE_SIZE);
	assert_true(unaccepted(GIB(4)) && unaccepted(GIB(4) + MIB(6) - 1) && !unaccepted(GIB(4) + MIB(6)));
	assert_true(!unaccepted(STAGING) && !unaccepted(GIB(3)));
}

static void lazy_failures(void **state)
{
	(void)state;
	params.flags = SHIM_LAZY;
	shim.mem.ram_size = params.ram_size = BIT(42);
	td.high_accepted = params.ram_size - GIB(3);
	assert_int_equal(shim_accept_memory(&shim, &f), -E2BIG);
	says("too much memory to be accepted lazily: 4096 GiB");
	shim.mem.ram_size = params.ram_size = RAM;
	shim.mem = mem;
	assert_int_equal(shim_accept_memory(&shim, &f), 0);
	td.bad_gpa = PREF;
	td.bad_status = TDX_OPERAND_INVALID | TDX_RCX;
	td.bad_count = 100;
	assert_int_equal(shim_load(&shim, &entry, &f), -ENOMEM);
	says("page 1000000h not accepted: c000010000000001h");
}

/* ---- calls ---- */

static void info_is_judged(void **state)
{
	struct td_info info;

	(void)state;
	td.info[0] = 40;
	td.info[1] = 2 | (uint64_t)4 << 32;
	td.info[2] = 1;
	assert_int_equal(td_info_get(&info, &f), 0);
	assert_true(info.gpaw == 40 && info.index == 1 && info.max_vcpus == 4);
	td.info[0] = 32;
	assert_int_equal(td_info_get(&info, &f), -EIO);
	says("addresses of 32 bits");
	td.info[0] = 53;
	assert_int_equal(td_info_get(&info, &f), -EIO);
	td.info_status = TDX_OPERAND_INVALID;
	assert_int_equal(td_info_get(&info, &f), -EIO);
	says("VP.INFO failed: c000010000000000h");
}

static void words_reach_the_host(void **state)
{
	static const char text[] = "a sentence of more than sixty-four characters, of which the host sees the first";

	(void)state;
	td_print("one\ntwo");
	assert_string_equal(td.out, "one\r\ntwo");
	if (setjmp(td.fatal_jump) == 0)
		td_fatal("short");
	assert_string_equal(td.fatal, "short");
	if (setjmp(td.fatal_jump) == 0)
		td_fatal(text);
	assert_memory_equal(td.fatal, text, 64);
	assert_int_equal(td.fatal[64], 0);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(memory_is_accepted_by_2m),
		WITH(what_is_no_whole_2m_goes_by_4k),
		WITH(memory_above_4g_is_accepted),
		WITH(a_busy_page_is_asked_for_again),
		WITH(a_refused_page_is_named),
		WITH(kernel_and_initrd_are_loaded),
		WITH(a_kernel_without_initrd),
		WITH(other_files_are_refused),
		WITH(a_file_that_changes_under_way_is_harmless),
		WITH(kernels_a_td_cannot_start),
		WITH(an_rtmr_that_fails_ends_the_start),
		WITH(staging_becomes_private),
		WITH(a_host_that_does_not_convert_is_told_of),
		WITH(only_what_is_needed_is_accepted),
		WITH(efi_tables_lead_to_the_bitmap),
		WITH(lazy_memory_above_4g),
		WITH(lazy_failures),
		WITH(info_is_judged),
		WITH(words_reach_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
