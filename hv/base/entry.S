/*
 * Where boot/ enters: 64-bit mode, interrupts off, rdi = physical address of boot_info.
 * Takes the image's own stack and goes to machine_enter.
 */
#include "hv_base_offsets.h"

	.section .text.entry, "ax", @progbits
	/* What boot is to hand over: boot/boot_info.h. */
	.long BOOT_INFO_MAGIC_LOW, BOOT_INFO_MAGIC_HIGH
	.quad BOOT_INFO_SIZE
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
