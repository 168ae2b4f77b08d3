/*
 * Text formatting: newlib's integer printf in boot/ and the hypervisor, the C library's on the host.
 * uint64_t is unsigned long everywhere: print it with %lu and %lx.
 */
#ifndef HV_BASE_FORMAT_H
#define HV_BASE_FORMAT_H

#include <stdarg.h>

#include "hv/base/types.h"

/* Writes at most size bytes with the final NUL; returns what snprintf would. */
int format(char *out, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);
int vformat(char *out, size_t size, const char *fmt, va_list args) PRINTF_LIKE(3, 0);

#endif
