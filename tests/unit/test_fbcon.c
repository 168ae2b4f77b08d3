/* sources: drivers/fbcon.c drivers/font.c hv/base/failure.c hv/base/format.c */
/* The screen console on a buffer of the test's own: shape, colours, scrolling, nothing outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#undef fail
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/fbcon.h"
#include "drivers/font.h"

#define WIDTH 80u  /* ten columns */
#define HEIGHT 70u /* four rows and a bit */
#define STRIDE 90u
#define MARK 0x12345678u

static uint32_t *screen;
static struct failure why;

static struct boot_framebuffer geometry(void)
{
	return (struct boot_framebuffer){ .base = 1, .size = STRIDE * HEIGHT * 4, .width = WIDTH,
					  .height = HEIGHT, .stride = STRIDE, .format = BOOT_PIXEL_BGRX };
}

static int set_up(void **state)
{
	struct boot_framebuffer fb = geometry();

	(void)state;
	screen = malloc(fb.size);
	for (unsigned i = 0; i < STRIDE * HEIGHT; i++)
		screen[i] = MARK;
	return fbcon_init(&fb, screen, &why);
}

static int tear_down(void **state)
{
	struct boot_framebuffer none = { 0 };

	(void)state;
	fbcon_init(&none, NULL, &why);
	free(screen);
	return 0;
}

static void say(enum log_level level, const char *text) { fbcon_log_sink(level, text, strlen(text)); }

static bool glyph_is(uint32_t stride, unsigned row, unsigned column, char c)
{
	const uint8_t *glyph = font_glyph(c);

	for (unsigned y = 0; y < FONT_HEIGHT; y++)
		for (unsigned x = 0; x < FONT_WIDTH; x++)
			if ((screen[(row * FONT_HEIGHT + y) * stride + column * FONT_WIDTH + x] != 0) !=
			    ((glyph[y] >> x & 1) != 0))
				return false;
	return true;
}

static bool cell_is(unsigned row, unsigned column, char c) { return glyph_is(STRIDE, row, column, c); }
static bool wide_cell_is(unsigned row, unsigned column, char c) { return glyph_is(320, row, column, c); }

static bool row_is(unsigned row, const char *text)
{
	for (unsigned i = 0; i < 10; i++)
		if (!cell_is(row, i, i < strlen(text) ? text[i] : ' '))
			return false;
	return true;
}

static void text_is_drawn_inside(void **state)
{
	(void)state;
	say(LOG_INFO, "Hello\r\nworld");
	assert_true(row_is(0, "Hello"));
	assert_true(row_is(1, "world"));
	for (unsigned y = 0; y < HEIGHT; y++)
		for (unsigned x = WIDTH; x < STRIDE; x++)
			assert_int_equal(screen[y * STRIDE + x], MARK);
}

static void long_lines_wrap(void **state)
{
	(void)state;
	say(LOG_INFO, "0123456789abc\tX");
	assert_true(row_is(0, "0123456789"));
	assert_true(row_is(1, "abc     X"));
}

static void a_wide_screen_indents_what_goes_on(void **state)
{
	struct boot_framebuffer fb = { .base = 1, .width = 320, .height = 48, .stride = 320, .format = BOOT_PIXEL_RGBX };

	(void)state;
	fb.size = fb.stride * fb.height * 4;
	free(screen);
	screen = malloc(fb.size);
	assert_int_equal(fbcon_init(&fb, screen, &why), 0);
	say(LOG_INFO, "0123456789012345678901234567890123456789on\r\nnext");
	for (unsigned i = 0; i < 2; i++)
		assert_true(wide_cell_is(1, 8 + i, "on"[i]) && wide_cell_is(1, i, ' ') && wide_cell_is(2, i, "next"[i]));
	/* Not in the middle of a word, unless it is a long one, as above. */
	fbcon_init(&fb, screen, &why);
	say(LOG_INFO, "a line whose last word does not fit together\r\nnext");
	for (unsigned i = 0; i < 4; i++)
		assert_true(wide_cell_is(0, 32 + i, "fit "[i]) && wide_cell_is(2, i, "next"[i]));
	for (unsigned i = 0; i < 8; i++)
		assert_true(wide_cell_is(1, 8 + i, "together"[i]));
}

static void the_screen_scrolls(void **state)
{
	char line[16];

	(void)state;
	for (unsigned i = 0; i < 25; i++) {
		snprintf(line, sizeof line, "line %u\r\n", i);
		say(i % 4, line);
	}
	assert_true(row_is(0, "line 22"));
	assert_true(row_is(2, "line 24"));
	assert_true(row_is(3, ""));
}

static void levels_have_colours(void **state)
{
	uint32_t seen = 0;

	(void)state;
	say(LOG_ERROR, "|");
	for (unsigned y = 0; y < FONT_HEIGHT; y++)
		for (unsigned x = 0; x < FONT_WIDTH; x++)
			seen |= screen[y * STRIDE + x];
	assert_int_equal(seen, 0xff6050); /* red is the third byte of BGRX */
}

static void wrong_geometry_is_refused(void **state)
{
	struct boot_framebuffer fb = geometry();

	(void)state;
	fb.stride = WIDTH - 1;
	assert_int_equal(fbcon_init(&fb, screen, &why), -EINVAL);
	fb = geometry();
	fb.size--;
	assert_int_equal(fbcon_init(&fb, screen, &why), -EINVAL);
	fb = geometry();
	fb.format = BOOT_PIXEL_NONE;
	assert_int_equal(fbcon_init(&fb, screen, &why), -EINVAL);
	fb = geometry();
	fb.height = 15;
	assert_int_equal(fbcon_init(&fb, screen, &why), -EINVAL);
	fb = geometry();
	fb.height = fb.stride = fb.width = UINT32_MAX;
	assert_int_equal(fbcon_init(&fb, screen, &why), -EINVAL);
	say(LOG_INFO, "nothing happens"); /* no screen any more */
}

static void glyphs_differ(void **state)
{
	(void)state;
	for (int a = '!'; a <= '~'; a++) {
		assert_int_equal(font_glyph((char)a)[FONT_HEIGHT - 1], 0);
		for (int b = ' '; b < a; b++)
			assert_memory_not_equal(font_glyph((char)a), font_glyph((char)b), FONT_HEIGHT);
	}
	assert_ptr_equal(font_glyph('\n'), font_glyph((char)0xe4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(text_is_drawn_inside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(long_lines_wrap, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_wide_screen_indents_what_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_screen_scrolls, set_up, tear_down),
		cmocka_unit_test_setup_teardown(levels_have_colours, set_up, tear_down),
		cmocka_unit_test_setup_teardown(wrong_geometry_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(glyphs_differ, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
