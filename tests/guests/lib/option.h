/*
 * Options of a tiny guest, as `key=value` on its Multiboot command line.
 */
#ifndef TESTS_GUESTS_LIB_OPTION_H
#define TESTS_GUESTS_LIB_OPTION_H

#include "hv/base/types.h"

/* Decimal number after `key=`, or otherwise. */
uint64_t option_number(const char *key, uint64_t otherwise);
/* True when the line has the word `key=value`. */
bool option_is(const char *key, const char *value);

#endif
