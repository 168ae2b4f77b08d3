/*
 * Page tables of a tiny guest.
 */
#include "tests/guests/lib/paging.h"

#include "hv/base/x86.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"

#define TABLES 32
#define ENTRY_ADDRESS BITS(51, 12)
#define MULTIBOOT_HAS_MEMORY 1

extern uint64_t boot_pml4[512];
extern uint32_t multiboot_info;

static uint64_t tables[TABLES][512] __attribute__((aligned(4096)));
static unsigned tables_used;

static uint64_t *new_table(void)
{
	if (tables_used == TABLES) {
		report(false, "out-of-page-tables", "the guest needs more than %u", TABLES);
		finish();
	}
	return tables[tables_used++];
}

/* The next lower table; a large page becomes a table of pages half a level down. */
static uint64_t *descend(uint64_t *entry, unsigned shift)
{
	if (!(*entry & PTE_P)) {
		*entry = (uint64_t)new_table() | PTE_P | PTE_W | PTE_U;
	} else if (shift < 39 && *entry & PTE_PS) {
		uint64_t *t = new_table();
		uint64_t flags = (*entry & ~ENTRY_ADDRESS) & (shift == 21 ? ~PTE_PS : ~0ul);
		for (unsigned i = 0; i < 512; i++)
			t[i] = ((*entry & ENTRY_ADDRESS) + ((uint64_t)i << (shift - 9))) | flags;
		*entry = (uint64_t)t | PTE_P | PTE_W | PTE_U;
	}
	return (uint64_t *)(*entry & ENTRY_ADDRESS);
}

uint64_t *page_entry_at(uint64_t va)
{
	uint64_t *table = boot_pml4;

	for (unsigned shift = 39; shift > 12; shift -= 9)
		table = descend(&table[va >> shift & 511], shift);
	return &table[va >> 12 & 511];
}

void page_map(uint64_t va, uint64_t pa, uint64_t flags)
{
	*page_entry_at(va) = flags ? pa | flags : 0;
	invlpg((void *)va);
}

uint64_t page_entry(uint64_t va) { return *page_entry_at(va); }

uint64_t fresh_memory(void)
{
	static uint64_t next = FREE_MEMORY;

	next += MIB(2);
	return next - MIB(2);
}

uint64_t memory_above_1m(void)
{
	const uint32_t *info = (const uint32_t *)(uint64_t)multiboot_info;
	return info[0] & MULTIBOOT_HAS_MEMORY ? KIB(info[2]) : 0;
}
