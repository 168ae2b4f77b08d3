/*
 * The reply that is being made, and the threads that packets name. Between the files of hv/gdb.
 */
#ifndef HV_GDB_REPLY_H
#define HV_GDB_REPLY_H

#include "hv/gdb/protocol.h"

#define GDB_ALL UINT32_MAX

/* What does not fit is left out. */
void gdb_put(struct gdb *g, const char *fmt, ...) PRINTF_LIKE(2, 3);
void gdb_put_bytes(struct gdb *g, const void *bytes, size_t n);
void gdb_put_hex(struct gdb *g, const void *bytes, size_t n);
/* An error, by errno. */
void gdb_put_error(struct gdb *g, int err);
void gdb_send_reply(struct gdb *g);

/* "p", "-1", "0" or a number as in thread-ids: an index, or GDB_ALL. False: no such thread. */
bool gdb_thread(struct gdb *g, const char **text, uint32_t *thread);
/* A text that begins like that, *rest behind it. */
bool gdb_begins(const char *text, const char *with, const char **rest);

/* ---- queries.c ---- */
/* q, Q. False: not known, the reply is empty. */
void gdb_query(struct gdb *g, const char *text);
/* ---- resume.c: c, C, s, S, vCont ---- */
void gdb_continue(struct gdb *g, const char *text);
void gdb_vcont(struct gdb *g, const char *text);
/* The reply to a stop. */
void gdb_put_stop(struct gdb *g);

#endif
