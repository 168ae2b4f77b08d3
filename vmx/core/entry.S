/*
 * The way into the guest and out of it.
 *
 * int vmx_enter(struct vcpu *v, bool launched)
 * While the guest runs, the stack holds, from HOST_RSP up: v, r15, r14, r13, r12, rbx, rbp and the
 * return address; HOST_RSP is 16-byte aligned. The exit stub calls vmx_exit(v, TSC) on this stack and
 * does what it returns (enum vmx_next). The general registers but RSP are in v->gpr by encoding.
 */
#include "vmx_offsets.h"

#define GPR(n) (VCPU_GPR + 8 * (n))(%rax)   /* on the way in */
#define GUEST(n) (VCPU_GPR + 8 * (n))(%rdi) /* on the way out */

	.macro load_scratch_registers /* those that a C function may change, and RBX */
	mov GPR(1), %rcx
	mov GPR(2), %rdx
	mov GPR(3), %rbx
	mov GPR(6), %rsi
	mov GPR(7), %rdi
	mov GPR(8), %r8
	mov GPR(9), %r9
	mov GPR(10), %r10
	mov GPR(11), %r11
	mov GPR(0), %rax
	.endm

	.macro load_preserved_registers
	mov GPR(5), %rbp
	mov GPR(12), %r12
	mov GPR(13), %r13
	mov GPR(14), %r14
	mov GPR(15), %r15
	.endm

	.text
	.globl vmx_enter
	.type vmx_enter, @function
vmx_enter:
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
	load_preserved_registers
	load_scratch_registers
	jz 1f
	vmresume
	jmp vmx_entry_failed
1:	vmlaunch
	/* Entry failed with the host's registers but RSP gone: SDM "VM Entries", VMfail. */
vmx_entry_failed:
	mov $1, %eax
	jmp vmx_leave
	.size vmx_enter, . - vmx_enter

	/* Returns of the hypervisor shall not be predicted by what the guest called: 32 calls fill the return
	 * stack buffer, then the stub is as always. Intel's guidance on branch target injection. */
	.globl vmx_exit_stub_filling
	.type vmx_exit_stub_filling, @function
vmx_exit_stub_filling:
	.rept 32
	call 1f
	int3
1:
	.endr
	add $(32 * 8), %rsp
	lfence
	.globl vmx_exit_stub
	.type vmx_exit_stub, @function
vmx_exit_stub:
	push %rdi
	mov 8(%rsp), %rdi
	mov %rax, GUEST(0)
	mov %rcx, GUEST(1)
	mov %rdx, GUEST(2)
	mov %rbx, GUEST(3)
	mov %rbp, GUEST(5)
	mov %rsi, GUEST(6)
	pop GUEST(7)
	mov %r8, GUEST(8)
	mov %r9, GUEST(9)
	mov %r10, GUEST(10)
	mov %r11, GUEST(11)
	mov %r12, GUEST(12)
	mov %r13, GUEST(13)
	mov %r14, GUEST(14)
	mov %r15, GUEST(15)
	rdtsc
	shl $32, %rdx
	lea (%rax,%rdx), %rsi
	call vmx_exit
	cmp $NEXT_ENTER, %eax
	mov (%rsp), %rax
	ja 1f
	jb 2f
	load_preserved_registers
1:	load_scratch_registers
	vmresume
	jmp vmx_entry_failed
2:	xor %eax, %eax
vmx_leave:
	pop %rdi
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size vmx_exit_stub, . - vmx_exit_stub
	.section .note.GNU-stack, "", @progbits
