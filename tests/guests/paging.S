/*
 * From 64-bit mode on to 16-bit real mode, where a few things are tried, and back.
 */
#include "tests/guests/lib/regs.h"

	.text
	.code64
	.globl real_mode_run
real_mode_run:
	movl	$to_real, mode32_next
	jmp	mode32_leave

	.code32
to_real:
	lidt	idtr16
	ljmp	$SEL_CODE16, $real_entry - real_code

	.globl real_back
real_back:			/* 32-bit code again */
	movl	$SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	jmp	mode32_back

/* Copied to TRAMPOLINE. Results go to REAL_RESULTS as words. */
	.code16
	.globl real_code, real_code_end, real_isr
real_code:
real_entry:			/* 16-bit protected mode, CS based at TRAMPOLINE */
	movw	$SEL_DATA16, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	%ax, %fs
	movw	%ax, %gs
	movl	%cr0, %eax
	andb	$0xfe, %al
	movl	%eax, %cr0
	ljmp	$TRAMPOLINE >> 4, $real_mode - real_code
real_mode:
	movw	%cs, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movl	$0xff0, %esp
	movw	$0x9000 >> 4, %ax
	movw	%ax, %es
	movw	$0x1234, %es:0		/* real mode was reached */
	movl	%cr0, %eax
	movw	%ax, %es:2
	int	$0x60			/* by the table at 0 */
	movw	%bx, %es:4
	movl	$1, %eax
	cpuid				/* an exit in real mode */
	movw	%dx, %es:6
	movw	$0x3ff, %dx		/* the UART's scratch register */
	movb	$0x5c, %al
	outb	%al, %dx
	xorb	%al, %al
	inb	%dx, %al
	xorb	%ah, %ah
	movw	%ax, %es:8
	movl	$0xabcd, %esi		/* a 32-bit store */
	movl	%esi, %es:12
	movw	%es, %ax
	movw	%ax, %es:16
	cli
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$SEL_CODE32, $real_back
real_isr:
	movw	$0x4321, %bx
	iretw
real_code_end:

	.data
	.balign 8
idtr16:
	.word	0x3ff
	.long	0
