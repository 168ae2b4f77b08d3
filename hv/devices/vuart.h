/*
 * A guest's 16550A on an infinitely fast line: what the guest writes goes to the host at once, and
 * while the host refuses it, the transmitter stays busy (THRE low). Input waits on the host's side
 * until the receive FIFO has room, so nothing is lost either way.
 */
#ifndef HV_DEVICES_VUART_H
#define HV_DEVICES_VUART_H

#include "hv/base/spin.h"
#include "hv/bus.h"
#include "hv/irq.h"

#define VUART_FIFO 16

struct vuart_host {
	/* Takes bytes the guest sent; returns how many it took. After a refusal vuart_output_ready must
	 * be called. Under the device's lock: it must not call back. */
	size_t (*out)(void *ctx, const uint8_t *bytes, size_t n);
	/* The receive FIFO has run empty after vuart_rx took less than offered. No lock held. */
	void (*want_input)(void *ctx);
	void *ctx;
};

struct vuart_fifo {
	uint8_t bytes[VUART_FIFO];
	unsigned head, count;
};

struct vuart {
	struct spinlock lock; /* outermost of device -> controller -> APIC */
	uint16_t base;
	uint8_t ier, lcr, mcr, msr_delta, scratch, fcr;
	uint8_t errors;       /* LSR bits that a read clears */
	uint16_t divisor;
	bool thre_pending;    /* the transmitter ran empty and the guest was not told yet */
	bool refused;         /* the host took less than it was given */
	bool input_waits;     /* vuart_rx took less than it was given */
	bool irq_high;        /* level of the line */
	struct vuart_fifo rx, tx;
	struct vuart_host host;
	struct irq_line irq;
};

void vuart_init(struct vuart *u, uint16_t base, const struct vuart_host *host, const struct irq_line *irq);
int vuart_attach(struct vuart *u, struct bus *b, struct failure *f);
/* Power-on state; what the host refused so far is dropped, and input it holds may be offered anew. */
void vuart_reset(struct vuart *u);

/* Input for the guest; returns how many bytes fitted. When not all did, want_input follows. Any CPU. */
size_t vuart_rx(struct vuart *u, const uint8_t *bytes, size_t n);
/* The host takes output again. Any CPU. */
void vuart_output_ready(struct vuart *u);

#endif
