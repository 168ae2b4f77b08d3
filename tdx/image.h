/*
 * What a TD that boots a kernel begins with: the TD shim and its parameters under the reset vector, the ACPI
 * tables, and the files of kernel and initrd in shared memory, at the end of the RAM below 4 GiB. The shim
 * copies the files from there, compares them with the digests in its parameters, which are measured, and
 * makes that memory private like the rest.
 *
 * Why the files are not added and measured page by page: that is a call for each 4K and sixteen for its
 * measurement, which digests half as much again as the bytes, and it cuts the kernel's memory into 4K pages
 * for good. Copying costs one digest here and one in the TD.
 */
#ifndef TDX_IMAGE_H
#define TDX_IMAGE_H

#include "hv/base/failure.h"
#include "hv/base/types.h"
#include "hv/guest/loader.h"
#include "hv/guest/td_image.h"
#include "tdx/shim/params.h"

#define TDX_IMAGE_ACPI_PAGES 2

/* The pages that are made for one TD, until they are in it. */
struct tdx_image {
	struct shim_params params;
	uint8_t acpi[TDX_IMAGE_ACPI_PAGES][PAGE_SIZE];
} __attribute__((aligned(PAGE_SIZE)));

/*
 * Lists in list what a TD of ram_size bytes and so many vCPUs begins with, and makes the pages that are its
 * own in img. list refers to img and to the files' data, which start at a page and are zero from their end to
 * that of the last page. Of boot only kernel, initrd and cmdline are looked at. lazy: the kernel accepts the
 * memory as it needs it. Takes as long as the SHA-384 of both files. -EINVAL, -ENOMEM or -E2BIG with a sentence
 * when such a TD could not start.
 */
MUST_CHECK int tdx_image_build(struct tdx_image *img, struct td_image *list, uint64_t ram_size, unsigned vcpus,
			       bool lazy, const struct guest_image *boot, struct failure *f);

#endif
