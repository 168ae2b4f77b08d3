/*
 * Building the area in which secondary vCPUs wait for the wakeup mailbox.
 */
#include "hv/guest/wakeup.h"

#include "hv/guest/guest.h"
#include "hv/guest/loader_parts.h"

_Static_assert(GUEST_MAX_VCPUS * WAKEUP_STACK_SIZE <= PAGE_SIZE, "all stacks fit one page");
_Static_assert(WAKEUP_TABLES + BOOT_IDENTITY_PAGES * PAGE_SIZE == WAKEUP_END, "the identity map is last");
_Static_assert(WAKEUP_END <= GUEST_ACPI_BASE, "below the ACPI tables");

extern const uint8_t wakeup_loop[], wakeup_loop_end[];

int wakeup_build(const struct guest_mem *m, struct failure *f)
{
	int err = boot_clear(m, WAKEUP_BASE, WAKEUP_END - WAKEUP_BASE, f);

	if (!err)
		err = boot_copy(m, WAKEUP_CODE, wakeup_loop, (uint64_t)(wakeup_loop_end - wakeup_loop), f);
	if (!err)
		err = boot_put_identity_map(m, WAKEUP_TABLES, f);
	return err;
}

/* The loop loads what it needs by itself; no GDT is needed until then. */
struct guest_entry wakeup_entry(unsigned index)
{
	return (struct guest_entry){
		.protocol = "ACPI wakeup",
		.mode = ENTRY_LONG,
		.rip = WAKEUP_CODE,
		.rsp = WAKEUP_STACKS + (index + 1) * WAKEUP_STACK_SIZE,
		.cr3 = WAKEUP_TABLES,
		.cs = WAKEUP_CS,
		.ds = WAKEUP_DS,
	};
}
