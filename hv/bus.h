/*
 * A guest's port and MMIO space: which device answers where. One per VM, filled while the VM is
 * assembled and constant while it runs, so lookups take no lock.
 */
#ifndef HV_BUS_H
#define HV_BUS_H

#include "hv/base/failure.h"
#include "hv/base/types.h"

struct bus;

/* size is 1, 2 or 4 for ports, 1, 2, 4 or 8 for MMIO; an access never crosses its range's end.
 * Of a written value only the size's low bytes count: above them is what the guest's register held.
 * Called on any of the VM's CPUs, with no lock held: a device shared by vCPUs brings its own. */
struct pio_ops {
	uint32_t (*read)(void *dev, uint16_t port, unsigned size);
	void (*write)(void *dev, uint16_t port, unsigned size, uint32_t value);
	unsigned width; /* widest access the device takes, bytes; wider ones arrive as bytes. 0: 4 */
};

struct mmio_ops {
	uint64_t (*read)(void *dev, uint64_t offset, unsigned size);
	void (*write)(void *dev, uint64_t offset, unsigned size, uint64_t value);
};

struct pio_range {
	const struct pio_ops *ops;
	void *dev;
	const char *name; /* for the monitor and reports */
	uint16_t first, last;
	unsigned width;
};

struct mmio_range {
	const struct mmio_ops *ops;
	void *dev;
	const char *name;
	gpa_t base;
	uint64_t len; /* bytes */
};

#define BUS_MAX_PIO 48
#define BUS_MAX_MMIO 16

struct bus {
	struct pio_range pio[BUS_MAX_PIO]; /* slot 0 is nobody's: its width, 0, takes no access */
	unsigned pio_count;
	struct mmio_range mmio[BUS_MAX_MMIO];
	unsigned mmio_count;
	uint8_t pio_index[65536]; /* port -> pio[] slot, 0: nobody */
};

void bus_init(struct bus *b);
/* -EBUSY when ranges overlap (names both devices), -ENOSPC when the table is full, -EINVAL for a
 * range that is empty or passes the end of its space. Nothing is changed then. */
int bus_add_pio(struct bus *b, uint16_t first, unsigned count, const struct pio_ops *ops, void *dev,
		const char *name, struct failure *f);
int bus_add_mmio(struct bus *b, gpa_t base, uint64_t len, const struct mmio_ops *ops, void *dev,
		 const char *name, struct failure *f);

/* The range that holds the port, or slot 0; and whether it takes the whole access: if it does not,
 * bus_pio_read() and bus_pio_write() split it. */
static inline const struct pio_range *bus_pio_at(const struct bus *b, uint16_t port)
{
	return &b->pio[b->pio_index[port]];
}

static inline bool pio_range_takes(const struct pio_range *r, uint16_t port, unsigned size)
{
	return size <= r->width && port + size - 1 <= r->last;
}

/* False when nobody answers: the caller applies the VM's policy (reads give all ones). An access
 * that crosses from one device into another is split into bytes, of which unclaimed ones read ffh. */
bool bus_pio_read(struct bus *b, uint16_t port, unsigned size, uint32_t *value);
bool bus_pio_write(struct bus *b, uint16_t port, unsigned size, uint32_t value);
bool bus_mmio_read(struct bus *b, gpa_t gpa, unsigned size, uint64_t *value);
bool bus_mmio_write(struct bus *b, gpa_t gpa, unsigned size, uint64_t value);

#endif
