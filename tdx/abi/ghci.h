/*
 * What a TD asks of its host by TDG.VP.VMCALL with R10 = 0: R11 names the function, R10 of the answer says how
 * it went. Guest-Host-Communication Interface for TDX 1.5, "TDG.VP.VMCALL Interface".
 */
#ifndef TDX_ABI_GHCI_H
#define TDX_ABI_GHCI_H

#include "hv/base/types.h"

/* R11. Those below 10000h are exit reasons of the instruction that a #VE stood for. */
enum ghci_function {
	GHCI_CPUID = 10,
	GHCI_HLT = 12,
	GHCI_IO = 30,
	GHCI_RDMSR = 31,
	GHCI_WRMSR = 32,
	GHCI_MMIO = 48,
	GHCI_GET_TD_VMCALL_INFO = 0x10000,
	GHCI_MAP_GPA = 0x10001,
	GHCI_GET_QUOTE = 0x10002,
	GHCI_REPORT_FATAL_ERROR = 0x10003,
	GHCI_SETUP_EVENT_NOTIFY = 0x10004,
	GHCI_SERVICE = 0x10005,
};

/* R10 of the answer. */
#define GHCI_OK 0ul
#define GHCI_RETRY 1ul
#define GHCI_INVALID_OPERAND 0x8000000000000000ul
#define GHCI_ALIGN_ERROR 0x8000000000000002ul
#define GHCI_SUBFUNC_UNSUPPORTED 0x8000000000000003ul

#define GHCI_FATAL_GPA_VALID BIT(63) /* of R12 */

#endif
