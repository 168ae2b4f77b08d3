/*
 * TDG.MEM.PAGE.ACCEPT over a range. TDX Module 1.5 ABI, "TDG.MEM.PAGE.ACCEPT Leaf".
 */
#include "tdx/shim/accept.h"

#include "tdx/abi/status.h"
#include "tdx/shim/tdcall.h"

#define BUSY_RETRIES 100000

enum { LEVEL_4K, LEVEL_2M };

/* The host may hold the entry for a moment; the status then says so. */
static uint64_t accept_page(gpa_t gpa, unsigned level)
{
	uint64_t status;

	for (unsigned i = 0; i < BUSY_RETRIES; i++) {
		struct tdx_regs r = { .gpr = { [TDX_RAX] = TDG_MEM_PAGE_ACCEPT, [TDX_RCX] = gpa | level } };

		status = tdcall(&r);
		if (!tdx_status_is(status, TDX_OPERAND_BUSY) &&
		    !tdx_status_is(status, TDX_OPERAND_BUSY_HOST_PRIORITY))
			break;
	}
	return status;
}

/* Whether the page of that level is the TD's now. */
static bool count(uint64_t status, unsigned level, struct accept_counts *counts)
{
	if (status == TDX_SUCCESS)
		level == LEVEL_2M ? counts->large++ : counts->small++;
	else if (tdx_status_is(status, TDX_PAGE_ALREADY_ACCEPTED))
		counts->already++;
	else
		return false;
	return true;
}

/* At a table the 2M page ends in a mismatch: then its 4K pages one by one. */
static uint64_t accept_next(gpa_t gpa, gpa_t end, struct accept_counts *counts, uint64_t *status)
{
	if (is_aligned(gpa, MIB(2)) && end - gpa >= MIB(2)) {
		*status = accept_page(gpa, LEVEL_2M);
		if (count(*status, LEVEL_2M, counts))
			return MIB(2);
		if (!tdx_status_is(*status, TDX_PAGE_SIZE_MISMATCH))
			return 0;
	}
	*status = accept_page(gpa, LEVEL_4K);
	return count(*status, LEVEL_4K, counts) ? PAGE_SIZE : 0;
}

int accept_range(gpa_t start, gpa_t end, struct accept_counts *counts, struct failure *f)
{
	uint64_t status = 0, done;

	for (gpa_t gpa = start; gpa < end; gpa += done) {
		done = accept_next(gpa, end, counts, &status);
		if (!done)
			return fail(f, -EIO, "page %lxh not accepted: %lxh", gpa, status);
	}
	return 0;
}
