/*
 * Facts of the host that every part asks for, and the back end in use.
 */
#ifndef HV_HOST_H
#define HV_HOST_H

#include "boot/boot_info.h"
#include "hv/base/failure.h"
#include "hv/vm.h"

/* Boot CPU, before any other CPU is started. */
void host_init(const struct boot_info *bi);
/* The image's copy of what boot handed over. */
const struct boot_info *host_boot(void);
/* Width of physical addresses in bits. */
uint32_t host_hpa_bits(void);
/* NULL when no back end works on this host; the reason was logged and is in host_no_backend. */
const struct backend *host_backend(void);
const char *host_no_backend(void);

/* Turns virtualisation on on the running CPU. A CPU that cannot is reported and runs no guests. */
void host_enable_cpu(struct cpu *c);
/* Turns it off again: for power-off and reset. */
void host_disable_cpu(void);

#endif
