/* sources: hv/gdb/packet.c hv/gdb/protocol.c hv/gdb/queries.c hv/gdb/resume.c hv/gdb/registers.c hv/base/format.c tests/unit/gdb_target.c */
#define _GNU_SOURCE
#include "hv/gdb/protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/base/x86.h"
#include "hv/gdb/registers.h"
#include "tests/unit/gdb_target.h"

#include <cmocka.h>

static struct fake fake;
static struct gdb g;

static int setup(void **state)
{
	(void)state;
	fake_start(&fake, &g);
	return 0;
}

static void says(const char *packet, const char *reply)
{
	const char *got = fake_packet(&g, packet);

	if (!reply)
		assert_null(got);
	else
		assert_string_equal(got, reply);
}

static void frames_and_checksums(void **state)
{
	(void)state;
	assert_string_equal(fake_bytes(&g, "$qC#b4", 6), "+$QC1#c5");
	assert_string_equal(fake_bytes(&g, "$qC#b5", 6), "-");
	assert_string_equal(fake_bytes(&g, "$qC#xy", 6), "-");
	assert_string_equal(fake_bytes(&g, "+noise$q$qC#b4+", 15), "+$QC1#c5");
	assert_string_equal(fake_bytes(&g, "-", 1), "$QC1#c5");
	says("QStartNoAckMode", "OK");
	assert_string_equal(fake_bytes(&g, "$qC#b4", 6), "$QC1#c5");
	assert_string_equal(fake_bytes(&g, "$qC#b5", 6), "");
	assert_string_equal(fake_bytes(&g, "-", 1), "");
}

static void too_long_is_refused(void **state)
{
	char *text = malloc(GDB_TEXT_MAX + 10);

	(void)state;
	memset(text, 'm', GDB_TEXT_MAX + 10);
	text[0] = '$';
	memcpy(text + GDB_TEXT_MAX + 2, "#00", 3);
	assert_string_equal(fake_bytes(&g, text, GDB_TEXT_MAX + 5), "-");
	free(text);
	says("qC", "QC1");
}

static void introductions(void **state)
{
	(void)state;
	says("qSupported:multiprocess+;xmlRegisters=i386",
	     "PacketSize=1000;qXfer:features:read+;QStartNoAckMode+;vContSupported+;swbreak+;hwbreak+");
	says("vMustReplyEmpty", "");
	says("qTStatus", "");
	says("!", "");
	says("qAttached", "1");
	says("qfThreadInfo", "m1,2,3");
	says("qsThreadInfo", "l");
	says("qThreadExtraInfo,3", "7468726561642032");
	says("qThreadExtraInfo,4", "E16");
	says("T3", "OK");
	says("T4", "E16");
	says("Hg2", "OK");
	says("qC", "QC2");
	says("Hg0", "OK");
	says("qC", "QC2");
	says("Hg-1", "OK");
	says("Hg9", "E16");
	says("Hx1", "E16");
	says("vCont?", "vCont;c;C;s;S");
}

/* The whole description, by pieces of an odd size. */
static void description(void **state)
{
	static char xml[10000];
	char packet[80];
	size_t at = 0, size;

	(void)state;
	for (;;) {
		snprintf(packet, sizeof packet, "qXfer:features:read:target.xml:%zx,%x", at, 0x333);
		const char *reply = fake_packet(&g, packet);

		strcpy(xml + at, reply + 1);
		at += strlen(reply + 1);
		if (*reply == 'l')
			break;
		assert_int_equal(*reply, 'm');
		assert_int_equal(strlen(reply), 0x334);
	}
	assert_string_equal(xml, gdb_target_xml(&size));
	assert_int_equal(at, size);
	assert_string_equal(xml + at - 9, "</target>");
	assert_non_null(strstr(xml, "<reg name=\"rip\" bitsize=\"64\" type=\"code_ptr\" regnum=\"16\"/>"));
	assert_non_null(strstr(xml, "org.gnu.gdb.i386.segments"));
	says("qXfer:features:read:other.xml:0,10", "");
	says("qXfer:features:read:target.xml:99999,10", "E16");
	says("qXfer:features:read:target.xml:0", "E16");
}

static void registers_one_by_one(void **state)
{
	struct debug_regs *r = &fake.regs[1];

	(void)state;
	says("Hg2", "OK");
	r->gpr[GPR_RSI] = 0x1122334455667788;
	says("p4", "8877665544332211");
	says("P4=0102030405060708", "OK");
	assert_int_equal(r->gpr[GPR_RSI], 0x0807060504030201);
	assert_int_equal(fake.regs[0].gpr[GPR_RSI], 0);
	says("p999", "E16");
	says("P4=01", "E16");
	says("P4", "E16");
	says("Pzz=00", "E16");
	/* RIP: canonical in 64-bit mode, 32 bits elsewhere. */
	says("P10=0000000000008000", "E16");
	says("P10=00000000ffffffff", "E16");
	r->reg[REG_EFER] = EFER_LMA;
	r->reg[REG_CS_AR] = BIT(13);
	says("P10=00000000ffffffff", "OK");
	/* Flags: those of a program; VM is not. */
	r->reg[REG_RFLAGS] = 2;
	says("P11=43020000", "OK");
	says("P11=43020200", "E16");
	says("P11=41020000", "E16");
	assert_int_equal(r->reg[REG_RFLAGS], 0x243);
	/* Selectors and control registers: only as they are. */
	r->reg[REG_CS_SEL] = 0x10;
	says("P12=10000000", "OK");
	says("P12=18000000", "E16");
}

static unsigned number_of(const char *name)
{
	char pattern[60];
	size_t size;
	const char *at;

	snprintf(pattern, sizeof pattern, "<reg name=\"%s\" ", name);
	at = strstr(gdb_target_xml(&size), pattern);
	assert_non_null(at);
	return (unsigned)strtoul(strstr(at, "regnum=\"") + 8, NULL, 10);
}

static void floating_point(void **state)
{
	uint8_t bytes[GDB_REGISTER_BYTES] = { 0 };
	struct debug_regs *r = &fake.regs[0];
	char packet[80];

	(void)state;
	for (unsigned i = 0; i < DEBUG_FX_BYTES; i++)
		r->fx[i] = (uint8_t)i;
	gdb_register_get(r, number_of("xmm15"), bytes);
	assert_memory_equal(bytes, r->fx + 400, 16);
	gdb_register_get(r, number_of("st7"), bytes);
	assert_memory_equal(bytes, r->fx + 144, 10);
	r->fx[4] = 0x81;
	gdb_register_get(r, number_of("ftag"), bytes);
	assert_memory_equal(bytes, "\xfc\x3f\0\0", 4);
	bytes[0] = 0xff;
	assert_true(gdb_register_set(r, number_of("ftag"), bytes));
	assert_int_equal(r->fx[4], 0x80);
	snprintf(packet, sizeof packet, "P%x=0102030405060708090a0b0c0d0e0f10", number_of("xmm1"));
	says(packet, "OK");
	assert_int_equal(r->fx[176], 1);
	assert_int_equal(r->fx[191], 16);
	r->cr2 = 0x1234;
	snprintf(packet, sizeof packet, "p%x", number_of("cr2"));
	says(packet, "3412000000000000");
	snprintf(packet, sizeof packet, "P%x=0000000000000000", number_of("cr3"));
	says(packet, "OK");
	snprintf(packet, sizeof packet, "P%x=0010000000000000", number_of("cr3"));
	says(packet, "E16");
}

/* What g says, G takes. */
static void all_registers(void **state)
{
	char *all, *packet;
	size_t size = 0;

	(void)state;
	for (unsigned i = 0; i < GPR_COUNT; i++)
		fake.regs[0].gpr[i] = i;
	for (unsigned n = 0; n < gdb_register_count(); n++)
		size += 2 * gdb_register_size(n);
	all = strdup(fake_packet(&g, "g"));
	assert_int_equal(strlen(all), size);
	packet = malloc(size + 2);
	sprintf(packet, "G%s", all);
	says(packet, "OK");
	memcpy(packet + 1, "ff", 2);
	says(packet, "OK");
	assert_int_equal(fake.regs[0].gpr[GPR_RAX], 0xff);
	says("G0100000000000000", "OK");
	assert_int_equal(fake.regs[0].gpr[GPR_RAX], 1);
	says("Gzz00000000000000", "E16");
	free(all);
	free(packet);
}

static void memory(void **state)
{
	char *all, *text = malloc(5000);

	(void)state;
	for (unsigned i = 0; i < FAKE_SIZE; i++)
		fake.memory[i] = (uint8_t)i;
	says("m1000,4", "00010203");
	says("m1ffe,8", "feff");
	says("m2000,1", "E0e");
	says("mffffffffffffffff,2", "E0e");
	says("m1000,0", "");
	says("m1000", "E16");
	says("m1000,4,5", "E16");
	says("m11111111111111111,1", "E16");
	all = strdup(fake_packet(&g, "m1000,ffffffffffffffff"));
	assert_int_equal(strlen(all), GDB_TEXT_MAX);
	sprintf(text, "M1000,3f0:%.*s", 0x3f0 * 2, all);
	says(text, "OK");
	says("M1001,2:aabb", "OK");
	assert_memory_equal(fake.memory, "\0\xaa\xbb\3", 4);
	says("M1001,3:aabb", "E16");
	says("M1001,2:aabx", "E0e");
	says("M1fff,2:aabb", "E0e");
	says("X1000,0:", "OK");
	says("X1000,4:#$}*", "OK");
	assert_memory_equal(fake.memory, "#$}*\4", 5);
	says("X1000,5:abcd", "E16");
	free(all);
	free(text);
}

static void breakpoints(void **state)
{
	(void)state;
	says("Z0,1234,1", "OK");
	says("Z1,1234,1;X1,22", "OK");
	says("Z2,1240,8", "OK");
	says("Z3,1240,8", "");
	says("Z4,1240,8", "OK");
	says("Z5,1240,8", "E16");
	says("Z0,1240", "E16");
	assert_true(fake.breaks[3].used && fake.breaks[3].kind == GDB_WATCH_ACCESS);
	says("z2,1240,8", "OK");
	says("z2,1240,8", "E02");
	for (int i = 0; i < 5; i++)
		says("Z0,99,1", "OK");
	says("Z0,99,1", "E1c");
}

static void runs_and_stops(void **state)
{
	(void)state;
	says("?", "T02thread:1;");
	says("vCont;c", NULL);
	assert_true(fake.runs[0] && fake.runs[1] && fake.runs[2]);
	assert_string_equal(fake_stop(&fake, &g, GDB_STOP_SOFT, 2, 0), "T05thread:3;swbreak:;");
	says("qC", "QC3");
	says("vCont;s:2;c", NULL);
	assert_true(fake.runs[0] && fake.steps[1] && fake.runs[2]);
	assert_string_equal(fake_stop(&fake, &g, GDB_STOP_STEP, 1, 0), "T05thread:2;");
	says("vCont;S05:1", NULL);
	assert_true(fake.steps[0] && !fake.runs[1] && !fake.runs[2]);
	says("m1000,4", "E10");
	fake_bytes(&g, "\3", 1);
	assert_int_equal(fake.halts, 1);
	assert_string_equal(fake_stop(&fake, &g, GDB_STOP_ASKED, 0, 0), "T02thread:1;");
	assert_string_equal(fake_packet(&g, "?"), "T02thread:1;");
	fake_bytes(&g, "\3", 1);
	assert_int_equal(fake.halts, 1);
	says("c", NULL);
	assert_string_equal(fake_stop(&fake, &g, GDB_STOP_WATCH_WRITE, 0, 0x1230), "T05thread:1;watch:1230;");
	says("Hc2", "OK");
	says("s", NULL);
	assert_true(!fake.steps[0] && fake.steps[1]);
	assert_string_equal(fake_stop(&fake, &g, GDB_STOP_WATCH_ACCESS, 0, 0x12), "T05thread:1;awatch:12;");
	says("C05", NULL);
	assert_true(!fake.runs[0] && fake.runs[1]);
	assert_string_equal(fake_stop(&fake, &g, GDB_STOP_HW, 0, 0x12), "T05thread:1;hwbreak:;");
	assert_int_equal(fake.resumes, 6);
	says("vCont", "E16");
	says("vCont;x", "E16");
	says("vCont;c:9", "E16");
	says("c1000", "E16");
	assert_int_equal(fake.resumes, 6);
}

static bool will_send(const char *text)
{
	size_t size;
	const char *bytes = gdb_output(&g, &size);

	return memmem(bytes, size, text, strlen(text)) != NULL;
}

static void ends(void **state)
{
	(void)state;
	says("vCont;c", NULL);
	fake.running = false;
	gdb_ended(&g, false, "it powered itself off");
	assert_true(will_send("$W00#b7"));
	assert_true(will_send("$O697420"));
	assert_true(g.over);
	setup(state);
	says("vCont;c", NULL);
	gdb_ended(&g, true, "triple fault");
	assert_true(will_send("$X06#be"));
	setup(state);
	says("D", "OK");
	assert_true(g.over && fake.detaches == 1);
	says("m1000,1", NULL);
	setup(state);
	says("k", NULL);
	assert_true(g.over && fake.kills == 1);
	setup(state);
	says("vKill;1", "OK");
	assert_true(g.over && fake.kills == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(frames_and_checksums, setup), cmocka_unit_test_setup(too_long_is_refused, setup),
		cmocka_unit_test_setup(introductions, setup),        cmocka_unit_test_setup(description, setup),
		cmocka_unit_test_setup(registers_one_by_one, setup), cmocka_unit_test_setup(floating_point, setup),
		cmocka_unit_test_setup(all_registers, setup),        cmocka_unit_test_setup(memory, setup),
		cmocka_unit_test_setup(breakpoints, setup),          cmocka_unit_test_setup(runs_and_stops, setup),
		cmocka_unit_test_setup(ends, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
