/*
 * The operator's command line: bytes in, lines out, words looked up in tables of commands.
 * Pure: it knows neither the console nor the hypervisor. One user at a time, no locks.
 */
#ifndef HV_MONITOR_LINE_H
#define HV_MONITOR_LINE_H

#include "hv/base/types.h"

/* Where text goes; write gets any bytes, with lines ended by "\n" alone. */
struct monitor_out {
	void (*write)(void *ctx, const char *text, size_t len);
	void *ctx;
	bool trusted; /* its reader may open ports: the serial line, or a session that has shown the key */
};

/* Longer texts are cut at 400 bytes. */
void mon_printf(struct monitor_out *out, const char *fmt, ...) PRINTF_LIKE(2, 3);

struct monitor_command {
	const char *name;
	const char *args; /* as shown behind the name, "" without */
	const char *help; /* one line */
	/* argv[0] is the name. 0, or a negative errno after a sentence to out. */
	int (*run)(struct monitor_out *out, int argc, char **argv);
};

#define MONITOR_LINE_MAX 200 /* characters of a line */
#define MONITOR_HISTORY 8    /* lines */
#define MONITOR_MAX_ARGS 16
#define MONITOR_MAX_TABLES 16

enum monitor_key_state { KEY_PLAIN, KEY_ESCAPE, KEY_BRACKET };

struct monitor_line {
	struct monitor_out *out;
	const struct monitor_command *tables[MONITOR_MAX_TABLES];
	unsigned table_count;
	char text[MONITOR_LINE_MAX + 1]; /* the line so far, NUL-terminated */
	unsigned len;
	char history[MONITOR_HISTORY][MONITOR_LINE_MAX + 1]; /* a ring, [entered % MONITOR_HISTORY] next */
	unsigned entered;  /* lines ever put there */
	unsigned browsing; /* 1: the latest line is shown, 0: none */
	enum monitor_key_state state;
	bool after_return; /* the last byte was CR: an LF right behind it belongs to it */
	bool quiet;        /* the operator's own terminal shows and edits what is typed: no echo */
};

/* Starts empty, knowing only `help`; prints nothing. out must live as long as line. */
void monitor_line_init(struct monitor_line *line, struct monitor_out *out);

/* A table ended by an entry without name; it must stay. More than MONITOR_MAX_TABLES is a panic. */
void monitor_line_add(struct monitor_line *line, const struct monitor_command *table);

/* Prompt and the line so far: for when the operator turns to the console, or output broke the line. */
void monitor_line_show(struct monitor_line *line);

/*
 * One byte from the operator: echoes, edits (backspace, ^U, ^C, up and down or ^P and ^N for history)
 * and on CR or LF carries the line out.
 */
void monitor_line_byte(struct monitor_line *line, uint8_t byte);

/* Carries out a line of words, which is changed. The command's result; 0 for an empty line,
 * -E2BIG for too many words, -ENOENT for no such command: each after a sentence. */
int monitor_line_run(struct monitor_line *line, char *text);

#endif
