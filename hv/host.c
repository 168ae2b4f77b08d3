/*
 * Host facts and the choice of the back end. Per-CPU virtualisation is turned on here; each CPU is
 * checked by itself, since hybrid machines have CPUs that differ.
 */
#include "hv/host.h"

#include "hv/base/log.h"
#include "hv/base/x86.h"

#include <string.h>

static const struct boot_info *boot;
static uint32_t hpa_bits;
static const struct backend *usable;
static char why_not[sizeof(((struct failure *)0)->text)] = "not looked at yet";

void host_init(const struct boot_info *bi)
{
	boot = bi;
	hpa_bits = cpuid(0x80000000, 0).eax >= 0x80000008 ? cpuid(0x80000008, 0).eax & 0xff : 36;
}

const struct boot_info *host_boot(void) { return boot; }

uint32_t host_hpa_bits(void) { return hpa_bits; }

const struct backend *host_backend(void) { return usable; }

const char *host_no_backend(void) { return why_not; }

void host_enable_cpu(struct cpu *c)
{
	struct failure f = { 0 };

	if (vmx_backend.cpu_enable(c, &f) == 0) {
		c->runs_guests = true;
		usable = &vmx_backend;
		return;
	}
	memcpy(why_not, f.text, sizeof why_not);
	log_error("CPU %u runs no guests: %s", c->index, f.text);
}

void host_disable_cpu(void)
{
	if (this_cpu()->runs_guests)
		vmx_backend.cpu_disable(this_cpu());
	this_cpu()->runs_guests = false;
}
