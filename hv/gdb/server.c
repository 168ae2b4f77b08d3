/*
 * Sessions: from an open port over a connection and a guest that stands still to a guest that runs as if
 * nothing had been.
 */
#include "hv/gdb/server.h"

#include <errno.h>
#include <string.h>

#include "hv/base/format.h"
#include "hv/base/frame.h"
#include "hv/base/log.h"
#include "hv/base/phys.h"
#include "hv/gdb/guest.h"
#include "hv/monitor/commands.h"
#include "hv/monitor/monitor.h"
#include "hv/net/stream.h"
#include "hv/vm_life.h"

enum state {
	CLOSED,    /* no port; a session that is no more */
	IDLE,      /* the port is open */
	STOPPING,  /* connected; the guest is made to stop. Or it runs, until it stops */
	STANDING,  /* connected, the guest stands still */
	LEAVING,   /* no debugger any more; the guest is made to stop, to be tidied up */
	RELEASING, /* its vCPUs let go */
};

static const char *const state_names[] = { "closed", "waits for gdb", "the guest runs", "the guest stands",
					   "gdb leaves", "gdb leaves" };

struct session {
	struct vm *vm;
	enum state state;
	bool closing;    /* the port is not to be opened again */
	uint16_t port;
	char peer[STREAM_PEER_MAX];
	struct stream_listener *listener;
	struct stream *stream;
	struct debug *debug;
	struct gdb gdb;
};

#define SESSION_PAGES ((sizeof(struct session) + PAGE_SIZE - 1) >> PAGE_SHIFT)

static struct session *sessions[CONFIG_MAX_VMS]; /* by vm->id - 1; NULL: none */

static struct session *session_of(const struct vm *vm) { return sessions[vm->id - 1]; }

/* ---- bytes ---- */

static void send(struct session *s)
{
	const char *bytes;
	size_t size, n;

	while (s->stream && (bytes = gdb_output(&s->gdb, &size), size)) {
		n = stream_write(s->stream, bytes, size);
		if (!n)
			return;
		gdb_sent(&s->gdb, n);
	}
}

static bool has_output(const struct session *s)
{
	size_t size;

	gdb_output(&s->gdb, &size);
	return size != 0;
}

static void leave(struct session *s)
{
	s->state = LEAVING;
	debug_halt(s->debug);
	monitor_wake(); /* where the guest stands already, nobody else says so */
}

/* Bytes are taken one by one, as each may end a packet and have a reply. A guest that has not stopped yet for
 * the first time has nothing to say. */
static void receive(struct session *s)
{
	uint8_t byte;

	while (s->stream && (s->state == STANDING || (s->state == STOPPING && s->gdb.running)) && !has_output(s) &&
	       !s->gdb.over && stream_read(s->stream, &byte, 1)) {
		gdb_input(&s->gdb, byte);
		if (s->gdb.running && s->state == STANDING) {
			s->state = STOPPING;
			monitor_wake(); /* a vCPU may have an event that gdb has not been told of */
		}
		send(s);
	}
}

/* ---- states ---- */

static void free_session(struct session *s)
{
	sessions[s->vm->id - 1] = NULL;
	frame_free_run(virt_to_phys(s), SESSION_PAGES, OWNER_HV);
}

static void stands(struct session *s)
{
	s->state = STANDING;
	gdb_stopped(&s->gdb);
	send(s);
	receive(s);
}

/* What was said last has been sent, and the debugger has said that it goes. */
static void finish(struct session *s)
{
	if (!s->gdb.over || has_output(s))
		return;
	if (s->stream) {
		stream_set_state(s->stream, NULL);
		stream_close(s->stream);
		s->stream = NULL;
	}
	if (s->debug && s->state != RELEASING && s->state != LEAVING)
		leave(s);
}

static void poll(struct session *s)
{
	if (s->state == STOPPING && debug_all_held(s->debug))
		stands(s);
	send(s);
	if (s->stream && (s->state == STANDING || s->state == STOPPING))
		finish(s);
	if (s->state == LEAVING && debug_all_held(s->debug)) {
		debug_detach(s->debug);
		s->state = RELEASING;
	}
	if (s->state == RELEASING && debug_release(s->debug)) {
		log_info("gdb: guest %s goes on without a debugger", s->vm->config->name);
		s->debug = NULL;
		s->state = IDLE;
	}
	if (s->state == IDLE && s->closing)
		free_session(s);
}

void gdb_poll(void)
{
	for (uint32_t i = 0; i < vms_count(); i++)
		if (sessions[i])
			poll(sessions[i]);
}

/* A guest that its own act has ended has not failed. */
void gdb_guest_stopped(struct vm *vm)
{
	struct session *s = session_of(vm);

	if (!s || !s->debug)
		return;
	debug_abandon(s->debug);
	s->debug = NULL;
	s->state = IDLE;
	if (!s->stream)
		return;
	gdb_ended(&s->gdb, !vm->ended_itself, vm->stop_reason);
	send(s);
	finish(s);
}

/* ---- the service ---- */

static bool opened(struct stream *stream)
{
	struct session *s = stream_listener_state(stream);
	struct failure f = { 0 };

	if (s->state != IDLE || s->stream)
		return false;
	s->debug = debug_attach(s->vm, &f);
	if (!s->debug) {
		log_warn("gdb: %s is refused: %s", stream_peer(stream), f.text);
		return false;
	}
	gdb_start(&s->gdb, &gdb_guest, s->debug);
	s->stream = stream;
	s->state = STOPPING;
	stream_set_state(stream, s);
	log_info("gdb: %s debugs guest %s", stream_peer(stream), s->vm->config->name);
	return true;
}

static void received(struct stream *stream)
{
	struct session *s = stream_state(stream);

	receive(s);
	finish(s);
}

static void writable(struct stream *stream)
{
	struct session *s = stream_state(stream);

	send(s);
	receive(s);
	finish(s);
}

static void closed(struct stream *stream)
{
	struct session *s = stream_state(stream);

	if (!s)
		return;
	s->stream = NULL;
	if (s->state == STOPPING || s->state == STANDING)
		leave(s);
}

static const struct stream_service service = {
	.name = "gdb",
	.max_connections = 1,
	.opened = opened,
	.received = received,
	.writable = writable,
	.closed = closed,
};

/* ---- the monitor command ---- */

static int open_port(struct monitor_out *out, struct vm *vm, const char *peer, uint16_t port)
{
	struct failure f = { 0 };
	struct session *s;
	hpa_t home;

	if (session_of(vm)) {
		mon_printf(out, "guest %s has a port for gdb already: `gdb %s close`\n", vm->config->name,
			   vm->config->name);
		return -EBUSY;
	}
	home = frame_alloc_run(SESSION_PAGES, 1, OWNER_HV);
	if (home == HPA_NONE) {
		mon_printf(out, "no memory for a port for gdb\n");
		return -ENOMEM;
	}
	s = phys_to_virt(home);
	s->vm = vm;
	s->state = IDLE;
	s->port = port;
	format(s->peer, sizeof s->peer, "%s", peer);
	s->listener = stream_listen(&service, port, s->peer, s, &f);
	if (!s->listener) {
		mon_printf(out, "%s\n", f.text);
		frame_free_run(home, SESSION_PAGES, OWNER_HV);
		return -EIO;
	}
	sessions[vm->id - 1] = s;
	mon_printf(out, "port %u waits for gdb from %s: (gdb) target remote ADDRESS:%u\n", port, s->peer, port);
	return 0;
}

static int close_port(struct monitor_out *out, struct vm *vm)
{
	struct session *s = session_of(vm);

	if (!s || s->closing) {
		mon_printf(out, "guest %s has no port for gdb\n", vm->config->name);
		return -ENOENT;
	}
	s->closing = true;
	stream_unlisten(s->listener);
	poll(s);
	return 0;
}

static int list(struct monitor_out *out)
{
	bool any = false;

	for (uint32_t i = 0; i < vms_count(); i++) {
		const struct session *s = sessions[i];

		if (!s)
			continue;
		any = true;
		mon_printf(out, "guest %s: port %u for %s, %s\n", s->vm->config->name, s->port, s->peer,
			   state_names[s->state]);
	}
	if (!any)
		mon_printf(out, "no guest has a port for gdb: `gdb NAME open PEER PORT`\n");
	return 0;
}

static int gdb_command(struct monitor_out *out, int argc, char **argv)
{
	struct vm *vm;
	uint64_t port;

	if (argc == 1)
		return list(out);
	vm = command_vm(out, argc, argv, 1);
	if (!vm)
		return -EINVAL;
	if (argc == 3 && strcmp(argv[2], "close") == 0)
		return close_port(out, vm);
	if (argc != 5 || strcmp(argv[2], "open") != 0) {
		mon_printf(out, "gdb NAME open PEER PORT, or gdb NAME close\n");
		return -EINVAL;
	}
	if (!command_number(out, argv[4], &port))
		return -EINVAL;
	if (port == 0 || port > UINT16_MAX) {
		mon_printf(out, "a port is a number from 1 to 65535\n");
		return -EINVAL;
	}
	if (vm->config->type == VM_TYPE_TD) {
		mon_printf(out, "guest %s is a TD, which keeps its registers and memory from its host: it cannot be "
			   "debugged\n", vm->config->name);
		return -ENOTSUP;
	}
	return open_port(out, vm, argv[3], (uint16_t)port);
}

const struct monitor_command commands_gdb[] = {
	{ "gdb", "[NAME open PEER PORT | NAME close]", "a TCP port where PEER can debug the guest", gdb_command },
	{ NULL, NULL, NULL, NULL },
};
