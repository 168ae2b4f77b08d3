/*
 * The shim's work on the TD's memory.
 */
#include "tdx/shim/boot.h"

#include <string.h>

#include "hv/base/digest.h"
#include "hv/guest/loader_parts.h"
#include "tdx/shim/efi.h"
#include "tdx/shim/tdcall.h"

static gpa_t staging_end(const struct shim *s) { return guest_low_ram_end(s->params->ram_size); }

int shim_accept_memory(struct shim *s, struct failure *f)
{
	gpa_t high = GUEST_HIGH_RAM_BASE, high_end = guest_high_ram_end(s->params->ram_size);
	gpa_t low_end = s->params->staging;
	bool lazy = s->params->flags & SHIM_LAZY;
	int err;

	if (lazy) {
		low_end = LAZY_UNIT;
		high = align_down(high_end, LAZY_UNIT);
	}
	err = accept_range(0, low_end, &s->accepted, f);
	if (!err)
		err = accept_range(high, high_end, &s->accepted, f);
	if (!err && lazy)
		err = lazy_start(&s->lazy, &s->mem, &s->accepted, s->params->staging, f);
	return err;
}

/* What lies at gpa now is the file, and no longer the host's to change: is it the one that was measured? */
static int verify(struct shim *s, const struct shim_file *file, const char *what, gpa_t gpa, struct failure *f)
{
	static uint8_t digest[64] __attribute__((aligned(64)));
	const void *data = s->mem.at(s->mem.ctx, gpa, file->size);

	if (!data)
		return fail(f, -ENOMEM, "no memory for the %s at %lxh", what, gpa);
	sha384_of(data, file->size, digest);
	if (memcmp(digest, file->digest, SHIM_DIGEST_BYTES))
		return fail(f, -EACCES, "the %s is not the one that was measured", what);
	return td_rtmr_extend(SHIM_RTMR, digest, f);
}

static const void *staged(const struct shim *s, const struct shim_file *file)
{
	return s->staging + (file->gpa - s->params->staging);
}

/* The loader looks at the kernel's header more than once: at a copy that the host cannot change between.
 * It lies below the staging area, and memory from there on is not loaded into. */
static int copy_kernel(struct shim *s, struct guest_file *kernel, struct failure *f)
{
	const struct shim_file *file = &s->params->kernel;
	gpa_t gpa;
	int err;

	if (file->size > s->params->staging - MIB(1))
		return fail(f, -ENOMEM, "no memory for a copy of the kernel's file");
	gpa = align_down(s->params->staging - file->size, PAGE_SIZE);
	err = boot_copy(&s->mem, gpa, staged(s, file), file->size, f);
	if (!err)
		err = verify(s, file, "kernel", gpa, f);
	s->mem.occupied = gpa;
	*kernel = (struct guest_file){ "(measured)", s->mem.at(s->mem.ctx, gpa, file->size), file->size };
	return err;
}

/* The loader's "cannot be written" is not why, when a page was not accepted. */
static int explain(const struct shim *s, int err, struct failure *f)
{
	if (err && s->lazy.failure.text[0])
		*f = s->lazy.failure;
	return err;
}

int shim_load(struct shim *s, struct guest_entry *entry, struct failure *f)
{
	const struct shim_params *p = s->params;
	struct guest_image img = {
		.initrd = { "(measured)", staged(s, &p->initrd), p->initrd.size },
		.cmdline = p->cmdline,
		.rsdp = p->rsdp,
		.platform = GUEST_TD,
	};
	int err = copy_kernel(s, &img.kernel, f);

	if (!err && !bzimage_recognise(&img.kernel))
		err = fail(f, -ENOEXEC, "the kernel is no bzImage, as a TD needs");
	if (!err)
		err = bzimage_load(&s->mem, &img, entry, f);
	if (!err && entry->mode != ENTRY_LONG)
		err = fail(f, -ENOEXEC, "the kernel has no 64-bit entry");
	if (!err && p->initrd.size)
		err = verify(s, &p->initrd, "initrd", entry->initrd, f);
	return explain(s, err, f);
}

int shim_finish(struct shim *s, const struct guest_entry *entry, struct failure *f)
{
	gpa_t start = s->params->staging, end = staging_end(s);
	int err = start < end ? td_map_private(start, end, f) : 0;

	s->staging = NULL;
	if (!err)
		err = accept_range(start, end, &s->accepted, f);
	if (!err && s->params->flags & SHIM_LAZY) {
		err = lazy_need(&s->lazy, entry->kernel, entry->kernel_end, f);
		if (!err)
			err = efi_build(&s->mem, entry->rsi, f);
	}
	return err;
}
