/*
 * The way into the guest and out of it.
 *
 * int vmx_enter(struct vcpu *v, bool launched)
 * While the guest runs, the stack holds, from HOST_RSP up: v, r15, r14, r13, r12, rbx, rbp and the
 * return address; HOST_RSP is 16-byte aligned. The exit stub calls vmx_exit(v, TSC) on this stack and
 * does what it returns (enum vmx_next). The general registers but RSP are in v->gpr by encoding.
 */
#include "vmx/core/registers.inc"
#include "vmx_offsets.h"

	.text
	.globl vmx_enter
	.type vmx_enter, @function
vmx_enter:
	push_preserved_registers
	mov $FIELD_HOST_RSP, %eax
	vmwrite %rsp, %rax
	mov %rdi, %rax
	test %sil, %sil
	load_preserved_registers VCPU_GPR
	load_scratch_registers VCPU_GPR
	jz 1f
	vmresume
	jmp vmx_entry_failed
1:	vmlaunch
	/* Entry failed with the host's registers but RSP gone: SDM "VM Entries", VMfail. */
vmx_entry_failed:
	mov $1, %eax
	jmp vmx_leave
	.size vmx_enter, . - vmx_enter

	/* The stack is then as for the other stub, which follows. */
	.globl vmx_exit_stub_filling
	.type vmx_exit_stub_filling, @function
vmx_exit_stub_filling:
	fill_return_stack
	.globl vmx_exit_stub
	.type vmx_exit_stub, @function
vmx_exit_stub:
	save_registers VCPU_GPR
	rdtsc
	shl $32, %rdx
	lea (%rax,%rdx), %rsi
	call vmx_exit
	cmp $NEXT_ENTER, %eax
	mov (%rsp), %rax
	ja 1f
	jb 2f
	load_preserved_registers VCPU_GPR
1:	load_scratch_registers VCPU_GPR
	vmresume
	jmp vmx_entry_failed
2:	xor %eax, %eax
vmx_leave:
	pop_preserved_registers
	ret
	.size vmx_exit_stub, . - vmx_exit_stub
	.section .note.GNU-stack, "", @progbits
