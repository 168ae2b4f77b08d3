/*
 * The log: a ring in memory that survives a panic, and sinks (serial, screen) that follow it.
 * Each line is written as "gnomon: TEXT". Any CPU, any context but NMI; takes the log's own lock.
 */
#ifndef HV_BASE_LOG_H
#define HV_BASE_LOG_H

#include "hv/base/types.h"

#define LOG_TEXT_MAX 400 /* bytes of a line, its prefix apart */

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* One line without newline; longer lines are cut at 400 bytes. */
void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/* Lines above this level stay in the ring but reach no sink. Default LOG_INFO. */
void log_set_level(enum log_level level);

/* A sink gets every finished line, with prefix and "\r\n", under the log's lock; it must not log.
 * A new one first gets the lines the ring already holds. -ENOSPC when there are four already. */
typedef void (*log_sink_fn)(enum log_level level, const char *line, size_t len);
int log_add_sink(log_sink_fn sink);

/* How far somebody who follows the log at his own pace has got; zero to begin with the oldest line. */
struct log_reader {
	uint64_t at, number;
	uint64_t lost; /* lines missed that no entry has told of yet */
};

struct log_entry {
	enum log_level level;
	uint64_t tsc;  /* host TSC when it was logged */
	uint64_t lost; /* lines between the one before and this one, overwritten before they could be read */
	size_t len;
	char text[LOG_TEXT_MAX]; /* without prefix, line end and NUL */
};

/* The next line that sinks get too; false: there is none yet. */
bool log_next(struct log_reader *r, struct log_entry *e);

/* Calls each(ctx, line, len) for the ring's lines as sinks got them, oldest first. Safe without the
 * lock after a panic. */
void log_replay(void (*each)(void *ctx, const char *line, size_t len), void *ctx);
/* The same with the last count lines alone. */
void log_replay_last(unsigned count, void (*each)(void *ctx, const char *line, size_t len), void *ctx);

#endif
