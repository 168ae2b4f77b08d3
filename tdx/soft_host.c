/*
 * The software TDX module's platform: memory, CPUs, entropy, and the SEAMCALL that reaches it.
 */
#include "tdx/soft_host.h"

#include "drivers/lapic.h"
#include "hv/base/clock.h"
#include "hv/base/frame.h"
#include "hv/base/log.h"
#include "hv/base/machine.h"
#include "hv/base/map_ram.h"
#include "hv/base/phys.h"
#include "hv/base/window.h"
#include "hv/base/x86.h"
#include "hv/fpu.h"
#include "tdx/soft_vp.h"
#include "vmx/core/vmxon.h"

#define SHARED_HKIDS 16 /* ids below them are the host's own */
#define PRIVATE_HKIDS 32
#define HKID_BITS 6
#define ADDRESS_BITS 52 /* that an address with its key id may have */
#define GPA_BITS_MAX 48
#define FIRST_MIB MIB(1) /* belongs to firmware and start-up */

#define RDRAND_TRIES 10
#define LAPIC_IRR 0x200u
#define LAPIC_IRR_WORDS 8u

static struct soft module;
static struct tdx_machine host;

/* ---- the module's machine ---- */

static uint32_t package_of(void *ctx, uint32_t lp)
{
	uint32_t first = host.package_of(host.ctx, lp), number = 0;

	(void)ctx;
	/* The host's numbers have gaps; the module's count from 0 in the order of their first CPUs. */
	for (uint32_t i = 0; host.package_of(host.ctx, i) != first; i++) {
		uint32_t seen = 0;

		while (host.package_of(host.ctx, seen) != host.package_of(host.ctx, i))
			seen++;
		number += seen == i;
	}
	return number;
}

static uint32_t count_packages(void)
{
	uint32_t highest = 0;

	for (uint32_t i = 0; i < host.cpus; i++)
		highest = (uint32_t)max_u64(highest, package_of(NULL, i));
	return highest + 1;
}

_Static_assert(SOFT_MAX_MAPS <= WINDOW_PAGES, "a CPU's windows hold what a call maps");

/* What the host has given is in no map of its own: docs/tdx.md. */
static void *map(void *ctx, hpa_t page)
{
	(void)ctx;
	return window_map(page);
}

static void *map_large(void *ctx, hpa_t page)
{
	(void)ctx;
	return window_map_large(page);
}

static uint32_t map_mark(void *ctx)
{
	(void)ctx;
	return window_mark();
}

static void map_release(void *ctx, uint32_t mark)
{
	(void)ctx;
	window_release(mark);
}

static void *map_shared(void *ctx, hpa_t page)
{
	(void)ctx;
	return map_shows(page) ? phys_to_virt(page) : NULL;
}

static bool rdrand(uint64_t *value)
{
	bool ok;

	__asm__ volatile("rdrand %1" : "=@ccc"(ok), "=r"(*value));
	return ok;
}

static bool entropy(void *ctx, uint64_t *value)
{
	(void)ctx;
	for (int i = 0; i < RDRAND_TRIES; i++)
		if (rdrand(value))
			return true;
	return false;
}

static uint32_t lapic_irr(uint32_t i)
{
	if (lapic_x2apic)
		return (uint32_t)rdmsr(MSR_X2APIC + (LAPIC_IRR >> 4) + i);
	return lapic_window[LAPIC_IRR / 4 + 4 * i];
}

/* Interrupts are off: what has arrived waits in the APIC. */
static bool interrupt_pending(void *ctx, uint32_t lp)
{
	(void)ctx;
	(void)lp;
	for (uint32_t i = 0; i < LAPIC_IRR_WORDS; i++)
		if (lapic_irr(i))
			return true;
	return false;
}

static uint64_t now(void *ctx)
{
	(void)ctx;
	return rdtsc();
}

static void ask_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf, struct tdx_cpuid_values *out)
{
	struct cpuid_regs r = cpuid(leaf, subleaf);

	(void)ctx;
	*out = (struct tdx_cpuid_values){ r.eax, r.ebx, r.ecx, r.edx };
}

/* Secondary controls that the operator may turn off. */
static const struct {
	enum feature feature;
	uint32_t control;
} optional[] = {
	{ FEATURE_VPID, SECONDARY_VPID },     { FEATURE_VID, SECONDARY_VID },
	{ FEATURE_INVPCID, SECONDARY_INVPCID }, { FEATURE_APIC_REGISTER, SECONDARY_APIC_REGISTER },
	{ FEATURE_RDTSCP, SECONDARY_RDTSCP }, { FEATURE_EPT_VE, SECONDARY_EPT_VE },
	{ FEATURE_XSAVES, SECONDARY_XSAVES }, { FEATURE_TSC_SCALING, SECONDARY_TSC_SCALING },
};

static struct vmx_caps caps_of(const struct cpu *c)
{
	struct vmx_caps caps = c->vmx->caps;

	for (size_t i = 0; i < ARRAY_LEN(optional); i++)
		if (!machine_feature_enabled(optional[i].feature))
			caps.secondary &= ~((uint64_t)optional[i].control << 32);
	return caps;
}

static struct soft_cpu cpu_of(const struct cpu *c)
{
	uint64_t arch = 0;

	if (cpuid(0, 0).eax < 7 || !(cpuid(7, 0).edx & BIT(29)) || rdmsr_safe(MSR_ARCH_CAPABILITIES, &arch))
		arch = 0;
	return (struct soft_cpu){
		.caps = caps_of(c), .tsc_hz = tsc_khz * 1000, .arch_capabilities = arch,
		.xfam = fpu_guest_xcr0 | BITS(1, 0), .cpuid = ask_cpuid,
	};
}

/* ---- memory ---- */

struct cmrs {
	struct tdx_range *range;
	uint32_t count;
};

/* RAM, whoever has it. What does not fit in the list is no convertible memory. */
static void add_cmr(void *ctx, hpa_t first, uint64_t npages, frame_owner_t owner)
{
	struct cmrs *c = ctx;
	hpa_t end = first + (npages << PAGE_SHIFT);

	(void)owner;
	first = max_u64(first, FIRST_MIB);
	if (end <= first)
		return;
	if (c->count && c->range[c->count - 1].base + c->range[c->count - 1].size == first)
		c->range[c->count - 1].size += end - first;
	else if (c->count < TDX_MAX_CMRS)
		c->range[c->count++] = (struct tdx_range){ first, end - first };
}

static void find_memory(struct soft_platform *p)
{
	struct cmrs c = { .range = p->cmrs };

	frame_for_each_run(add_cmr, &c);
	p->num_cmrs = c.count;
}

/* ---- start ---- */

static int check_cpus(struct failure *f)
{
	if (!(cpuid(1, 0).ecx & BIT(30)))
		return fail(f, -ENODEV, "this CPU has no RDRAND, which the software TDX module and its guests need");
	for (uint32_t i = 0; i < cpu_count; i++)
		if (!soft_controls_fit(&cpus[i]->vmx->caps, &module.controls))
			return fail(f, -ENODEV, "CPU %u lacks VMX controls that CPU 0 has: the software TDX module "
				    "wants them all alike", i);
	return 0;
}

static void call(void *ctx, struct tdx_regs *r)
{
	(void)ctx;
	soft_vp_call_begins();
	soft_seamcall(&module, this_cpu()->index, r);
	soft_vp_call_ends();
}

static const struct tdx_ops operations = { .name = "the software TDX module", .software = true, .call = call };

static void describe_to(struct tdx_machine *machine, const struct soft_platform *p)
{
	machine->ops = &operations;
	machine->first_hkid = p->first_private_hkid;
	machine->hkids = p->private_hkids;
	machine->keyid_shift = p->keyid_shift;
	machine->hpa_bits = p->hpa_bits;
	machine->gpaw = (uint32_t)min_u64(GPA_BITS_MAX, p->hpa_bits);
}

int soft_host_init(struct tdx_machine *machine, struct failure *f)
{
	struct soft_platform p = {
		.hpa_bits = (uint32_t)min_u64(machine->hpa_bits, ADDRESS_BITS - HKID_BITS),
		.lps = machine->cpus, .first_private_hkid = SHARED_HKIDS, .private_hkids = PRIVATE_HKIDS,
		.cpu = cpu_of(this_cpu()), .package_of = package_of, .map = map, .map_large = map_large, .map_mark = map_mark,
		.map_release = map_release, .map_shared = map_shared, .entropy = entropy,
		.interrupt_pending = interrupt_pending, .now = now,
	};
	int err;

	if (windows_init())
		return fail(f, -ENOMEM, "no memory for the page tables by which the software TDX module reaches its pages");
	host = *machine;
	p.packages = count_packages();
	p.keyid_shift = p.hpa_bits;
	find_memory(&p);
	soft_vp_init();
	soft_vp_operations(&p);
	err = soft_init(&module, &p, f);
	if (!err)
		err = check_cpus(f);
	if (err)
		return err;
	describe_to(machine, &p);
	log_warn("TDX: the TDX module is one in software: TDs run, but nothing protects them from this host");
	return 0;
}
