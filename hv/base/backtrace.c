/* Looks through a stack word by word. Holds no state. */
#include "hv/base/backtrace.h"

#include "hv/base/format.h"
#include "hv/base/frame.h"
#include "hv/base/map.h"
#include "hv/base/symbols.h"

#define MAX_WORDS 1024
#define LONGEST_CALL 7

extern const char __text_start[], __text_end[];

static bool in_text(uint64_t a)
{
	return a >= (uint64_t)__text_start + LONGEST_CALL && a < (uint64_t)__text_end;
}

/* Whether a CALL ends right before: E8 rel32, or FF /2 in its forms of two, three, six and seven bytes. */
static bool follows_call(uint64_t a)
{
	const uint8_t *p = (const uint8_t *)a;

	return p[-5] == 0xe8 || (p[-2] == 0xff && (p[-1] & 0x38) == 0x10) ||
	       (p[-3] == 0xff && (p[-2] & 0x38) == 0x10) || (p[-6] == 0xff && (p[-5] & 0x38) == 0x10) ||
	       (p[-7] == 0xff && (p[-6] & 0x38) == 0x10);
}

unsigned backtrace_collect(uint64_t rsp, uint64_t *found, unsigned max)
{
	const uint64_t *word = (const uint64_t *)align_down(rsp, 8);
	unsigned n = 0;

	for (unsigned i = 0; i < MAX_WORDS && n < max; i++, word++) {
		if ((i == 0 || is_aligned((uint64_t)word, PAGE_SIZE)) && map_translate(word) == HPA_NONE)
			break;
		if (in_text(*word) && follows_call(*word))
			found[n++] = *word;
	}
	return n;
}

/* The name is that of the code `back` bytes before. */
static const char *name_at(uint64_t address, unsigned back, char *out, size_t size)
{
	uint64_t offset;
	const char *name = symbols_find(address - back, &offset);

	if (name)
		format(out, size, "%016lx %s+%lxh", address, name, offset + back);
	else
		format(out, size, "%016lx", address);
	return out;
}

const char *backtrace_name(uint64_t address, char *out, size_t size) { return name_at(address, 0, out, size); }
const char *backtrace_return_name(uint64_t address, char *out, size_t size) { return name_at(address, 1, out, size); }
