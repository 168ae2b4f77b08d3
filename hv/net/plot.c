/* Plots as SVG: lines over time, bars, stacks. */
#include "hv/net/plot.h"

#define BAR_HEIGHT 10

/* value's share of whole, in units of length; whole may be 0. */
static uint64_t scaled(uint64_t value, uint64_t whole, uint32_t length)
{
	return whole ? mul_div(min_u64(value, whole), length, whole) : 0;
}

static void open_svg(struct text *t, uint32_t width, uint32_t height)
{
	text_add(t, "<svg width=\"");
	text_number(t, width);
	text_add(t, "\" height=\"");
	text_number(t, height);
	text_add(t, "\" aria-hidden=\"true\">");
}

static uint64_t greatest(const struct plot_point *points, uint32_t count)
{
	uint64_t most = 0;

	for (uint32_t i = 0; i < count; i++)
		most = max_u64(most, points[i].value);
	return most;
}

/* "x,y " of each point; zero is one pixel above the lower edge, so that the line is seen there too. */
static void write_points(struct text *t, const struct plot_point *points, uint32_t count, uint32_t width,
			 uint32_t height)
{
	uint64_t most = greatest(points, count), span = points[count - 1].at - points[0].at;

	for (uint32_t i = 0; i < count; i++) {
		text_number(t, scaled(points[i].at - points[0].at, span, width));
		text_char(t, ',');
		text_number(t, height - 1 - scaled(points[i].value, most, height - 2));
		text_char(t, ' ');
	}
}

void plot_line(struct text *t, const struct plot_point *points, uint32_t count, uint32_t width, uint32_t height)
{
	count = (uint32_t)min_u64(count, PLOT_POINTS);
	if (count < 2)
		return;
	open_svg(t, width, height);
	text_add(t, "<polygon class=\"area\" points=\"0,");
	text_number(t, height);
	text_char(t, ' ');
	write_points(t, points, count, width, height);
	text_number(t, width);
	text_char(t, ',');
	text_number(t, height);
	text_add(t, "\"/><polyline class=\"line\" points=\"");
	write_points(t, points, count, width, height);
	text_add(t, "\"/></svg>");
}

static void write_bar(struct text *t, const char *class, uint32_t shade, uint64_t x, uint64_t width)
{
	text_add(t, "<rect class=\"");
	text_add(t, class);
	if (class[0] == 'p')
		text_number(t, shade);
	text_add(t, "\" x=\"");
	text_number(t, x);
	text_add(t, "\" width=\"");
	text_number(t, width);
	text_add(t, "\" height=\"");
	text_number(t, BAR_HEIGHT);
	text_add(t, "\"/>");
}

void plot_bar(struct text *t, uint64_t value, uint64_t whole, uint32_t width)
{
	uint64_t length = scaled(value, whole, width);

	open_svg(t, width, BAR_HEIGHT);
	if (value)
		write_bar(t, "bar", 0, 0, max_u64(length, 1));
	text_add(t, "</svg>");
}

void plot_stack(struct text *t, const uint64_t *parts, uint32_t count, uint32_t width)
{
	uint64_t whole = 0, before = 0;

	for (uint32_t i = 0; i < count; i++)
		whole += parts[i];
	open_svg(t, width, BAR_HEIGHT);
	for (uint32_t i = 0; i < count && i < PLOT_PARTS; i++) {
		uint64_t from = scaled(before, whole, width);

		before += parts[i];
		if (parts[i])
			write_bar(t, "p", i, from, max_u64(scaled(before, whole, width) - from, 1));
	}
	text_add(t, "</svg>");
}
