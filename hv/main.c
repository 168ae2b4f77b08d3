/*
 * Start-up of the hypervisor: the list of steps, in order. Each step says in the log what it found.
 */
#include "drivers/ioapic.h"
#include "drivers/lapic.h"
#include "drivers/pci.h"
#include "drivers/vtd.h"
#include "hv/base/acpi_host.h"
#include "hv/base/clock.h"
#include "hv/base/frame.h"
#include "hv/base/log.h"
#include "hv/base/machine.h"
#include "hv/base/map.h"
#include "hv/base/panic.h"
#include "hv/base/phys.h"
#include "hv/base/smp.h"
#include "hv/base/spin.h"
#include "hv/base/symbols.h"
#include "hv/base/x86.h"
#include "hv/console.h"
#include "hv/fpu.h"
#include "hv/host.h"
#include "hv/monitor/monitor.h"
#include "hv/report.h"
#include "hv/reset.h"
#include "hv/sched.h"
#include "hv/serial.h"
#include "hv/trace.h"
#include "hv/upkeep.h"
#include "hv/vm_life.h"
#include "hv/watch.h"
#include "hv/where.h"

#define ONLINE_WAIT_MS 5000

/* What every CPU does for itself before it takes work. */
static void cpu_start_work(struct cpu *c)
{
	fpu_init_cpu(machine_feature_enabled(FEATURE_XSAVE));
	sched_init_cpu(c);
	host_enable_cpu(c);
	__atomic_store_n(&c->online, 1, __ATOMIC_RELEASE);
}

/* The other CPUs come here from the trampoline, on their own stacks. */
static void ap_main(struct cpu *c)
{
	cpu_start_work(c);
	sched_run();
}

/* From here on contexts can be made on every CPU. */
static void wait_for_cpus(void)
{
	uint64_t end = rdtsc() + tsc_khz * ONLINE_WAIT_MS;

	for (uint32_t i = 0; i < cpu_count; i++)
		while (!__atomic_load_n(&cpus[i]->online, __ATOMIC_ACQUIRE)) {
			if (rdtsc() > end)
				panic("CPU %u has answered and does not come on within %u ms", i, ONLINE_WAIT_MS);
			cpu_pause();
		}
}

NORETURN void hv_main(const struct boot_info *bi)
{
	struct failure f = { 0 };

	console_init_early(bi);          /* the log reaches serial and screen */
	machine_check_boot_info(bi);
	log_info("Gnomon hypervisor, image of %lu KiB at %lx", bi->image_size >> 10, bi->image_base);
	host_init(bi);
	frames_init(bi);                 /* every frame has an owner */
	console_leave_screen();
	map_init(bi);                    /* own page tables, W^X */
	console_init_screen(&bi->framebuffer);
	frames_release_boot(bi);
	symbols_init(bi);                /* backtraces have names */
	acpi_host_init(bi->rsdp);
	pci_init();
	serial_find();                   /* a UART that is not COM1 */
	lapic_init();
	ioapic_init();
	clock_init();                    /* the TSC's frequency */
	vtd_init();                      /* interrupts of devices arrive */
	reset_init(bi);
	reset_add_hook(host_disable_cpu);
	panic_add_report("the other CPUs", where_report_others);
	panic_add_report("the guests", report_last_exits);
	sched_init();
	cpu_start_work(this_cpu());
	console_start();                 /* serial by interrupt */
	cpus_start(bi, ap_main);
	wait_for_cpus();
	watch_init(bi->config.watchdog); /* CPUs miss each other */
	if (vms_init(bi, &f))
		log_error("%s", f.text);
	if (bi->config.trace && trace_start(&f))
		log_error("%s", f.text);
	upkeep_init();
	tdx_start();                     /* a module for TDs */
	monitor_init();                  /* a context of its own: starts the guests */
	sched_run();
}
