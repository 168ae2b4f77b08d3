/*
 * The first contents of a TD's memory: made by the guest's loader, put into the TD before it runs for the
 * first time, and then out of the host's sight. The order of the list is part of what is measured.
 */
#ifndef HV_GUEST_TD_IMAGE_H
#define HV_GUEST_TD_IMAGE_H

#include "hv/base/failure.h"
#include "hv/base/types.h"

/* Memory under the reset vector, which is RAM to the TD and belongs to the shim: private from the start. */
#define GUEST_TD_SHIM_BASE 0xffe00000ul
#define GUEST_TD_SHIM_SIZE 0x200000ul

enum td_page_kind {
	TD_PAGES_MEASURED, /* added, and their contents extended into the measurement */
	TD_PAGES_ADDED,    /* added: the measurement says that there is a page, not what is in it */
	TD_PAGES_SHARED,   /* shared from the start: copied into the guest's RAM, for the TD to check itself */
};

struct td_pages {
	gpa_t gpa;          /* 4K aligned, in the guest's RAM or the shim's memory */
	uint64_t npages;
	const void *source; /* npages of host memory, 4K aligned; NULL: zeros */
	enum td_page_kind kind;
};

#define TD_IMAGE_MAX 64

struct td_image {
	uint64_t first_rcx; /* RCX and R8 of every vCPU when it starts; RSI is its index */
	uint32_t count;
	struct td_pages pages[TD_IMAGE_MAX]; /* they do not overlap */
};

/* Adds an entry. -ENOSPC; -EINVAL: not aligned, or empty. */
static inline int td_image_add(struct td_image *i, gpa_t gpa, const void *source, uint64_t npages,
			       enum td_page_kind kind, struct failure *f)
{
	if (!npages || !is_aligned(gpa, PAGE_SIZE) || !is_aligned((uintptr_t)source, PAGE_SIZE))
		return fail(f, -EINVAL, "pages of a TD's first image at %lx are not aligned", gpa);
	if (i->count == TD_IMAGE_MAX)
		return fail(f, -ENOSPC, "the first image of a TD has more than %u parts", TD_IMAGE_MAX);
	i->pages[i->count++] = (struct td_pages){ gpa, npages, source, kind };
	return 0;
}

#endif
