/*
 * A font of our own: 8x16 cells, printable ASCII, drawn from strokes at start-up.
 */
#ifndef DRIVERS_FONT_H
#define DRIVERS_FONT_H

#include "hv/base/types.h"

#define FONT_WIDTH 8
#define FONT_HEIGHT 16

/* Draws all glyphs, once. */
void font_init(void);
/* 16 rows, bit 0 is the leftmost pixel. A character that has none gets a box. */
const uint8_t *font_glyph(char c);

#endif
