/*
 * One stub per vector: builds struct trap_frame (hv/base/trap.h) and calls trap_dispatch.
 * No SWAPGS: root mode never leaves ring 0, so GS always points at struct cpu.
 */
	.text
	.set vector, 0
	.balign 16
	.globl trap_stubs
trap_stubs:
	.rept 256
	.balign 16
	/* #DF #TS #NP #SS #GP #PF #AC #CP push an error code: SDM vol. 3A, "Error Code". */
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	push $0
	.endif
	pushq $vector
	jmp trap_common
	.set vector, vector + 1
	.endr

	.balign 16
trap_common:
	push %rax
	push %rbx
	push %rcx
	push %rdx
	push %rsi
	push %rdi
	push %rbp
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	cld
	mov %rsp, %rdi
	call trap_dispatch
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rbp
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rbx
	pop %rax
	add $16, %rsp
	iretq

/* void trap_raise_nmi(void) */
	.globl trap_raise_nmi, trap_nmi_raised
	.type trap_raise_nmi, @function
trap_raise_nmi:
	int $2
trap_nmi_raised:
	ret
	.size trap_raise_nmi, . - trap_raise_nmi

/* int rdmsr_safe(uint32_t msr, uint64_t *value): 0, or -1 and *value untouched on #GP. */
	.globl rdmsr_safe
	.type rdmsr_safe, @function
rdmsr_safe:
	mov %edi, %ecx
1:	rdmsr
	shl $32, %rdx
	or %rdx, %rax
	mov %rax, (%rsi)
	xor %eax, %eax
	ret
	.size rdmsr_safe, . - rdmsr_safe

/* int wrmsr_safe(uint32_t msr, uint64_t value) */
	.globl wrmsr_safe
	.type wrmsr_safe, @function
wrmsr_safe:
	mov %edi, %ecx
	mov %esi, %eax
	mov %rsi, %rdx
	shr $32, %rdx
2:	wrmsr
	xor %eax, %eax
	ret
3:	mov $-1, %eax
	ret
	.size wrmsr_safe, . - wrmsr_safe

	.pushsection .fixup, "a"
	.quad 1b, 3b
	.quad 2b, 3b
	.popsection
	.section .note.GNU-stack, "", @progbits
