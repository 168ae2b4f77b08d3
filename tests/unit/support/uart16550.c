/* A 16550 for host tests: registers, FIFO, and what went over the line. */
#include "tests/unit/support/uart16550.h"

#include "drivers/mmio.h"
#include "tests/unit/support/machine.h"

#define LCR 3
#define LSR 5
#define DLAB 0x80

static struct uart16550 *uart;

void uart16550_send(struct uart16550 *u) { u->in_fifo = 0; }

static uint8_t read_reg(unsigned reg)
{
	if (uart->absent)
		return 0xff;
	if (reg < 2 && (uart->regs[LCR] & DLAB))
		return (uint8_t)(uart->divisor >> (8 * reg));
	if (reg == 0)
		return uart->typed && *uart->typed ? (uint8_t)*uart->typed++ : 0;
	if (reg == 2)
		return uart->no_fifo ? 1 : 0xc1;
	if (reg != LSR)
		return uart->regs[reg];
	/* Each look finds the line a FIFO further, unless it is stuck. */
	if (!uart->stuck && uart->in_fifo)
		uart->in_fifo--;
	return (uint8_t)((uart->in_fifo ? 0 : 0x60) | (uart->typed && *uart->typed ? 1 : 0));
}

static void send(uint8_t byte)
{
	uart->overruns += uart->in_fifo >= (uart->no_fifo ? 1 : 16);
	uart->in_fifo++;
	if (uart->sent_len < sizeof(uart->sent) - 1)
		uart->sent[uart->sent_len++] = (char)byte;
}

static void write_reg(unsigned reg, uint8_t v)
{
	if (uart->absent)
		return;
	if (reg < 2 && (uart->regs[LCR] & DLAB))
		uart->divisor = reg ? (uint16_t)((uart->divisor & 0xff) | v << 8) : (uint16_t)((uart->divisor & 0xff00) | v);
	else if (reg == 0)
		send(v);
	else if (reg != LSR)
		uart->regs[reg] = v;
}

/* The register that lies there, 8 for none. */
static unsigned which(uint64_t offset, unsigned size, unsigned width)
{
	bool good = size == width && offset % uart->stride == 0 && offset / uart->stride < 8;

	uart->accesses++;
	uart->wrong += !good;
	return good ? (unsigned)(offset / uart->stride) : 8;
}

static uint32_t in(uint16_t port, unsigned size)
{
	unsigned reg = uart->port ? which((uint64_t)port - uart->port, size, 1) : 8;

	return reg < 8 ? read_reg(reg) : UINT32_MAX;
}

static void out(uint16_t port, unsigned size, uint32_t value)
{
	unsigned reg = uart->port ? which((uint64_t)port - uart->port, size, 1) : 8;

	if (reg < 8)
		write_reg(reg, (uint8_t)value);
}

static uint32_t load(const volatile void *at, unsigned size)
{
	unsigned reg = which((uint64_t)at - (uint64_t)uart->window, size, uart->width);

	return reg < 8 ? read_reg(reg) : UINT32_MAX;
}

static void store(volatile void *at, unsigned size, uint32_t value)
{
	unsigned reg = which((uint64_t)at - (uint64_t)uart->window, size, uart->width);

	if (reg < 8)
		write_reg(reg, (uint8_t)value);
}

uint8_t mmio_read8(const volatile void *at) { return (uint8_t)load(at, 1); }
uint16_t mmio_read16(const volatile void *at) { return (uint16_t)load(at, 2); }
uint32_t mmio_read32(const volatile void *at) { return load(at, 4); }
void mmio_write8(volatile void *at, uint8_t value) { store(at, 1, value); }
void mmio_write16(volatile void *at, uint16_t value) { store(at, 2, value); }
void mmio_write32(volatile void *at, uint32_t value) { store(at, 4, value); }

void uart16550_start(struct uart16550 *u)
{
	static const struct test_machine machine = { .in = in, .out = out };

	uart = u;
	test_machine_start(&machine);
}
