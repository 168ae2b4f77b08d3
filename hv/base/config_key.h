/*
 * The keys of gnomon.conf: tables of name, kind of value and field, and the readers of each kind.
 * Used by config.c alone; pure.
 */
#ifndef HV_BASE_CONFIG_KEY_H
#define HV_BASE_CONFIG_KEY_H

#include "hv/base/config.h"
#include "hv/base/failure.h"
#include "hv/base/types.h"

/* A piece of the text being read; never NUL-terminated. */
struct slice {
	const char *at;
	size_t len;
};

/* Where a value comes from, for errors. */
struct config_place {
	struct failure *failure;
	uint32_t line; /* of gnomon.conf; 0: a command-line option */
};

struct config_key;

struct config_keys {
	const struct config_key *keys;
	size_t count;
	const char *all; /* their names, for errors */
};

extern const struct config_keys config_global_keys; /* fields of struct config */
extern const struct config_keys config_vm_keys;     /* fields of struct vm_config */

bool slice_is(struct slice s, const char *word);
struct slice slice_trim(struct slice s);
/* Cuts s at the first c: what stands before it is returned, s keeps the rest. False: no c in s. */
bool slice_cut(struct slice *s, char c, struct slice *before);

/* Stores "gnomon.conf:LINE: ..." or "option: ..." and returns -EINVAL. */
int config_refuse(const struct config_place *p, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The key's index in the table, or -1. */
int config_key_find(const struct config_keys *table, struct slice name);

/* Reads the value into the key's field of *base; on an error the field is unchanged. */
int config_key_set(const struct config_keys *table, int index, void *base, struct slice value,
                   const struct config_place *p);

#endif
