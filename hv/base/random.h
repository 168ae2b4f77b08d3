/*
 * Random numbers for secrets: nonces, sequence numbers, keys of the moment. From RDRAND where the CPU has it.
 * Otherwise from the TSC: how long instructions took is digested into a state that nobody
 * sees, which is good against a peer on the network and not against who shares the machine;
 * the log says at the start of the network which it is. One context at a time; no lock.
 */
#ifndef HV_BASE_RANDOM_H
#define HV_BASE_RANDOM_H

#include "hv/base/types.h"

void random_bytes(void *out, size_t n);
uint32_t random_u32(void);
/* Whether they come from RDRAND. */
bool random_by_hardware(void);

#endif
