/* Owns nothing: the one place that knows which printf there is. */
#include "hv/base/format.h"

#include <stdio.h>

#ifdef __NEWLIB__
#define VFORMAT vsniprintf /* newlib's name for a printf without floating point */
#else
#define VFORMAT vsnprintf
#endif

int vformat(char *out, size_t size, const char *fmt, va_list args)
{
	return VFORMAT(out, size, fmt, args);
}

int format(char *out, size_t size, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = VFORMAT(out, size, fmt, args);
	va_end(args);
	return len;
}
