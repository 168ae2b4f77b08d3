/*
 * The I/O APIC of a guest: redirection table, edge and level pins, remote IRR and EOI.
 * Intel 82093AA data sheet; the EOI register as in the I/O controller hubs that followed it.
 */
#include "hv/devices/vioapic.h"

#include <string.h>

#define REG_SELECT 0x00
#define REG_DATA 0x10
#define REG_EOI 0x40

#define INDEX_ID 0
#define INDEX_VERSION 1
#define INDEX_ARBITRATION 2
#define INDEX_REDIR 0x10

#define VERSION_VALUE (0x20u | (GUEST_IOAPIC_PINS - 1) << 16)

#define REDIR_DELIVERY(e) ((e) >> 8 & 7)
#define REDIR_LOGICAL BIT(11)
#define REDIR_ACTIVE_LOW BIT(13)
#define REDIR_REMOTE_IRR BIT(14)
#define REDIR_LEVEL BIT(15)
#define REDIR_MASKED BIT(16)
#define REDIR_WRITABLE (BITS(63, 56) | BITS(16, 15) | BIT(13) | BITS(11, 0))

void vioapic_reset(struct vioapic *io)
{
	spin_lock(&io->lock);
	for (unsigned pin = 0; pin < GUEST_IOAPIC_PINS; pin++)
		io->redir[pin] = REDIR_MASKED;
	io->remote_irr = 0;
	io->select = 0;
	spin_unlock(&io->lock);
}

void vioapic_init(struct vioapic *io, uint8_t id, const struct apic_bus *bus)
{
	memset(io, 0, sizeof(*io));
	io->id = id;
	io->bus = *bus;
	vioapic_reset(io);
}

static bool asserted(const struct vioapic *io, unsigned pin)
{
	bool high = io->levels >> pin & 1;
	return high != ((io->redir[pin] & REDIR_ACTIVE_LOW) != 0);
}

/* Only fixed and lowest-priority interrupts are level-triggered; the others are edges always. */
static bool is_level(uint64_t entry)
{
	return (entry & REDIR_LEVEL) && REDIR_DELIVERY(entry) <= APIC_LOWEST;
}

/* Whether the pin interrupts again until its EOI: not where no EOI will come. */
static bool holds_irr(const struct vioapic *io, uint64_t entry) { return is_level(entry) && !io->no_eoi; }

static void deliver(struct vioapic *io, unsigned pin)
{
	uint64_t e = io->redir[pin];
	struct apic_msg m = {
		.dest = (uint32_t)(e >> 56),
		.logical = e & REDIR_LOGICAL,
		.mode = (enum apic_delivery)REDIR_DELIVERY(e),
		.vector = (uint8_t)e,
		.level_triggered = holds_irr(io, e),
		.assert = true,
	};
	if (m.level_triggered) {
		io->redir[pin] |= REDIR_REMOTE_IRR;
		io->remote_irr |= (uint32_t)BIT(pin);
	}
	io->bus.deliver(io->bus.vm, &m);
}

/* A level pin interrupts as long as it is asserted and its last interrupt has had its EOI. */
static void evaluate_level(struct vioapic *io, unsigned pin)
{
	uint64_t e = io->redir[pin];
	if (is_level(e) && !(e & (REDIR_MASKED | REDIR_REMOTE_IRR)) && asserted(io, pin))
		deliver(io, pin);
}

static void set_pin(void *chip, unsigned pin, bool high)
{
	struct vioapic *io = chip;
	uint32_t bit = (uint32_t)BIT(pin);
	spin_lock(&io->lock);
	if (((io->levels & bit) != 0) != high) {
		io->levels ^= bit;
		uint64_t e = io->redir[pin];
		if (holds_irr(io, e))
			evaluate_level(io, pin);
		else if (!(e & REDIR_MASKED) && asserted(io, pin))
			deliver(io, pin); /* an edge on a masked pin is lost, as in the chip */
	}
	spin_unlock(&io->lock);
}

struct irq_line vioapic_line(struct vioapic *io, unsigned pin)
{
	return (struct irq_line){ set_pin, io, pin };
}

static void clear_remote_irr(struct vioapic *io, unsigned pin)
{
	io->redir[pin] &= ~REDIR_REMOTE_IRR;
	io->remote_irr &= ~(uint32_t)BIT(pin);
}

void vioapic_eoi(struct vioapic *io, uint8_t vector)
{
	spin_lock(&io->lock);
	for (uint32_t left = io->remote_irr; left; left &= left - 1) {
		unsigned pin = (unsigned)__builtin_ctz(left);
		if ((uint8_t)io->redir[pin] != vector)
			continue;
		clear_remote_irr(io, pin);
		evaluate_level(io, pin);
	}
	spin_unlock(&io->lock);
}

uint64_t vioapic_entry(const struct vioapic *io, unsigned pin) { return io->redir[pin]; }

/* Without EOIs a write that leaves all as it was is no reason for another interrupt. */
static bool newly_open(const struct vioapic *io, uint64_t old)
{
	return !io->no_eoi || (old & REDIR_MASKED) || !is_level(old);
}

static uint32_t read_indexed(const struct vioapic *io, unsigned index)
{
	if (LIKELY(index - INDEX_REDIR < 2 * GUEST_IOAPIC_PINS)) {
		uint64_t e = io->redir[(index - INDEX_REDIR) / 2];
		return (uint32_t)(index & 1 ? e >> 32 : e);
	}
	switch (index) {
	case INDEX_ID:
	case INDEX_ARBITRATION:
		return (uint32_t)io->id << 24;
	case INDEX_VERSION:
		return VERSION_VALUE;
	default:
		return 0;
	}
}

static void write_redir(struct vioapic *io, unsigned index, uint32_t value)
{
	unsigned pin = (index - INDEX_REDIR) / 2;
	uint64_t old = io->redir[pin];
	uint64_t e = index & 1 ? (uint64_t)value << 32 | (uint32_t)old : (old & BITS(63, 32)) | value;
	io->redir[pin] = (e & REDIR_WRITABLE) | (old & REDIR_REMOTE_IRR);
	/* Turning a pin to edge drops its remote IRR: how software forces an EOI. */
	if (!is_level(io->redir[pin]))
		clear_remote_irr(io, pin);
	if (newly_open(io, old))
		evaluate_level(io, pin);
}

static void write_indexed(struct vioapic *io, unsigned index, uint32_t value)
{
	if (index - INDEX_REDIR < 2 * GUEST_IOAPIC_PINS)
		write_redir(io, index, value);
	else if (index == INDEX_ID)
		io->id = (uint8_t)(value >> 24);
}

/* Without the lock: each value read is one aligned load. */
static uint64_t vioapic_read(void *dev, uint64_t offset, unsigned size)
{
	struct vioapic *io = dev;
	if (offset == REG_DATA && size == 4)
		return read_indexed(io, io->select);
	return offset == REG_SELECT ? io->select : 0;
}

static void vioapic_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct vioapic *io = dev;
	if (offset == REG_SELECT) {
		io->select = (uint8_t)value;
		return;
	}
	if (size != 4)
		return;
	if (offset == REG_DATA) {
		spin_lock(&io->lock);
		write_indexed(io, io->select, (uint32_t)value);
		spin_unlock(&io->lock);
	} else if (offset == REG_EOI) {
		vioapic_eoi(io, (uint8_t)value);
	}
}

static const struct mmio_ops vioapic_ops = { vioapic_read, vioapic_write };

int vioapic_attach(struct vioapic *io, struct bus *b, struct failure *f)
{
	return bus_add_mmio(b, GUEST_IOAPIC_BASE, PAGE_SIZE, &vioapic_ops, io, "I/O APIC", f);
}
