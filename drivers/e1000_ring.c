/*
 * Frames in and out of Intel's gigabit cards. Owns the descriptor rings and their buffers.
 * Software Developer's Manual, "Receive and Transmit Description".
 */
#include "drivers/e1000.h"

#include <errno.h>
#include <string.h>

#include "hv/base/clock.h"
#include "hv/base/frame.h"
#include "hv/base/phys.h"
#include "hv/base/spin.h"
#include "hv/base/x86.h"

#define RETURN_BATCH 16 /* descriptors given back with one write */
#define PANIC_BUFFER_AT 2048
#define PANIC_STOP_NS 100000
#define PANIC_SEND_NS 5000000

static struct e1000 *of(struct nic *nic) { return CONTAINER_OF(nic, struct e1000, nic); }

static void *take(uint64_t bytes)
{
	hpa_t frames = frame_alloc_run(align_up(bytes, PAGE_SIZE) >> PAGE_SHIFT, 1, OWNER_NET);

	return frames == HPA_NONE ? NULL : phys_to_virt(frames);
}

int e1000_rings_alloc(struct e1000 *e, struct failure *f)
{
	uint64_t receive = E1000_RECEIVE_RING * sizeof(*e->receive_ring), send = E1000_SEND_RING * sizeof(*e->send_ring);
	uint8_t *rings = take(receive + send), *panic = take(PANIC_BUFFER_AT + E1000_BUFFER);

	e->receive_buffers = take(E1000_RECEIVE_RING * E1000_BUFFER);
	e->send_buffers = take(E1000_SEND_RING * E1000_BUFFER);
	if (!rings || !panic || !e->receive_buffers || !e->send_buffers)
		return fail(f, -ENOMEM, "no memory for its rings and buffers");
	e->receive_ring = (void *)rings;
	e->send_ring = (void *)(rings + receive);
	e->panic_ring = (void *)panic;
	e->panic_buffer = panic + PANIC_BUFFER_AT;
	return 0;
}

static void write_ring(struct e1000 *e, unsigned reg, const void *ring, uint32_t bytes)
{
	hpa_t pa = virt_to_phys(ring);

	e1000_write(e, reg, (uint32_t)pa);
	e1000_write(e, reg + E1000_RING_BASE_HIGH, (uint32_t)(pa >> 32));
	e1000_write(e, reg + E1000_RING_LENGTH, bytes);
	e1000_write(e, reg + E1000_RING_HEAD, 0);
	e1000_write(e, reg + E1000_RING_TAIL, 0);
}

void e1000_rings_reset(struct e1000 *e)
{
	for (uint32_t i = 0; i < E1000_RECEIVE_RING; i++)
		e->receive_ring[i] = (struct e1000_receive_desc){
			.address = virt_to_phys(e->receive_buffers + i * E1000_BUFFER) };
	memset(e->send_ring, 0, E1000_SEND_RING * sizeof(*e->send_ring));
	e->receive_next = e->send_next = e->send_clean = 0;
	e->skipping = false;
	write_ring(e, E1000_RDBAL, e->receive_ring, E1000_RECEIVE_RING * sizeof(*e->receive_ring));
	write_ring(e, E1000_TDBAL, e->send_ring, E1000_SEND_RING * sizeof(*e->send_ring));
	e1000_write(e, E1000_RDTR, 0);
	e1000_write(e, E1000_TIDV, 0);
	e1000_write(e, E1000_RADV, 0);
	/* Head and tail equal means empty: one descriptor is always ours. */
	e1000_write(e, E1000_RDBAL + E1000_RING_TAIL, E1000_RECEIVE_RING - 1);
}

/* The card writes the status last: what it says of the frame is read after it. */
static uint8_t status_of(const uint8_t *status) { return __atomic_load_n(status, __ATOMIC_ACQUIRE); }

void e1000_reclaim(struct e1000 *e)
{
	while (e->send_clean != e->send_next && (status_of(&e->send_ring[e->send_clean].status) & E1000_DESC_DONE)) {
		e->send_clean = (e->send_clean + 1) % E1000_SEND_RING;
		e->send_since = rdtsc();
		e->want_room = false;
	}
}

static void fill(struct e1000_send_desc *d, void *buffer, const void *frame, size_t len)
{
	memcpy(buffer, frame, len);
	*d = (struct e1000_send_desc){ .address = virt_to_phys(buffer), .length = (uint16_t)len,
				       .command = E1000_SEND_FRAME };
}

/* False when there is no room, not even after a look at what has been sent meanwhile. */
static bool has_room(struct e1000 *e)
{
	e1000_reclaim(e);
	return (e->send_next + 1) % E1000_SEND_RING != e->send_clean;
}

static int refuse_full(struct e1000 *e)
{
	e->nic.counters.send_full++;
	if (!e->want_room) {
		e->want_room = true;
		e1000_irq_enable(e);
	}
	e1000_check_stuck(e);
	return -EAGAIN;
}

int e1000_send(struct nic *nic, const void *frame, size_t len)
{
	struct e1000 *e = of(nic);
	uint32_t at = e->send_next;

	if (len < NIC_FRAME_MIN || len > NIC_FRAME_MAX || !nic->link || e->gone || e->panicked) {
		nic->counters.send_refused++;
		return len < NIC_FRAME_MIN || len > NIC_FRAME_MAX ? -EMSGSIZE : -ENETDOWN;
	}
	if (!has_room(e))
		return refuse_full(e);
	if (at == e->send_clean)
		e->send_since = rdtsc();
	fill(&e->send_ring[at], e->send_buffers + at * E1000_BUFFER, frame, len);
	e->send_next = (at + 1) % E1000_SEND_RING;
	e1000_write(e, E1000_TDBAL + E1000_RING_TAIL, e->send_next);
	nic->counters.sent++;
	nic->counters.sent_bytes += len;
	return 0;
}

bool e1000_frame_waits(const struct e1000 *e)
{
	return status_of(&e->receive_ring[e->receive_next].status) & E1000_DESC_DONE;
}

/* Gives the descriptor back to the card. Some fifteen may wait for the next write. */
static void give_back(struct e1000 *e, struct e1000_receive_desc *d)
{
	d->length = 0;
	d->errors = 0;
	d->status = 0;
	e->receive_next = (e->receive_next + 1) % E1000_RECEIVE_RING;
	if (e->receive_next % RETURN_BATCH == 0)
		e1000_write(e, E1000_RDBAL + E1000_RING_TAIL,
			    (e->receive_next + E1000_RECEIVE_RING - 1) % E1000_RECEIVE_RING);
}

/* The frame's length when the descriptor has a whole and good one that fits, else 0. */
static size_t judge(struct e1000 *e, const struct e1000_receive_desc *d, size_t max)
{
	bool whole = (d->status & E1000_DESC_END) && !e->skipping;

	e->skipping = !(d->status & E1000_DESC_END);
	if (!whole || (d->errors & E1000_RECEIVE_ERRORS) || d->length < NIC_FRAME_MIN)
		return 0;
	return d->length <= min_u64(max, E1000_BUFFER) ? d->length : 0;
}

size_t e1000_receive(struct nic *nic, void *frame, size_t max)
{
	struct e1000 *e = of(nic);

	for (uint32_t tries = 0; tries < E1000_RECEIVE_RING && !e->gone && e1000_frame_waits(e); tries++) {
		uint32_t at = e->receive_next;
		struct e1000_receive_desc *d = &e->receive_ring[at];
		size_t len = judge(e, d, max);

		if (len)
			memcpy(frame, e->receive_buffers + at * E1000_BUFFER, len);
		give_back(e, d);
		if (len) {
			nic->counters.received++;
			nic->counters.received_bytes += len;
			return len;
		}
		nic->counters.receive_bad++;
	}
	return 0;
}

static void pause_ns(uint64_t ns)
{
	uint64_t start = rdtsc(), ticks = ns_to_tsc(ns);

	while (rdtsc() - start < ticks)
		cpu_pause();
}

/* Whatever the sender was doing, it gets another ring: head and base may change only while it is off. */
static void take_over(struct e1000 *e)
{
	e->panicked = true;
	pci_command(e->address, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0); /* off in the midst of a reset */
	e1000_write(e, E1000_TCTL, E1000_TCTL_PAD);
	pause_ns(PANIC_STOP_NS);
	memset(e->panic_ring, 0, E1000_PANIC_RING * sizeof(*e->panic_ring));
	e->panic_next = 0;
	write_ring(e, E1000_TDBAL, e->panic_ring, E1000_PANIC_RING * sizeof(*e->panic_ring));
	e1000_write(e, E1000_TCTL, E1000_TCTL_ENABLE | E1000_TCTL_PAD | E1000_TCTL_COLLISION);
}

void e1000_panic_send(struct nic *nic, const void *frame, size_t len)
{
	struct e1000 *e = of(nic);
	struct e1000_send_desc *d;
	uint64_t start = rdtsc(), ticks = ns_to_tsc(PANIC_SEND_NS);

	if (len < NIC_FRAME_MIN || len > NIC_FRAME_MAX || e->gone)
		return;
	if (!e->panicked)
		take_over(e);
	d = &e->panic_ring[e->panic_next];
	fill(d, e->panic_buffer, frame, len);
	e->panic_next = (e->panic_next + 1) % E1000_PANIC_RING;
	e1000_write(e, E1000_TDBAL + E1000_RING_TAIL, e->panic_next);
	while (!(status_of(&d->status) & E1000_DESC_DONE) && rdtsc() - start < ticks)
		cpu_pause();
}
