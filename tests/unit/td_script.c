/* The scripted module and host. */
#include "tests/unit/td_script.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "hv/guest/guest.h"
#include "tdx/abi/ghci.h"
#include "tdx/abi/status.h"
#include "tdx/shim/tdcall.h"
#include "tests/unit/support/guest_ram.h"

#include <cmocka.h>

#define PER_FRAME 512

struct td_script td;

void td_script_start(const struct guest_mem *mem)
{
	memset(&td, 0, sizeof(td));
	td.mem = mem;
	td.pages = guest_low_ram_end(mem->ram_size) >> PAGE_SHIFT;
	td.page = calloc(td.pages, 1);
	td.table = calloc(td.pages / PER_FRAME + 1, 1);
	td.info[0] = 48;
	td.info[1] = 1 | (uint64_t)1 << 32;
}

void td_script_end(void)
{
	free(td.page);
	free(td.table);
}

void td_script_measured(gpa_t gpa)
{
	td.page[gpa >> PAGE_SHIFT] = TD_ACCEPTED;
	td.table[gpa / MIB(2)] = true;
}

static void take(uint64_t first, uint64_t count)
{
	memset(&td.page[first], TD_ACCEPTED, count);
	memset(test_guest_at(td.mem, first << PAGE_SHIFT, count << PAGE_SHIFT), 0, count << PAGE_SHIFT);
}

/* A page that the host has not added yet would end in an exit, after which it has. */
static uint64_t accept_low(gpa_t gpa, unsigned level)
{
	uint64_t first = gpa >> PAGE_SHIFT, count = level ? PER_FRAME : 1;

	assert_true(first + count <= td.pages);
	if (level && td.table[gpa / MIB(2)])
		return TDX_PAGE_SIZE_MISMATCH | TDX_RCX;
	if (td.page[first] == TD_ACCEPTED)
		return TDX_PAGE_ALREADY_ACCEPTED | (td.table[gpa / MIB(2)] ? 0 : 1);
	for (uint64_t i = first; i < first + count; i++)
		assert_int_equal(td.page[i], TD_PENDING); /* a shared page would exit for ever */
	if (!level)
		td.table[gpa / MIB(2)] = true;
	take(first, count);
	return TDX_SUCCESS;
}

static uint64_t accept(uint64_t rcx)
{
	gpa_t gpa = rcx & ~PAGE_MASK;
	unsigned level = rcx & TDX_GPA_LEVEL_MASK;

	assert_int_equal(rcx & PAGE_MASK & ~1ul, 0);
	assert_true(is_aligned(gpa, level ? MIB(2) : PAGE_SIZE));
	if (td.bad_count && gpa == td.bad_gpa) {
		td.bad_count--;
		return td.bad_status;
	}
	if (gpa < GUEST_HIGH_RAM_BASE)
		return accept_low(gpa, level);
	assert_int_equal(gpa, GUEST_HIGH_RAM_BASE + td.high_accepted);
	td.high_accepted += level ? MIB(2) : PAGE_SIZE;
	return TDX_SUCCESS;
}

static void make_private(gpa_t start, gpa_t end)
{
	for (gpa_t at = start; at < end; at += PAGE_SIZE)
		if (td.page[at >> PAGE_SHIFT] == TD_SHARED)
			td.page[at >> PAGE_SHIFT] = TD_PENDING;
}

static void map_gpa(struct tdx_regs *r)
{
	gpa_t start = r->gpr[TDX_R12], end = start + r->gpr[TDX_R13], next = start;

	td.map_calls++;
	assert_true(is_aligned(start | end, PAGE_SIZE) && start < end && end <= td.pages << PAGE_SHIFT);
	r->gpr[TDX_R10] = GHCI_RETRY;
	switch (td.map) {
	case MAP_PARTS:
		next = min_u64(end, start + KIB(64));
		break;
	case MAP_OK:
		next = end;
		break;
	case MAP_REFUSE:
		r->gpr[TDX_R10] = GHCI_INVALID_OPERAND;
		return;
	case MAP_BACK:
	case MAP_BEYOND:
	case MAP_UNALIGNED:
		r->gpr[TDX_R11] = td.map == MAP_BACK ? start - PAGE_SIZE : td.map == MAP_BEYOND ? end + PAGE_SIZE :
				  start + 1;
		return;
	case MAP_STALL:
		break;
	}
	make_private(start, next);
	if (next == end)
		r->gpr[TDX_R10] = GHCI_OK;
	r->gpr[TDX_R11] = next;
}

static void fatal(const struct tdx_regs *r)
{
	static const unsigned order[] = { TDX_R14, TDX_R15, TDX_RBX, TDX_RDI, TDX_RSI, TDX_R8, TDX_R9, TDX_RDX };

	assert_int_equal(r->gpr[TDX_R12] >> 63, 0);
	for (unsigned i = 0; i < ARRAY_LEN(order); i++)
		memcpy(td.fatal + 8 * i, &r->gpr[order[i]], 8);
	longjmp(td.fatal_jump, 1);
}

/* The host sees what the mask shows it, and may write to just that. */
static uint64_t vmcall(struct tdx_regs *r)
{
	uint64_t mask = r->gpr[TDX_RCX];

	assert_int_equal(mask & (1 << TDX_RAX | 1 << TDX_RCX | 1 << TDX_RSP | 1 << TDX_RBP), 0);
	assert_int_equal(mask & 0x3c00, 0x3c00);
	assert_int_equal(r->gpr[TDX_R10], 0);
	if (r->gpr[TDX_R11] == GHCI_REPORT_FATAL_ERROR)
		fatal(r);
	if (r->gpr[TDX_R11] == GHCI_MAP_GPA) {
		map_gpa(r);
		return TDX_SUCCESS;
	}
	assert_int_equal(r->gpr[TDX_R11], GHCI_IO);
	assert_true(r->gpr[TDX_R12] == 1 && r->gpr[TDX_R13] == 1 && r->gpr[TDX_R14] == GUEST_PORT_COM1);
	td.out[td.out_len++ % (sizeof(td.out) - 1)] = (char)r->gpr[TDX_R15];
	return TDX_SUCCESS;
}

static uint64_t extend(const struct tdx_regs *r)
{
	if (td.rtmr_status)
		return td.rtmr_status;
	assert_true(is_aligned(r->gpr[TDX_RCX], 64) && td.rtmr_count < ARRAY_LEN(td.rtmr));
	memcpy(td.rtmr[td.rtmr_count], (const void *)r->gpr[TDX_RCX], 48);
	td.rtmr_index[td.rtmr_count++] = (unsigned)r->gpr[TDX_RDX];
	if (td.on_rtmr)
		td.on_rtmr(td.rtmr_count);
	return TDX_SUCCESS;
}

uint64_t tdcall(struct tdx_regs *r)
{
	switch (r->gpr[TDX_RAX]) {
	case TDG_VP_VMCALL:
		return vmcall(r);
	case TDG_MEM_PAGE_ACCEPT:
		return accept(r->gpr[TDX_RCX]);
	case TDG_MR_RTMR_EXTEND:
		return extend(r);
	case TDG_VP_INFO:
		r->gpr[TDX_RCX] = td.info[0];
		r->gpr[TDX_R8] = td.info[1];
		r->gpr[TDX_R9] = td.info[2];
		return td.info_status;
	}
	fail_msg("TDCALL leaf %lu", r->gpr[TDX_RAX]);
	return 0;
}
