/*
 * The first C function of a tiny guest in a TD, its page tables, and its #VE handler.
 */
#include "tests/guests/td/lib/td.h"

#include "hv/base/x86.h"
#include "tests/guests/lib/memory.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/trap.h"
#include "tdx/shim/tdcall.h"

#define BP_CMDLINE 0x228
#define BP_E820_ENTRIES 0x1e8
#define BP_E820 0x2d0
#define E820_SIZE 20
#define MULTIBOOT_MAGIC 0x2badb002
#define MULTIBOOT_MEMORY_AND_CMDLINE 5

extern uint64_t boot_pml4[512];
extern uint8_t *td_boot_params;
extern uint32_t multiboot_magic, multiboot_info;
void td_start(void);
void guest_start(void);

volatile struct td_ve td_last_ve;
volatile uint32_t td_ve_count[80];
uint64_t td_shared_bit;

static uint64_t pdpt[512] __attribute__((aligned(4096)));
static uint64_t directories[4][512] __attribute__((aligned(4096)));
static uint32_t multiboot[22];

/* ---- calls ---- */

uint64_t td_leaf(unsigned leaf, struct tdx_regs *r)
{
	r->gpr[TDX_RAX] = leaf;
	return tdcall(r);
}

uint64_t td_leaf3(unsigned leaf, uint64_t rcx, uint64_t rdx, uint64_t r8)
{
	struct tdx_regs r = { .gpr = { [TDX_RCX] = rcx, [TDX_RDX] = rdx, [TDX_R8] = r8 } };

	return td_leaf(leaf, &r);
}

uint64_t td_vmcall(unsigned function, uint64_t a[5])
{
	struct tdx_regs r = { .gpr = { [TDX_RCX] = VMCALL_MASK_R10_R15, [TDX_R11] = function, [TDX_R12] = a[1],
				       [TDX_R13] = a[2], [TDX_R14] = a[3], [TDX_R15] = a[4] } };
	uint64_t status = td_leaf(TDG_VP_VMCALL, &r);

	for (unsigned i = 0; i < 5; i++)
		a[i] = r.gpr[TDX_R11 + i];
	return status ? status : r.gpr[TDX_R10];
}

uint64_t td_accept(uint64_t gpa, unsigned level) { return td_leaf3(TDG_MEM_PAGE_ACCEPT, gpa | level, 0, 0); }

uint64_t td_map_gpa(uint64_t gpa, uint64_t size)
{
	uint64_t end = gpa + size, a[5] = { gpa }, answer;

	do {
		uint64_t next[5] = { 0, a[0], end - a[0] };

		answer = td_vmcall(GHCI_MAP_GPA, next);
		a[0] = next[0];
	} while (answer == GHCI_RETRY);
	return answer;
}

void td_map_shared(uint64_t va, uint64_t gpa) { page_map(va, gpa | td_shared_bit, PTE_P | PTE_W); }

/* ---- #VE ---- */

/* By instruction encoding; RSP is in the frame of the exception. */
static uint64_t *reg_of(struct frame *f, unsigned number)
{
	uint64_t *const reg[] = { &f->rax, &f->rcx, &f->rdx, &f->rbx, &f->rsp, &f->rbp, &f->rsi, &f->rdi,
				  &f->r8, &f->r9, &f->r10, &f->r11, &f->r12, &f->r13, &f->r14, &f->r15 };

	return reg[number];
}

static bool ve_cpuid(struct frame *f)
{
	uint64_t a[5] = { 0, (uint32_t)f->rax, (uint32_t)f->rcx };

	if (td_vmcall(GHCI_CPUID, a) != GHCI_OK)
		return false;
	f->rax = (uint32_t)a[1];
	f->rbx = (uint32_t)a[2];
	f->rcx = (uint32_t)a[3];
	f->rdx = (uint32_t)a[4];
	return true;
}

/* SDM "Exit Qualification for I/O Instructions". String instructions are not used. */
static bool ve_io(struct frame *f, uint64_t qualification)
{
	unsigned size = (qualification & 7) + 1;
	bool in = qualification & BIT(3);
	uint64_t mask = size == 4 ? 0xffffffff : BIT(8 * size) - 1;
	uint64_t a[5] = { 0, size, !in, qualification >> 16 & 0xffff, f->rax & mask };

	if (qualification & BIT(4) || td_vmcall(GHCI_IO, a) != GHCI_OK)
		return false;
	if (in)
		f->rax = (size == 4 ? 0 : f->rax & ~mask) | (a[0] & mask);
	return true;
}

static bool ve_msr(struct frame *f, bool write)
{
	uint64_t a[5] = { 0, (uint32_t)f->rcx, f->rdx << 32 | (uint32_t)f->rax };

	if (td_vmcall(write ? GHCI_WRMSR : GHCI_RDMSR, a) != GHCI_OK)
		return false;
	if (!write) {
		f->rax = (uint32_t)a[0];
		f->rdx = a[0] >> 32;
	}
	return true;
}

/* MOV of 32 bits between a register and (register), two bytes long: what the compiler makes of volatile
 * accesses through a pointer in a low register. */
static bool ve_mmio(struct frame *f, uint64_t gpa, uint32_t *length)
{
	const uint8_t *code = (const uint8_t *)f->rip;
	bool write = code[0] == 0x89;
	uint64_t *reg = reg_of(f, code[1] >> 3 & 7);
	uint64_t a[5] = { 0, 4, write, gpa, (uint32_t)*reg };

	if ((code[0] != 0x89 && code[0] != 0x8b) || code[1] >> 6 != 0 || td_vmcall(GHCI_MMIO, a) != GHCI_OK)
		return false;
	if (!write)
		*reg = (uint32_t)a[0];
	*length = 2;
	return true;
}

static bool ve_hlt(const struct frame *f)
{
	uint64_t a[5] = { 0, !(f->rflags & RFLAGS_IF) };

	return td_vmcall(GHCI_HLT, a) == GHCI_OK;
}

static bool ve_emulate(struct frame *f, const struct td_ve *ve, uint32_t *length)
{
	switch (ve->reason) {
	case GHCI_CPUID:
		return ve_cpuid(f);
	case GHCI_HLT:
		return ve_hlt(f);
	case GHCI_IO:
		return ve_io(f, ve->qualification);
	case GHCI_RDMSR:
	case GHCI_WRMSR:
		return ve_msr(f, ve->reason == GHCI_WRMSR);
	case GHCI_MMIO:
		return ve_mmio(f, ve->gpa, length);
	}
	return false;
}

/* TRY sees what the host refuses as an exception of vector 20. */
static void on_ve(struct frame *f)
{
	struct tdx_regs r = { 0 };
	struct td_ve ve;
	uint64_t status = td_leaf(TDG_VP_VEINFO_GET, &r);

	ve = (struct td_ve){ r.gpr[TDX_RCX], r.gpr[TDX_RDX], r.gpr[TDX_R8], r.gpr[TDX_R9],
			     (uint32_t)r.gpr[TDX_R10] };
	td_last_ve = ve;
	if (!status && ve.reason < ARRAY_LEN(td_ve_count)) {
		td_ve_count[ve.reason]++;
		if (ve_emulate(f, &ve, &ve.length)) {
			f->rip += ve.length;
			return;
		}
	}
	fault.vector = VEC_VE;
	if (!trap_resume) {
		report(false, "unexpected-ve", "reason %lu, status %lx, gpa %lx, rip %lx", ve.reason, status, ve.gpa,
		       f->rip);
		finish();
	}
	f->rip = trap_resume;
	f->rsp = trap_resume_rsp;
}

/* ---- the beginning ---- */

static void make_tables(void)
{
	boot_pml4[0] = (uint64_t)pdpt | PTE_P | PTE_W | PTE_U;
	for (unsigned i = 0; i < 4; i++) {
		pdpt[i] = (uint64_t)directories[i] | PTE_P | PTE_W | PTE_U;
		for (unsigned j = 0; j < 512; j++)
			directories[i][j] = (i * GIB(1) + j * MIB(2)) | PTE_P | PTE_W | PTE_U | PTE_PS;
	}
	write_cr3((uint64_t)boot_pml4);
}

/* The library reads what a Multiboot loader says: RAM above 1 MiB and the command line. */
static void translate_boot_params(void)
{
	const uint8_t *entry = td_boot_params + BP_E820;

	multiboot[0] = MULTIBOOT_MEMORY_AND_CMDLINE;
	memcpy(&multiboot[4], td_boot_params + BP_CMDLINE, 4);
	for (unsigned i = 0; i < td_boot_params[BP_E820_ENTRIES]; i++, entry += E820_SIZE) {
		uint64_t base, size;

		memcpy(&base, entry, 8);
		memcpy(&size, entry + 8, 8);
		if (base == MIB(1))
			multiboot[2] = (uint32_t)(size >> 10);
	}
	multiboot_magic = MULTIBOOT_MAGIC;
	multiboot_info = (uint32_t)(uint64_t)multiboot;
}

void td_start(void)
{
	struct tdx_regs r = { 0 };

	make_tables();
	translate_boot_params();
	trap_init();
	trap_set(VEC_VE, on_ve);
	td_leaf(TDG_VP_INFO, &r);
	td_shared_bit = BIT(r.gpr[TDX_RCX] - 1);
	guest_start();
}
