/*
 * A guest's RAM for tests of loaders and tables: as large as wanted, cleared, paid for where touched.
 */
#ifndef TESTS_UNIT_SUPPORT_GUEST_RAM_H
#define TESTS_UNIT_SUPPORT_GUEST_RAM_H

#include "hv/guest/guest_mem.h"

/* seams: no pointer is given for a range that crosses a 4 KiB boundary, as if every frame lay apart. */
struct guest_mem test_guest_ram(uint64_t ram_size, bool seams);
void test_guest_ram_free(struct guest_mem *m);
/* The bytes at gpa, whatever the seams; NULL when there is no RAM. */
void *test_guest_at(const struct guest_mem *m, gpa_t gpa, uint64_t len);

#endif
