/*
 * What a tiny guest says, on COM1 by polling, a line at a time; and its first C function.
 */
#include "tests/guests/lib/report.h"

#include <stdarg.h>

#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/trap.h"

#define LINE_MAX 256
#define UART_LSR 5
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define PIC_MASK_ALL 0xff

void guest_start(void);

struct line {
	char text[LINE_MAX];
	size_t len;
};

static unsigned passed, failed;

static void uart_init(void)
{
	outb(GUEST_PORT_COM1 + 1, 0);
	outb(GUEST_PORT_COM1 + 3, 0x80); /* divisor latch */
	outb(GUEST_PORT_COM1 + 0, 1);    /* 115200 */
	outb(GUEST_PORT_COM1 + 1, 0);
	outb(GUEST_PORT_COM1 + 3, 3); /* 8 data bits, no parity, 1 stop bit */
	outb(GUEST_PORT_COM1 + 2, 7); /* FIFOs on and empty */
	outb(GUEST_PORT_COM1 + 4, 3);
}

static void uart_put(char c)
{
	while (!(inb(GUEST_PORT_COM1 + UART_LSR) & LSR_THRE))
		__builtin_ia32_pause();
	outb(GUEST_PORT_COM1, (uint8_t)c);
}

static void line_put(struct line *l, char c)
{
	if (l->len < LINE_MAX)
		l->text[l->len++] = c;
}

static void line_number(struct line *l, uint64_t value, unsigned base, unsigned width, char pad)
{
	char digits[24];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (width > n) {
		line_put(l, pad);
		width--;
	}
	while (n)
		line_put(l, digits[--n]);
}

static void line_string(struct line *l, const char *s)
{
	while (*s)
		line_put(l, *s++);
}

/* One conversion; fmt stands behind the %. Returns where the format goes on. */
static const char *line_convert(struct line *l, const char *fmt, va_list *args)
{
	char pad = *fmt == '0' ? '0' : ' ';
	unsigned width = 0;
	bool is_long;
	int64_t value;

	for (; *fmt >= '0' && *fmt <= '9'; fmt++)
		width = width * 10 + (unsigned)(*fmt - '0');
	is_long = *fmt == 'l';
	fmt += is_long;
	switch (*fmt) {
	case 's':
		line_string(l, va_arg(*args, const char *));
		break;
	case 'c':
		line_put(l, (char)va_arg(*args, int));
		break;
	case 'd':
		value = is_long ? va_arg(*args, int64_t) : va_arg(*args, int);
		if (value < 0)
			line_put(l, '-');
		line_number(l, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, width, pad);
		break;
	default: /* u, x */
		line_number(l, is_long ? va_arg(*args, uint64_t) : va_arg(*args, unsigned), *fmt == 'x' ? 16 : 10,
			    width, pad);
	}
	return fmt + 1;
}

static void line_format(struct line *l, const char *fmt, va_list *args)
{
	while (*fmt)
		if (*fmt == '%')
			fmt = line_convert(l, fmt + 1, args);
		else
			line_put(l, *fmt++);
}

static void line_send(const struct line *l)
{
	for (size_t i = 0; i < l->len; i++) {
		if (l->text[i] == '\n')
			uart_put('\r');
		uart_put(l->text[i]);
	}
}

void print(const char *fmt, ...)
{
	struct line l = { .len = 0 };
	va_list args;

	va_start(args, fmt);
	line_format(&l, fmt, &args);
	va_end(args);
	line_send(&l);
}

bool report(bool ok, const char *name, const char *fmt, ...)
{
	struct line l = { .len = 0 };
	va_list args;

	*(ok ? &passed : &failed) += 1;
	line_string(&l, ok ? "PASS " : "FAIL ");
	line_string(&l, guest_name);
	line_put(&l, '.');
	line_string(&l, name);
	if (!ok) {
		line_string(&l, ": ");
		va_start(args, fmt);
		line_format(&l, fmt, &args);
		va_end(args);
	}
	line_put(&l, '\n');
	line_send(&l);
	return ok;
}

bool report_equal(const char *name, uint64_t got, uint64_t want)
{
	return report(got == want, name, "got %lxh, want %lxh", got, want);
}

bool report_vector(const char *name, int got, int want)
{
	return report(got == want, name, "got vector %d, want %d (-1: no exception)", got, want);
}

NORETURN void finish(void)
{
	print("DONE %s: %u passed, %u failed\n", guest_name, passed, failed);
	while (!(inb(GUEST_PORT_COM1 + UART_LSR) & LSR_TEMT))
		__builtin_ia32_pause();
	outb(GUEST_PORT_DEBUG_EXIT, failed > 255 ? 255 : (uint8_t)failed);
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* Called by lib/start.S on the first CPU. */
void guest_start(void)
{
	uart_init();
	outb(GUEST_PORT_PIC1 + 1, PIC_MASK_ALL);
	outb(GUEST_PORT_PIC2 + 1, PIC_MASK_ALL);
	trap_init();
	guest_main();
	finish();
}
