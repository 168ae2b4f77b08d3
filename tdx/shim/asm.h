/*
 * TDCALL for assembly: the instruction, which assemblers do not know yet, and the one call that is made
 * where there is no stack.
 */
#ifndef TDX_SHIM_ASM_H
#define TDX_SHIM_ASM_H

#define TDCALL .byte 0x66, 0x0f, 0x01, 0xcc

/*
 * TDG.VP.VMCALL<HLT> with interrupts blocked: the host lets the vCPU run again after a millisecond, for there
 * is nothing else that could wake it. R10..R12 are told the host; RAX and RCX change too.
 */
#define TD_REST \
	xor %eax, %eax; \
	mov $0x1c00, %ecx; \
	xor %r10d, %r10d; \
	mov $12, %r11d; \
	mov $1, %r12d; \
	TDCALL

#endif
