/*
 * The four memory functions of C, which a tiny guest has no library for.
 */
#ifndef TESTS_GUESTS_LIB_MEMORY_H
#define TESTS_GUESTS_LIB_MEMORY_H

#include "hv/base/types.h"

void *memset(void *to, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#endif
