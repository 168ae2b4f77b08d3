/*
 * SEAMCALL, the instruction, with all general registers but RSP. TDX Module base specification, "SEAMCALL
 * Instruction".
 */
#include "vmx/core/registers.inc"

	.text

/* void tdx_seamcall(struct tdx_regs *r): RAX becomes ~0 when the instruction fails (CF), or faults. */
	.globl tdx_seamcall
	.type tdx_seamcall, @function
tdx_seamcall:
	push_preserved_registers
	mov %rdi, %rax
	load_preserved_registers 0
	load_scratch_registers 0
1:	.byte 0x66, 0x0f, 0x01, 0xcf
	jnc 3f
2:	mov $-1, %rax
3:	save_registers 0
	pop_preserved_registers
	ret
	.size tdx_seamcall, . - tdx_seamcall

	.pushsection .fixup, "a"
	.quad 1b, 2b
	.popsection

	.section .note.GNU-stack, "", @progbits
