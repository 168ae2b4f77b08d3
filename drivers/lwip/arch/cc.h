/*
 * What lwIP asks of the compiler and of the machine. Included by every file of lwIP.
 */
#ifndef DRIVERS_LWIP_ARCH_CC_H
#define DRIVERS_LWIP_ARCH_CC_H

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define LWIP_NO_UNISTD_H 1 /* arch.h would ask it for SSIZE_MAX */
#ifndef SSIZE_MAX
#define SSIZE_MAX LONG_MAX
#endif

#define PACK_STRUCT_STRUCT __attribute__((packed))

#define LWIP_PLATFORM_DIAG(message) ((void)0)
/* A broken assertion ends lwIP, never the hypervisor: see drivers/lwip/port.h. */
__attribute__((noreturn)) void lwip_port_assert(const char *message, const char *file, int line);
#define LWIP_PLATFORM_ASSERT(message) lwip_port_assert(message, __FILE__, __LINE__)

uint32_t lwip_port_random(void);
#define LWIP_RAND() lwip_port_random()

#endif
