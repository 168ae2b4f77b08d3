/*
 * What must hold of the software TDX module between any two calls, recomputed from its PAMTs and pages: records at
 * one level, counts of pages, key ids, vCPUs and their associations, epochs, locks, and that each TD's secure
 * EPT and the PAMT say the same.
 */
#ifndef TESTS_UNIT_SOFT_CHECK_H
#define TESTS_UNIT_SOFT_CHECK_H

#include "tests/unit/soft_world.h"

#define CHECK_PAGES 2048u /* of 4K */

/*
 * Of the world, in which only these pages (whole ones of 2M, CHECK_PAGES of them) were ever given to TDs. Calls
 * under way are VP.ENTERs whose guest runs, and no others. Fails the test.
 */
void soft_check(hpa_t first);

/* How many pages of 4K are not free. */
uint32_t soft_check_used(hpa_t first);

/* What the PAMT says of a page: enum tdx_page_type. */
uint8_t soft_type(hpa_t page);

/* A TD, from whatever state it is in, until nothing is left of it; no vCPU is inside. Every call must succeed. */
void soft_take_apart(hpa_t first, hpa_t tdr);

#endif
