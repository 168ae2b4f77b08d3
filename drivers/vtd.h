/*
 * VT-d as firmware may have left it: remapping of DMA that holds a card's frames back, remapping of interrupts that
 * holds the host's own back. Gnomon gives devices to no guest, so neither is needed; what stands in the way is
 * switched off. Without the ACPI table DMAR nothing is done. Boot CPU, start-up.
 */
#ifndef DRIVERS_VTD_H
#define DRIVERS_VTD_H

#include "hv/base/types.h"

/* After clock_init, before the first interrupt is needed: finds the units, and lets interrupts of the plain format
 * pass. What was done is in the log. */
void vtd_init(void);
/* Before a device of Gnomon's own does DMA: lets devices reach all memory by its physical addresses. Until then, what
 * firmware protects stays protected. */
void vtd_pass_dma(void);

#endif
