/*
 * A text console on 32-bit pixels. Owns the text on screen: what is shown in each cell is known, so
 * that scrolling draws only the cells that change.
 */
#include "drivers/fbcon.h"

#include <errno.h>
#include <string.h>

#include "drivers/font.h"

#define MAX_COLUMNS 240
#define MAX_ROWS 90
#define BIG_SCREEN 2400   /* pixels of width from which each pixel is drawn as two by two */
#define TAB 8
#define INDENT 8          /* of what goes on in the next row, as deep as a log line's prefix */
#define CARRIED_MAX 20    /* characters of a word that goes to the next row as a whole */
#define INDENT_FROM 40    /* columns that a row must have for it */

struct cell {
	char c;
	uint8_t colour;
};

/* Red, green, blue; by enum log_level, and last the panic's. */
static const uint8_t palette[][3] = {
	[LOG_ERROR] = { 0xff, 0x60, 0x50 },
	[LOG_WARN] = { 0xff, 0xd0, 0x50 },
	[LOG_INFO] = { 0xd0, 0xd0, 0xd0 },
	[LOG_DEBUG] = { 0x80, 0x90, 0xa0 },
	{ 0xff, 0xff, 0xff },
};
#define COLOUR_PANIC (LOG_DEBUG + 1)

static volatile uint32_t *pixels; /* NULL: no screen */
static uint32_t stride, scale, columns, rows, column, row;
static uint32_t colours[ARRAY_LEN(palette)];
static struct cell shown[MAX_ROWS][MAX_COLUMNS], text[MAX_ROWS][MAX_COLUMNS];

static int check_geometry(const struct boot_framebuffer *fb, struct failure *f)
{
	uint64_t needed = ((uint64_t)fb->height * fb->stride) * 4;

	if (fb->format != BOOT_PIXEL_RGBX && fb->format != BOOT_PIXEL_BGRX)
		return fail(f, -EINVAL, "the framebuffer's pixel format is unknown: no log on screen");
	if (!fb->width || !fb->height || fb->stride < fb->width || fb->size < needed)
		return fail(f, -EINVAL, "the framebuffer's geometry is wrong: %u x %u, stride %u, %lu bytes: "
					"no log on screen", fb->width, fb->height, fb->stride, fb->size);
	return 0;
}

static void draw_cell(uint32_t y, uint32_t x, struct cell c)
{
	const uint8_t *glyph = font_glyph(c.c);
	volatile uint32_t *line = pixels + (uint64_t)y * FONT_HEIGHT * scale * stride + x * FONT_WIDTH * scale;

	for (unsigned py = 0; py < FONT_HEIGHT * scale; py++, line += stride)
		for (unsigned px = 0; px < FONT_WIDTH * scale; px++)
			line[px] = glyph[py / scale] >> (px / scale) & 1 ? colours[c.colour] : 0;
	shown[y][x] = c;
}

static void refresh(uint32_t y)
{
	for (uint32_t x = 0; x < columns; x++)
		if (shown[y][x].c != text[y][x].c || (text[y][x].c != ' ' && shown[y][x].colour != text[y][x].colour))
			draw_cell(y, x, text[y][x]);
}

static void clear_row(uint32_t y)
{
	for (uint32_t x = 0; x < columns; x++)
		text[y][x] = (struct cell){ ' ', LOG_INFO };
}

/* A quarter of the screen at a time: drawing is what costs. */
static void scroll(void)
{
	uint32_t by = rows / 4 ? rows / 4 : 1;

	memmove(text[0], text[by], (rows - by) * sizeof text[0]);
	for (uint32_t y = rows - by; y < rows; y++)
		clear_row(y);
	for (uint32_t y = 0; y < rows; y++)
		refresh(y);
	row = rows - by;
}

static void new_line(void)
{
	column = 0;
	if (++row == rows)
		scroll();
}

static void put_cell(struct cell cell)
{
	text[row][column] = cell;
	draw_cell(row, column, cell);
	column++;
}

/* Where the word begins that reaches to the end of a full row; the row's end when it is a long one. */
static uint32_t last_word(void)
{
	uint32_t x = columns;

	while (x > columns - CARRIED_MAX && text[row][x - 1].c != ' ')
		x--;
	return x > columns - CARRIED_MAX ? x : columns;
}

/* Goes on in the next row, where there is room for it with the word that does not fit any more. */
static void wrap(void)
{
	struct cell word[CARRIED_MAX];
	uint32_t from, len;

	if (columns < INDENT_FROM) {
		new_line();
		return;
	}
	from = last_word();
	len = columns - from;
	memcpy(word, &text[row][from], len * sizeof word[0]);
	for (uint32_t x = from; x < columns; x++)
		text[row][x] = (struct cell){ ' ', LOG_INFO };
	refresh(row);
	new_line();
	column = INDENT;
	for (uint32_t i = 0; i < len; i++)
		put_cell(word[i]);
}

static void put(char c, uint8_t colour)
{
	if (c == '\n') {
		new_line();
		return;
	}
	if (c == '\r') {
		column = 0;
		return;
	}
	if (column == columns)
		wrap();
	if (c == '\t') {
		column = (uint32_t)min_u64(columns, align_up(column + 1, TAB));
		return;
	}
	put_cell((struct cell){ c, colour });
}

int fbcon_init(const struct boot_framebuffer *fb, void *mapped, struct failure *f)
{
	int err = check_geometry(fb, f);

	pixels = NULL;
	if (err)
		return err;
	scale = fb->width >= BIG_SCREEN ? 2 : 1;
	columns = (uint32_t)min_u64(MAX_COLUMNS, fb->width / (FONT_WIDTH * scale));
	rows = (uint32_t)min_u64(MAX_ROWS, fb->height / (FONT_HEIGHT * scale));
	if (!columns || !rows)
		return fail(f, -EINVAL, "the framebuffer is too small for text: %u x %u", fb->width, fb->height);
	font_init();
	for (unsigned i = 0; i < ARRAY_LEN(palette); i++) {
		uint32_t r = palette[i][0], g = palette[i][1], b = palette[i][2];

		colours[i] = fb->format == BOOT_PIXEL_RGBX ? r | g << 8 | b << 16 : b | g << 8 | r << 16;
	}
	stride = fb->stride;
	column = row = 0;
	pixels = mapped;
	for (uint32_t y = 0; y < fb->height; y++)
		for (uint32_t x = 0; x < fb->width; x++)
			pixels[(uint64_t)y * stride + x] = 0;
	for (uint32_t y = 0; y < rows; y++) {
		clear_row(y);
		memcpy(shown[y], text[y], sizeof text[y]);
	}
	return 0;
}

void fbcon_set_pixels(void *mapped) { pixels = mapped; }

void fbcon_log_sink(enum log_level level, const char *line, size_t len)
{
	for (size_t i = 0; pixels && i < len; i++)
		put(line[i], (uint8_t)level);
}

void fbcon_panic_write(const char *message, size_t len)
{
	for (size_t i = 0; pixels && i < len; i++)
		put(message[i], COLOUR_PANIC);
}
