/* An interrupt line that remembers: its level and how often it rose. */
#ifndef TESTS_UNIT_SUPPORT_WIRE_H
#define TESTS_UNIT_SUPPORT_WIRE_H

#include "hv/irq.h"

struct wire {
	bool high;
	unsigned rises;
};

static inline void wire_set(void *chip, unsigned pin, bool high)
{
	struct wire *w = chip;

	(void)pin;
	w->rises += high && !w->high;
	w->high = high;
}

static inline struct irq_line wire_line(struct wire *w) { return (struct irq_line){ wire_set, w, 0 }; }

#endif
