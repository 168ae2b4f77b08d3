/* The guest that the tests of the kernel formats load. */
#include "tests/unit/loader_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct guest_mem mem;
struct guest_image img;
struct guest_entry entry;
struct failure f;

int teardown(void **state)
{
	(void)state;
	test_guest_ram_free(&mem);
	return 0;
}

uint64_t field(gpa_t at, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, test_guest_at(&mem, at, size), size);
	return v;
}

void refused(int err, const char *text)
{
	f.text[0] = 0;
	assert_int_equal(guest_load(&mem, &img, &entry, &f), err);
	if (!strstr(f.text, text))
		fail_msg("\"%s\" does not say \"%s\"", f.text, text);
}
