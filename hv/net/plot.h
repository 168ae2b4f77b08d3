/*
 * Small plots as SVG inside a page, drawn with whole numbers. They take their colours from the page's style: classes
 * line, area, bar, p0 to p5. Pure, no locks.
 */
#ifndef HV_NET_PLOT_H
#define HV_NET_PLOT_H

#include "hv/net/text.h"

#define PLOT_POINTS 64  /* of a line, at most */
#define PLOT_PARTS 6    /* of a stack, at most */
#define PLOT_BYTES 2200 /* the longest plot */

struct plot_point {
	uint64_t at, value;
};

/* A line over time, with the area below it; nothing below two points. The points are in order of `at`. */
void plot_line(struct text *t, const struct plot_point *points, uint32_t count, uint32_t width, uint32_t height);
/* A bar as long as value's share of whole. */
void plot_bar(struct text *t, uint64_t value, uint64_t whole, uint32_t width);
/* One bar made of parts, each as long as its share of all; parts of 0 are left out. */
void plot_stack(struct text *t, const uint64_t *parts, uint32_t count, uint32_t width);

#endif
