/*
 * The 16550A of a guest: registers, FIFOs, interrupts, modem lines and loopback.
 * National Semiconductor PC16550D data sheet.
 */
#include "hv/devices/vuart.h"

#include <string.h>

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };

#define IER_RX BIT(0)
#define IER_THRE BIT(1)
#define IER_LINE BIT(2)
#define IER_MODEM BIT(3)
#define IER_WRITABLE 0x0f

#define IIR_NONE 0x01
#define IIR_MODEM 0x00
#define IIR_THRE 0x02
#define IIR_RX 0x04
#define IIR_LINE 0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFOS 0xc0

#define FCR_ENABLE BIT(0)
#define FCR_CLEAR_RX BIT(1)
#define FCR_TRIGGER(fcr) ((fcr) >> 6 & 3)
#define FCR_KEPT 0xc9

#define LCR_BREAK BIT(6)
#define LCR_DLAB BIT(7)

#define MCR_OUT2 BIT(3) /* gates the interrupt line on a PC */
#define MCR_LOOP BIT(4)
#define MCR_WRITABLE 0x1f

#define LSR_DATA BIT(0)
#define LSR_OVERRUN BIT(1)
#define LSR_BREAK BIT(4)
#define LSR_THRE BIT(5)
#define LSR_TEMT BIT(6)

#define MSR_DELTA_RI BIT(2) /* trailing edge only */
#define MSR_CTS BIT(4)
#define MSR_DSR BIT(5)
#define MSR_RI BIT(6)
#define MSR_DCD BIT(7)

static void fifo_clear(struct vuart_fifo *q) { q->head = q->count = 0; }

static void fifo_put(struct vuart_fifo *q, uint8_t v) { q->bytes[(q->head + q->count++) % VUART_FIFO] = v; }

static uint8_t fifo_get(struct vuart_fifo *q)
{
	uint8_t v = q->bytes[q->head];
	q->head = (q->head + 1) % VUART_FIFO;
	q->count--;
	return v;
}

static bool fifos_on(const struct vuart *u) { return u->fcr & FCR_ENABLE; }

static unsigned fifo_room(const struct vuart *u, const struct vuart_fifo *q)
{
	unsigned size = fifos_on(u) ? VUART_FIFO : 1;
	return q->count < size ? size - q->count : 0;
}

static unsigned rx_trigger(const struct vuart *u)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };
	return fifos_on(u) ? levels[FCR_TRIGGER(u->fcr)] : 1;
}

/* Modem lines: all up on the wire; MCR's own outputs in loopback. */
static uint8_t modem_lines(const struct vuart *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	uint8_t dtr = u->mcr & 1, rts = u->mcr >> 1 & 1, outs = u->mcr >> 2 & 3;
	return (uint8_t)(rts << 4 | dtr << 5 | outs << 6);
}

/* The interrupt of highest priority: table "Interrupt Control Functions". A FIFO that holds less than
 * its trigger level has timed out at once, since the line is infinitely fast. */
static uint8_t interrupt_id(const struct vuart *u)
{
	if ((u->ier & IER_LINE) && u->errors)
		return IIR_LINE;
	if ((u->ier & IER_RX) && u->rx.count)
		return u->rx.count >= rx_trigger(u) ? IIR_RX : IIR_TIMEOUT;
	if ((u->ier & IER_THRE) && u->thre_pending)
		return IIR_THRE;
	if ((u->ier & IER_MODEM) && u->msr_delta)
		return IIR_MODEM;
	return IIR_NONE;
}

/* OUT2 is held inactive in loopback. */
static inline bool irq_level(const struct vuart *u)
{
	return (u->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2 && interrupt_id(u) != IIR_NONE;
}

static void update_irq(struct vuart *u)
{
	bool high = irq_level(u);
	if (high == u->irq_high)
		return;
	u->irq_high = high;
	irq_line_set(&u->irq, high);
}

/* Hands the transmit FIFO to the host. The byte that empties it raises THRE at once: the line does not
 * fall in between, so a burst of sixteen makes one edge, not sixteen. */
static void drain(struct vuart *u)
{
	while (u->tx.count) {
		unsigned run = VUART_FIFO - u->tx.head;
		unsigned n = run < u->tx.count ? run : u->tx.count;
		size_t taken = u->host.out(u->host.ctx, &u->tx.bytes[u->tx.head], n);
		u->tx.head = (u->tx.head + (unsigned)taken) % VUART_FIFO;
		u->tx.count -= (unsigned)taken;
		if (taken < n) {
			u->refused = true;
			return;
		}
	}
	u->refused = false;
	u->thre_pending = true;
}

static void receive(struct vuart *u, uint8_t v)
{
	if (fifo_room(u, &u->rx))
		fifo_put(&u->rx, v);
	else
		u->errors |= LSR_OVERRUN;
}

static void transmit(struct vuart *u, uint8_t v)
{
	if (u->mcr & MCR_LOOP) {
		receive(u, v);
		u->thre_pending = true;
		return;
	}
	u->thre_pending = false;
	if (fifo_room(u, &u->tx)) /* a guest that ignores THRE loses its byte, as on the chip */
		fifo_put(&u->tx, v);
	if (!u->refused)
		drain(u);
}

static uint8_t line_status(const struct vuart *u)
{
	uint8_t v = u->errors;
	if (u->rx.count)
		v |= LSR_DATA;
	if (!u->tx.count)
		v |= LSR_THRE | LSR_TEMT;
	return v;
}

static void write_ier(struct vuart *u, uint8_t v)
{
	/* Enabling the interrupt while the transmitter is empty raises it: drivers start that way. */
	if ((v & ~u->ier & IER_THRE) && !u->tx.count)
		u->thre_pending = true;
	u->ier = v & IER_WRITABLE;
}

static void write_fcr(struct vuart *u, uint8_t v)
{
	bool switched = (v ^ u->fcr) & FCR_ENABLE;
	u->fcr = v & FCR_ENABLE ? v & FCR_KEPT : 0;
	if (switched || (v & FCR_CLEAR_RX))
		fifo_clear(&u->rx);
	/* The transmit FIFO is not cleared: on this line its bytes are gone already, only the host has
	 * yet to take them. */
}

/* Loopback wires the transmitter to the receiver; what the host refused waits until it is left. */
static void write_mcr(struct vuart *u, uint8_t v)
{
	uint8_t before = modem_lines(u);
	u->mcr = v & MCR_WRITABLE;
	uint8_t changed = before ^ modem_lines(u);
	if (changed & MSR_RI)
		u->msr_delta |= before & MSR_RI ? MSR_DELTA_RI : 0;
	u->msr_delta |= (uint8_t)((changed & ~MSR_RI) >> 4);
}

static void write_lcr(struct vuart *u, uint8_t v)
{
	bool break_begins = v & ~u->lcr & LCR_BREAK;
	u->lcr = v;
	if (break_begins && (u->mcr & MCR_LOOP)) {
		receive(u, 0);
		u->errors |= LSR_BREAK;
	}
}

static void write_reg(struct vuart *u, unsigned reg, uint8_t v)
{
	bool dlab = u->lcr & LCR_DLAB;
	switch (reg) {
	case REG_DATA:
		if (dlab)
			u->divisor = (u->divisor & 0xff00) | v;
		else
			transmit(u, v);
		break;
	case REG_IER:
		if (dlab)
			u->divisor = (uint16_t)((u->divisor & 0xff) | v << 8);
		else
			write_ier(u, v);
		break;
	case REG_IIR_FCR:
		write_fcr(u, v);
		break;
	case REG_LCR:
		write_lcr(u, v);
		break;
	case REG_MCR:
		write_mcr(u, v);
		break;
	case REG_SCRATCH:
		u->scratch = v;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
}

static uint8_t read_iir(struct vuart *u)
{
	uint8_t id = interrupt_id(u);
	if (id == IIR_THRE)
		u->thre_pending = false;
	return fifos_on(u) ? id | IIR_FIFOS : id;
}

static uint8_t read_clears(uint8_t *latched, uint8_t value)
{
	*latched = 0;
	return value;
}

static uint8_t read_reg(struct vuart *u, unsigned reg)
{
	bool dlab = u->lcr & LCR_DLAB;
	switch (reg) {
	case REG_DATA:
		if (dlab)
			return (uint8_t)u->divisor;
		return u->rx.count ? fifo_get(&u->rx) : 0;
	case REG_IER:
		return dlab ? (uint8_t)(u->divisor >> 8) : u->ier;
	case REG_IIR_FCR:
		return read_iir(u);
	case REG_LCR:
		return u->lcr;
	case REG_MCR:
		return u->mcr;
	case REG_LSR:
		return read_clears(&u->errors, line_status(u));
	case REG_MSR:
		return read_clears(&u->msr_delta, modem_lines(u) | u->msr_delta);
	default:
		return u->scratch;
	}
}

/* Ends an access: the line follows, and whoever has input in hand hears that there is room. */
static NOINLINE void finish_changed(struct vuart *u)
{
	bool want = u->input_waits && !u->rx.count && !(u->mcr & MCR_LOOP);
	if (want)
		u->input_waits = false;
	update_irq(u);
	spin_unlock(&u->lock);
	if (want)
		u->host.want_input(u->host.ctx);
}

/* Most accesses end with nothing to tell anybody. */
static inline void finish_access(struct vuart *u)
{
	if (LIKELY(!u->input_waits && irq_level(u) == u->irq_high))
		spin_unlock(&u->lock);
	else
		finish_changed(u);
}

/* Registers that read as they were written, with no effect: where they are. A byte needs no lock. */
static const uint8_t plain_registers[8] = {
	[REG_LCR] = offsetof(struct vuart, lcr),
	[REG_MCR] = offsetof(struct vuart, mcr),
	[REG_SCRATCH] = offsetof(struct vuart, scratch),
};

static NOINLINE uint32_t read_locked(struct vuart *u, unsigned reg)
{
	spin_lock(&u->lock);
	uint8_t v = read_reg(u, reg);
	finish_access(u);
	return v;
}

static uint32_t vuart_read(void *dev, uint16_t port, unsigned size)
{
	struct vuart *u = dev;
	unsigned reg = (port - u->base) & 7, plain = plain_registers[reg];
	(void)size;
	return plain ? __atomic_load_n((uint8_t *)u + plain, __ATOMIC_RELAXED) : read_locked(u, reg);
}

static void vuart_write(void *dev, uint16_t port, unsigned size, uint32_t value)
{
	struct vuart *u = dev;
	(void)size;
	spin_lock(&u->lock);
	write_reg(u, (unsigned)(port - u->base), (uint8_t)value);
	finish_access(u);
}

size_t vuart_rx(struct vuart *u, const uint8_t *bytes, size_t n)
{
	size_t taken = 0;
	spin_lock(&u->lock);
	while (taken < n && !(u->mcr & MCR_LOOP) && fifo_room(u, &u->rx))
		fifo_put(&u->rx, bytes[taken++]);
	u->input_waits = taken < n;
	update_irq(u);
	spin_unlock(&u->lock);
	return taken;
}

void vuart_output_ready(struct vuart *u)
{
	spin_lock(&u->lock);
	if (u->refused)
		drain(u);
	update_irq(u);
	spin_unlock(&u->lock);
}

void vuart_reset(struct vuart *u)
{
	spin_lock(&u->lock);
	u->ier = u->lcr = u->mcr = u->fcr = u->msr_delta = u->scratch = u->errors = 0;
	u->divisor = 12; /* 9600 baud */
	u->thre_pending = false;
	u->refused = false;
	u->input_waits = false;
	fifo_clear(&u->rx);
	fifo_clear(&u->tx);
	update_irq(u);
	spin_unlock(&u->lock);
}

void vuart_init(struct vuart *u, uint16_t base, const struct vuart_host *host, const struct irq_line *irq)
{
	memset(u, 0, sizeof(*u));
	u->base = base;
	u->host = *host;
	u->irq = *irq;
	vuart_reset(u);
}

static const struct pio_ops vuart_ops = { vuart_read, vuart_write, 1 };

int vuart_attach(struct vuart *u, struct bus *b, struct failure *f)
{
	return bus_add_pio(b, u->base, 8, &vuart_ops, u, "UART", f);
}
