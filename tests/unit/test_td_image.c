/* sources: tdx/image.c tdx/shim/params.c hv/guest/acpi.c hv/guest/guest_mem.c hv/base/digest.c hv/base/failure.c hv/base/format.c */
/*
 * What a TD begins with: which pages, where, in which order, measured or shared; that nothing overlaps and
 * that the shim would take the parameters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "hv/base/digest.h"
#include "hv/guest/guest.h"
#include "hv/guest/guest_mem.h"
#include "hv/guest/wakeup.h"
#include "tdx/image.h"

#include <cmocka.h>

#define BLOB_SIZE (BIT(32) - SHIM_BASE)

/* In place of the shim: as long as it is. */
extern const uint8_t shim_blob[], shim_blob_end[];
__asm__(".section .rodata\n\t.balign 4096\n\t.globl shim_blob, shim_blob_end\nshim_blob:\n\t"
	".fill 0x18000, 1, 0x5a\nshim_blob_end:\n\t.previous");

static struct tdx_image img;
static struct td_image list;
static struct failure f;
static uint8_t files[MIB(3)] __attribute__((aligned(4096)));

static struct guest_image boot(uint64_t kernel, uint64_t initrd)
{
	return (struct guest_image){
		.kernel = { "/vmlinuz", files, kernel },
		.initrd = { "/initrd", files + MIB(2), initrd },
		.cmdline = "console=ttyS0",
	};
}

static void says(const char *text)
{
	if (!strstr(f.text, text))
		fail_msg("\"%s\" does not say \"%s\"", f.text, text);
}

static const struct td_pages *pages_at(gpa_t gpa)
{
	for (uint32_t i = 0; i < list.count; i++)
		if (list.pages[i].gpa == gpa)
			return &list.pages[i];
	fail_msg("nothing at %lxh", gpa);
	return NULL;
}

static void no_overlap(uint64_t ram_size)
{
	for (uint32_t i = 0; i < list.count; i++) {
		const struct td_pages *a = &list.pages[i];
		gpa_t end = a->gpa + (a->npages << PAGE_SHIFT);

		assert_true(is_aligned(a->gpa | (uintptr_t)a->source, PAGE_SIZE) && a->npages);
		assert_true(end <= guest_low_ram_end(ram_size) ||
			    (a->gpa >= GUEST_TD_SHIM_BASE && end <= GUEST_TD_SHIM_BASE + GUEST_TD_SHIM_SIZE));
		for (uint32_t j = 0; j < i; j++) {
			const struct td_pages *b = &list.pages[j];

			assert_true(b->gpa >= end || a->gpa >= b->gpa + (b->npages << PAGE_SHIFT));
		}
	}
}

static void every_part_is_in_its_place(void **state)
{
	struct guest_image b = boot(MIB(1) + 5, 70000);
	const struct td_pages *p;
	uint8_t digest[48];

	(void)state;
	assert_int_equal(tdx_image_build(&img, &list, MIB(64), 2, false, &b, &f), 0);
	assert_int_equal(list.count, 5);
	no_overlap(MIB(64));
	p = pages_at(SHIM_BASE);
	assert_true(p->source == shim_blob && p->npages == BLOB_SIZE >> PAGE_SHIFT && p->kind == TD_PAGES_MEASURED);
	assert_int_equal(p->gpa + (p->npages << PAGE_SHIFT), BIT(32));
	p = pages_at(SHIM_PARAMS);
	assert_true(p->source == &img.params && p->npages == 2 && p->kind == TD_PAGES_MEASURED);
	p = pages_at(GUEST_ACPI_BASE);
	assert_true(p->source == img.acpi && p->kind == TD_PAGES_MEASURED);
	assert_memory_equal(&img.acpi[0][0] + (img.params.rsdp - GUEST_ACPI_BASE), "RSD PTR ", 8);
	p = pages_at(MIB(62));
	assert_true(p->source == files && p->npages == 257 && p->kind == TD_PAGES_SHARED);
	p = pages_at(MIB(63) + PAGE_SIZE);
	assert_true(p->source == files + MIB(2) && p->npages == 18 && p->kind == TD_PAGES_SHARED);

	assert_int_equal(shim_params_check(&img.params, &f), 0);
	assert_int_equal(img.params.staging, MIB(62));
	assert_int_equal(img.params.initrd.gpa, MIB(63) + PAGE_SIZE);
	assert_string_equal(img.params.cmdline, "console=ttyS0");
	sha384_of(files, MIB(1) + 5, digest);
	assert_memory_equal(img.params.kernel.digest, digest, sizeof(digest));
	sha384_of(files + MIB(2), 70000, digest);
	assert_memory_equal(img.params.initrd.digest, digest, sizeof(digest));
}

static void without_initrd(void **state)
{
	struct guest_image b = boot(1, 0);

	(void)state;
	assert_int_equal(tdx_image_build(&img, &list, MIB(64), 1, false, &b, &f), 0);
	assert_int_equal(list.count, 4);
	assert_int_equal(img.params.initrd.size, 0);
	assert_int_equal(img.params.flags, 0);
	assert_int_equal(tdx_image_build(&img, &list, MIB(64), 1, true, &b, &f), 0);
	assert_int_equal(img.params.flags, SHIM_LAZY);
}

static void every_size_of_memory(void **state)
{
	struct guest_image b = boot(MIB(1) + 5, 70000);

	(void)state;
	for (uint64_t mib = 8; mib < 8192; mib += mib < 64 ? 2 : 250) {
		assert_int_equal(tdx_image_build(&img, &list, MIB(mib), 1, false, &b, &f), 0);
		assert_int_equal(shim_params_check(&img.params, &f), 0);
		no_overlap(MIB(mib));
	}
}

/* The same input gives the same pages: else it could not be measured. */
static void image_is_repeatable(void **state)
{
	struct guest_image b = boot(MIB(1), 70000);
	struct tdx_image *again = aligned_alloc(PAGE_SIZE, sizeof(*again));
	static struct td_image other;

	(void)state;
	memset(&img, 0x11, sizeof(img));
	memset(again, 0xee, sizeof(*again));
	assert_int_equal(tdx_image_build(&img, &list, MIB(64), 2, false, &b, &f), 0);
	assert_int_equal(tdx_image_build(again, &other, MIB(64), 2, false, &b, &f), 0);
	assert_memory_equal(&img, again, sizeof(img));
	for (uint32_t i = 0; i < list.count; i++)
		assert_int_equal(list.pages[i].gpa, other.pages[i].gpa);
	free(again);
}

static void refusals(void **state)
{
	static char longest[PAGE_SIZE + 1];
	struct guest_image b = boot(MIB(2), MIB(1));

	(void)state;
	assert_int_equal(tdx_image_build(&img, &list, MIB(6), 1, false, &b, &f), -ENOMEM);
	says("6 MiB of memory have no room for the files of kernel and initrd, 3 MiB: set memory = 16M or more");
	assert_int_equal(tdx_image_build(&img, &list, MIB(64), 0, false, &b, &f), -EINVAL);
	assert_int_equal(tdx_image_build(&img, &list, MIB(64), GUEST_MAX_VCPUS + 1, false, &b, &f), -EINVAL);
	b.kernel.size = SHIM_STAGING_MAX / 2;
	assert_int_equal(tdx_image_build(&img, &list, GIB(8), 1, false, &b, &f), -E2BIG);
	says("kernel /vmlinuz has 512 MiB");
	b = boot(0, 0);
	assert_int_equal(tdx_image_build(&img, &list, MIB(64), 1, false, &b, &f), -EINVAL);
	says("no kernel");
	b = boot(1, 0);
	memset(longest, 'a', PAGE_SIZE);
	b.cmdline = longest;
	assert_int_equal(tdx_image_build(&img, &list, MIB(64), 1, false, &b, &f), -E2BIG);
	says("has 4096 characters, a TD takes 4095");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_part_is_in_its_place),
		cmocka_unit_test(without_initrd),
		cmocka_unit_test(every_size_of_memory),
		cmocka_unit_test(image_is_repeatable),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
