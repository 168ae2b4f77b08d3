/* sources: hv/gdb/server.c hv/gdb/guest.c hv/gdb/packet.c hv/gdb/protocol.c hv/gdb/queries.c hv/gdb/resume.c hv/gdb/registers.c hv/base/failure.c hv/base/format.c tests/unit/fake_stream.c */
/*
 * Sessions of gdb from the monitor's command to the guest that goes on: over a connection that the test is the
 * other end of, at a guest whose vCPUs stop when the test says so.
 */
#include "hv/gdb/server.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/debug.h"
#include "hv/monitor/commands.h"
#include "hv/monitor/monitor.h"
#include "hv/vm_life.h"
#include "tests/unit/fake_stream.h"
#include "tests/unit/support/support.h"

#include <cmocka.h>

#define PEER "192.0.2.9"

static struct vm_config config = { .name = "one" };
static struct vcpu vcpus[2];
static struct vm vm;
static struct {
	struct debug d;
	struct vcpu_debug more[2];
} attached;
static bool is_attached, refuses, held, asked, released, left, stopped;
static unsigned resumes;
static char printed[2000], bytes[20000];

/* ---- the guest ---- */

struct debug *debug_attach(struct vm *which, struct failure *f)
{
	assert_ptr_equal(which, &vm);
	assert_false(is_attached);
	if (refuses) {
		(fail)(f, -EINVAL, "not now");
		return NULL;
	}
	memset(&attached, 0, sizeof attached);
	attached.d.vm = &vm;
	attached.d.vcpus = 2;
	is_attached = asked = true;
	held = released = left = false;
	return &attached.d;
}

void debug_halt(struct debug *d)
{
	assert_true(is_attached && d == &attached.d);
	asked = true;
}

bool debug_all_held(const struct debug *d)
{
	assert_true(is_attached && d == &attached.d);
	return held;
}

void debug_resume(struct debug *d, const bool *steps, const bool *runs)
{
	(void)d, (void)steps, (void)runs;
	assert_true(is_attached && held);
	held = asked = false;
	resumes++;
}

void debug_detach(struct debug *d)
{
	(void)d;
	assert_true(is_attached && held && !left);
	left = true;
}

bool debug_release(struct debug *d)
{
	(void)d;
	assert_true(is_attached && left);
	if (released)
		is_attached = false;
	return released;
}

void debug_abandon(struct debug *d)
{
	(void)d;
	assert_true(is_attached);
	is_attached = false;
}

size_t debug_read(struct debug *d, uint32_t index, gva_t address, void *buf, size_t len)
{
	(void)d, (void)index, (void)address;
	assert_true(is_attached && held);
	memset(buf, 0xab, len);
	return len;
}

size_t debug_write(struct debug *d, uint32_t index, gva_t address, const void *buf, size_t len)
{
	(void)d, (void)index, (void)address, (void)buf;
	return len;
}

int debug_insert_soft(struct debug *d, uint32_t index, gva_t address) { return (void)d, (void)index, (void)address, 0; }
int debug_remove_soft(struct debug *d, gva_t address) { return (void)d, (void)address, 0; }
int debug_insert_hw(struct debug *d, enum debug_access access, gva_t address, unsigned length)
{
	return (void)d, (void)access, (void)address, (void)length, 0;
}
int debug_remove_hw(struct debug *d, enum debug_access access, gva_t address, unsigned length)
{
	return (void)d, (void)access, (void)address, (void)length, 0;
}

void vm_stop(struct vm *which, const char *fmt, ...)
{
	(void)which, (void)fmt;
	stopped = true;
}

uint32_t vms_count(void) { return 1; }
struct vm *vm_at(uint32_t index) { return (void)index, &vm; }

/* ---- the monitor ---- */

void monitor_wake(void) {}

void mon_printf(struct monitor_out *out, const char *fmt, ...)
{
	size_t at = strlen(printed);
	va_list args;

	(void)out;
	va_start(args, fmt);
	vsnprintf(printed + at, sizeof printed - at, fmt, args);
	va_end(args);
}

struct vm *command_vm(struct monitor_out *out, int argc, char **argv, int arg)
{
	(void)out, (void)argc;
	return strcmp(argv[arg], "one") == 0 ? &vm : NULL;
}

bool command_number(struct monitor_out *out, const char *text, uint64_t *value)
{
	char *rest;

	(void)out;
	*value = strtoul(text, &rest, 0);
	return *text && !*rest;
}

static int command(const char *line)
{
	char text[100], *argv[8], *save = NULL;
	int argc = 0;

	snprintf(text, sizeof text, "%s", line);
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	printed[0] = 0;
	return commands_gdb[0].run(NULL, argc, argv);
}

/* ---- the peer ---- */

static void say(struct stream *s, const char *text)
{
	char frame[400];
	uint8_t sum = 0;

	for (const char *p = text; *p; p++)
		sum = (uint8_t)(sum + (uint8_t)*p);
	snprintf(frame, sizeof frame, "$%s#%02x", text, sum);
	fake_send(s, frame, strlen(frame));
}

static bool answers(struct stream *s, const char *with)
{
	gdb_poll();
	fake_settle();
	fake_take_all(s, bytes, sizeof bytes);
	return strstr(bytes, with) != NULL;
}

static int begin(void **state)
{
	(void)state;
	test_phys_init(MIB(1), MIB(1));
	fake_reset();
	vm = (struct vm){ .id = 1, .config = &config, .vcpu_count = 2, .vcpus = { &vcpus[0], &vcpus[1] } };
	refuses = is_attached = stopped = false;
	assert_int_equal(command("gdb one open " PEER " 1234"), 0);
	assert_non_null(strstr(printed, "port 1234 waits for gdb from " PEER));
	assert_string_equal(fake_peer_allowed, PEER);
	return 0;
}

static int end(void **state)
{
	(void)state;
	command("gdb one close");
	for (int i = 0; i < 3; i++) {
		held = released = true;
		gdb_poll();
		fake_settle();
	}
	assert_false(is_attached);
	command("gdb");
	assert_non_null(strstr(printed, "no guest has a port"));
	return 0;
}

/* Connected, and the guest stands. */
static struct stream *session(void)
{
	struct stream *s = fake_connect(1234, PEER);

	assert_non_null(s);
	assert_true(is_attached && asked);
	held = true;
	say(s, "?");
	assert_true(answers(s, "+$T02thread:1;#"));
	return s;
}

static void talks_when_the_guest_stands(void **state)
{
	struct stream *s = fake_connect(1234, PEER);

	(void)state;
	say(s, "?");
	assert_false(answers(s, "$"));
	held = true;
	assert_true(answers(s, "$T02thread:1;#"));
	say(s, "m1000,2");
	assert_true(answers(s, "$abab#"));
	command("gdb");
	assert_non_null(strstr(printed, "guest one: port 1234 for " PEER ", the guest stands"));
	assert_null(fake_connect(1234, PEER));
	fake_hang_up(s);
}

static void runs_until_it_stops(void **state)
{
	struct stream *s = session();

	(void)state;
	say(s, "vCont;c");
	assert_int_equal(resumes, 1);
	assert_false(answers(s, "$"));
	fake_send(s, "\3", 1);
	assert_true(asked);
	assert_false(answers(s, "$"));
	held = true;
	attached.d.vcpu[1].event = DEBUG_SOFT_HIT;
	assert_true(answers(s, "$T05thread:2;swbreak:;#"));
	/* Another vCPU's watchpoint is told of before the guest goes on. */
	attached.d.vcpu[0].event = DEBUG_WATCH_HIT;
	attached.d.vcpu[0].address = 0x1000;
	say(s, "vCont;c");
	assert_int_equal(resumes, 1);
	assert_true(answers(s, "awatch:1000;#") || strstr(bytes, "watch:1000;#"));
	say(s, "vCont;c");
	assert_int_equal(resumes, 2);
	held = true;
	fake_hang_up(s);
}

static void leaves_the_guest_running(void **state)
{
	struct stream *s = session();

	(void)state;
	say(s, "D");
	assert_true(answers(s, "$OK#9a"));
	assert_true(fake_is_closed(s));
	assert_true(left && is_attached);
	assert_null(fake_connect(1234, PEER));
	released = true;
	gdb_poll();
	assert_false(is_attached);
	s = session();
	/* A connection that is lost while the guest runs: it is stopped once more to be tidied up. */
	say(s, "c");
	asked = false;
	fake_hang_up(s);
	assert_true(asked && !left);
	gdb_poll();
	assert_false(left);
	held = true;
	gdb_poll();
	assert_true(left);
	released = true;
	gdb_poll();
	assert_false(is_attached);
}

static void kill_stops_the_guest(void **state)
{
	struct stream *s = session();

	(void)state;
	say(s, "k");
	assert_true(stopped);
	gdb_guest_stopped(&vm);
	assert_false(is_attached);
	gdb_poll();
	fake_settle();
	assert_true(fake_is_closed(s));
}

static void the_guest_ends(void **state)
{
	struct stream *s = session();

	(void)state;
	say(s, "c");
	snprintf(vm.stop_reason, sizeof vm.stop_reason, "triple fault");
	gdb_guest_stopped(&vm);
	assert_true(answers(s, "$X06#be"));
	assert_non_null(strstr(bytes, "$O747269706c65206661756c740a#"));
	assert_true(fake_is_closed(s));
	vm.ended_itself = true;
	s = session();
	say(s, "c");
	gdb_guest_stopped(&vm);
	assert_true(answers(s, "$W00#b7"));
	gdb_guest_stopped(&vm);
	refuses = true;
	assert_null(fake_connect(1234, PEER));
}

static void close_takes_the_connection_along(void **state)
{
	struct stream *s = session();

	(void)state;
	assert_int_equal(command("gdb one close"), 0);
	fake_settle();
	assert_false(fake_listens(1234));
	(void)s;
	assert_int_equal(command("gdb one close"), -ENOENT);
	assert_int_equal(command("gdb one open " PEER " 1234"), -EBUSY);
	held = released = true;
	gdb_poll();
	gdb_poll();
	assert_false(is_attached);
	assert_int_equal(command("gdb one open " PEER " 1234"), 0);
}

static void commands_say_what_is_wrong(void **state)
{
	(void)state;
	assert_int_not_equal(command("gdb two open " PEER " 1"), 0);
	assert_int_not_equal(command("gdb one open"), 0);
	assert_non_null(strstr(printed, "gdb NAME open PEER PORT"));
	assert_int_not_equal(command("gdb one open " PEER " 0"), 0);
	assert_int_not_equal(command("gdb one open " PEER " 65536"), 0);
	assert_int_not_equal(command("gdb one shut"), 0);
	config.type = VM_TYPE_TD;
	assert_int_equal(command("gdb one open " PEER " 1"), -ENOTSUP);
	assert_non_null(strstr(printed, "it cannot be debugged"));
	config.type = VM_TYPE_VM;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(talks_when_the_guest_stands, begin, end),
		cmocka_unit_test_setup_teardown(runs_until_it_stops, begin, end),
		cmocka_unit_test_setup_teardown(leaves_the_guest_running, begin, end),
		cmocka_unit_test_setup_teardown(kill_stops_the_guest, begin, end),
		cmocka_unit_test_setup_teardown(the_guest_ends, begin, end),
		cmocka_unit_test_setup_teardown(close_takes_the_connection_along, begin, end),
		cmocka_unit_test_setup_teardown(commands_say_what_is_wrong, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
