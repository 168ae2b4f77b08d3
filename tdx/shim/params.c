/*
 * Judging the parameters of the shim.
 */
#include "tdx/shim/params.h"

#include <string.h>

#include "hv/guest/guest.h"
#include "hv/guest/guest_mem.h"

static int check_head(const struct shim_params *p, struct failure *f)
{
	if (memcmp(p->magic, SHIM_MAGIC, sizeof(p->magic)) || p->version != SHIM_VERSION)
		return fail(f, -EINVAL, "no parameters of version %u", SHIM_VERSION);
	if (p->vcpus == 0 || p->vcpus > GUEST_MAX_VCPUS)
		return fail(f, -EINVAL, "%u vCPUs: 1 to %u are possible", p->vcpus, GUEST_MAX_VCPUS);
	if (p->flags & ~SHIM_LAZY)
		return fail(f, -EINVAL, "flags %lxh", p->flags);
	if (!memchr(p->cmdline, 0, sizeof(p->cmdline)))
		return fail(f, -EINVAL, "the command line has no end");
	return 0;
}

static int check_memory(const struct shim_params *p, struct failure *f)
{
	gpa_t end = guest_low_ram_end(p->ram_size);

	if (p->ram_size < MIB(4) || p->ram_size > BIT(51) || !is_aligned(p->ram_size, PAGE_SIZE))
		return fail(f, -EINVAL, "%lxh bytes of memory: 4M or more is possible", p->ram_size);
	if (p->staging < MIB(2) || p->staging > end || !is_aligned(p->staging, SHIM_STAGING_ALIGN) ||
	    end - p->staging > SHIM_STAGING_MAX)
		return fail(f, -EINVAL, "no staging area from %lxh to %lxh", p->staging, end);
	if (p->rsdp < GUEST_ACPI_BASE || p->rsdp >= GUEST_ACPI_BASE + GUEST_ACPI_SIZE)
		return fail(f, -EINVAL, "no ACPI tables at %lxh", p->rsdp);
	return 0;
}

static int check_file(const struct shim_params *p, const struct shim_file *file, const char *what,
		      struct failure *f)
{
	gpa_t end = guest_low_ram_end(p->ram_size);

	if (file->size && (file->gpa < p->staging || file->gpa > end || file->size > end - file->gpa))
		return fail(f, -EINVAL, "%s at %lxh, not in staging %lxh", what, file->gpa, p->staging);
	return 0;
}

int shim_params_check(const struct shim_params *p, struct failure *f)
{
	int err = check_head(p, f);

	if (!err)
		err = check_memory(p, f);
	if (!err)
		err = check_file(p, &p->kernel, "kernel", f);
	if (!err)
		err = check_file(p, &p->initrd, "initrd", f);
	if (!err && !p->kernel.size)
		err = fail(f, -EINVAL, "no kernel");
	return err;
}
