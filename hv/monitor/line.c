/* The line editor: echo, editing keys, history. */
#include "hv/monitor/line.h"

#include <stdarg.h>
#include <string.h>

#include "hv/base/format.h"
#include "hv/base/panic.h"

#define PROMPT "> "

#define KEY_CTRL(c) ((c) - '@')
#define KEY_BELL "\a"
#define KEY_DELETE 0x7f
#define KEY_ESC 0x1b

static void put(struct monitor_out *out, const char *text) { out->write(out->ctx, text, strlen(text)); }

/* What shows the operator his own keys. */
static void echo(struct monitor_line *line, const char *text)
{
	if (!line->quiet)
		put(line->out, text);
}

void mon_printf(struct monitor_out *out, const char *fmt, ...)
{
	char text[400];
	va_list args;

	va_start(args, fmt);
	int len = vformat(text, sizeof(text), fmt, args);
	va_end(args);
	if (len > 0)
		out->write(out->ctx, text, min_u64((uint64_t)len, sizeof(text) - 1));
}

void monitor_line_init(struct monitor_line *line, struct monitor_out *out)
{
	memset(line, 0, sizeof(*line));
	line->out = out;
}

void monitor_line_add(struct monitor_line *line, const struct monitor_command *table)
{
	INVARIANT(line->table_count < MONITOR_MAX_TABLES);
	line->tables[line->table_count++] = table;
}

void monitor_line_show(struct monitor_line *line)
{
	put(line->out, line->quiet ? PROMPT : "\r" PROMPT);
	put(line->out, line->text);
}

static void erase_last(struct monitor_line *line)
{
	if (line->len == 0)
		return;
	line->text[--line->len] = 0;
	echo(line, "\b \b");
}

static void erase_all(struct monitor_line *line)
{
	while (line->len > 0)
		erase_last(line);
}

static void append(struct monitor_line *line, char c)
{
	if (line->len == MONITOR_LINE_MAX) {
		echo(line, KEY_BELL);
		return;
	}
	line->text[line->len++] = c;
	line->text[line->len] = 0;
	echo(line, (char[]){ c, 0 });
}

static void start_over(struct monitor_line *line)
{
	line->len = 0;
	line->text[0] = 0;
	line->browsing = 0;
	monitor_line_show(line);
}

/* Repeating a line does not fill the history with it. */
static void remember(struct monitor_line *line)
{
	const char *last = line->history[(line->entered + MONITOR_HISTORY - 1) % MONITOR_HISTORY];

	if (line->len == 0 || (line->entered > 0 && strcmp(last, line->text) == 0))
		return;
	memcpy(line->history[line->entered++ % MONITOR_HISTORY], line->text, line->len + 1);
}

/* Shows the line entered `back` lines ago; 0 is an empty one. */
static void browse(struct monitor_line *line, unsigned back)
{
	if (back > line->entered || back > MONITOR_HISTORY) {
		echo(line, KEY_BELL);
		return;
	}
	erase_all(line);
	line->browsing = back;
	if (back == 0)
		return;
	memcpy(line->text, line->history[(line->entered - back) % MONITOR_HISTORY], sizeof(line->text));
	line->len = (unsigned)strlen(line->text);
	echo(line, line->text);
}

static void browse_older(struct monitor_line *line) { browse(line, line->browsing + 1); }

static void browse_newer(struct monitor_line *line)
{
	if (line->browsing > 0)
		browse(line, line->browsing - 1);
}

static void enter(struct monitor_line *line)
{
	echo(line, "\n");
	remember(line);
	monitor_line_run(line, line->text);
	start_over(line);
}

static void abandon(struct monitor_line *line)
{
	echo(line, "^C\n");
	start_over(line);
}

/* Cursor keys are ESC [ letter; what has digits in between is swallowed up to its letter. */
static void escape_byte(struct monitor_line *line, uint8_t byte)
{
	if (line->state == KEY_ESCAPE) {
		line->state = byte == '[' || byte == 'O' ? KEY_BRACKET : KEY_PLAIN;
		return;
	}
	if (byte < '@')
		return;
	line->state = KEY_PLAIN;
	if (byte == 'A')
		browse_older(line);
	if (byte == 'B')
		browse_newer(line);
}

static void plain_byte(struct monitor_line *line, uint8_t byte)
{
	switch (byte) {
	case '\r':
	case '\n': enter(line); break;
	case '\b':
	case KEY_DELETE: erase_last(line); break;
	case KEY_CTRL('U'): erase_all(line); break;
	case KEY_CTRL('C'): abandon(line); break;
	case KEY_CTRL('P'): browse_older(line); break;
	case KEY_CTRL('N'): browse_newer(line); break;
	case KEY_ESC: line->state = KEY_ESCAPE; break;
	case '\t': append(line, ' '); break;
	default:
		if (byte >= ' ' && byte < KEY_DELETE)
			append(line, (char)byte);
		break;
	}
}

void monitor_line_byte(struct monitor_line *line, uint8_t byte)
{
	bool second_half = byte == '\n' && line->after_return;

	line->after_return = byte == '\r';
	if (second_half)
		return;
	/* A control byte ends an escape sequence that line noise or a lost byte left unfinished. */
	if (line->state != KEY_PLAIN && byte >= ' ') {
		escape_byte(line, byte);
		return;
	}
	line->state = KEY_PLAIN;
	plain_byte(line, byte);
}
