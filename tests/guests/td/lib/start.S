/*
 * A tiny guest for TDs, as a kernel of the Linux boot protocol: the header of a bzImage, and its 64-bit entry
 * at offset 200h of what the header announces. Then to C on the segments and the stack of lib/start.S.
 */
#include "tests/guests/lib/regs.h"

#define CR0_MORE 0x00010012 /* WP ET MP; PG, NE and PE are on, and NE and PE must stay so in a TD */
#define CR4_MORE 0x600      /* OSFXSR OSXMMEXCPT; MCE must stay on */
#define STACK_SIZE 16384

	.section .setup, "a"
	.org 0x1f1
	.byte 1                         /* setup_sects */
	.word 0
	.long td_syssize                /* in units of 16 bytes: td.ld */
	.word 0, 0, 0
	.word 0xaa55
	.byte 0xeb, 0x66
	.ascii "HdrS"
	.word 0x20c                     /* version */
	.org 0x211
	.byte 1                         /* loadflags: LOADED_HIGH */
	.org 0x214
	.long 0x100000                  /* code32_start */
	.org 0x22c
	.long 0x7fffffff                /* initrd_addr_max */
	.long 0x200000
	.byte 0, 0
	.word 1                         /* xloadflags: XLF_KERNEL_64 */
	.long 2047                      /* cmdline_size */
	.org 0x258
	.quad 0x100000                  /* pref_address */
	.long td_init_size
	.org 0x400

	.section .head, "ax"
	.org 0x200
	.code64
	cli
	cld
	mov %rsi, td_boot_params
	lgdt boot_gdtr
	mov $SEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov $td_stack + STACK_SIZE, %esp
	mov %cr0, %rax
	or $CR0_MORE, %eax
	mov %rax, %cr0
	mov %cr4, %rax
	or $CR4_MORE, %eax
	mov %rax, %cr4
	push $SEL_CODE64
	push $1f
	lretq
1:	xor %ebp, %ebp
	call td_start

	.bss
	.balign 16
td_stack:
	.skip STACK_SIZE
	.globl td_boot_params
td_boot_params:
	.skip 8
	.section .note.GNU-stack, "", @progbits
