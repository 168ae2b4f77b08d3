/*
 * The calls of the shim, by leaf.
 */
#include "tdx/shim/tdcall.h"

#include <string.h>

#include "hv/guest/guest.h"
#include "tdx/abi/ghci.h"
#include "tdx/abi/status.h"

#define GPAW_MIN 33 /* the shared bit is above the first 4 GiB */
#define GPAW_MAX 52

/* How often the host may answer MapGPA with RETRY and no progress. */
#define MAP_RETRIES 1000

#define PORT_WRITE 1
#define FATAL_CODE 1 /* GHCI "ReportFatalError": of the TD's own; 0 would be a panic */

/* R11 and the operands are set by the caller. Returns R10 of the answer, or the status of a call that failed. */
static uint64_t vmcall(struct tdx_regs *r, uint32_t mask)
{
	uint64_t status;

	r->gpr[TDX_RAX] = TDG_VP_VMCALL;
	r->gpr[TDX_RCX] = mask;
	r->gpr[TDX_R10] = 0;
	status = tdcall(r);
	return status ? status : r->gpr[TDX_R10];
}

int td_info_get(struct td_info *info, struct failure *f)
{
	struct tdx_regs r = { .gpr[TDX_RAX] = TDG_VP_INFO };
	uint64_t status = tdcall(&r);

	if (status)
		return fail(f, -EIO, "VP.INFO failed: %lxh", status);
	if (r.gpr[TDX_RCX] < GPAW_MIN || r.gpr[TDX_RCX] > GPAW_MAX)
		return fail(f, -EIO, "addresses of %lu bits", r.gpr[TDX_RCX]);
	info->gpaw = (uint32_t)r.gpr[TDX_RCX];
	info->index = (uint32_t)r.gpr[TDX_R9];
	info->max_vcpus = (uint32_t)(r.gpr[TDX_R8] >> 32);
	return 0;
}

int td_rtmr_extend(unsigned rtmr, const uint8_t *digest, struct failure *f)
{
	struct tdx_regs r = { .gpr = { [TDX_RAX] = TDG_MR_RTMR_EXTEND, [TDX_RCX] = (uintptr_t)digest,
				       [TDX_RDX] = rtmr } };
	uint64_t status = tdcall(&r);

	return status ? fail(f, -EIO, "RTMR[%u] not extended: %lxh", rtmr, status) : 0;
}

int td_map_private(gpa_t start, gpa_t end, struct failure *f)
{
	gpa_t at = start;
	unsigned tries = 0;

	while (at < end) {
		struct tdx_regs r = { .gpr = { [TDX_R11] = GHCI_MAP_GPA, [TDX_R12] = at, [TDX_R13] = end - at } };
		uint64_t answer = vmcall(&r, VMCALL_MASK_R10_R15), next = r.gpr[TDX_R11];

		if (answer == GHCI_OK)
			return 0;
		if (answer != GHCI_RETRY || next < at || next > end || !is_aligned(next, PAGE_SIZE))
			return fail(f, -EIO, "host keeps %lxh shared: %lxh", at, answer);
		if (next == at && ++tries == MAP_RETRIES)
			return fail(f, -EIO, "host never makes %lxh private", at);
		at = next;
	}
	return 0;
}

static void put_byte(char byte)
{
	struct tdx_regs r = { .gpr = { [TDX_R11] = GHCI_IO, [TDX_R12] = 1, [TDX_R13] = PORT_WRITE,
				       [TDX_R14] = GUEST_PORT_COM1, [TDX_R15] = (uint8_t)byte } };

	vmcall(&r, VMCALL_MASK_R10_R15);
}

void td_print(const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			put_byte('\r');
		put_byte(*text);
	}
}

/* The host shows eight registers' worth of text; should it go on nevertheless, it is told again. */
void td_fatal(const char *text)
{
	static const uint8_t place[] = { TDX_R14, TDX_R15, TDX_RBX, TDX_RDI, TDX_RSI, TDX_R8, TDX_R9, TDX_RDX };
	char words[ARRAY_LEN(place) * 8] = { 0 };

	memcpy(words, text, strnlen(text, sizeof(words)));
	for (;;) {
		struct tdx_regs r = { .gpr = { [TDX_R11] = GHCI_REPORT_FATAL_ERROR, [TDX_R12] = FATAL_CODE } };

		for (unsigned i = 0; i < ARRAY_LEN(place); i++)
			memcpy(&r.gpr[place[i]], words + 8 * i, 8);
		vmcall(&r, VMCALL_MASK);
	}
}
