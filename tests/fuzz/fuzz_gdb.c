/* sources: hv/gdb/packet.c hv/gdb/protocol.c hv/gdb/queries.c hv/gdb/resume.c hv/gdb/registers.c hv/base/format.c tests/unit/gdb_target.c */
/*
 * What comes from a port for gdb: any bytes, and packets with a right frame around any text. Nothing but a halt
 * is asked of a target that runs, every reply has its frame, and a new conversation works as the first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/gdb_target.h"

#include <cmocka.h>

static struct fake fake;
static struct gdb g;

static void stop_now_and_then(void)
{
	if (fake.running && fuzz_random(2))
		fake_stop(&fake, &g, (enum gdb_why)fuzz_random(6), (uint32_t)fuzz_random(FAKE_THREADS), fuzz_random(1 << 20));
}

/* Lines are packets; the bytes between are sent as they are when they are not. */
static void converse(const uint8_t *data, size_t len)
{
	size_t at = 0, n;
	char text[600];

	fake_start(&fake, &g);
	while (at < len) {
		const uint8_t *end = memchr(data + at, '\n', len - at);

		n = end ? (size_t)(end - (data + at)) : len - at;
		if (n >= sizeof text)
			n = sizeof text - 1;
		memcpy(text, data + at, n);
		text[n] = 0;
		if (fuzz_random(8))
			fake_packet(&g, text);
		else
			fake_bytes(&g, data + at, n);
		at += n + 1;
		stop_now_and_then();
	}
	fake_start(&fake, &g);
	assert_string_equal(fake_packet(&g, "qC"), "QC1");
}

static void packets(void **state)
{
	static const char seed[] =
		"qSupported:swbreak+\nqXfer:features:read:target.xml:0,ffb\nqfThreadInfo\nHg2\nHc-1\n?\ng\np10\n"
		"P4=0102030405060708\nm1000,40\nM1000,4:01020304\nX1000,3:abc\nZ0,1000,1\nZ2,1008,8\nz0,1000,1\n"
		"G00112233445566778899\nvCont?\nvCont;s:1;c:-1\nvCont;c\ns\nC05\nT2\nqThreadExtraInfo,1\nqC\nD\nk\n";

	(void)state;
	fuzz_run(seed, sizeof seed - 1, 3000, converse);
}

static void bytes(const uint8_t *data, size_t len)
{
	fake_start(&fake, &g);
	for (size_t i = 0; i < len; i++) {
		fake_bytes(&g, data + i, 1);
		stop_now_and_then();
	}
}

static void raw(void **state)
{
	static const char seed[] = "$qC#b4+$g#67-$m1000,4#8a\3$vCont;c#a8\3$X1000,4:}\3}]ab#d6$?#3f$k#6b";

	(void)state;
	fuzz_run(seed, sizeof seed - 1, 5000, bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(packets), cmocka_unit_test(raw) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
