/* Owns nothing: cuts load options into words. */
#include "boot/options.h"

#include <string.h>

bool options_to_text(const void *data, size_t len, char *out)
{
	const uint8_t *bytes = data;
	size_t n = 0;

	out[0] = 0;
	if (len % 2)
		return false;
	for (size_t i = 0; i + 2 <= len && n < OPTIONS_MAX - 1; i += 2) {
		uint16_t c = (uint16_t)(bytes[i] | bytes[i + 1] << 8);

		if (c == 0)
			break;
		if (c != '\t' && (c < 0x20 || c > 0x7e)) {
			out[0] = 0;
			return false;
		}
		out[n++] = (char)c;
	}
	out[n] = 0;
	return true;
}

static bool is_program_name(const char *word)
{
	size_t len = strlen(word);

	return len > 4 && !strchr(word, '=') && (!strcmp(word + len - 4, ".efi") || !strcmp(word + len - 4, ".EFI"));
}

static char *cut_word(char **rest)
{
	char *from = *rest, *to, *word;
	bool quoted = false;

	while (*from == ' ' || *from == '\t')
		from++;
	if (!*from)
		return NULL;
	for (word = to = from; *from && (quoted || (*from != ' ' && *from != '\t')); from++) {
		if (*from == '"')
			quoted = !quoted;
		else
			*to++ = *from;
	}
	*rest = *from ? from + 1 : from;
	*to = 0;
	return word;
}

char *options_next(char **rest)
{
	char *word;

	do
		word = cut_word(rest);
	while (word && is_program_name(word));
	return word;
}
