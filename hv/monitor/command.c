/* Command lines carried out: words, the tables, help, and a guess at what was meant. */
#include <errno.h>
#include <string.h>

#include "hv/monitor/line.h"

#define NAME_MAX_LEN 24 /* names longer than this get no suggestion */

/* Cuts text into words at blanks; their number, or -E2BIG beyond MONITOR_MAX_ARGS. */
static int split(char *text, char *argv[MONITOR_MAX_ARGS])
{
	int argc = 0;

	for (;;) {
		text += strspn(text, " \t");
		if (*text == 0)
			return argc;
		if (argc == MONITOR_MAX_ARGS)
			return -E2BIG;
		argv[argc++] = text;
		text += strcspn(text, " \t");
		if (*text != 0)
			*text++ = 0;
	}
}

static const struct monitor_command *find(const struct monitor_line *line, const char *name)
{
	for (unsigned i = 0; i < line->table_count; i++)
		for (const struct monitor_command *c = line->tables[i]; c->name; c++)
			if (strcmp(c->name, name) == 0)
				return c;
	return NULL;
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Levenshtein's distance: letters to add, drop or replace. Both names are within NAME_MAX_LEN. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[NAME_MAX_LEN + 1], n = (unsigned)strlen(b);

	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 0; a[i]; i++) {
		unsigned diagonal = row[0];
		row[0] = i + 1;
		for (unsigned j = 1; j <= n; j++) {
			unsigned above = row[j];
			row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[n];
}

/* 0 is a perfect match; a name that begins with what was typed is nearly one. */
static unsigned unlikeness(const char *typed, const char *name)
{
	if (strlen(typed) > NAME_MAX_LEN || strlen(name) > NAME_MAX_LEN)
		return NAME_MAX_LEN;
	if (strncmp(typed, name, strlen(typed)) == 0)
		return 1;
	return distance(typed, name);
}

/* The command that was probably meant, or NULL when none is near. */
static const char *suggest(const struct monitor_line *line, const char *typed)
{
	unsigned best = strlen(typed) <= 3 ? 2 : 3; /* first value that is too far */
	const char *name = NULL;

	if (unlikeness(typed, "help") < best) {
		best = unlikeness(typed, "help");
		name = "help";
	}
	for (unsigned i = 0; i < line->table_count; i++) {
		for (const struct monitor_command *c = line->tables[i]; c->name; c++) {
			if (unlikeness(typed, c->name) < best) {
				best = unlikeness(typed, c->name);
				name = c->name;
			}
		}
	}
	return name;
}

static int say_unknown(struct monitor_line *line, const char *typed)
{
	const char *near = suggest(line, typed);

	if (near)
		mon_printf(line->out, "There is no command \"%s\"; did you mean \"%s\"?\n", typed, near);
	else
		mon_printf(line->out, "There is no command \"%s\"; \"help\" lists what there is.\n", typed);
	return -ENOENT;
}

static void show_command(struct monitor_out *out, const struct monitor_command *c)
{
	int width = (int)strlen(c->name) + 1;

	mon_printf(out, "  %s %-*s  %s\n", c->name, width < 28 ? 28 - width : 0, c->args, c->help);
}

static int help(struct monitor_line *line, int argc, char **argv)
{
	static const struct monitor_command self = { "help", "[COMMAND]", "this list, or one line of it", NULL };

	if (argc > 1) {
		const struct monitor_command *c = strcmp(argv[1], "help") == 0 ? &self : find(line, argv[1]);
		if (!c)
			return say_unknown(line, argv[1]);
		show_command(line->out, c);
		return 0;
	}
	show_command(line->out, &self);
	for (unsigned i = 0; i < line->table_count; i++)
		for (const struct monitor_command *c = line->tables[i]; c->name; c++)
			show_command(line->out, c);
	return 0;
}

int monitor_line_run(struct monitor_line *line, char *text)
{
	char *argv[MONITOR_MAX_ARGS];
	int argc = split(text, argv);

	if (argc < 0) {
		mon_printf(line->out, "A command has at most %d words.\n", MONITOR_MAX_ARGS);
		return argc;
	}
	if (argc == 0)
		return 0;
	if (strcmp(argv[0], "help") == 0)
		return help(line, argc, argv);
	const struct monitor_command *c = find(line, argv[0]);
	if (!c)
		return say_unknown(line, argv[0]);
	if (argc > 1 && !*c->args) {
		mon_printf(line->out, "%s takes no word behind it, and \"%s\" is one; nothing was done.\n", argv[0], argv[1]);
		return -EINVAL;
	}
	return c->run(line->out, argc, argv);
}
