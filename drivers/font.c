/*
 * Glyphs as strokes. A stroke is a sequence of points, each two hexadecimal digits: x from 0 (left)
 * to 6, y from 0 (top) to f; points are joined by straight lines, a single point is a dot, blanks
 * part strokes. Capitals stand from y 2 to the base line at b, small letters begin at 5, tails end at e.
 */
#include "drivers/font.h"

#include <stdlib.h>

#define FIRST ' '
#define LAST '~'
#define GLYPHS (LAST - FIRST + 2) /* the last is a crossed box, for what has none */

static const char *const strokes[GLYPHS] = {
	"", "3238 3b3b", "2225 4245", "222b 424b 0565 0868", "64531304051656686a5b1b0a 313c",
	"0313140403 0b62 59696a5a59", "6b141322324334 34080a1b3b68", "3235", "423324293a4b", "223344493a2b",
	"3439 0467 0764", "3539 0767", "3a3b2d", "1757", "3a3b", "620b", "1252636a5b1b0a0312 0962",
	"14323b 1b5b", "03125263640a0b6b", "03125263655626 56676a5b1b0a", "5b520868", "62020656676a5b1b0a",
	"5222040a1b5b6a67561607", "0262642b", "125263655616050312 16070a1b5b6a6756",
	"1b4b6963521203061757 5766", "3536 3a3b", "3536 3a3b2d", "53175b", "0565 0969", "13571b",
	"03125263653738 3b3b", "6a5b1b0a0312526368573827365666", "0b0532656b 0868",
	"0b024253554606 4667 676a5b0b", "635212030a1b5b6a", "024264694b0b02", "62020b6b 0656", "62020b 0656",
	"635212030a1b5b6a6737", "020b 626b 0666", "1252 323b 1b5b", "2262 525a4b1b0a", "020b 62076b",
	"020b6b", "0b0236626b", "0b026b62", "1252636a5b1b0a0312", "0b025263665707", "1252636a5b1b0a0312 386d",
	"0b025263665707 376b", "63521203051656686a5b1b0a", "0262 323b", "020a1b5b6a62", "023b62",
	"021b365b62", "026b 620b", "023662 363b", "02620b6b", "42222d4d", "026b", "22424d2d", "043264",
	"0d6d", "2244", "1555666b 6818090a1b4b6a", "020b 072555666a5b2b09", "665515060a1b5b6a",
	"626b 674515060a1b4b69", "0868665515060a1b5b6a", "635242333b 1656", "674515060a1b4b69 656d5e1e0d",
	"020b 072555666b", "3232 25353b 1b5b", "4242 25454d3e1e0d", "020b 6508 286b", "22323b 1b5b",
	"0b05 06152536 363b 364555666b", "0b05 072555666b", "1555666a5b1b0a0615", "050e 072555666a5b2b09",
	"656e 674515060a1b4b69", "050b 08355566", "66551506071858696a5b1b0a", "333a4b5b6a 1555",
	"050a1b4b69 656b", "053b65", "050a1b2b3a 373a4b5b6a65", "056b 650b", "050a1b4b69 656d5e1e0d",
	"05650b6b", "5242333617383c4d5d", "313d", "1222333657383c2d1d", "071626475766", "02620b 626b0b",
};

static uint8_t glyphs[GLYPHS][FONT_HEIGHT];

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

/* Bresenham's line. */
static void draw_line(uint8_t *glyph, int x, int y, int to_x, int to_y)
{
	int dx = abs(to_x - x), dy = -abs(to_y - y);
	int step_x = x < to_x ? 1 : -1, step_y = y < to_y ? 1 : -1;
	int error = dx + dy;

	for (;;) {
		int twice = 2 * error;

		glyph[y] |= (uint8_t)(1 << x);
		if (x == to_x && y == to_y)
			return;
		if (twice >= dy) {
			error += dy;
			x += step_x;
		}
		if (twice <= dx) {
			error += dx;
			y += step_y;
		}
	}
}

static void draw_glyph(uint8_t *glyph, const char *s)
{
	int x = -1, y = 0;

	for (; *s; s++) {
		int to_x, to_y;

		if (*s == ' ') {
			x = -1;
			continue;
		}
		to_x = digit(*s);
		to_y = digit(*++s);
		if (x < 0) {
			x = to_x;
			y = to_y;
		}
		draw_line(glyph, x, y, to_x, to_y);
		x = to_x;
		y = to_y;
	}
}

void font_init(void)
{
	for (unsigned i = 0; i < GLYPHS; i++)
		draw_glyph(glyphs[i], strokes[i]);
}

const uint8_t *font_glyph(char c) { return glyphs[c >= FIRST && c <= LAST ? c - FIRST : GLYPHS - 1]; }
