/*
 * The log: a ring in memory that survives a panic, and sinks (serial, screen) that follow it.
 * Each line is written as "gnomon: TEXT". Any CPU, any context but NMI; takes the log's own lock.
 */
#ifndef HV_BASE_LOG_H
#define HV_BASE_LOG_H

#include "hv/base/types.h"

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

/* Calls each(ctx, line, len) for the ring's lines as sinks got them, oldest first. Safe without the
 * lock after a panic. */
void log_replay(void (*each)(void *ctx, const char *line, size_t len), void *ctx);
/* The same with the last count lines alone. */
void log_replay_last(unsigned count, void (*each)(void *ctx, const char *line, size_t len), void *ctx);

#endif
