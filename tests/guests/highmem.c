/*
 * Proves memory above 4 GiB: that the memory map tells of it, that every page of it is its own and no other
 * name of low memory, and that code, page tables, strings and ports reach it. Option high=MIB: how much there is.
 * And a slot that is read-only, which it has where it is run, by the build of tests/boot/provoke: reads and fetches
 * are served, writes are dropped, as by the ROM of a PC.
 */
#include <stddef.h>

#include "hv/base/x86.h"
#include "hv/guest/e820.h"
#include "hv/guest/guest.h"
#include "tests/boot/provoke/memory.h"
#include "tests/guests/lib/option.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"

const char guest_name[] = "highmem";

#define STRIDE (MIB(1) + 3 * PAGE_SIZE)
#define BASE GUEST_HIGH_RAM_BASE
#define RET 0xc3
#define UART_SCRATCH (GUEST_PORT_COM1 + 7)
#define INFO_MMAP_LENGTH 11 /* words of the Multiboot information */
#define INFO_MMAP_ADDR 12

extern uint64_t boot_pml4[512];
extern uint32_t multiboot_info;

static uint64_t high_pd[512] __attribute__((aligned(4096))), rom_pd[512] __attribute__((aligned(4096)));
static uint64_t size;

static volatile uint64_t *at(uint64_t address) { return (volatile uint64_t *)address; }

static uint64_t mark(uint64_t address) { return address * 0x9e3779b97f4a7c15u ^ 0x5555; }

/* Bytes of RAM that the loader's map has from base on. */
static uint64_t mapped_ram(uint64_t base)
{
	const uint32_t *info = (const uint32_t *)(uint64_t)multiboot_info;
	uint64_t next = info[INFO_MMAP_ADDR], end = next + info[INFO_MMAP_LENGTH];

	for (; next < end; next += *(const uint32_t *)next + sizeof(uint32_t)) {
		const struct e820_entry *e = (const void *)(next + sizeof(uint32_t));

		if (e->base == base && e->type == E820_RAM)
			return e->size;
	}
	return 0;
}

/* A GiB one to one, by 2 MiB pages. */
static void map_gib(uint64_t base, uint64_t *pd)
{
	uint64_t *pdpt = (uint64_t *)(boot_pml4[0] & BITS(51, 12));

	for (unsigned i = 0; i < 512; i++)
		pd[i] = (base + i * MIB(2)) | PTE_P | PTE_W | PTE_PS;
	pdpt[base >> 30] = (uint64_t)pd | PTE_P | PTE_W;
	write_cr3(read_cr3());
}

/* What has the same low 32 bits is written to as well. */
static void test_stride(void)
{
	uint64_t wrong = 0, dirty = 0, low = 0;

	for (uint64_t a = FREE_MEMORY; a + 8 <= size; a += STRIDE) {
		dirty += *at(BASE + a) != 0;
		*at(BASE + a) = mark(BASE + a);
	}
	for (uint64_t a = FREE_MEMORY; a + 8 <= PROVOKE_LOW_RAM_END; a += STRIDE)
		*at(a) = mark(a);
	for (uint64_t a = FREE_MEMORY; a + 8 <= size; a += STRIDE)
		wrong += *at(BASE + a) != mark(BASE + a);
	for (uint64_t a = FREE_MEMORY; a + 8 <= PROVOKE_LOW_RAM_END; a += STRIDE)
		low += *at(a) != mark(a);
	report_equal("fresh-memory-is-clear", dirty, 0);
	report_equal("every-page-is-its-own", wrong, 0);
	report_equal("low-memory-is-another", low, 0);
}

static void test_ends(void)
{
	*at(BASE) = mark(BASE);
	*at(BASE + size - 8) = mark(BASE + size);
	*at(PROVOKE_LOW_RAM_END - 8) = mark(PROVOKE_LOW_RAM_END);
	report_equal("first-bytes", *at(BASE), mark(BASE));
	report_equal("last-bytes", *at(BASE + size - 8), mark(BASE + size));
	report_equal("last-bytes-below-the-hole", *at(PROVOKE_LOW_RAM_END - 8), mark(PROVOKE_LOW_RAM_END));
	*at(BASE + size) = 1;
	report_equal("nothing-behind", *at(BASE + size), ~0ul);
	*at(PROVOKE_LOW_RAM_END) = 1;
	report_equal("nothing-in-the-hole", *at(PROVOKE_LOW_RAM_END), ~0ul);
}

static void test_reached(void)
{
	uint64_t from = FREE_MEMORY + 0x345, to = BASE + MIB(2) - 0x123, n = 2 * PAGE_SIZE, different = 0;
	uint8_t *code = (uint8_t *)(BASE + MIB(6));

	for (uint64_t i = 0; i < n; i++)
		*(volatile uint8_t *)(from + i) = (uint8_t)mark(i);
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	for (uint64_t i = 1; i <= 2 * PAGE_SIZE; i++)
		different += *(volatile uint8_t *)(to - i) != *(volatile uint8_t *)(from - i);
	report_equal("string-from-low-memory", different, 0);
	__asm__ volatile("call *%0" : : "r"(({ *code = RET; code; })) : "memory");
	report(true, "code-runs", "yes");
	outb(UART_SCRATCH, 0x5a);
	to = BASE + MIB(8) - 4;
	n = 8;
	__asm__ volatile("rep insb" : "+D"(to), "+c"(n) : "d"(UART_SCRATCH) : "memory");
	report_equal("port-string", *at(BASE + MIB(8) - 4), 0x5a5a5a5a5a5a5a5a);
	*(volatile uint32_t *)GUEST_IOAPIC_BASE = 1; /* the version register */
	__asm__ volatile("movsl" : "=D"(to), "=S"(from) : "0"(BASE + MIB(10)), "1"(GUEST_IOAPIC_BASE + 0x10) : "memory");
	report_equal("device-to-memory", *at(BASE + MIB(10)) >> 16, GUEST_IOAPIC_PINS - 1);
}

/* The tables themselves above 4 GiB, the top one included. */
static void test_tables(void)
{
	uint64_t *pml4 = (uint64_t *)(BASE + MIB(12)), *pdpt = pml4 + 512, *pd = pdpt + 512, *pt = pd + 512;
	const uint64_t va = 5ul << 39, page = BASE + MIB(14);

	for (unsigned i = 0; i < 512; i++)
		pml4[i] = boot_pml4[i];
	pml4[5] = (uint64_t)pdpt | PTE_P | PTE_W;
	pdpt[0] = (uint64_t)pd | PTE_P | PTE_W;
	pd[0] = (uint64_t)pt | PTE_P | PTE_W;
	pt[0] = page | PTE_P | PTE_W;
	write_cr3((uint64_t)pml4);
	*at(va) = 77;
	report_equal("by-high-tables", *at(page), 77);
	report_equal("dirty-in-a-high-table", pt[0] & (PTE_A | PTE_D), PTE_A | PTE_D);
	pt[0] = (page + PAGE_SIZE) | PTE_P | PTE_W;
	invlpg((void *)va);
	report_equal("remapped-by-a-high-table", *at(va), 0);
	write_cr3((uint64_t)boot_pml4);
}

/* Every kind of write, of pages read before and of those that were not. */
static void test_rom(void)
{
	const uint64_t rom = PROVOKE_ROM, value = 0x1122334455667788;
	uint64_t one = 1, to = rom + 0x3000 - 8, n = 2;

	map_gib(rom, rom_pd);
	*at(BASE) = value;
	*at(BASE + 0x2000) = value;
	*at(BASE + MIB(2)) = value;
	*(volatile uint8_t *)(BASE + 0x4000) = RET;
	*at(rom + MIB(2)) = 1; /* not read before */
	report_equal("rom-first-write-dropped", *at(rom + MIB(2)), value);
	report_equal("rom-read", *at(rom), value);
	*at(rom) = 2;
	report_equal("rom-write-dropped", *at(rom), value);
	*(volatile uint8_t *)(rom + 1) = 0;
	report_equal("rom-byte-write-dropped", *at(rom), value);
	__asm__ volatile("lock xaddq %0, %1" : "+r"(one), "+m"(*at(rom)) : : "memory");
	report_equal("rom-locked-reads", one, value);
	report_equal("rom-locked-write-dropped", *at(rom), value);
	__asm__ volatile("orl $15, %0" : "+m"(*(volatile uint32_t *)(rom + 0x2000)));
	report_equal("rom-read-modify-write-dropped", *at(rom + 0x2000), value);
	__asm__ volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(5ul) : "memory");
	report_equal("rom-string-goes-on", n, 0);
	report_equal("rom-string-dropped", *at(BASE + 0x3000 - 8) | *at(BASE + 0x3000), 0);
	__asm__ volatile("call *%0" : : "r"(rom + 0x4000) : "memory");
	report(true, "rom-code-runs", "yes");
	report_equal("ram-below-the-rom", *at(BASE), value);
	*at(BASE) = 9;
	report_equal("rom-shows-its-memory", *at(rom), 9);
}

void guest_main(void)
{
	size = mapped_ram(BASE);
	report_equal("high-memory-as-asked", size, MIB(option_number("high", 0)));
	report_equal("low-memory-up-to-the-hole", MIB(1) + memory_above_1m(), PROVOKE_LOW_RAM_END);
	if (!CHECK("enough-to-try", size >= MIB(32) && size < GIB(1)))
		return;
	map_gib(BASE, high_pd);
	test_ends();
	test_stride();
	test_reached();
	test_tables();
	test_rom();
}
