/*
 * The way into a TD of the software module and out of it.
 *
 * bool soft_enter(uint64_t *gpr, bool launched)
 * While the guest runs, the stack holds, from HOST_RSP up: gpr, r15, r14, r13, r12, rbx, rbp and the return
 * address; HOST_RSP is 16-byte aligned. Each VM exit returns from the call: true.
 */
	.set FIELD_HOST_RSP, 0x6c14 /* VMCS_HOST_RSP; tdx/soft_vp.c compares */

	.text
	.globl soft_enter
	.type soft_enter, @function
soft_enter:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	push %rdi
	mov $FIELD_HOST_RSP, %eax
	vmwrite %rsp, %rax
	mov %rdi, %rax
	test %sil, %sil
	mov 8*1(%rax), %rcx
	mov 8*2(%rax), %rdx
	mov 8*3(%rax), %rbx
	mov 8*5(%rax), %rbp
	mov 8*6(%rax), %rsi
	mov 8*7(%rax), %rdi
	mov 8*8(%rax), %r8
	mov 8*9(%rax), %r9
	mov 8*10(%rax), %r10
	mov 8*11(%rax), %r11
	mov 8*12(%rax), %r12
	mov 8*13(%rax), %r13
	mov 8*14(%rax), %r14
	mov 8*15(%rax), %r15
	mov (%rax), %rax
	jz 1f
	vmresume
	jmp 2f
1:	vmlaunch
	/* Entry failed with the host's RSP, the other registers being the guest's: SDM "VM Entries", VMfail. */
2:	xor %eax, %eax
	jmp 3f
	.size soft_enter, . - soft_enter

	.globl soft_exit
	.type soft_exit, @function
soft_exit:
	push %rdi
	mov 8(%rsp), %rdi
	mov %rax, (%rdi)
	mov %rcx, 8*1(%rdi)
	mov %rdx, 8*2(%rdi)
	mov %rbx, 8*3(%rdi)
	mov %rbp, 8*5(%rdi)
	mov %rsi, 8*6(%rdi)
	pop 8*7(%rdi)
	mov %r8, 8*8(%rdi)
	mov %r9, 8*9(%rdi)
	mov %r10, 8*10(%rdi)
	mov %r11, 8*11(%rdi)
	mov %r12, 8*12(%rdi)
	mov %r13, 8*13(%rdi)
	mov %r14, 8*14(%rdi)
	mov %r15, 8*15(%rdi)
	mov $1, %eax
3:	pop %rdi
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size soft_exit, . - soft_exit
	.section .note.GNU-stack, "", @progbits
