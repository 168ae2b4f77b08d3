/*
 * Drives one 16550. Owns its place and its transmit and receive rings; one lock for all. National
 * Semiconductor PC16550D data sheet.
 */
#include "drivers/uart.h"

#include "drivers/mmio.h"
#include "hv/base/format.h"
#include "hv/base/spin.h"
#include "hv/base/x86.h"

#define REG_DATA 0
#define REG_IER 1
#define REG_FCR 2 /* written */
#define REG_IIR 2 /* read */
#define REG_LCR 3
#define REG_MCR 4
#define REG_LSR 5
#define REG_SCRATCH 7

#define IER_RECEIVED 0x01
#define IER_THR_EMPTY 0x02
#define IIR_FIFOS 0xc0
#define FCR_ENABLE_AND_CLEAR 0x07
#define LCR_8N1 0x03
#define LCR_DLAB 0x80
#define MCR_DTR_RTS_OUT2 0x0b /* OUT2 gates the interrupt on a PC */
#define LSR_DATA 0x01
#define LSR_THR_EMPTY 0x20
#define LSR_ALL_SENT 0x40
#define LSR_GONE 0xff /* no UART has all of these at once: nothing answers any more */

#define FIFO_SIZE 16
#define TX_SIZE 65536u
#define RX_SIZE 1024u
#define MAX_POLLS 100000 /* a read of LSR takes about 1 us; 16 bytes take 1.4 ms */
#define NOTIFY_ROOM (TX_SIZE / 2)
#define POLL_BUSY_MS 1 /* a full FIFO lasts 1.4 ms */
#define POLL_IDLE_MS 10

enum mode { MODE_WAIT, MODE_INTERRUPT, MODE_POLL };

const struct uart_place uart_com1 = { .port = 0x3f8, .stride = 1, .width = 1, .divisor = UART_DIVISOR_115200 };

static struct uart_place place;
static bool present, decided; /* decided: uart_init has been called */
static enum mode mode;
static unsigned fifo_size;
static bool stuck, input_seen;
static struct spinlock lock = SPINLOCK_INIT;
static char tx[TX_SIZE];
static uint32_t tx_first, tx_end; /* count bytes; wrap freely */
static char rx[RX_SIZE];
static uint32_t rx_first, rx_end;
static uint8_t ier;
static uint32_t lines_lost;
static void (*notify_fn)(void);

static volatile void *reg_at(unsigned reg) { return (volatile uint8_t *)place.window + reg * place.stride; }

static uint8_t read_reg(unsigned reg)
{
	if (LIKELY(place.port))
		return inb((uint16_t)(place.port + reg * place.stride));
	switch (place.width) {
	case 1:
		return mmio_read8(reg_at(reg));
	case 2:
		return (uint8_t)mmio_read16(reg_at(reg));
	default:
		return (uint8_t)mmio_read32(reg_at(reg));
	}
}

static void write_reg(unsigned reg, uint8_t v)
{
	if (LIKELY(place.port)) {
		outb((uint16_t)(place.port + reg * place.stride), v);
		return;
	}
	switch (place.width) {
	case 1:
		mmio_write8(reg_at(reg), v);
		return;
	case 2:
		mmio_write16(reg_at(reg), v);
		return;
	default:
		mmio_write32(reg_at(reg), v);
	}
}

static void set_ier(uint8_t v)
{
	if (v != ier)
		write_reg(REG_IER, v);
	ier = v;
}

/* A scratch register that keeps two values is the mark of a 16450 or later. */
static bool answers(void)
{
	write_reg(REG_SCRATCH, 0x5a);
	if (read_reg(REG_SCRATCH) != 0x5a)
		return false;
	write_reg(REG_SCRATCH, 0xa5);
	return read_reg(REG_SCRATCH) == 0xa5;
}

/* The divisor's halves share their places with the data register and IER, while DLAB is set. One that is 0
 * stops the line: firmware has never set it. */
static void set_speed(uint16_t divisor)
{
	write_reg(REG_LCR, LCR_DLAB | LCR_8N1);
	if (!divisor && !read_reg(REG_DATA) && !read_reg(REG_IER))
		divisor = UART_DIVISOR_115200;
	if (divisor) {
		write_reg(REG_DATA, (uint8_t)divisor);
		write_reg(REG_IER, (uint8_t)(divisor >> 8));
	}
	write_reg(REG_LCR, LCR_8N1);
}

bool uart_init(const struct uart_place *p)
{
	decided = true;
	present = stuck = false;
	mode = MODE_WAIT;
	ier = 0;
	if (!p)
		return false;
	place = *p;
	if (!answers())
		return false;
	write_reg(REG_IER, 0);
	set_speed(place.divisor);
	write_reg(REG_FCR, FCR_ENABLE_AND_CLEAR);
	fifo_size = (read_reg(REG_IIR) & IIR_FIFOS) == IIR_FIFOS ? FIFO_SIZE : 1;
	write_reg(REG_MCR, MCR_DTR_RTS_OUT2);
	present = true;
	return true;
}

/* Once the UART has not taken a byte for MAX_POLLS it is waited for no more, until it does again. */
static bool wait_lsr(uint8_t bits)
{
	unsigned polls = stuck ? 1 : MAX_POLLS;

	while (polls--)
		if ((read_reg(REG_LSR) & bits) == bits) {
			stuck = false;
			return true;
		}
	stuck = true;
	return false;
}

/* Fills an empty FIFO from the ring. True when something was sent. */
static bool fill_fifo(void)
{
	unsigned n = 0;

	if (tx_first == tx_end || !(read_reg(REG_LSR) & LSR_THR_EMPTY))
		return false;
	for (; n < fifo_size && tx_first != tx_end; n++)
		write_reg(REG_DATA, (uint8_t)tx[tx_first++ % TX_SIZE]);
	return true;
}

static void drain_polled(void)
{
	while (tx_first != tx_end && wait_lsr(LSR_THR_EMPTY))
		fill_fifo();
}

static size_t enqueue(const char *text, size_t len)
{
	size_t n = min_u64(len, TX_SIZE - (tx_end - tx_first));

	for (size_t i = 0; i < n; i++)
		tx[tx_end++ % TX_SIZE] = text[i];
	return n;
}

/* Sends what can be sent now; the transmit interrupt is on exactly while the ring holds something. */
static void kick(void)
{
	if (mode == MODE_WAIT) {
		drain_polled();
		return;
	}
	fill_fifo();
	if (mode == MODE_INTERRUPT)
		set_ier(IER_RECEIVED | (tx_first != tx_end ? IER_THR_EMPTY : 0));
}

size_t uart_write(const char *text, size_t len)
{
	size_t n;

	if (!present)
		return len;
	spin_lock(&lock);
	n = enqueue(text, len);
	kick();
	spin_unlock(&lock);
	return n;
}

size_t uart_room(void) { return TX_SIZE - (tx_end - tx_first); }

static bool has_data(void)
{
	uint8_t lsr = read_reg(REG_LSR);

	return (lsr & LSR_DATA) && lsr != LSR_GONE;
}

static void receive(void)
{
	for (unsigned i = 0; i < RX_SIZE && has_data(); i++) {
		char c = (char)read_reg(REG_DATA);

		if (rx_end - rx_first < RX_SIZE)
			rx[rx_end++ % RX_SIZE] = c;
		input_seen = true;
	}
}

void uart_service(void)
{
	bool notify, was_full;

	if (!present)
		return;
	spin_lock(&lock);
	read_reg(REG_IIR); /* acknowledges a transmit interrupt */
	receive();
	was_full = tx_end - tx_first > NOTIFY_ROOM;
	kick();
	notify = input_seen || (was_full && tx_end - tx_first <= NOTIFY_ROOM);
	input_seen = false;
	spin_unlock(&lock);
	if (notify && notify_fn)
		notify_fn();
}

void uart_set_notify(void (*notify)(void)) { notify_fn = notify; }

static void start(enum mode m, uint8_t interrupts)
{
	if (!present)
		return;
	spin_lock(&lock);
	mode = m;
	write_reg(REG_IER, 0);
	ier = 0;
	set_ier(interrupts);
	spin_unlock(&lock);
}

void uart_start_interrupts(void) { start(MODE_INTERRUPT, IER_RECEIVED | IER_THR_EMPTY); }
void uart_start_polling(void) { start(MODE_POLL, 0); }

uint32_t uart_poll_ms(void)
{
	if (!present || mode != MODE_POLL)
		return 0;
	return tx_first != tx_end ? POLL_BUSY_MS : POLL_IDLE_MS;
}

int uart_read(void)
{
	int c = -1;

	spin_lock(&lock);
	if (rx_first != rx_end)
		c = (unsigned char)rx[rx_first++ % RX_SIZE];
	spin_unlock(&lock);
	return c;
}

void uart_flush(void)
{
	if (!present)
		return;
	spin_lock(&lock);
	drain_polled();
	wait_lsr(LSR_ALL_SENT);
	spin_unlock(&lock);
}

/* Whole lines or nothing: half a line on the terminal would run into the next. Lock held. */
static bool enqueue_line(const char *line, size_t len)
{
	char note[80];
	int n;

	if (lines_lost) {
		n = format(note, sizeof note, "gnomon: %u lines found no room here; `log` shows them\r\n", lines_lost);
		if (n < 0 || uart_room() < (size_t)n + len)
			return false;
		enqueue(note, (size_t)n);
		lines_lost = 0;
	}
	if (uart_room() < len)
		return false;
	enqueue(line, len);
	return true;
}

void uart_log_sink(enum log_level level, const char *line, size_t len)
{
	(void)level;
	if (!present)
		return;
	spin_lock(&lock);
	if (!enqueue_line(line, len))
		lines_lost++;
	kick();
	spin_unlock(&lock);
}

void uart_panic_write(const char *text, size_t len)
{
	if (!decided)
		uart_init(&uart_com1);
	if (!present)
		return;
	drain_polled();
	for (size_t i = 0; i < len; i++)
		if (wait_lsr(LSR_THR_EMPTY))
			write_reg(REG_DATA, (uint8_t)text[i]);
	wait_lsr(LSR_ALL_SENT);
}
