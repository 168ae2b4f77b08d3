/*
 * The dirty log of a fake guest under shadow paging, against a bit per page of its RAM: all slots are logged
 * or none is, for a frame may be seen in several.
 */
#ifndef TESTS_UNIT_SHADOW_LOG_H
#define TESTS_UNIT_SHADOW_LOG_H

#include "mmu/mmu.h"

/* With guests_start(): nothing is logged. */
void log_reset(void);
/* The guest, or the hypervisor for it, has written there. */
void log_written(hpa_t at);
/* A slot is there; one is about to go. */
void log_slot_added(gfn_t gfn);
void log_slot_goes(gfn_t gfn);

/* Starts the log, or stops it; whether it is started. */
void log_switch(void);
bool log_is_on(void);
/* Fetches all of it: no page that was written to since the last time is missing. */
void log_fetch(void);

#endif
