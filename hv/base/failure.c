/* Owns nothing: writes a failure's sentence. */
#include "hv/base/failure.h"

#include "hv/base/format.h"

int fail(struct failure *f, int err, const char *fmt, ...)
{
	va_list args;

	if (f) {
		va_start(args, fmt);
		vformat(f->text, sizeof(f->text), fmt, args);
		va_end(args);
	}
	return err;
}
