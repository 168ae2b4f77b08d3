/*
 * Reads the Multiboot command line.
 */
#include "tests/guests/lib/option.h"

#define MULTIBOOT_HAS_CMDLINE 4

extern uint32_t multiboot_info;

/* What stands behind `key=` at the beginning of a word, or NULL. */
static const char *find(const char *key)
{
	const uint32_t *info = (const uint32_t *)(uint64_t)multiboot_info;
	const char *line = info[0] & MULTIBOOT_HAS_CMDLINE ? (const char *)(uint64_t)info[4] : "";

	for (const char *word = line; *word; word++) {
		const char *w = word, *k = key;

		if (word != line && word[-1] != ' ')
			continue;
		while (*k && *w == *k)
			w++, k++;
		if (!*k && *w == '=')
			return w + 1;
	}
	return NULL;
}

uint64_t option_number(const char *key, uint64_t otherwise)
{
	const char *at = find(key);
	uint64_t value = 0;

	if (!at || *at < '0' || *at > '9')
		return otherwise;
	for (; *at >= '0' && *at <= '9'; at++)
		value = value * 10 + (uint64_t)(*at - '0');
	return value;
}

bool option_is(const char *key, const char *value)
{
	const char *at = find(key);

	if (!at)
		return false;
	while (*value && *at == *value)
		at++, value++;
	return !*value && (!*at || *at == ' ');
}
