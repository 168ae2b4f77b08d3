/*
 * A failure in words: what went wrong and what would be right, for whoever reads the log.
 * Functions that judge input take a struct failure and return a negative errno through fail().
 */
#ifndef HV_BASE_FAILURE_H
#define HV_BASE_FAILURE_H

#include <errno.h>

#include "hv/base/types.h"

struct failure {
	char text[240]; /* one sentence, no newline, empty when nothing failed */
};

/* Stores the sentence (f may be NULL) and returns err, which is a negative errno. */
int fail(struct failure *f, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
