/*
 * What the tests of the kernel formats share: a guest's RAM, the files it is started from, and what
 * came of it. Each test fills img and takes RAM in its own set-up.
 */
#ifndef TESTS_UNIT_LOADER_GUEST_H
#define TESTS_UNIT_LOADER_GUEST_H

#include "hv/guest/loader.h"
#include "tests/unit/support/guest_ram.h"

extern struct guest_mem mem;
extern struct guest_image img;
extern struct guest_entry entry;
extern struct failure f;

/* cmocka's tear-down: gives the RAM back. */
int teardown(void **state);
/* size bytes of the guest's memory, little-endian. */
uint64_t field(gpa_t at, unsigned size);
/* The load fails with err, and the sentence holds this text. */
void refused(int err, const char *text);

#endif
