/*
 * The steps out of 64-bit mode, the operations of mode32(), and the steps back. Everything here lies below
 * 4 GiB and is mapped one to one in all modes. ESI: the operation under way.
 */
#include "tests/guests/lib/regs.h"

#define M_CR0 0
#define M_CR3 4
#define M_CR4 8
#define M_EFER 12
#define M_OPS 16
#define M_COUNT 20
#define M_CR0_SEEN 24
#define M_ENTRY 28

#define OP_KIND 0
#define OP_ADDRESS 4
#define OP_VALUE 8
#define OP_VECTOR 12
#define OP_ERROR 16
#define OP_CR2 20
#define OP_SIZE 32
#define KIND_USER_LOAD 3

#define CR0_PG 0x80000000
#define EFER_LME 0x100

	.text
	.code64
	.globl mode32_run
mode32_run:			/* rdi: struct mode32 */
	movl	$enter, mode32_next
	.globl mode32_leave
mode32_leave:			/* goes on at mode32_next in 32-bit protected mode */
	pushq	%rbx
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
	movl	$0xc0000080, %ecx
	rdmsr
	movl	%eax, saved_efer
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
	lidt	idtr32
	jmp	*mode32_next

enter:
	movl	%esp, saved_esp
	leal	M_ENTRY(%edi), %esi
	movl	$0xc0000080, %ecx
	xorl	%edx, %edx
	movl	saved_efer, %eax
	andl	$~0x900, %eax		/* LME, NXE */
	orl	M_EFER(%edi), %eax
	wrmsr
	movl	M_CR4(%edi), %eax
	movl	%eax, %cr4
	movl	M_CR3(%edi), %eax
	movl	%eax, %cr3
	movl	%cr0, %eax
	andl	$~0x10000, %eax		/* WP */
	orl	M_CR0(%edi), %eax
	movl	%eax, %cr0
	movl	%cr0, %eax
	movl	%eax, M_CR0_SEEN(%edi)
	movl	M_COUNT(%edi), %ebp
	movl	M_OPS(%edi), %esi
	subl	$OP_SIZE, %esi

next_op:
	addl	$OP_SIZE, %esi
	decl	%ebp
	js	mode32_back
	movl	OP_ADDRESS(%esi), %ebx
	movl	OP_VALUE(%esi), %eax
	movl	OP_KIND(%esi), %ecx
	jmp	*kinds(,%ecx,4)
	.balign 4
kinds:
	.long	load, store, call, user_load, user_store, user_call, flush, set_cr3, set_cr4, set_cr0

load:
	movl	(%ebx), %eax
	movl	%eax, OP_VALUE(%esi)
	jmp	next_op
store:
	movl	%eax, (%ebx)
	jmp	next_op
call:
	jmp	*%ebx
flush:
	invlpg	(%ebx)
	jmp	next_op
set_cr3:
	movl	%eax, %cr3
	jmp	next_op
set_cr4:
	movl	%eax, %cr4
	jmp	next_op
set_cr0:
	movl	%eax, %cr0
	jmp	next_op

user_load:
	movl	$ring3_load, %edx
	jmp	to_ring3
user_store:
	movl	$ring3_store, %edx
	jmp	to_ring3
user_call:
	movl	$ring3_call, %edx
to_ring3:
	movl	$SEL_USER_DATA, %ecx
	movl	%ecx, %ds
	movl	%ecx, %es
	pushl	%ecx
	pushl	%esp
	pushl	$2
	pushl	$SEL_USER_CODE32
	pushl	%edx
	iretl
ring3_load:
	movl	(%ebx), %eax
	ud2
ring3_store:
	movl	%eax, (%ebx)
	ud2
ring3_call:
	jmp	*%ebx

/* The gates of the 32-bit IDT for #UD, #GP and #PF. #UD is what a completed jump or ring 3 access ends in. */
	.globl mode32_ud, mode32_gp, mode32_pf
mode32_ud:
	pushl	$0
	xorl	%ecx, %ecx
	jmp	1f
mode32_gp:
	movl	$13, %ecx
	jmp	1f
mode32_pf:
	movl	$14, %ecx
1:	movl	$SEL_DATA, %edx
	movl	%edx, %ds
	movl	%edx, %es
	movl	%ecx, OP_VECTOR(%esi)
	popl	OP_ERROR(%esi)
	movl	saved_esp, %esp
	cmpl	$KIND_USER_LOAD, OP_KIND(%esi)
	jne	1f
	movl	%eax, OP_VALUE(%esi)
1:	movl	%cr2, %eax
	movl	%eax, OP_CR2(%esi)
	leal	M_ENTRY(%edi), %eax
	cmpl	%eax, %esi
	jne	next_op

	.globl mode32_back
mode32_back:			/* 32-bit code, paging on or off */
	movl	saved_cr0, %eax
	andl	$~CR0_PG, %eax
	movl	%eax, %cr0
	movl	saved_cr4, %eax
	movl	%eax, %cr4
	movl	saved_cr3, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	xorl	%edx, %edx
	movl	saved_efer, %eax
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
saved_efer:
	.long	0
	.globl mode32_next
mode32_next:
	.long	0
idtr32:
	.word	15 * 8 - 1
	.long	mode32_idt
