/* The trace in host tests: always off. */
#include "hv/trace.h"

bool trace_on;

struct trace_event *trace_put(uint32_t kind, uint16_t vm, uint64_t what, uint64_t detail)
{
	(void)kind, (void)vm, (void)what, (void)detail;
	return NULL;
}

void trace_exit(struct vcpu *v, uint32_t reason, uint64_t rip, uint64_t qualification, uint64_t gpa)
{
	(void)v, (void)reason, (void)rip, (void)qualification, (void)gpa;
}
