/* Owns the names of the optional CPU features. */
#include "hv/base/features.h"

#include <string.h>

const char *const feature_names[FEATURE_COUNT] = {
#define FEATURE_NAME(sym, name, text) [FEATURE_##sym] = name,
	OPTIONAL_FEATURES(FEATURE_NAME)
#undef FEATURE_NAME
};

const char *const feature_texts[FEATURE_COUNT] = {
#define FEATURE_TEXT(sym, name, text) [FEATURE_##sym] = text,
	OPTIONAL_FEATURES(FEATURE_TEXT)
#undef FEATURE_TEXT
};

int feature_by_name(const char *name, size_t len)
{
	for (int i = 0; i < FEATURE_COUNT; i++)
		if (strlen(feature_names[i]) == len && memcmp(feature_names[i], name, len) == 0)
			return i;
	return -1;
}
