/*
 * bool reset_call_firmware(uint64_t fn, uint64_t type, hpa_t root, uint64_t stack_top)
 * Calls firmware as the UEFI specification, "x64 Platforms", wants it: on identity-mapped tables and
 * a stack there, x87 and SSE in their initial state, arguments in rcx, rdx, r8, r9 over 32 bytes of
 * shadow space. The FPU's state, a guest's perhaps, is saved around it. An exception ends the call.
 */
	.bss
	.balign 16
fpu_state:
	.skip 512

	.section .rodata, "a", @progbits
	.balign 4
initial_mxcsr:
	.long 0x1f80

	.text
	.globl reset_call_firmware
	.type reset_call_firmware, @function
reset_call_firmware:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %cr3, %rax
	push %rax
	mov %rdi, %rbx
	mov %rsi, %rbp
	mov %rdx, %r12
	mov %rcx, %r13
	fxsave64 fpu_state(%rip)
	lea fault(%rip), %rdi
	mov %rsp, %rsi
	call trap_set_recovery
	mov %rsp, %r14
	mov %r12, %cr3
	mov %r13, %rsp
	fninit
	ldmxcsr initial_mxcsr(%rip)
	sub $32, %rsp
	mov %rbp, %rcx
	xor %edx, %edx
	xor %r8d, %r8d
	xor %r9d, %r9d
	call *%rbx
	mov %r14, %rsp
	xor %edi, %edi
	xor %esi, %esi
	call trap_set_recovery
	mov $1, %ebx
	jmp done
fault:	/* trap.c has set rsp back and taken the recovery point away */
	xor %ebx, %ebx
done:
	pop %rax
	mov %rax, %cr3
	fxrstor64 fpu_state(%rip)
	mov %ebx, %eax
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret
	.size reset_call_firmware, . - reset_call_firmware
	.section .note.GNU-stack, "", @progbits
