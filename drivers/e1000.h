/*
 * Intel's gigabit cards 82540EM, 82545EM and 82574L, which differ in little that this driver uses: what
 * its files share. Registers and descriptors by the PCI/PCI-X Family of Gigabit Ethernet Controllers
 * Software Developer's Manual and the 82574 GbE Controller Family Datasheet.
 * e1000.c sets up, e1000_ring.c moves frames, e1000_irq.c chooses and takes interrupts.
 */
#ifndef DRIVERS_E1000_H
#define DRIVERS_E1000_H

#include "drivers/mmio.h"
#include "drivers/nic.h"
#include "drivers/pci.h"

#define E1000_RECEIVE_RING 128
#define E1000_SEND_RING 64
#define E1000_PANIC_RING 8   /* a ring's length is a multiple of 128 bytes */
#define E1000_BUFFER 2048
#define E1000_GROUPS 16      /* multicast groups; with more all are received */

/* Registers. */
#define E1000_CTRL 0x0000
#define E1000_STATUS 0x0008
#define E1000_EECD 0x0010
#define E1000_EERD 0x0014
#define E1000_CTRL_EXT 0x0018
#define E1000_ICR 0x00c0
#define E1000_ITR 0x00c4     /* units of 256 ns between interrupts */
#define E1000_ICS 0x00c8
#define E1000_IMS 0x00d0
#define E1000_IMC 0x00d8
#define E1000_EIAC 0x00dc    /* 82574L */
#define E1000_IVAR 0x00e4    /* 82574L: which MSI-X vector each cause has */
#define E1000_EITR0 0x00e8   /* 82574L: as ITR, of vector 0 */
#define E1000_RCTL 0x0100
#define E1000_TCTL 0x0400
#define E1000_TIPG 0x0410
#define E1000_RDBAL 0x2800   /* the ring: base, length, head, tail */
#define E1000_TDBAL 0x3800
#define E1000_RING_BASE_HIGH 0x04
#define E1000_RING_LENGTH 0x08
#define E1000_RING_HEAD 0x10
#define E1000_RING_TAIL 0x18
#define E1000_RDTR 0x2820
#define E1000_RADV 0x282c
#define E1000_TIDV 0x3820
#define E1000_TXDCTL 0x3828
#define E1000_CRCERRS 0x4000 /* statistics are cleared by reading */
#define E1000_RXERRC 0x400c
#define E1000_MPC 0x4010     /* frames lost for want of a descriptor or room */
#define E1000_MTA 0x5200
#define E1000_RAL 0x5400
#define E1000_RAH 0x5404
#define E1000_REGISTERS 0x6000 /* bytes of the window that are used */

#define E1000_CTRL_MASTER_DISABLE BIT(2) /* 82574L */
#define E1000_CTRL_LINK_RESET BIT(3)
#define E1000_CTRL_AUTO_SPEED BIT(5)
#define E1000_CTRL_SET_LINK_UP BIT(6)
#define E1000_CTRL_INVERT_LOS BIT(7)
#define E1000_CTRL_RESET BIT(26)
#define E1000_CTRL_PHY_RESET BIT(31)
#define E1000_STATUS_DUPLEX BIT(0)
#define E1000_STATUS_LINK BIT(1)
#define E1000_STATUS_SPEED BITS(7, 6)
#define E1000_STATUS_MASTER BIT(19)      /* 82574L: bus master requests are possible */
#define E1000_EECD_AUTO_READ BIT(9)      /* 82574L: the NVM has been read */
#define E1000_CTRL_EXT_DRIVER BIT(28)    /* 82574L: to firmware on the card: a driver is there */
#define E1000_CTRL_EXT_PBA BIT(31)       /* 82574L: pending bits of MSI-X are cleared as usual */
#define E1000_RCTL_ENABLE BIT(1)
#define E1000_RCTL_ALL_GROUPS BIT(4)
#define E1000_RCTL_BROADCAST BIT(15)
#define E1000_RCTL_STRIP_CRC BIT(26)
#define E1000_TCTL_ENABLE BIT(1)
#define E1000_TCTL_PAD BIT(3)
#define E1000_TCTL_COLLISION (0x0fu << 4 | 0x40u << 12) /* threshold and distance of full duplex */
#define E1000_TXDCTL_COUNT_DESC BIT(22)  /* 82574L: reserved, to be set */
#define E1000_RAH_VALID BIT(31)

/* Causes of an interrupt. */
#define E1000_SENT BIT(0)
#define E1000_LINK_CHANGED BIT(2)
#define E1000_RECEIVE_LOW BIT(4)
#define E1000_RECEIVE_OVERRUN BIT(6)
#define E1000_RECEIVED BIT(7)
#define E1000_Q_RECEIVED BIT(20) /* 82574L under MSI-X: receive queue 0, send queue 0, everything else */
#define E1000_Q_SENT BIT(22)
#define E1000_Q_OTHER BIT(24)

/* Legacy descriptors. */
struct e1000_receive_desc {
	uint64_t address;
	uint16_t length;
	uint16_t checksum;
	uint8_t status;
	uint8_t errors;
	uint16_t special;
};

struct e1000_send_desc {
	uint64_t address;
	uint16_t length;
	uint8_t checksum_offset;
	uint8_t command;
	uint8_t status;
	uint8_t checksum_start;
	uint16_t special;
};

#define E1000_DESC_DONE BIT(0)
#define E1000_DESC_END BIT(1)         /* received: the frame ends here */
#define E1000_RECEIVE_ERRORS 0x97     /* CRC or alignment, symbol, sequence, carrier extension, data */
#define E1000_SEND_FRAME 0x0b         /* command: the whole frame, append the CRC, report when done */

struct e1000_model {
	uint16_t vendor, device;
	const char *name;
	bool express;            /* an 82574L: differences as marked above */
	uint8_t eerd_shift;      /* where the word's address is in EERD */
	uint32_t eerd_done;
};

struct e1000 {
	struct nic nic;
	const struct e1000_model *model;
	pci_address_t address;
	volatile uint8_t *regs;
	void (*notify)(void);

	/* Rings and buffers, of OWNER_NET. */
	struct e1000_receive_desc *receive_ring;
	struct e1000_send_desc *send_ring;
	uint8_t *receive_buffers, *send_buffers;
	uint32_t receive_next;   /* the next that the card fills */
	uint32_t send_next;      /* the next for a frame */
	uint32_t send_clean;     /* the oldest that the card still has */
	bool skipping;           /* the rest of a frame that did not fit one buffer */

	uint64_t send_since;     /* TSC when the oldest became the oldest */
	uint64_t stats_at;       /* TSC of the next look at statistics */
	uint8_t groups[E1000_GROUPS][NIC_MAC_SIZE];
	uint32_t group_count;
	uint32_t groups_left_out; /* wanted, but there was no room: all groups are received meanwhile */

	/* Interrupts. */
	uint8_t line;            /* of INTx */
	bool want_room;          /* send refused a frame: tell when one has been sent */
	bool masked;             /* by the handler, until service */
	bool line_storms;        /* somebody else's device on the line: the handler masked it for good */
	uint32_t causes;         /* told to the handler, not yet looked at */
	uint32_t unclaimed;      /* interrupts in a row that were not the card's */
	uint32_t silent;         /* looks in a row at which frames waited that no interrupt had told of */
	uint64_t silent_at;      /* TSC of the last */

	/* The panic's own ring, in one frame. */
	struct e1000_send_desc *panic_ring;
	uint8_t *panic_buffer;
	uint32_t panic_next;
	bool panicked;           /* the ring above is in the card: send does nothing any more */
	bool gone;               /* the card answers with all ones: pulled, or dead */
};

static inline uint32_t e1000_read(const struct e1000 *e, unsigned reg) { return mmio_read32(e->regs + reg); }
static inline void e1000_write(struct e1000 *e, unsigned reg, uint32_t v) { mmio_write32(e->regs + reg, v); }

/* The model of a function, or NULL. */
const struct e1000_model *e1000_model_of(const struct pci_function *p);
/* Sets up the card: nic_start's part. The caller has the one struct, cleared. */
int e1000_start(struct e1000 *e, const struct pci_function *p, void (*notify)(void), struct failure *f);
/* Reset and everything written again; the frames in flight are lost. -EIO with a sentence. */
int e1000_set_up(struct e1000 *e, struct failure *f);
/* True when the card no longer answers; from then on nothing touches it. */
bool e1000_is_gone(struct e1000 *e);
/* Resets a card that has had a frame to send for too long. */
void e1000_check_stuck(struct e1000 *e);
/* Waits until the masked register is value, at most so long. */
bool e1000_wait(const struct e1000 *e, unsigned reg, uint32_t mask, uint32_t value, uint64_t us);

/* e1000_ring.c. -ENOMEM; frees nothing, as the card stays for good. */
int e1000_rings_alloc(struct e1000 *e, struct failure *f);
/* Empties both rings and tells the card; receiver and sender are off. */
void e1000_rings_reset(struct e1000 *e);
/* Takes back what has been sent. */
void e1000_reclaim(struct e1000 *e);
bool e1000_frame_waits(const struct e1000 *e);
int e1000_send(struct nic *nic, const void *frame, size_t len);
size_t e1000_receive(struct nic *nic, void *frame, size_t max);
void e1000_panic_send(struct nic *nic, const void *frame, size_t len);

/* e1000_irq.c: tries MSI-X, MSI and INTx, each with an interrupt that is provoked; then the card is polled. */
void e1000_irq_choose(struct e1000 *e);
/* What the chosen way needs in a card that was just reset; masked. */
void e1000_irq_set_up(struct e1000 *e);
/* Lets the card interrupt for what is of interest now. */
void e1000_irq_enable(struct e1000 *e);
/* The causes since the last call; 0 when no interrupt came. While it is polled: all there are. */
uint32_t e1000_irq_take(struct e1000 *e);
/* Goes over to polling when frames wait again and again without an interrupt, or the line storms. */
void e1000_irq_check(struct e1000 *e, uint32_t causes);

#endif
