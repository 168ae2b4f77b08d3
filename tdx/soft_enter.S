/*
 * The way into a TD of the software module and out of it.
 *
 * bool soft_enter(uint64_t *gpr, bool launched)
 * While the guest runs, the stack holds, from HOST_RSP up: gpr, r15, r14, r13, r12, rbx, rbp and the return
 * address; HOST_RSP is 16-byte aligned. Each VM exit returns from the call: true.
 */
#include "vmx/core/registers.inc"

	.set FIELD_HOST_RSP, 0x6c14 /* VMCS_HOST_RSP; tdx/soft_vp.c compares */

	.text
	.globl soft_enter
	.type soft_enter, @function
soft_enter:
	push_preserved_registers
	mov $FIELD_HOST_RSP, %eax
	vmwrite %rsp, %rax
	mov %rdi, %rax
	test %sil, %sil
	load_preserved_registers 0
	load_scratch_registers 0
	jz 1f
	vmresume
	jmp 2f
1:	vmlaunch
	/* Entry failed with the host's RSP, the other registers being the guest's: SDM "VM Entries", VMfail. */
2:	xor %eax, %eax
	jmp 3f
	.size soft_enter, . - soft_enter

	/* The stack is then as for the other, which follows. */
	.globl soft_exit_filling
	.type soft_exit_filling, @function
soft_exit_filling:
	fill_return_stack
	.globl soft_exit
	.type soft_exit, @function
soft_exit:
	save_registers 0
	mov $1, %eax
3:	pop_preserved_registers
	ret
	.size soft_exit, . - soft_exit
	.section .note.GNU-stack, "", @progbits
