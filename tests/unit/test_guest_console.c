/* sources: hv/net/guest_console.c hv/net/counts.c hv/monitor/line.c hv/monitor/command.c hv/base/format.c tests/unit/fake_stream.c tests/unit/net_world.c */
/*
 * Guests' consoles over TCP: opened by command alone and for one peer, bytes both ways, and a client that does not
 * take what the guest writes costs its ring and nothing else. The console's side is a fake with the interface's rules.
 */
#include "hv/net/guest_console.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#undef fail

#include "hv/base/clock.h"
#include "hv/base/x86.h"
#include "hv/console.h"
#include "hv/monitor/commands.h"
#include "hv/net/counts.h"
#include "hv/sched.h"
#include "hv/vm_life.h"
#include "tests/unit/fake_stream.h"
#include "tests/unit/net_world.h"
#include "tests/unit/support/support.h"

#define PEER "192.0.2.7"

static struct console_tap *taps[NET_GUESTS];
static char typed[4096], said[8192], got[1 << 18];
static size_t typed_len, guest_room;
static struct monitor_line line;
static struct monitor_out out;

void console_set_tap(struct vm *vm, struct console_tap *tap) { taps[vm->id - 1] = tap; }

bool console_tap_waits(struct vm *vm) { return taps[vm->id - 1] && taps[vm->id - 1]->head != taps[vm->id - 1]->tail; }

size_t console_tap_read(struct vm *vm, void *to, size_t n)
{
	struct console_tap *tap = taps[vm->id - 1];
	size_t i;

	for (i = 0; tap && i < n && tap->tail != tap->head; i++)
		((char *)to)[i] = tap->bytes[tap->tail++ % tap->size];
	return i;
}

size_t console_guest_input(struct vm *vm, const uint8_t *bytes, size_t n)
{
	assert_ptr_equal(vm, &net_guests[0]);
	n = min_u64(n, guest_room);
	memcpy(typed + typed_len, bytes, n);
	typed_len += n;
	guest_room -= n;
	return n;
}

struct vm *command_vm(struct monitor_out *o, int argc, char **argv, int arg)
{
	struct vm *vm = argc > arg ? vm_by_name(argv[arg]) : NULL;

	if (!vm)
		mon_printf(o, "no such guest\n");
	return vm;
}

bool command_trusted(struct monitor_out *o) { return o->trusted; }

bool command_number(struct monitor_out *o, const char *text, uint64_t *value)
{
	(void)o;
	return sscanf(text, "%lu", value) == 1;
}

static void collect(void *ctx, const char *text, size_t len)
{
	(void)ctx;
	strncat(said, text, len);
}

static int command(const char *text)
{
	char copy[200];

	said[0] = 0;
	strcpy(copy, text);
	return monitor_line_run(&line, copy);
}

/* What the guest writes on its CPU. */
static void guest_says(const char *text, size_t n)
{
	struct console_tap *tap = taps[0];

	for (size_t i = 0; tap && i < n; i++) {
		if (tap->head - tap->tail == tap->size) {
			tap->tail++;
			tap->lost++;
		}
		tap->bytes[tap->head++ % tap->size] = text[i];
	}
}

static int setup(void **state)
{
	(void)state;
	net_world_start();
	fake_reset();
	memset(taps, 0, sizeof taps);
	memset(&net_counts, 0, sizeof net_counts);
	typed_len = 0;
	guest_room = sizeof typed;
	out = (struct monitor_out){ .write = collect, .trusted = true };
	monitor_line_init(&line, &out);
	monitor_line_add(&line, commands_console);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < NET_GUESTS; i++) {
		char text[60] = "console ";

		strcat(text, net_configs[i].name);
		strcat(text, " close");
		command(text);
	}
	assert_int_equal(frame_count(OWNER_NET), 0);
	assert_null(taps[0]);
	net_world_end();
	return 0;
}

static uint64_t later(void) { return rdtsc() + 1000 * tsc_khz; }

static void poll_twice(void)
{
	guest_console_service.poll(rdtsc());
	guest_console_service.poll(later());
}

static struct stream *open_and_connect(void)
{
	struct stream *s;

	assert_int_equal(command("console linux open " PEER " 4000"), 0);
	s = fake_connect(4000, PEER);
	assert_non_null(s);
	return s;
}

static void by_command_alone(void **state)
{
	(void)state;
	assert_false(fake_listens(4000));
	out.trusted = false;
	assert_true(command("console linux open " PEER " 4000") < 0);
	assert_false(fake_listens(4000));
	out.trusted = true;
	assert_true(command("console nobody open " PEER " 4000") < 0);
	assert_true(command("console linux open " PEER " 0") < 0);
	assert_true(command("console linux open " PEER " 65536") < 0);
	assert_true(command("console linux open " PEER) < 0);
	assert_true(command("console linux close") < 0);
	assert_false(fake_listens(4000));
	assert_int_equal(command("console linux open " PEER " 4000"), 0);
	assert_string_equal(fake_peer_allowed, PEER);
	assert_int_equal(command("console linux open 192.0.2.8 4001"), -EBUSY);
	assert_false(fake_listens(4001));
	assert_true(command("console second open " PEER " 4000") < 0); /* the port is taken */
	assert_non_null(strstr(said, "port 4000 is in use"));
	assert_null(fake_connect(4000, "192.0.2.8"));
	command("console");
	assert_non_null(strstr(said, "port 4000, waits for " PEER));
	assert_int_equal(command("console linux close"), 0);
	assert_false(fake_listens(4000));
}

static void both_ways(void **state)
{
	struct stream *s = open_and_connect();

	(void)state;
	guest_says("login: ", 7);
	assert_true(guest_console_service.poll(rdtsc()) < later()); /* gathered for a moment */
	assert_int_equal(fake_take_all(s, got, sizeof got), 0);
	guest_console_service.poll(later());
	fake_take_all(s, got, sizeof got);
	assert_string_equal(got, "login: ");
	assert_true(guest_console_service.poll(rdtsc()) == NEVER);
	fake_send(s, "root\n", 5);
	assert_int_equal(typed_len, 5);
	assert_memory_equal(typed, "root\n", 5);
	assert_int_equal(net_counts.console_bytes, 7);
	command("console");
	assert_non_null(strstr(said, "connected to " PEER));
}

/* One connection: a second one is refused, and when the first has ended, the port is closed. */
static void once(void **state)
{
	struct stream *s = open_and_connect();

	(void)state;
	assert_null(fake_connect(4000, PEER));
	fake_hang_up(s);
	assert_null(taps[0]);
	assert_null(fake_connect(4000, PEER));
	guest_console_service.poll(rdtsc());
	assert_false(fake_listens(4000));
	assert_int_equal(frame_count(OWNER_NET), 0);
	s = open_and_connect();
	assert_int_equal(command("console linux close"), 0);
	assert_true(fake_is_closed(s));
	assert_null(taps[0]);
}

/* A byte the guest does not take now is neither lost nor passed over. */
static void input_waits(void **state)
{
	struct stream *s = open_and_connect();

	(void)state;
	guest_room = 3;
	for (unsigned i = 0; i < 200; i++) {
		char c = (char)('a' + i % 26);

		fake_send(s, &c, 1);
	}
	assert_int_equal(typed_len, 3);
	while (typed_len < 200) {
		guest_room = 7;
		guest_console_service.poll(rdtsc());
	}
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(typed[i], 'a' + i % 26);
}

/* A client that takes nothing: the guest goes on, the oldest of its output is dropped and counted. */
static void slow_client(void **state)
{
	static char much[3 * 65536];
	struct stream *s = open_and_connect();
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof much; i++)
		much[i] = (char)('a' + i % 26);
	fake_room = 1000;
	guest_says("begin ", 6);
	poll_twice();
	guest_says(much, sizeof much);
	poll_twice();
	assert_int_equal(net_counts.console_lost, sizeof much - GUEST_CONSOLE_RING);
	len = fake_take_all(s, got, sizeof got);
	assert_int_equal(len, 6 + GUEST_CONSOLE_RING);
	assert_memory_equal(got, "begin ", 6);
	assert_memory_equal(got + 6, much + sizeof much - GUEST_CONSOLE_RING, GUEST_CONSOLE_RING);
	guest_says("end", 3);
	poll_twice();
	fake_take_all(s, got, sizeof got);
	assert_string_equal(got, "end");
}

/* All of it arrives at a client that takes it byte by byte, when the guest writes no faster. */
static void careful_client(void **state)
{
	struct stream *s = open_and_connect();
	size_t len = 0;

	(void)state;
	fake_room = 64;
	for (unsigned i = 0; i < 300; i++) {
		char text[20];

		guest_says(text, (size_t)snprintf(text, sizeof text, "%03u ", i));
		poll_twice();
		len += fake_take(s, got + len, 3);
	}
	poll_twice();
	len += fake_take_all(s, got + len, sizeof got - len);
	assert_int_equal(len, 1200);
	for (unsigned i = 0; i < 300; i++) {
		char text[20];

		snprintf(text, sizeof text, "%03u ", i);
		assert_memory_equal(got + 4 * i, text, 4);
	}
	assert_int_equal(net_counts.console_lost, 0);
}

static void no_memory(void **state)
{
	(void)state;
	test_frames_left = 3;
	assert_true(command("console linux open " PEER " 4000") < 0);
	assert_false(fake_listens(4000));
	test_frames_left = ~(uint64_t)0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(by_command_alone), TEST(both_ways), TEST(once), TEST(input_waits), TEST(slow_client), TEST(careful_client),
		TEST(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
