/*
 * Steps of start-up that put a pure part to work on this machine: memory, symbols, ACPI. Owns the
 * host's ACPI facts.
 */
#include "hv/base/machine.h"

#include "boot/boot_info.h"
#include "drivers/uart.h"
#include "hv/base/acpi_host.h"
#include "hv/base/failure.h"
#include "hv/base/format.h"
#include "hv/base/frame.h"
#include "hv/base/log.h"
#include "hv/base/map.h"
#include "hv/base/phys.h"
#include "hv/base/symbols.h"

static struct acpi_host acpi;

void machine_give_up(const char *fmt, ...)
{
	struct failure f;
	va_list args;

	va_start(args, fmt);
	vformat(f.text, sizeof f.text, fmt, args);
	va_end(args);
	log_error("Gnomon cannot start: %s", f.text);
	uart_flush();
	for (;;)
		__asm__ volatile("cli; hlt");
}

void frames_init(const struct boot_info *bi)
{
	struct failure f;

	if (frames_build(bi, &f))
		machine_give_up("%s", f.text);
	log_info("memory: %lu MiB free, %lu MiB of them in one piece", frame_count(OWNER_FREE) >> 8,
		 frame_largest_free_run() >> 8);
}

void symbols_init(const struct boot_info *bi)
{
	struct failure f;

	if (!bi->elf.base)
		log_warn("symbols: boot left no ELF file: backtraces will have no names");
	else if (symbols_read(phys_to_virt(bi->elf.base), bi->elf.size, &f))
		log_warn("symbols: %s", f.text);
}

/* RAM is in the map already; tables that firmware keeps elsewhere get a mapping of their own. */
static const void *map_firmware(hpa_t pa, uint64_t len)
{
	return map_has_ram(pa, len) ? phys_to_virt(pa) : map_device(pa, len, MAP_WRITE_BACK);
}

void acpi_host_init(hpa_t rsdp)
{
	struct failure f;

	acpi_host_defaults(&acpi);
	if (!rsdp)
		log_info("acpi: the firmware has no tables: taking a PC's defaults");
	else if (acpi_host_read(&acpi, rsdp, map_firmware, &f))
		log_warn("acpi: %s", f.text);
}

const struct acpi_host *acpi_host(void) { return &acpi; }
