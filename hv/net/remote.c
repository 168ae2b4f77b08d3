/*
 * Sessions of the monitor over TCP: greeted with a challenge, given one try at it, then a command line. What a command
 * says is kept for its client, who takes it when he likes: the monitor waits for nobody. The next command is read when
 * all that the last one said is on its way.
 */
#include "hv/net/remote.h"

#include <string.h>

#include "hv/base/clock.h"
#include "hv/base/log.h"
#include "hv/base/x86.h"
#include "hv/monitor/monitor.h"
#include "hv/net/counts.h"
#include "hv/net/memory.h"
#include "hv/net/outbox.h"
#include "hv/net/remote_auth.h"
#include "hv/net/stream.h"
#include "hv/sched.h"

#define KEY_CTRL_D 4

struct session {
	struct stream *stream; /* NULL: free */
	bool shown;            /* the key; from then on bytes go to the command line */
	bool ended;            /* nothing is read any more; what is kept is still sent */
	uint64_t deadline;     /* host TSC: the challenge must be answered, what is kept moved on by then */
	struct remote_challenge challenge;
	size_t len;
	char answer[REMOTE_ANSWER_MAX];
	struct monitor_out out;
	struct monitor_line line;
	struct outbox outbox;
	char kept[REMOTE_OUTPUT];
};

static const char *key; /* net_key */
static struct session *sessions; /* REMOTE_SESSIONS */
static struct session *current;  /* whose command is being carried out */
static struct remote_brake brake;

/* ---- output ---- */

/* It has got on, and has so long for the next step. */
static void progress(struct session *s, uint32_t seconds) { s->deadline = rdtsc() + seconds * 1000 * tsc_khz; }

static void end_session(struct session *s)
{
	if (outbox_empty(&s->outbox))
		stream_close(s->stream);
	s->ended = true;
}

/* What it has not taken is lost. */
static void drop_session(struct session *s, const char *why)
{
	log_warn("monitor: the session with %s is cut off: %s", stream_peer(s->stream), why);
	net_counts.remote_dropped++;
	outbox_init(&s->outbox, s->kept, sizeof s->kept);
	end_session(s);
}

static void write_session(void *ctx, const char *text, size_t len)
{
	struct session *s = ctx;
	bool waited = !outbox_empty(&s->outbox);

	if (s->ended)
		return;
	if (!outbox_say(&s->outbox, s->stream, text, len))
		drop_session(s, "one command said more than is kept for a client");
	else if (!waited)
		progress(s, REMOTE_STALL_SECONDS);
}

static int exit_command(struct monitor_out *out, int argc, char **argv)
{
	(void)out;
	(void)argc;
	(void)argv;
	if (current)
		end_session(current);
	return 0;
}

static const struct monitor_command own_commands[] = {
	{ "exit", "", "end this session", exit_command },
	{ NULL, NULL, NULL, NULL },
};

/* ---- the challenge ---- */

static void begin(struct session *s, bool echo)
{
	s->shown = s->out.trusted = true;
	monitor_line_init(&s->line, &s->out);
	s->line.quiet = !echo;
	monitor_add_commands(&s->line);
	monitor_line_add(&s->line, own_commands);
	net_counts.remote_sessions++;
	log_info("monitor: session with %s", stream_peer(s->stream));
	mon_printf(&s->out, "welcome; `help` lists commands, `exit` ends the session\n");
	monitor_line_show(&s->line);
}

static void put_off(struct session *s, uint32_t seconds)
{
	net_counts.remote_put_off++;
	mon_printf(&s->out, "after a wrong answer the next one is taken in %u seconds\n", seconds);
	end_session(s);
}

static void judge(struct session *s)
{
	uint64_t now = rdtsc();
	enum remote_answer a;

	if (remote_brake_left(&brake, now)) {
		put_off(s, remote_brake_left(&brake, now));
		return;
	}
	a = remote_answer_judge(&s->challenge, key, s->answer, s->len);
	remote_brake_judged(&brake, a != REMOTE_WRONG, now);
	if (a != REMOTE_WRONG) {
		begin(s, a == REMOTE_RIGHT_ECHO);
		return;
	}
	net_counts.remote_wrong++;
	log_warn("monitor: wrong answer from %s; the next one is taken in %u s", stream_peer(s->stream),
		 remote_brake_left(&brake, now));
	mon_printf(&s->out, "wrong answer\n");
	end_session(s);
}

/* Collects the line; one that is too long is judged as it is, which makes it wrong. */
static void answer_byte(struct session *s, uint8_t byte)
{
	if (byte == '\r')
		return;
	if (byte != '\n')
		s->answer[s->len++] = (char)byte;
	if (byte == '\n' || s->len == REMOTE_ANSWER_MAX)
		judge(s);
}

/* ---- the service ---- */

static void take_byte(struct session *s, uint8_t byte)
{
	if (!s->shown)
		answer_byte(s, byte);
	else if (byte == KEY_CTRL_D && s->line.len == 0)
		end_session(s);
	else
		monitor_line_byte(&s->line, byte);
}

static void read_on(struct session *s)
{
	uint8_t byte;

	current = s;
	while (!s->ended && outbox_empty(&s->outbox) && stream_read(s->stream, &byte, 1) == 1)
		take_byte(s, byte);
	current = NULL;
}

static void received(struct stream *stream) { read_on(stream_state(stream)); }

static void writable(struct stream *stream)
{
	struct session *s = stream_state(stream);

	if (outbox_move(&s->outbox, stream))
		progress(s, REMOTE_STALL_SECONDS);
	if (s->ended && outbox_empty(&s->outbox))
		stream_close(stream);
	read_on(s);
}

static struct session *free_session(void)
{
	for (uint32_t i = 0; i < REMOTE_SESSIONS; i++)
		if (!sessions[i].stream)
			return &sessions[i];
	return NULL;
}

static bool opened(struct stream *stream)
{
	struct session *s = free_session();
	uint64_t now = rdtsc();

	if (!s)
		return false;
	memset(s, 0, offsetof(struct session, kept));
	outbox_init(&s->outbox, s->kept, sizeof s->kept);
	s->stream = stream;
	s->out = (struct monitor_out){ .write = write_session, .ctx = s };
	stream_set_state(stream, s);
	if (remote_brake_left(&brake, now)) {
		put_off(s, remote_brake_left(&brake, now));
		return true;
	}
	remote_challenge_make(&s->challenge, key);
	mon_printf(&s->out, "Gnomon's monitor. Answer with the HMAC-SHA-256 of \"" REMOTE_PREFIX "NONCE\" under net_key, "
			    "in hexadecimal.\nnonce %s\n", s->challenge.nonce);
	progress(s, REMOTE_ANSWER_SECONDS);
	return true;
}

static void closed(struct stream *stream)
{
	struct session *s = stream_state(stream);

	if (s->shown)
		log_info("monitor: session with %s is over", stream_peer(stream));
	s->stream = NULL;
}

static const struct stream_service service = {
	.name = "monitor",
	.max_connections = REMOTE_SESSIONS,
	.idle_seconds = REMOTE_IDLE_SECONDS,
	.opened = opened,
	.received = received,
	.writable = writable,
	.closed = closed,
};

static bool take_memory(void)
{
	sessions = net_memory_take(REMOTE_SESSIONS * sizeof(*sessions));
	return sessions != NULL;
}

static void start(const struct config *c)
{
	struct failure f = { 0 };

	if (!c->monitor_port.number)
		return;
	key = c->net_key;
	brake = (struct remote_brake){ 0 };
	if (!take_memory())
		log_error("monitor: no memory for sessions over TCP");
	else if (!stream_listen(&service, (uint16_t)c->monitor_port.number, NULL, NULL, &f))
		log_error("monitor: %s", f.text);
	else
		log_info("monitor: on port %u for who has net_key", c->monitor_port.number);
}

/* Something is awaited of its client. */
static bool waits(const struct session *s)
{
	return s->stream && (!outbox_empty(&s->outbox) || (!s->shown && !s->ended));
}

static void run_out(struct session *s)
{
	if (!outbox_empty(&s->outbox)) {
		drop_session(s, "its client takes nothing");
		return;
	}
	net_counts.remote_late++;
	end_session(s);
}

/* Ends connections that have not answered, or not taken what was said, in time. */
static uint64_t poll(uint64_t now)
{
	uint64_t next = NEVER;

	for (uint32_t i = 0; sessions && i < REMOTE_SESSIONS; i++) {
		if (waits(&sessions[i]) && sessions[i].deadline <= now)
			run_out(&sessions[i]);
		if (waits(&sessions[i]))
			next = min_u64(next, sessions[i].deadline);
	}
	return next;
}

const struct net_service remote_service = { .name = "monitor", .start = start, .poll = poll };
