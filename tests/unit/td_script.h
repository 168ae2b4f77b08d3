/*
 * A module and a host for the TD shim's code under test: pages of its RAM have states, MapGPA is answered as
 * told, what goes to the serial line and to RTMRs is kept.
 */
#ifndef TESTS_UNIT_TD_SCRIPT_H
#define TESTS_UNIT_TD_SCRIPT_H

#include <setjmp.h>

#include "hv/guest/guest_mem.h"
#include "hv/base/types.h"

enum td_page { TD_PENDING, TD_ACCEPTED, TD_SHARED };

enum td_map_answer {
	MAP_OK,
	MAP_PARTS,   /* RETRY after each 64 KiB */
	MAP_STALL,   /* RETRY without progress */
	MAP_REFUSE,
	MAP_BACK,    /* RETRY before the start */
	MAP_BEYOND,  /* RETRY behind the end */
	MAP_UNALIGNED,
};

struct td_script {
	const struct guest_mem *mem; /* cleared where it is accepted */
	uint8_t *page;               /* enum td_page, by 4K page of the RAM below 4 GiB */
	bool *table;                 /* its 2M frame is mapped by 4K pages */
	uint64_t pages;
	enum td_map_answer map;
	unsigned map_calls;
	/* The next bad_count accepts of bad_gpa end so. */
	gpa_t bad_gpa;
	uint64_t bad_status;
	unsigned bad_count;
	uint64_t high_accepted;      /* bytes above 4 GiB */
	uint64_t info[3];            /* RCX, R8, R9 of VP.INFO */
	uint64_t info_status;
	uint8_t rtmr[8][48];         /* digests in the order of their coming */
	unsigned rtmr_index[8], rtmr_count;
	uint64_t rtmr_status;
	void (*on_rtmr)(unsigned count); /* after each extension: the host seizes its chance */
	char out[4096];
	unsigned out_len;
	char fatal[65];              /* text of ReportFatalError */
	jmp_buf fatal_jump;          /* where that goes */
};

extern struct td_script td;

/* All of ram_size bytes pending. */
void td_script_start(const struct guest_mem *mem);
void td_script_end(void);
/* What PAGE.ADD did before the TD ran. */
void td_script_measured(gpa_t gpa);

#endif
