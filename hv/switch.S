/*
 * Switching between contexts: callee-saved registers and the stack pointer, nothing else.
 * void context_switch(void **save_sp, void *load_sp)
 */
	.text
	.globl context_switch
	.type context_switch, @function
context_switch:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, (%rdi)
	mov %rsi, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret
	.size context_switch, . - context_switch

/* A new context's first return lands here with its function in rbx and the argument in rbp. */
	.globl context_first
	.type context_first, @function
context_first:
	mov %rbp, %rdi
	call *%rbx
	ud2 /* a context's function never returns */
	.size context_first, . - context_first
	.section .note.GNU-stack, "", @progbits
