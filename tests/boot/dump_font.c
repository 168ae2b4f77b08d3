/* Writes the screen's font, printable ASCII in order, 16 bytes a glyph: what tests/boot/screen.py reads by. */
#include <stdio.h>

#include "drivers/font.h"

int main(void)
{
	font_init();
	for (int c = ' '; c <= '~'; c++)
		fwrite(font_glyph((char)c), 1, FONT_HEIGHT, stdout);
	return 0;
}
