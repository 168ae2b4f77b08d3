/*
 * The last step of gnomon.efi: void boot_enter(cr3, entry, boot_info, stack top), all physical but
 * the entry. Does not return. The code it runs is mapped one to one by both sets of page tables.
 */
	.set CR4_CET, 1 << 23

	.text
	.globl boot_enter
	.type boot_enter, @function
boot_enter:
	cli
	cld
	/* A shadow stack that firmware left on would object to the new stack. */
	mov %cr4, %rax
	and $~CR4_CET, %rax
	mov %rax, %cr4
	mov %rdi, %cr3
	mov %rcx, %rsp
	xor %ebp, %ebp
	mov %rdx, %rdi
	jmp *%rsi
	.size boot_enter, . - boot_enter
	.section .note.GNU-stack, "", @progbits
