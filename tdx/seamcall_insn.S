/*
 * SEAMCALL, the instruction, with all general registers but RSP. TDX Module base specification, "SEAMCALL
 * Instruction".
 */

	.text

/* void tdx_seamcall(struct tdx_regs *r): RAX becomes ~0 when the instruction fails (CF), or faults. */
	.globl tdx_seamcall
	.type tdx_seamcall, @function
tdx_seamcall:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	push %rdi
	mov 0*8(%rdi), %rax
	mov 1*8(%rdi), %rcx
	mov 2*8(%rdi), %rdx
	mov 3*8(%rdi), %rbx
	mov 5*8(%rdi), %rbp
	mov 6*8(%rdi), %rsi
	mov 8*8(%rdi), %r8
	mov 9*8(%rdi), %r9
	mov 10*8(%rdi), %r10
	mov 11*8(%rdi), %r11
	mov 12*8(%rdi), %r12
	mov 13*8(%rdi), %r13
	mov 14*8(%rdi), %r14
	mov 15*8(%rdi), %r15
	mov 7*8(%rdi), %rdi
1:	.byte 0x66, 0x0f, 0x01, 0xcf
	jnc 3f
2:	mov $-1, %rax
3:	push %rdi
	mov 8(%rsp), %rdi
	mov %rax, 0*8(%rdi)
	mov %rcx, 1*8(%rdi)
	mov %rdx, 2*8(%rdi)
	mov %rbx, 3*8(%rdi)
	mov %rbp, 5*8(%rdi)
	mov %rsi, 6*8(%rdi)
	pop 7*8(%rdi)
	mov %r8, 8*8(%rdi)
	mov %r9, 9*8(%rdi)
	mov %r10, 10*8(%rdi)
	mov %r11, 11*8(%rdi)
	mov %r12, 12*8(%rdi)
	mov %r13, 13*8(%rdi)
	mov %r14, 14*8(%rdi)
	mov %r15, 15*8(%rdi)
	pop %rdi
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret
	.size tdx_seamcall, . - tdx_seamcall

	.pushsection .fixup, "a"
	.quad 1b, 2b
	.popsection

	.section .note.GNU-stack, "", @progbits
