/*
 * A host with guests for tests of what the network shows: two guests, one of them with two vCPUs and shadow paging,
 * whose numbers a test may set.
 */
#ifndef TESTS_UNIT_NET_WORLD_H
#define TESTS_UNIT_NET_WORLD_H

#include "hv/net/stats.h"
#include "hv/vm.h"

#define NET_GUESTS 2

extern struct vm net_guests[NET_GUESTS];
extern struct vm_config net_configs[NET_GUESTS];
extern struct vcpu net_vcpus[3]; /* one of the first guest's, two of the second's */
extern struct context net_contexts[3];
extern struct mmu_stats net_mmu_stats;
extern struct shadow_counts net_shadow_counts;
extern uint32_t net_guest_count; /* NET_GUESTS unless a test wants fewer */

/* As after start-up, both guests running; the memory of the host is that of test_phys_init(). */
void net_world_start(void);
void net_world_end(void);

#endif
