/*
 * Laying out what a TD begins with.
 */
#include "tdx/image.h"

#include <string.h>

#include "hv/base/digest.h"
#include "hv/guest/acpi.h"
#include "hv/guest/guest.h"

/* The shim as it was linked for SHIM_BASE (tdx/shim_blob.S). */
extern const uint8_t shim_blob[], shim_blob_end[];

/* acpi_build writes to the guest's ACPI area, of which there are the first pages. */
static void *acpi_at(void *ctx, gpa_t gpa, uint64_t len)
{
	struct tdx_image *img = ctx;
	uint64_t at = gpa - GUEST_ACPI_BASE;

	if (at > sizeof(img->acpi) || len > sizeof(img->acpi) - at)
		return NULL;
	return &img->acpi[0][0] + at;
}

static int put_acpi(struct tdx_image *img, struct failure *f)
{
	struct guest_mem mem = { .ctx = img, .ram_size = img->params.ram_size, .at = acpi_at };

	return acpi_build(&mem, img->params.vcpus, GUEST_TD, &img->params.rsdp, f);
}

static int put_cmdline(struct shim_params *p, const char *cmdline, struct failure *f)
{
	size_t len = strlen(cmdline);

	if (len >= sizeof(p->cmdline))
		return fail(f, -E2BIG, "the command line has %lu characters, a TD takes %lu: shorten cmdline =",
			    len, sizeof(p->cmdline) - 1);
	memcpy(p->cmdline, cmdline, len);
	return 0;
}

/* Where the files go: one after the other, each from a page on, behind a multiple of 2 MiB. */
static int place_files(struct shim_params *p, const struct guest_image *boot, struct failure *f)
{
	uint64_t kernel = align_up(boot->kernel.size, PAGE_SIZE), initrd = align_up(boot->initrd.size, PAGE_SIZE);
	gpa_t end = guest_low_ram_end(p->ram_size);

	if (boot->kernel.size >= SHIM_STAGING_MAX / 2 || boot->initrd.size >= SHIM_STAGING_MAX / 2)
		return fail(f, -E2BIG, "kernel %s has %lu MiB, initrd %lu: a TD takes files below %lu MiB",
			    boot->kernel.name, kernel >> 20, initrd >> 20, SHIM_STAGING_MAX >> 21);
	if (end < kernel + initrd + 2 * SHIM_STAGING_ALIGN)
		return fail(f, -ENOMEM, "%lu MiB of memory have no room for the files of kernel and initrd, %lu "
			    "MiB: set memory = %luM or more", p->ram_size >> 20, (kernel + initrd) >> 20,
			    4 * align_up(kernel + initrd, MIB(2)) >> 20);
	p->staging = align_down(end - kernel - initrd, SHIM_STAGING_ALIGN);
	p->kernel.gpa = p->staging;
	p->initrd.gpa = p->staging + kernel;
	return 0;
}

static void describe_file(struct shim_file *out, const struct guest_file *file)
{
	out->size = file->size;
	if (file->size)
		sha384_of(file->data, file->size, out->digest);
}

static int fill_params(struct shim_params *p, const struct guest_image *boot, struct failure *f)
{
	int err = put_cmdline(p, boot->cmdline, f);

	if (!err)
		err = place_files(p, boot, f);
	if (err)
		return err;
	describe_file(&p->kernel, &boot->kernel);
	describe_file(&p->initrd, &boot->initrd);
	return shim_params_check(p, f);
}

static int list_bytes(struct td_image *list, gpa_t gpa, const void *data, uint64_t size, enum td_page_kind kind,
		      struct failure *f)
{
	return size ? td_image_add(list, gpa, data, align_up(size, PAGE_SIZE) >> PAGE_SHIFT, kind, f) : 0;
}

static int list_pages(const struct tdx_image *img, const struct guest_image *boot, struct td_image *list,
		      struct failure *f)
{
	const struct shim_params *p = &img->params;
	const struct {
		gpa_t gpa;
		const void *data;
		uint64_t size;
		enum td_page_kind kind;
	} part[] = {
		{ SHIM_BASE, shim_blob, (uint64_t)(shim_blob_end - shim_blob), TD_PAGES_MEASURED },
		{ SHIM_PARAMS, p, sizeof(*p), TD_PAGES_MEASURED },
		{ GUEST_ACPI_BASE, img->acpi, sizeof(img->acpi), TD_PAGES_MEASURED },
		{ p->kernel.gpa, boot->kernel.data, p->kernel.size, TD_PAGES_SHARED },
		{ p->initrd.gpa, boot->initrd.data, p->initrd.size, TD_PAGES_SHARED },
	};
	int err = 0;

	for (size_t i = 0; i < ARRAY_LEN(part) && !err; i++)
		err = list_bytes(list, part[i].gpa, part[i].data, part[i].size, part[i].kind, f);
	return err;
}

int tdx_image_build(struct tdx_image *img, struct td_image *list, uint64_t ram_size, unsigned vcpus, bool lazy,
		    const struct guest_image *boot, struct failure *f)
{
	struct shim_params *p = &img->params;
	int err;

	memset(img, 0, sizeof(*img));
	memset(list, 0, sizeof(*list));
	memcpy(p->magic, SHIM_MAGIC, sizeof(p->magic));
	p->version = SHIM_VERSION;
	p->vcpus = vcpus;
	p->ram_size = ram_size;
	p->flags = lazy ? SHIM_LAZY : 0;
	err = put_acpi(img, f);
	if (!err)
		err = fill_params(p, boot, f);
	return err ? err : list_pages(img, boot, list, f);
}
