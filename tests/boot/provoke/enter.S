/*
 * int provoke_launch(void): enters the guest of the current VMCS, whose HOST_RIP is provoke_exit_stub.
 * 0: a VM exit came back, be it of an entry that failed; 1: VMLAUNCH failed. The guest's general
 * registers are the caller's, and those that a C function must keep are as they were.
 */
#include "vmx_offsets.h"

	.text
	.globl provoke_launch
	.type provoke_launch, @function
provoke_launch:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	mov $FIELD_HOST_RSP, %eax
	vmwrite %rsp, %rax
	vmlaunch
	mov $1, %eax
	jmp 1f

	.globl provoke_exit_stub
	.type provoke_exit_stub, @function
provoke_exit_stub:
	xor %eax, %eax
1:	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size provoke_launch, . - provoke_launch
	.section .note.GNU-stack, "", @progbits
