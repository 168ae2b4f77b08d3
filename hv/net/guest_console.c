/*
 * Ports of guests' consoles. The guest's CPU copies its output into a tap (hv/console.h); from there it goes to the
 * client in the monitor's time.
 */
#include "hv/net/guest_console.h"

#include <string.h>

#include "hv/base/clock.h"
#include "hv/base/log.h"
#include "hv/base/x86.h"
#include "hv/console.h"
#include "hv/monitor/commands.h"
#include "hv/net/counts.h"
#include "hv/net/memory.h"
#include "hv/net/stream.h"
#include "hv/vm_life.h"

#define PIECE 512

struct opened {
	struct vm *vm;
	struct stream_listener *listener; /* NULL: the port is closed */
	struct stream *stream;            /* NULL: nobody has connected yet */
	uint16_t port;
	char peer[STREAM_PEER_MAX];
	bool over;         /* its one connection has ended: to be closed */
	uint64_t send_at;  /* host TSC at which output that waits is sent; 0: none waits */
	struct console_tap tap;
	uint64_t lost;     /* of tap.lost, what has been counted */
	uint32_t input_at, input_len;
	uint8_t input[64]; /* from the client; the guest has not taken it yet */
	uint32_t piece_at, piece_len;
	char piece[PIECE]; /* out of the tap; the stream has not taken it yet */
};

static struct opened consoles[CONFIG_MAX_VMS];

/* ---- both directions ---- */

/* What the guest has no room for stays in the stream, whose window then closes. */
static void pass_input(struct opened *o)
{
	for (;;) {
		size_t n;

		if (o->input_at == o->input_len) {
			o->input_at = 0;
			o->input_len = (uint32_t)stream_read(o->stream, o->input, sizeof o->input);
		}
		n = o->input_len - o->input_at;
		if (n == 0)
			return;
		n = console_guest_input(o->vm, o->input + o->input_at, n);
		o->input_at += (uint32_t)n;
		if (o->input_at < o->input_len)
			return;
	}
}

static bool next_piece(struct opened *o)
{
	o->piece_at = 0;
	o->piece_len = (uint32_t)console_tap_read(o->vm, o->piece, sizeof o->piece);
	return o->piece_len > 0;
}

/* Until all is written or the stream is full: then it says when there is room again. */
static void pass_output(struct opened *o)
{
	while (o->piece_at < o->piece_len || next_piece(o)) {
		size_t n = stream_write(o->stream, o->piece + o->piece_at, o->piece_len - o->piece_at);

		net_counts.console_bytes += n;
		o->piece_at += (uint32_t)n;
		if (o->piece_at < o->piece_len)
			break;
	}
	net_counts.console_lost += o->tap.lost - o->lost;
	o->lost = o->tap.lost;
}

/* ---- the connection ---- */

static bool opened(struct stream *s)
{
	struct opened *o = stream_listener_state(s);

	if (o->stream || o->over)
		return false;
	o->stream = s;
	o->input_at = o->input_len = o->piece_at = o->piece_len = 0;
	o->send_at = 0;
	o->lost = o->tap.lost = 0;
	console_set_tap(o->vm, &o->tap);
	log_info("console: %s is connected to guest %s", stream_peer(s), o->vm->config->name);
	return true;
}

static void received(struct stream *s)
{
	struct opened *o = stream_listener_state(s);

	if (s == o->stream)
		pass_input(o);
}

static void writable(struct stream *s)
{
	struct opened *o = stream_listener_state(s);

	if (s == o->stream)
		pass_output(o);
}

static void closed(struct stream *s)
{
	struct opened *o = stream_listener_state(s);

	if (s != o->stream)
		return;
	console_set_tap(o->vm, NULL);
	o->stream = NULL;
	o->over = true;
}

static const struct stream_service service = {
	.name = "console",
	.max_connections = 1,
	.opened = opened,
	.received = received,
	.writable = writable,
	.closed = closed,
};

/* ---- opening and closing ---- */

static bool make_ring(struct opened *o)
{
	o->tap = (struct console_tap){ .bytes = net_memory_take(GUEST_CONSOLE_RING), .size = GUEST_CONSOLE_RING };
	return o->tap.bytes;
}

static void drop_ring(struct opened *o)
{
	net_memory_give(o->tap.bytes, GUEST_CONSOLE_RING);
	o->tap.bytes = NULL;
}

static void close_port(struct opened *o)
{
	stream_unlisten(o->listener);
	console_set_tap(o->vm, NULL);
	drop_ring(o);
	o->listener = NULL;
	o->stream = NULL;
	log_info("console: the port of guest %s is closed", o->vm->config->name);
}

static int open_port(struct monitor_out *out, struct opened *o, const char *peer, uint16_t port)
{
	struct failure f = { 0 };

	if (!make_ring(o)) {
		mon_printf(out, "no memory for the output of the guest\n");
		return -ENOMEM;
	}
	o->over = false;
	o->port = port;
	o->listener = stream_listen(&service, port, peer, o, &f);
	if (!o->listener) {
		drop_ring(o);
		mon_printf(out, "%s\n", f.text);
		return -EINVAL;
	}
	strncpy(o->peer, peer, sizeof o->peer - 1);
	log_info("console: guest %s can be reached from %s on port %u, once", o->vm->config->name, o->peer, port);
	mon_printf(out, "port %u is open for one connection from %s\n", port, o->peer);
	return 0;
}

/* ---- the command ---- */

static void list(struct monitor_out *out)
{
	for (uint32_t i = 0; i < vms_count(); i++) {
		const struct opened *o = &consoles[i];

		mon_printf(out, "guest %-16s ", vm_at(i)->config->name);
		if (!o->listener)
			mon_printf(out, "not on the network\n");
		else
			mon_printf(out, "port %u, %s %s, %lu bytes lost\n", o->port, o->stream ? "connected to" : "waits for",
				   o->peer, o->tap.lost);
	}
}

static struct opened *opened_of(struct vm *vm)
{
	struct opened *o = &consoles[vm->id - 1];

	o->vm = vm;
	return o;
}

static int open_command(struct monitor_out *out, int argc, char **argv)
{
	uint64_t port;
	struct opened *o;
	struct vm *vm = command_vm(out, argc, argv, 1);

	if (!vm || !command_trusted(out) || !command_number(out, argv[4], &port))
		return -EINVAL;
	if (port < 1 || port > UINT16_MAX) {
		mon_printf(out, "%lu is no port: from 1 to 65535\n", port);
		return -EINVAL;
	}
	o = opened_of(vm);
	if (o->listener) {
		mon_printf(out, "it is open already, for %s on port %u; close it first\n", o->peer, o->port);
		return -EBUSY;
	}
	return open_port(out, o, argv[3], (uint16_t)port);
}

static int close_command(struct monitor_out *out, int argc, char **argv)
{
	struct vm *vm = command_vm(out, argc, argv, 1);

	if (!vm)
		return -EINVAL;
	if (!opened_of(vm)->listener) {
		mon_printf(out, "the console of guest %s is not on the network\n", vm->config->name);
		return -EINVAL;
	}
	close_port(opened_of(vm));
	return 0;
}

static int console_command(struct monitor_out *out, int argc, char **argv)
{
	if (argc == 1) {
		list(out);
		return 0;
	}
	if (argc == 5 && strcmp(argv[2], "open") == 0)
		return open_command(out, argc, argv);
	if (argc == 3 && strcmp(argv[2], "close") == 0)
		return close_command(out, argc, argv);
	mon_printf(out, "write console NAME open ADDRESS PORT, or console NAME close\n");
	return -EINVAL;
}

const struct monitor_command commands_console[] = {
	{ "console", "[NAME open ADDRESS PORT | NAME close]", "a guest's console over TCP, for one peer", console_command },
	{ NULL, NULL, NULL, NULL },
};

/* ---- its turn ---- */

/* Output waits a little, so that single characters share a segment. When the stream is full, writable() goes on. */
static uint64_t output_turn(struct opened *o, uint64_t now)
{
	if (!console_tap_waits(o->vm))
		o->send_at = 0;
	else if (!o->send_at)
		o->send_at = now + GUEST_CONSOLE_GATHER_MS * tsc_khz;
	if (!o->send_at)
		return NEVER;
	if (now < o->send_at)
		return o->send_at;
	o->send_at = 0;
	pass_output(o);
	return NEVER;
}

static uint64_t poll(uint64_t now)
{
	uint64_t next = NEVER;

	for (uint32_t i = 0; i < vms_count(); i++) {
		struct opened *o = &consoles[i];

		if (o->listener && o->over)
			close_port(o);
		if (!o->listener || !o->stream)
			continue;
		pass_input(o);
		next = min_u64(next, output_turn(o, now));
	}
	return next;
}

/* No port is open until a command asks for one. */
static void start(const struct config *c) { (void)c; }

const struct net_service guest_console_service = { .name = "console", .start = start, .poll = poll };
