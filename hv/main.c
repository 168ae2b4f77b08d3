/*
 * Start-up of the hypervisor: the list of steps, in order. Each step says in the log what it found.
 */
#include "drivers/ioapic.h"
#include "drivers/lapic.h"
#include "drivers/pci.h"
#include "hv/base/acpi_host.h"
#include "hv/base/clock.h"
#include "hv/base/frame.h"
#include "hv/base/log.h"
#include "hv/base/machine.h"
#include "hv/base/map.h"
#include "hv/base/panic.h"
#include "hv/base/phys.h"
#include "hv/base/smp.h"
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
#include "hv/upkeep.h"
#include "hv/vm_life.h"

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
	reset_init(bi);
	reset_add_hook(host_disable_cpu);
	panic_add_report(report_last_exits);
	sched_init();
	cpu_start_work(this_cpu());
	console_start();                 /* serial by interrupt */
	cpus_start(bi, ap_main);
	if (vms_init(bi, &f))
		log_error("%s", f.text);
	upkeep_init();
	tdx_start();                     /* a module for TDs */
	monitor_init();                  /* a context of its own: starts the guests */
	sched_run();
}
