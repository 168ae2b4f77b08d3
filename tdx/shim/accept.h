/*
 * Accepting private memory: what the host adds while the TD runs is the TD's only after that, and is zero.
 */
#ifndef TDX_SHIM_ACCEPT_H
#define TDX_SHIM_ACCEPT_H

#include "hv/base/failure.h"
#include "hv/base/types.h"

struct accept_counts {
	uint64_t large;   /* 2M pages accepted */
	uint64_t small;   /* 4K pages accepted */
	uint64_t already; /* pages that were measured into the TD, or accepted before */
};

/*
 * Accepts [start, end), whole 4K pages of private memory, by 2M where that is possible; adds to counts.
 * -EIO with a sentence: the module refuses a page; it is named, and what lies before it is accepted.
 */
MUST_CHECK int accept_range(gpa_t start, gpa_t end, struct accept_counts *counts, struct failure *f);

#endif
