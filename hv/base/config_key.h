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

struct choice {
	const char *name;
	uint32_t value;
};

struct config_key {
	const char *name;
	/* Judges v and stores it in the key's field, or refuses it by config_refuse and stores nothing. */
	int (*read)(const struct config_key *k, void *field, struct slice v, const struct config_place *p);
	size_t offset;
	uint64_t min, max;            /* numbers; max also: the size of a text field */
	const struct choice *choices; /* ends with a NULL name */
};

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

/* How a slice is shown in an error, for "%.*s": cut to what a sentence bears. */
#define SHOWN(s) (int)min_u64((s).len, 40), (s).at

/* Digits of the base only, no sign, no overflow; false: it is no such number. */
bool config_number(struct slice v, unsigned base, uint64_t *out);

/* BUS:DEVICE.FUNCTION as lspci writes it, in hexadecimal; as bus << 8 | device << 3 | function. */
bool config_pci_address(struct slice v, uint32_t *address);

/* Into a struct serial_config: config_serial.c. */
int config_read_serial(const struct config_key *k, void *field, struct slice v, const struct config_place *p);

/* Readers of the network's keys: config_net.c. */
int config_read_net(const struct config_key *k, void *field, struct slice v, const struct config_place *p);
int config_read_gateway(const struct config_key *k, void *field, struct slice v, const struct config_place *p);
int config_read_nic(const struct config_key *k, void *field, struct slice v, const struct config_place *p);
int config_read_syslog(const struct config_key *k, void *field, struct slice v, const struct config_place *p);
/* Whether the network's keys go together. */
int config_check_net(const struct config *c, struct failure *f);

/* The key's index in the table, or -1. */
int config_key_find(const struct config_keys *table, struct slice name);

/* Reads the value into the key's field of *base; on an error the field is unchanged. */
int config_key_set(const struct config_keys *table, int index, void *base, struct slice value,
                   const struct config_place *p);

#endif
