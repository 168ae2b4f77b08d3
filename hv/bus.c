/*
 * Registration and lookup of a guest's ports and MMIO ranges. Ports are found by one byte of a
 * 64K index, MMIO by a scan of a short table.
 */
#include "hv/bus.h"

#include <string.h>

#define PORTS 65536u

void bus_init(struct bus *b)
{
	memset(b, 0, sizeof(*b));
	b->pio_count = 1;
}

static int check_ports(const struct bus *b, uint16_t first, unsigned count, const char *name,
		       struct failure *f)
{
	if (count == 0 || first + count > PORTS)
		return fail(f, -EINVAL, "ports %xh+%u of %s do not lie in 0..ffffh", first, count, name);
	if (b->pio_count == BUS_MAX_PIO)
		return fail(f, -ENOSPC, "no place for the ports of %s: raise BUS_MAX_PIO (%u)", name,
			    BUS_MAX_PIO);
	for (unsigned port = first; port < first + count; port++)
		if (b->pio_index[port])
			return fail(f, -EBUSY, "port %xh is wanted by %s but belongs to %s", port, name,
				    b->pio[b->pio_index[port]].name);
	return 0;
}

int bus_add_pio(struct bus *b, uint16_t first, unsigned count, const struct pio_ops *ops, void *dev,
		const char *name, struct failure *f)
{
	int err = check_ports(b, first, count, name, f);
	if (err)
		return err;
	unsigned slot = b->pio_count++;
	b->pio[slot] = (struct pio_range){
		.ops = ops,
		.dev = dev,
		.name = name,
		.first = first,
		.last = (uint16_t)(first + count - 1),
		.width = ops->width ? ops->width : 4,
	};
	memset(&b->pio_index[first], (int)slot, count);
	return 0;
}

static int check_mmio(const struct bus *b, gpa_t base, uint64_t len, const char *name, struct failure *f)
{
	if (len == 0 || base + len < base)
		return fail(f, -EINVAL, "MMIO range %lxh+%lxh of %s is empty or wraps", base, len, name);
	if (b->mmio_count == BUS_MAX_MMIO)
		return fail(f, -ENOSPC, "no place for the MMIO range of %s: raise BUS_MAX_MMIO (%u)", name,
			    BUS_MAX_MMIO);
	for (unsigned i = 0; i < b->mmio_count; i++) {
		const struct mmio_range *r = &b->mmio[i];
		if (base < r->base + r->len && r->base < base + len)
			return fail(f, -EBUSY, "MMIO range %lxh+%lxh of %s overlaps %s at %lxh", base, len,
				    name, r->name, r->base);
	}
	return 0;
}

int bus_add_mmio(struct bus *b, gpa_t base, uint64_t len, const struct mmio_ops *ops, void *dev,
		 const char *name, struct failure *f)
{
	int err = check_mmio(b, base, len, name, f);
	if (err)
		return err;
	b->mmio[b->mmio_count++] = (struct mmio_range){ ops, dev, name, base, len };
	return 0;
}

/* Ports past ffffh do not exist: nobody answers there. */
NOINLINE static bool pio_read_bytes(struct bus *b, uint16_t port, unsigned size, uint32_t *value)
{
	bool answered = false;
	uint32_t v = 0;
	if (size == 1)
		return false;
	for (unsigned i = 0; i < size; i++) {
		const struct pio_range *r = bus_pio_at(b, (uint16_t)(port + i));
		bool there = port + i < PORTS && pio_range_takes(r, (uint16_t)(port + i), 1);
		uint32_t byte = there ? r->ops->read(r->dev, (uint16_t)(port + i), 1) & 0xff : 0xff;
		v |= byte << 8 * i;
		answered |= there;
	}
	if (answered)
		*value = v;
	return answered;
}

NOINLINE static bool pio_write_bytes(struct bus *b, uint16_t port, unsigned size, uint32_t value)
{
	bool answered = false;
	if (size == 1)
		return false;
	for (unsigned i = 0; i < size; i++) {
		const struct pio_range *r = bus_pio_at(b, (uint16_t)(port + i));
		bool there = port + i < PORTS && pio_range_takes(r, (uint16_t)(port + i), 1);
		if (!there)
			continue;
		r->ops->write(r->dev, (uint16_t)(port + i), 1, value >> 8 * i & 0xff);
		answered = true;
	}
	return answered;
}

bool bus_pio_read(struct bus *b, uint16_t port, unsigned size, uint32_t *value)
{
	const struct pio_range *r = bus_pio_at(b, port);
	if (UNLIKELY(!pio_range_takes(r, port, size)))
		return pio_read_bytes(b, port, size, value);
	*value = r->ops->read(r->dev, port, size);
	return true;
}

bool bus_pio_write(struct bus *b, uint16_t port, unsigned size, uint32_t value)
{
	const struct pio_range *r = bus_pio_at(b, port);
	if (UNLIKELY(!pio_range_takes(r, port, size)))
		return pio_write_bytes(b, port, size, value);
	r->ops->write(r->dev, port, size, value);
	return true;
}

static inline const struct mmio_range *mmio_find(const struct bus *b, gpa_t gpa, unsigned size)
{
	for (const struct mmio_range *r = b->mmio; r < b->mmio + b->mmio_count; r++)
		if (gpa - r->base < r->len && r->len - (gpa - r->base) >= size)
			return r;
	return NULL;
}

NOINLINE static bool mmio_read_bytes(struct bus *b, gpa_t gpa, unsigned size, uint64_t *value)
{
	bool answered = false;
	uint64_t v = 0;
	for (unsigned i = 0; i < size; i++) {
		const struct mmio_range *r = mmio_find(b, gpa + i, 1);
		uint64_t byte = r ? r->ops->read(r->dev, gpa + i - r->base, 1) & 0xff : 0xff;
		v |= byte << 8 * i;
		answered |= r != NULL;
	}
	if (answered)
		*value = v;
	return answered;
}

NOINLINE static bool mmio_write_bytes(struct bus *b, gpa_t gpa, unsigned size, uint64_t value)
{
	bool answered = false;
	for (unsigned i = 0; i < size; i++) {
		const struct mmio_range *r = mmio_find(b, gpa + i, 1);
		if (!r)
			continue;
		r->ops->write(r->dev, gpa + i - r->base, 1, value >> 8 * i & 0xff);
		answered = true;
	}
	return answered;
}

bool bus_mmio_read(struct bus *b, gpa_t gpa, unsigned size, uint64_t *value)
{
	const struct mmio_range *r = mmio_find(b, gpa, size);
	if (UNLIKELY(!r))
		return mmio_read_bytes(b, gpa, size, value);
	*value = r->ops->read(r->dev, gpa - r->base, size);
	return true;
}

bool bus_mmio_write(struct bus *b, gpa_t gpa, unsigned size, uint64_t value)
{
	const struct mmio_range *r = mmio_find(b, gpa, size);
	if (UNLIKELY(!r))
		return mmio_write_bytes(b, gpa, size, value);
	r->ops->write(r->dev, gpa - r->base, size, value);
	return true;
}
