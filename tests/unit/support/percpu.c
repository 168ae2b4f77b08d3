/* One CPU in host tests. */
#include "hv/base/percpu.h"

static struct cpu test_cpu = { .self = &test_cpu, .online = 1 };

struct cpu *test_this_cpu = &test_cpu;
struct cpu *cpus[MAX_CPUS] = { &test_cpu };
uint32_t cpu_count = 1;

struct cpu *cpu_if_known(void) { return test_this_cpu; }
