/*
 * One trip to user mode and back: wild_enter loads every general register and leaves by IRETQ; the
 * guest's trap handler comes back to wild_back on the stack that wild_enter left.
 */
#include "tests/guests/lib/regs.h"

	.text
	.code64
/* void wild_enter(const uint64_t gpr[16], uint64_t rip, uint64_t rflags); gpr in the order of the CPU's numbers. */
	.globl wild_enter, wild_back
wild_enter:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, wild_rsp
	pushq	$SEL_USER_DATA
	pushq	4*8(%rdi)
	pushq	%rdx
	pushq	$SEL_USER_CODE
	pushq	%rsi
	movq	0*8(%rdi), %rax
	movq	1*8(%rdi), %rcx
	movq	2*8(%rdi), %rdx
	movq	3*8(%rdi), %rbx
	movq	5*8(%rdi), %rbp
	movq	6*8(%rdi), %rsi
	movq	8*8(%rdi), %r8
	movq	9*8(%rdi), %r9
	movq	10*8(%rdi), %r10
	movq	11*8(%rdi), %r11
	movq	12*8(%rdi), %r12
	movq	13*8(%rdi), %r13
	movq	14*8(%rdi), %r14
	movq	15*8(%rdi), %r15
	movq	7*8(%rdi), %rdi
	iretq
wild_back:
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

	.bss
	.balign 8
	.globl wild_rsp
wild_rsp:
	.skip	8
