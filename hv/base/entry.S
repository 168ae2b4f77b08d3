/*
 * Where boot/ enters: 64-bit mode, interrupts off, rdi = physical address of boot_info.
 * Takes the image's own stack and goes to machine_enter.
 */
#include "hv_base_offsets.h"

	.section .text.entry, "ax", @progbits
	.globl hv_entry
	.type hv_entry, @function
hv_entry:
	cli
	cld
	lea machine_boot_stacks + BOOT_STACK_TOP(%rip), %rsp
	xor %ebp, %ebp
	call machine_enter
	ud2
	.size hv_entry, . - hv_entry
	.section .note.GNU-stack, "", @progbits
