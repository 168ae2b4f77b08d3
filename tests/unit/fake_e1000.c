/* A gigabit card of the tests. Owns its registers. */
#include "tests/unit/fake_e1000.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail

#include "drivers/ioapic.h"
#include "drivers/lapic.h"
#include "drivers/vtd.h"
#include "hv/base/clock.h"
#include "hv/base/frame.h"
#include "hv/base/phys.h"
#include "hv/base/trap.h"
#include "hv/base/vectors.h"
#include "tests/unit/support/support.h"

#define ARENA 0x1000000ul
#define ARENA_SIZE MIB(2)
#define REG(offset) fake.regs[(offset) / 4]

struct fake_e1000 fake;
void (*fake_handler)(void);
static struct fake_function *function;

bool lapic_is_pending(uint8_t vector)
{
	assert_int_equal(vector, HOST_VECTOR_NIC);
	return fake.pending;
}

void trap_set_irq(uint8_t vector, void (*handler)(void))
{
	assert_int_equal(vector, HOST_VECTOR_NIC);
	fake_handler = handler;
}

static bool has_msi(unsigned at, uint64_t enable) { return function->config[at / 4] & enable; }

/* Edges become pending by the way that is on; an asserted line does as long as it is. */
static void update_line(void)
{
	bool on = REG(E1000_ICR) & REG(E1000_IMS);

	if (has_msi(0xa0, BIT(31)))
		fake.pending |= on && fake.msix_works && !(fake.table[3] & 1);
	else if (has_msi(0xd0, BIT(16)))
		fake.pending |= on && fake.msi_works;
	else if (!(function->config[1] & PCI_COMMAND_NO_INTX) && !fake.line_masked)
		fake.pending |= (on && fake.intx_works) || fake.storms;
}

int ioapic_route_pci(uint8_t line, uint32_t apic_id, uint8_t vector, struct failure *f)
{
	(void)apic_id, (void)vector;
	if (line > 23)
		return fail(f, -ENODEV, "no I/O APIC has the input %u", line);
	fake.line_masked = false;
	update_line();
	return 0;
}

void ioapic_mask_pci(uint8_t line)
{
	assert_in_range(line, 0, 23);
	fake.line_masked = true;
}

static void reset(void)
{
	uint32_t ctrl = REG(E1000_CTRL);

	fake.resets++;
	memset(fake.regs, 0, sizeof(fake.regs));
	REG(E1000_CTRL) = fake.reset_hangs ? ctrl : 0;
	if (!fake.no_ral) {
		memcpy(&REG(E1000_RAL), fake.mac, 4);
		memcpy(&REG(E1000_RAH), fake.mac + 4, 2);
		REG(E1000_RAH) |= E1000_RAH_VALID;
	}
}

static void *dma(uint64_t pa, uint64_t len)
{
	assert_true(test_phys_contains(pa, len));
	assert_true(function->config[1] & PCI_COMMAND_MASTER);
	return phys_to_virt(pa);
}

static uint64_t ring_of(unsigned reg) { return (uint64_t)REG(reg + 4) << 32 | REG(reg); }

static void send_one(struct e1000_send_desc *d)
{
	uint32_t n = fake.sent_count++ % FAKE_SENT;

	assert_int_equal(d->command, E1000_SEND_FRAME);
	memcpy(fake.sent[n], dma(d->address, d->length), d->length);
	fake.sent_len[n] = d->length;
	d->status |= E1000_DESC_DONE;
}

void fake_e1000_send_all(void)
{
	uint32_t count = REG(E1000_TDBAL + 8) / 16;

	while (!fake.sender_hangs && (REG(E1000_TCTL) & E1000_TCTL_ENABLE) &&
	       REG(E1000_TDBAL + 0x10) != REG(E1000_TDBAL + 0x18)) {
		struct e1000_send_desc *ring = dma(ring_of(E1000_TDBAL), count * 16);

		send_one(&ring[REG(E1000_TDBAL + 0x10)]);
		REG(E1000_TDBAL + 0x10) = (REG(E1000_TDBAL + 0x10) + 1) % count;
		REG(E1000_ICR) |= E1000_SENT | (fake.express ? (uint32_t)E1000_Q_SENT : 0);
	}
	update_line();
}

void fake_e1000_cause(uint32_t causes)
{
	REG(E1000_ICR) |= causes;
	if (fake.express && (causes & ~(uint32_t)(E1000_RECEIVED | E1000_SENT)))
		REG(E1000_ICR) |= E1000_Q_OTHER;
	if (fake.express && (causes & E1000_RECEIVED))
		REG(E1000_ICR) |= E1000_Q_RECEIVED;
	update_line();
}

bool fake_e1000_frame(const void *frame, uint16_t len, uint8_t status, uint8_t errors, uint16_t lie)
{
	uint32_t count = REG(E1000_RDBAL + 8) / 16, head = REG(E1000_RDBAL + 0x10);
	struct e1000_receive_desc *d;

	assert_true(REG(E1000_RCTL) & E1000_RCTL_ENABLE);
	if (head == REG(E1000_RDBAL + 0x18)) {
		REG(E1000_MPC)++;
		return false;
	}
	d = (struct e1000_receive_desc *)dma(ring_of(E1000_RDBAL), count * 16) + head;
	assert_int_equal(d->status, 0); /* it was given back clean */
	memcpy(dma(d->address, E1000_BUFFER), frame, len);
	d->length = lie ? lie : len;
	d->errors = errors;
	d->status = status;
	REG(E1000_RDBAL + 0x10) = (head + 1) % count;
	fake_e1000_cause(E1000_RECEIVED);
	return true;
}

static uint32_t status(void)
{
	uint32_t s = fake.status_speed << 6 | E1000_STATUS_DUPLEX | (fake.link ? (uint32_t)E1000_STATUS_LINK : 0);
	bool master = fake.master_hangs || !(REG(E1000_CTRL) & E1000_CTRL_MASTER_DISABLE);

	return s | (fake.express && master ? (uint32_t)E1000_STATUS_MASTER : 0);
}

static uint32_t read_causes(void)
{
	uint32_t causes = REG(E1000_ICR);

	if (!has_msi(0xa0, BIT(31)) || !REG(E1000_IMS))
		REG(E1000_ICR) = 0;
	return causes;
}

static uint32_t read_and_clear(unsigned reg)
{
	uint32_t value = REG(reg);

	REG(reg) = 0;
	return value;
}

static uint32_t read_eeprom(void)
{
	unsigned shift = fake.express ? 2 : 8, word = REG(E1000_EERD) >> shift & 3;

	if (fake.eeprom_hangs || !(REG(E1000_EERD) & 1))
		return REG(E1000_EERD);
	return (uint32_t)fake.mac[2 * word + 1] << 24 | fake.mac[2 * word] << 16 | (fake.express ? 2 : 0x10);
}

static uint32_t card_read(hpa_t pa)
{
	unsigned reg = (unsigned)(pa - FAKE_CARD_BASE);

	assert_in_range(pa, FAKE_CARD_BASE, FAKE_CARD_BASE + E1000_REGISTERS - 4);
	fake.accesses++;
	if (fake.absent || !(function->config[1] & PCI_COMMAND_MEMORY))
		return UINT32_MAX;
	switch (reg) {
	case E1000_STATUS:
		return status();
	case E1000_EECD:
		return fake.nvm_hangs ? 0 : (uint32_t)E1000_EECD_AUTO_READ;
	case E1000_EERD:
		return read_eeprom();
	case E1000_ICR:
		return read_causes();
	case E1000_MPC:
	case E1000_CRCERRS:
	case E1000_RXERRC:
		return read_and_clear(reg);
	default:
		return REG(reg);
	}
}

static void table_write(unsigned at, uint32_t value)
{
	assert_in_range(at, 0, sizeof(fake.table) - 4);
	fake.table[at / 4] = value;
}

static void card_write(hpa_t pa, uint32_t value)
{
	unsigned reg = (unsigned)(pa - FAKE_CARD_BASE);

	if (pa >= FAKE_TABLE_BASE) {
		table_write((unsigned)(pa - FAKE_TABLE_BASE), value);
		return;
	}
	assert_in_range(pa, FAKE_CARD_BASE, FAKE_CARD_BASE + E1000_REGISTERS - 4);
	fake.accesses++;
	if (fake.absent)
		return;
	if (reg == E1000_IMS)
		value |= REG(reg);
	if (reg == E1000_IMC)
		REG(E1000_IMS) &= ~value;
	if (reg == E1000_TDBAL || reg == E1000_TDBAL + 0x10) /* they may not change under the sender */
		assert_int_equal(REG(E1000_TCTL) & E1000_TCTL_ENABLE, 0);
	fake.rdt_writes += reg == E1000_RDBAL + 0x18;
	REG(reg) = value;
	if (reg == E1000_CTRL && (value & E1000_CTRL_RESET))
		reset();
	if (reg == E1000_ICS)
		fake_e1000_cause(value);
	if (reg == E1000_TDBAL + 0x18)
		fake_e1000_send_all();
	update_line();
}

bool fake_e1000_interrupt(void)
{
	bool was = fake.pending;

	fake.pending = false;
	if (was)
		fake_handler();
	update_line();
	return was;
}

void fake_e1000_notify(void) { fake.notified++; }

struct fake_function *fake_e1000_begin(bool express)
{
	static const uint8_t mac[] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };

	fake_pci_start();
	test_phys_init(ARENA, ARENA_SIZE);
	for (hpa_t pa = ARENA; pa < ARENA + ARENA_SIZE; pa += PAGE_SIZE) /* the last card's */
		if (frame_owner(pa) == OWNER_NET)
			frame_free(pa, OWNER_NET);
	test_frames_left = 10000;
	tsc_khz = 1000000;
	fake_device_read = card_read;
	fake_device_write = card_write;
	memset(&fake, 0, sizeof(fake));
	fake.express = express;
	fake.link = fake.msix_works = fake.msi_works = fake.intx_works = true;
	fake.status_speed = 2;
	memcpy(fake.mac, mac, sizeof(mac));
	function = fake_pci_add(0, 0, 3, 0, 0x8086, express ? 0x10d3 : 0x100e);
	function->config[PCI_CLASS / 4] = 0x02000000;
	function->config[PCI_INTERRUPT / 4] = 0x10b;
	fake_pci_bar(function, 0, FAKE_CARD_BASE, 0x20000, false);
	if (express) {
		fake_pci_bar(function, 3, FAKE_TABLE_BASE, 0x4000, false);
		fake_pci_capability(function, 0xd0, PCI_CAP_MSI);
		function->config[0xd0 / 4] |= BIT(23);
		function->writable[0xd0 / 4] = 0x710000;
		fake_pci_capability(function, 0xa0, PCI_CAP_MSIX);
		function->config[0xa0 / 4] |= 4 << 16;
		function->writable[0xa0 / 4] = 0xc0000000;
		function->config[0xa4 / 4] = 3;
	}
	return function;
}

void vtd_pass_dma(void) { fake.dma_passes = true; }

int fake_e1000_end(void **state)
{
	(void)state;
	test_phys_end();
	return 0;
}

struct nic *fake_e1000_start(struct failure *f)
{
	struct nic *n = nic_start(NIC_ANY, fake_e1000_notify, f);

	assert_non_null(n);
	assert_true(fake.dma_passes);
	fake_e1000_interrupt();
	n->service(n);
	return n;
}

void fake_e1000_wait_ms(uint64_t ms)
{
	for (uint64_t until = rdtsc() + ms * tsc_khz; rdtsc() < until;)
		;
}
