/*
 * Out of 64-bit mode and back: mode32_run carries out one memory access under whatever paging a
 * struct mode32 asks for, real_mode_run goes on to 16-bit real mode. Everything here lies below
 * 4 GiB and is mapped one to one in all modes.
 */
#include "tests/guests/lib/regs.h"

#define M_CR0 0
#define M_CR3 4
#define M_CR4 8
#define M_ADDRESS 12
#define M_STORE 16
#define M_VALUE 20
#define M_VECTOR 24
#define M_ERROR 28
#define M_CR2 32
#define M_CR0_SEEN 36

#define CR0_PG 0x80000000
#define EFER_LME 0x100

	.text
	.code64
	.globl mode32_run
mode32_run:			/* rdi: struct mode32 */
	movl	$access, next
	jmp	1f

	.globl real_mode_run
real_mode_run:
	movl	$to_real, next
	jmp	1f

1:	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%cr3, %rax
	movl	%eax, saved_cr3
	movq	%cr4, %rax
	movl	%eax, saved_cr4
	movq	%cr0, %rax
	movl	%eax, saved_cr0
	movq	%rsp, saved_rsp
	pushq	$SEL_CODE32
	pushq	$leave_long
	lretq

	.code32
leave_long:			/* compatibility mode */
	movl	$SEL_DATA, %eax
	movl	%eax, %ss
	movl	%eax, %ds
	movl	%eax, %es
	movl	%cr0, %eax
	andl	$~CR0_PG, %eax
	movl	%eax, %cr0
	movl	$0xc0000080, %ecx
	rdmsr
	andl	$~EFER_LME, %eax
	wrmsr
	lidt	idtr32
	jmp	*next

access:
	movl	%esp, saved_esp
	movl	M_CR4(%edi), %eax
	movl	%eax, %cr4
	movl	M_CR3(%edi), %eax
	movl	%eax, %cr3
	movl	%cr0, %eax
	orl	M_CR0(%edi), %eax
	movl	%eax, %cr0
	movl	%cr0, %eax
	movl	%eax, M_CR0_SEEN(%edi)
	movl	M_ADDRESS(%edi), %ebx
	testl	%ebx, %ebx
	jz	to_long
	cmpl	$0, M_STORE(%edi)
	jne	1f
	movl	(%ebx), %eax
	movl	%eax, M_VALUE(%edi)
	jmp	to_long
1:	movl	M_VALUE(%edi), %eax
	movl	%eax, (%ebx)
	jmp	to_long

/* The gates of the 32-bit IDT for #GP and #PF: note and go back. */
gp32:
	movl	$13, M_VECTOR(%edi)
	jmp	1f
pf32:
	movl	$14, M_VECTOR(%edi)
1:	popl	M_ERROR(%edi)
	movl	%cr2, %eax
	movl	%eax, M_CR2(%edi)
	movl	saved_esp, %esp

to_long:
	movl	saved_cr0, %eax
	andl	$~CR0_PG, %eax
	movl	%eax, %cr0
	movl	saved_cr4, %eax
	movl	%eax, %cr4
	movl	saved_cr3, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	saved_cr0, %eax
	movl	%eax, %cr0
	ljmp	$SEL_CODE64, $in_long

	.code64
in_long:
	movl	$SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movq	saved_rsp, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

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
	jmp	to_long

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
saved_rsp:
	.quad	0
saved_esp:
	.long	0
saved_cr0:
	.long	0
saved_cr3:
	.long	0
saved_cr4:
	.long	0
next:
	.long	0
idtr32:
	.word	15 * 8 - 1
	.long	idt32
idtr16:
	.word	0x3ff
	.long	0
	.balign 8
	.globl idt32, gp32, pf32
idt32:
	.skip	15 * 8
