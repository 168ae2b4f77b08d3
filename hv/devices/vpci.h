/*
 * A guest's PCI configuration space by mechanism 1 (CF8h/CFCh): a host bridge at 00:00.0 and what
 * later devices register. Absent functions read all ones.
 */
#ifndef HV_DEVICES_VPCI_H
#define HV_DEVICES_VPCI_H

#include "hv/bus.h"
#include "hv/devices/vreset.h"

#define VPCI_MAX_FUNCTIONS 16
#define VPCI_BDF(bus, dev, fn) ((uint16_t)((bus) << 8 | (dev) << 3 | (fn)))

/* offset 0..ffh, size 1, 2 or 4, never across a dword. Any CPU, no lock held. */
struct vpci_ops {
	uint32_t (*read)(void *dev, unsigned offset, unsigned size);
	void (*write)(void *dev, unsigned offset, unsigned size, uint32_t value);
};

struct vpci_function {
	const struct vpci_ops *ops;
	void *dev;
	uint16_t bdf;
};

struct vpci {
	uint32_t address; /* CF8h. Guests serialise CF8h with CFCh themselves, as on hardware */
	unsigned count;
	struct vpci_function functions[VPCI_MAX_FUNCTIONS];
	struct vreset *reset; /* byte accesses to CF9h */
};

/* With the host bridge. */
void vpci_init(struct vpci *p, struct vreset *reset);
int vpci_attach(struct vpci *p, struct bus *b, struct failure *f);
void vpci_reset(struct vpci *p);
/* Before the guest runs. -EBUSY when bdf is taken, -ENOSPC when the table is full. */
int vpci_add(struct vpci *p, uint16_t bdf, const struct vpci_ops *ops, void *dev, struct failure *f);

#endif
