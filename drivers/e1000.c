/*
 * Sets up Intel's gigabit cards: reset, address, link, groups; and looks after them once they run.
 * Owns all registers but those of rings and interrupts.
 */
#include "drivers/e1000.h"

#include <errno.h>
#include <string.h>

#include "hv/base/clock.h"
#include "hv/base/log.h"
#include "hv/base/spin.h"
#include "hv/base/x86.h"

#define INTEL 0x8086
#define REGISTERS_BAR 0
#define ALL 0xffffffffu
#define GROUP_REGISTERS 128

/* Times from the manuals' "Software Reset" and "Initialization", with room to spare. */
#define MASTER_STOP_US 100000
#define RESET_US 20000
#define EEPROM_LOAD_US 5000
#define NVM_READ_US 100000
#define EERD_US 10000

#define EERD_START BIT(0)
#define EERD_DATA_SHIFT 16
#define TIPG_COPPER (10u | 8u << 10 | 6u << 20) /* "Transmit IPG", copper */
#define LOOK_NS 1000000000ul
#define STUCK_NS 5000000000ul
#define MAX_RESETS_TOLD 8

static const struct e1000_model models[] = {
	{ INTEL, 0x100e, "82540EM", false, 8, BIT(4) },
	{ INTEL, 0x100f, "82545EM", false, 8, BIT(4) },
	{ INTEL, 0x10d3, "82574L", true, 2, BIT(1) },
};

static struct e1000 *of(struct nic *nic) { return CONTAINER_OF(nic, struct e1000, nic); }

const struct e1000_model *e1000_model_of(const struct pci_function *p)
{
	for (unsigned i = 0; i < ARRAY_LEN(models); i++)
		if (models[i].vendor == p->vendor && models[i].device == p->device)
			return &models[i];
	return NULL;
}

static void pause_us(uint64_t us)
{
	uint64_t start = rdtsc(), ticks = ns_to_tsc(us * 1000);

	while (rdtsc() - start < ticks)
		cpu_pause();
}

bool e1000_wait(const struct e1000 *e, unsigned reg, uint32_t mask, uint32_t value, uint64_t us)
{
	uint64_t start = rdtsc(), ticks = ns_to_tsc(us * 1000);

	while ((e1000_read(e, reg) & mask) != value) {
		if (rdtsc() - start > ticks)
			return false;
		cpu_pause();
	}
	return true;
}

bool e1000_is_gone(struct e1000 *e)
{
	if (!e->gone && e1000_read(e, E1000_STATUS) == ALL) {
		e->gone = true;
		e->nic.link = false;
		log_error("nic: the %s at %s does not answer any more", e->model->name, e->nic.place);
	}
	return e->gone;
}

/* What was on its way to memory is to arrive before the reset; a card that cannot stop is reset all the same. */
static void stop(struct e1000 *e)
{
	e1000_write(e, E1000_IMC, ALL);
	e1000_write(e, E1000_RCTL, 0);
	e1000_write(e, E1000_TCTL, E1000_TCTL_PAD);
	if (e->model->express) {
		e1000_write(e, E1000_CTRL, e1000_read(e, E1000_CTRL) | E1000_CTRL_MASTER_DISABLE);
		e1000_wait(e, E1000_STATUS, E1000_STATUS_MASTER, 0, MASTER_STOP_US);
	}
	pci_command(e->address, 0, PCI_COMMAND_MASTER);
}

static int reset(struct e1000 *e, struct failure *f)
{
	if (e1000_read(e, E1000_STATUS) == ALL)
		return fail(f, -EIO, "its registers do not answer");
	stop(e);
	e1000_write(e, E1000_CTRL, e1000_read(e, E1000_CTRL) | E1000_CTRL_RESET);
	pause_us(EEPROM_LOAD_US);
	if (!e1000_wait(e, E1000_CTRL, E1000_CTRL_RESET, 0, RESET_US))
		return fail(f, -EIO, "it does not come out of its reset");
	if (e->model->express && !e1000_wait(e, E1000_EECD, E1000_EECD_AUTO_READ, E1000_EECD_AUTO_READ, NVM_READ_US))
		return fail(f, -EIO, "it does not finish reading its NVM");
	e1000_write(e, E1000_IMC, ALL);
	e1000_read(e, E1000_ICR);
	return 0;
}

static bool read_eeprom(struct e1000 *e, unsigned word, uint16_t *value)
{
	uint32_t done = e->model->eerd_done;

	e1000_write(e, E1000_EERD, word << e->model->eerd_shift | EERD_START);
	if (!e1000_wait(e, E1000_EERD, done, done, EERD_US))
		return false;
	*value = (uint16_t)(e1000_read(e, E1000_EERD) >> EERD_DATA_SHIFT);
	return true;
}

static bool is_station(const uint8_t *mac)
{
	static const uint8_t none[NIC_MAC_SIZE];

	return !(mac[0] & 1) && memcmp(mac, none, NIC_MAC_SIZE);
}

/* As the reset loaded it into the receive filter, else from the EEPROM's first three words. */
static int read_mac(struct e1000 *e, struct failure *f)
{
	uint32_t low = e1000_read(e, E1000_RAL), high = e1000_read(e, E1000_RAH);
	uint8_t *mac = e->nic.mac;
	uint16_t word;

	for (unsigned i = 0; i < NIC_MAC_SIZE; i++)
		mac[i] = (uint8_t)((i < 4 ? low >> 8 * i : high >> 8 * (i - 4)));
	if ((high & E1000_RAH_VALID) && is_station(mac))
		return 0;
	for (unsigned i = 0; i < NIC_MAC_SIZE / 2; i++) {
		if (!read_eeprom(e, i, &word))
			return fail(f, -EIO, "its EEPROM does not answer");
		mac[2 * i] = (uint8_t)word;
		mac[2 * i + 1] = (uint8_t)(word >> 8);
	}
	return is_station(mac) ? 0 : fail(f, -EIO, "it has no MAC address of its own");
}

/* Bits 47 to 36 of the address, as it is on the wire, choose one of 4096. */
static void write_groups(struct e1000 *e)
{
	uint32_t bits[GROUP_REGISTERS] = { 0 };
	uint32_t rctl = e1000_read(e, E1000_RCTL) & ~E1000_RCTL_ALL_GROUPS;

	for (uint32_t i = 0; i < e->group_count; i++) {
		uint32_t hash = e->groups[i][4] >> 4 | e->groups[i][5] << 4;

		bits[hash / 32] |= BIT(hash % 32);
	}
	for (unsigned i = 0; i < GROUP_REGISTERS; i++)
		e1000_write(e, E1000_MTA + 4 * i, bits[i]);
	e1000_write(e, E1000_RCTL, rctl | (e->groups_left_out ? E1000_RCTL_ALL_GROUPS : 0));
}

static uint32_t find_group(const struct e1000 *e, const uint8_t *group)
{
	uint32_t i = 0;

	while (i < e->group_count && memcmp(e->groups[i], group, NIC_MAC_SIZE))
		i++;
	return i;
}

static void multicast(struct nic *nic, const uint8_t group[NIC_MAC_SIZE], bool accept)
{
	struct e1000 *e = of(nic);
	uint32_t i = find_group(e, group);
	bool known = i < e->group_count;

	if (known == accept && (known || !e->groups_left_out))
		return;
	if (!accept && known)
		memcpy(e->groups[i], e->groups[--e->group_count], NIC_MAC_SIZE);
	else if (!accept)
		e->groups_left_out--;
	else if (e->group_count < E1000_GROUPS)
		memcpy(e->groups[e->group_count++], group, NIC_MAC_SIZE);
	else
		e->groups_left_out++;
	if (!e->gone)
		write_groups(e);
}

static void write_address(struct e1000 *e)
{
	const uint8_t *mac = e->nic.mac;

	e1000_write(e, E1000_RAL, (uint32_t)mac[3] << 24 | mac[2] << 16 | mac[1] << 8 | mac[0]);
	e1000_write(e, E1000_RAH, (uint32_t)E1000_RAH_VALID | mac[5] << 8 | mac[4]);
}

/* After a reset: everything the card is to know, then it runs. */
static void configure(struct e1000 *e)
{
	uint32_t ctrl = e1000_read(e, E1000_CTRL);

	ctrl &= ~(E1000_CTRL_LINK_RESET | E1000_CTRL_INVERT_LOS | E1000_CTRL_PHY_RESET | E1000_CTRL_MASTER_DISABLE);
	e1000_write(e, E1000_CTRL, ctrl | E1000_CTRL_SET_LINK_UP | E1000_CTRL_AUTO_SPEED);
	write_address(e);
	write_groups(e);
	if (e->model->express) {
		e1000_write(e, E1000_CTRL_EXT, e1000_read(e, E1000_CTRL_EXT) | E1000_CTRL_EXT_DRIVER);
		e1000_write(e, E1000_TXDCTL, e1000_read(e, E1000_TXDCTL) | E1000_TXDCTL_COUNT_DESC);
	} else {
		e1000_write(e, E1000_TIPG, TIPG_COPPER);
	}
	e1000_rings_reset(e);
	e1000_irq_set_up(e);
	pci_command(e->address, PCI_COMMAND_MASTER, 0);
	e1000_write(e, E1000_TCTL, E1000_TCTL_ENABLE | E1000_TCTL_PAD | E1000_TCTL_COLLISION);
	e1000_write(e, E1000_RCTL, e1000_read(e, E1000_RCTL) | E1000_RCTL_ENABLE | E1000_RCTL_BROADCAST |
					   E1000_RCTL_STRIP_CRC);
}

int e1000_set_up(struct e1000 *e, struct failure *f)
{
	int err = reset(e, f);

	if (!err)
		configure(e);
	return err;
}

static void read_link(struct e1000 *e)
{
	static const uint16_t speeds[] = { 10, 100, 1000, 1000 };
	uint32_t status = e1000_read(e, E1000_STATUS);

	e->nic.link = status & E1000_STATUS_LINK;
	e->nic.full_duplex = status & E1000_STATUS_DUPLEX;
	e->nic.speed = e->nic.link ? speeds[(status & E1000_STATUS_SPEED) >> 6] : 0;
}

static void watch_link(struct e1000 *e)
{
	bool before = e->nic.link;

	read_link(e);
	if (e->nic.link == before)
		return;
	e->nic.counters.link_changes++;
	e->send_since = rdtsc();
	if (e->nic.link)
		log_info("nic: link at %u Mbit/s, %s duplex", e->nic.speed, e->nic.full_duplex ? "full" : "half");
	else
		log_warn("nic: no link any more: is the cable in?");
}

static void read_statistics(struct e1000 *e)
{
	uint64_t now = rdtsc();

	if (now < e->stats_at)
		return;
	e->stats_at = now + ns_to_tsc(LOOK_NS);
	e->nic.counters.receive_lost += e1000_read(e, E1000_MPC);
	e->nic.counters.receive_bad += e1000_read(e, E1000_CRCERRS);
	e->nic.counters.receive_bad += e1000_read(e, E1000_RXERRC);
}

void e1000_check_stuck(struct e1000 *e)
{
	struct failure f;

	if (!e->nic.link || e->send_clean == e->send_next || rdtsc() - e->send_since < ns_to_tsc(STUCK_NS))
		return;
	if (++e->nic.counters.resets <= MAX_RESETS_TOLD)
		log_warn("nic: the %s has not sent a frame for five seconds: it is reset", e->model->name);
	if (e1000_set_up(e, &f)) {
		log_error("nic: the %s at %s is lost: %s", e->model->name, e->nic.place, f.text);
		e->gone = true;
		e->nic.link = false;
		return;
	}
	e1000_irq_enable(e);
}

static void service(struct nic *nic)
{
	struct e1000 *e = of(nic);
	uint32_t causes;

	if (e->panicked || e->gone || e1000_is_gone(e))
		return;
	causes = e1000_irq_take(e);
	watch_link(e);
	read_statistics(e);
	e1000_reclaim(e);
	e1000_check_stuck(e);
	if (!e->gone)
		e1000_irq_check(e, causes);
}

static int find_registers(struct e1000 *e, struct failure *f)
{
	pci_power_on(e->address);
	e->regs = pci_bar_map(e->address, REGISTERS_BAR, 0, E1000_REGISTERS, f);
	if (!e->regs)
		return -EIO;
	pci_command(e->address, PCI_COMMAND_MEMORY, 0);
	pci_no_interrupts(e->address);
	return 0;
}

int e1000_start(struct e1000 *e, const struct pci_function *p, void (*notify)(void), struct failure *f)
{
	int err;

	e->model = e1000_model_of(p);
	e->address = p->address;
	e->notify = notify;
	e->nic.name = e->model->name;
	e->nic.irq = NIC_IRQ_POLL;
	pci_place(p->address, e->nic.place);
	err = find_registers(e, f);
	if (!err)
		err = reset(e, f);
	if (!err)
		err = read_mac(e, f);
	if (!err)
		err = e1000_rings_alloc(e, f);
	if (err)
		return err;
	configure(e);
	e1000_irq_choose(e);
	read_link(e);
	e->stats_at = rdtsc() + ns_to_tsc(LOOK_NS);
	e->nic.send = e1000_send;
	e->nic.receive = e1000_receive;
	e->nic.service = service;
	e->nic.multicast = multicast;
	e->nic.panic_send = e1000_panic_send;
	e1000_irq_enable(e);
	return 0;
}
