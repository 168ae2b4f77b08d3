/*
 * TDG.VP.VMCALL<ReportFatalError>: the guest's last words. Guest-Host-Communication Interface for TDX 1.5,
 * "TDG.VP.VMCALL<ReportFatalError>": R12 holds the error code, eight registers up to 64 bytes of text.
 */
#include <string.h>

#include "tdx/abi/ghci.h"
#include "tdx/vp.h"

#define FATAL_CODE BITS(30, 0)
#define TEXT_MAX 64u

static const enum tdx_reg text_regs[] = {
	TDX_R14, TDX_R15, TDX_RBX, TDX_RDI, TDX_RSI, TDX_R8, TDX_R9, TDX_RDX,
};
_Static_assert(ARRAY_LEN(text_regs) * 8 == TEXT_MAX, "eight registers");

/* What a log can bear of any bytes, up to the first 0. */
static void read_text(const struct tdx_regs *r, char text[TEXT_MAX + 1])
{
	char raw[TEXT_MAX];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(text_regs); i++)
		memcpy(raw + 8 * i, &r->gpr[text_regs[i]], 8);
	for (; n < sizeof raw && raw[n]; n++)
		text[n] = raw[n] >= ' ' && raw[n] <= '~' ? raw[n] : '?';
	text[n] = 0;
}

enum exit_result tdx_vmcall_fatal(struct tdx_vcpu *x)
{
	uint64_t code = x->regs.gpr[TDX_R12];
	char text[TEXT_MAX + 1];

	read_text(&x->regs, text);
	if (code & GHCI_FATAL_GPA_VALID)
		vm_stop(x->v.vm, "the guest gave up: error %lx%s%s (it says more at guest-physical %lx)",
			code & FATAL_CODE, text[0] ? ", " : "", text, x->regs.gpr[TDX_R13]);
	else
		vm_stop(x->v.vm, "the guest gave up: error %lx%s%s", code & FATAL_CODE, text[0] ? ", " : "", text);
	return EXIT_YIELD;
}
