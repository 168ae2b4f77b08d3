/*
 * The page that HTTP shows: guests, exits, memory by owner, counters of guests' memory management; tables with small
 * plots, without scripts. It is made in pieces, row by row. Monitor's context; no locks.
 */
#ifndef HV_NET_PAGE_H
#define HV_NET_PAGE_H

#include "hv/net/text.h"

#define PAGE_ROW_MAX 3072 /* bytes of the longest row, and the room page_piece wants at least */

/* How far an answer has got; zero to begin with, but for `still`. */
struct page_at {
	uint32_t part, vm, row;
	bool still; /* the page does not load itself again */
};

/* Writes rows while t has room for PAGE_ROW_MAX. True: that was the last one. */
bool page_piece(struct text *t, struct page_at *at);

#endif
