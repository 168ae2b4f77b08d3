/*
 * A network card as the network sees it: Ethernet frames in and out, link, counters. The driver is found
 * by nic_start. Everything is for one context on one CPU (the monitor's), without locks, but the
 * interrupt, which does nothing but acknowledge and call notify, and panic_send.
 */
#ifndef DRIVERS_NIC_H
#define DRIVERS_NIC_H

#include "hv/base/failure.h"
#include "hv/base/types.h"

#define NIC_MAC_SIZE 6
#define NIC_FRAME_MIN 14   /* addresses and type; the card pads what is shorter than Ethernet wants */
#define NIC_FRAME_MAX 1514 /* the same and 1,500 bytes, without checksum */
#define NIC_POLL_MS 10

/* How the card asks for attention, best first. */
enum nic_irq { NIC_IRQ_MSIX, NIC_IRQ_MSI, NIC_IRQ_INTX, NIC_IRQ_POLL };

struct nic_counters {
	uint64_t sent, sent_bytes;
	uint64_t received, received_bytes;
	uint64_t send_full;    /* send refused: the ring was full */
	uint64_t send_refused; /* send refused: no link, or a length that is no frame's */
	uint64_t receive_bad;  /* checksum or symbol errors, damaged descriptors, lengths over the buffer */
	uint64_t receive_lost; /* the card had no descriptor left */
	uint64_t link_changes;
	uint64_t interrupts;   /* written by the handler */
	uint64_t resets;       /* of a card that got stuck */
};

struct nic {
	const char *name;          /* "82574L" */
	char place[16];            /* "00:03.0" */
	uint8_t mac[NIC_MAC_SIZE];
	bool link;                 /* as of the last service() */
	bool full_duplex;
	uint32_t speed;            /* Mbit/s; 0 without link */
	enum nic_irq irq;
	uint32_t poll_ms;          /* service() is wanted so often; 0: after notify only */
	struct nic_counters counters;

	/*
	 * Copies the frame (addresses first, no checksum) into the ring; the card sends it when it can.
	 * -EAGAIN when the ring is full: after some later service() there is room. -ENETDOWN without link,
	 * -EMSGSIZE for a length outside NIC_FRAME_MIN..NIC_FRAME_MAX: the frame is dropped.
	 */
	int (*send)(struct nic *nic, const void *frame, size_t len);
	/*
	 * Copies the next frame out and returns its length; 0 when none waits. One longer than max, like one
	 * the card marked as damaged, is counted and dropped, and the next is tried.
	 */
	size_t (*receive)(struct nic *nic, void *frame, size_t max);
	/*
	 * Looks at what the interrupt told, at link and statistics; resets a stuck card; lets the card
	 * interrupt again. To be called before receive(), after every notify, every poll_ms, and about once a
	 * second when something else woke the caller: so interrupts that get lost and a stuck card are seen.
	 * When receive() has been called until it returned 0, no frame waits unannounced.
	 */
	void (*service)(struct nic *nic);
	/* Frames to that group are received from now on, or no longer. Broadcast always is. */
	void (*multicast)(struct nic *nic, const uint8_t group[NIC_MAC_SIZE], bool accept);
	/*
	 * Sends one frame from a panic: no lock, no allocation, a descriptor and a buffer of its own, at
	 * most a few milliseconds. From whichever CPU, whatever the monitor was doing; it may leave the card
	 * to the panic for good: send() does nothing any more.
	 */
	void (*panic_send)(struct nic *nic, const void *frame, size_t len);
};

/* Which card: a PCI address as bus << 8 | device << 3 | function. */
#define NIC_ANY UINT32_MAX

/*
 * Finds the card at that address, or the first that there is a driver for, and sets it up; the log says in
 * one line what it is, its link and its kind of interrupt. notify is called in the interrupt, on this CPU,
 * when the card wants service(). NULL with a sentence: -ENODEV none there, -EIO it does not answer as
 * it should, -ENOMEM. Once, boot CPU, interrupts off, after lapic_init, ioapic_init and clock_init;
 * at most a second.
 */
struct nic *nic_start(uint32_t address, void (*notify)(void), struct failure *f);
/* The card in use, or NULL. Any context. */
struct nic *nic_get(void);

/* "MSI-X", "MSI", "INTx", "polled". */
const char *nic_irq_name(enum nic_irq irq);

#endif
