/*
 * What newlib asks of the system beneath it. Only its string formatting is linked, which refers to
 * malloc() for streams but never calls it for strings: so there is no heap to grow.
 */
#include <errno.h>
#include <stddef.h>

void *sbrk(ptrdiff_t increment);

void *sbrk(ptrdiff_t increment)
{
	(void)increment;
	errno = ENOMEM;
	return (void *)-1;
}
