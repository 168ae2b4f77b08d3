/*
 * Finding and starting a TDX module: the machine's, or where it has none the one in software.
 */
#include "tdx/start.h"

#include <string.h>

#include "hv/base/format.h"
#include "hv/base/log.h"
#include "hv/base/map_ram.h"
#include "hv/base/percpu.h"
#include "hv/base/x86.h"
#include "hv/cpu_call.h"
#include "hv/host.h"
#include "hv/vm.h"
#include "hv/vm_life.h"
#include "tdx/soft_host.h"

static struct tdx_facts facts;
static struct failure no_hardware;

const struct tdx_facts *tdx_facts(void) { return &facts; }

const char *tdx_why_no_hardware(void) { return no_hardware.text; }

/* ---- the machine ---- */

/* How far an APIC id is to be shifted for the package's number. SDM "Detecting Hardware Multi-Threading Support
 * and Topology". */
static uint32_t package_shift(void)
{
	uint32_t shift = 0, logical, leaf = cpuid(0, 0).eax >= 0x1f && cpuid(0x1f, 0).ebx ? 0x1f : 0xb;

	if (cpuid(0, 0).eax < leaf || !cpuid(leaf, 0).ebx) {
		for (logical = cpuid(1, 0).ebx >> 16 & 0xff; 1u << shift < logical;)
			shift++;
		return shift;
	}
	for (uint32_t i = 0; cpuid(leaf, i).ecx >> 8 & 0xff; i++)
		shift = cpuid(leaf, i).eax & 0x1f;
	return shift;
}

static uint32_t package_of(void *ctx, uint32_t cpu)
{
	const uint32_t *shift = ctx;

	return cpus[cpu]->apic_id >> *shift;
}

static void on_cpu(void *ctx, uint32_t cpu, void (*fn)(void *arg), void *arg)
{
	(void)ctx;
	cpu_call(cpus[cpu], fn, arg);
}

static uint32_t this_cpu_index(void *ctx)
{
	(void)ctx;
	return this_cpu()->index;
}

static void flush_caches(void *ctx)
{
	(void)ctx;
	wbinvd();
}

static void fill_machine(struct tdx_machine *m)
{
	static uint32_t shift;

	shift = package_shift();
	*m = (struct tdx_machine){
		.ops = &tdx_hardware, .first_hkid = facts.first_private, .hkids = facts.private_keys,
		.keyid_shift = facts.hpa_bits, .hpa_bits = facts.hpa_bits, .cpus = cpu_count, .package_of = package_of,
		.on_cpu = on_cpu, .this_cpu = this_cpu_index, .flush_caches = flush_caches, .ctx = &shift,
	};
}

static bool read_msr(void *ctx, uint32_t msr, uint64_t *value)
{
	(void)ctx;
	return rdmsr_safe(msr, value) == 0;
}

/* ---- the step ---- */

static bool is_wanted(void)
{
	for (uint32_t i = 0; i < vms_count(); i++)
		if (vm_at(i)->config->type == VM_TYPE_TD)
			return true;
	return false;
}

static int start(struct failure *f)
{
	static struct tdx_machine machine; /* the software module goes on using it */
	int err = cpu_call_init(f);

	if (err)
		return err;
	map_ram_init();
	fill_machine(&machine);
	if (no_hardware.text[0]) {
		log_info("TDX: %s; the software module stands in", no_hardware.text);
		err = soft_host_init(&machine, f);
	}
	return err ? err : tdx_module_start(&machine, f);
}

void tdx_start(void)
{
	static const struct tdx_msrs msrs = { read_msr, NULL };
	struct failure f = { 0 };

	(void)tdx_discover(&msrs, host_hpa_bits(), &facts, &no_hardware);
	if (!is_wanted()) {
		format(tdx_module.why_not, sizeof(tdx_module.why_not), "no guest in gnomon.conf has type = td");
		return;
	}
	if (start(&f)) {
		memcpy(tdx_module.why_not, f.text, sizeof(tdx_module.why_not));
		log_error("TDX: no TD can run here: %s", f.text);
	}
}
