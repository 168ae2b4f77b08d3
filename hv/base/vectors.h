/*
 * Interrupt vectors of the host: who has which.
 */
#ifndef HV_BASE_VECTORS_H
#define HV_BASE_VECTORS_H

#define HOST_VECTOR_UART 0x30
#define HOST_VECTOR_NIC 0x31
#define HOST_VECTOR_POSTED 0xf0 /* posted-interrupt notification; in root mode the same as KICK */
#define HOST_VECTOR_KICK 0xf1   /* look at your requests; the handler does nothing but EOI */
#define HOST_VECTOR_TIMER 0xf2  /* local APIC timer */
#define HOST_VECTOR_FLUSH 0xf3  /* hv/base/map_ram.c: forget all translations */
#define HOST_VECTOR_ERROR 0xfe
#define HOST_VECTOR_SPURIOUS 0xff

#endif
