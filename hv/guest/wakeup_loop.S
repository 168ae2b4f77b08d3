/*
 * The wait loop of secondary vCPUs, in the guest: copied to WAKEUP_CODE. A vCPU begins here when its
 * VM starts, and comes back here through the reset vector when its kernel takes it offline; in both
 * cases in 64-bit mode, with this page mapped one to one. The TD shim has the same loop with another
 * REST, which may change all registers but RBX and RSP.
 */
#ifndef REST
#define REST hlt
#endif
#include "hv/guest/wakeup.h"

#define HERE(label) (WAKEUP_CODE + (label) - wakeup_loop)
#define STACK_SHIFT 6 /* of WAKEUP_STACK_SIZE */

	.section .rodata, "a", @progbits
	.balign 16
	.globl wakeup_loop, wakeup_poll, wakeup_loop_end
	.code64
wakeup_loop:
	cli
	cld
	lgdt HERE(gdt_pointer)
	lidt HERE(idt_pointer)
	mov $WAKEUP_TABLES, %eax
	mov %rax, %cr3
	mov $1, %eax                    /* SDM vol. 2 "CPUID": initial APIC ID */
	cpuid
	shr $24, %ebx
	lea 1(%rbx), %esp
	shl $STACK_SHIFT, %esp
	add $WAKEUP_STACKS, %esp
	mov $WAKEUP_DS, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %eax, %fs
	mov %eax, %gs
	push $WAKEUP_CS
	push $HERE(wakeup_poll)
	lretq

/*
 * EBX: this vCPU's APIC id. The id is looked at before the command: the kernel writes the next id only
 * after a command was taken, and the next command after its id, so a command that is seen behind the
 * right id is for that id (tests/model/wakeup.pml). A vector that the identity map does not reach is
 * not taken.
 */
wakeup_poll:
	cmp %ebx, WAKEUP_MAILBOX + MAILBOX_APIC_ID
	jne rest
	movzwl WAKEUP_MAILBOX + MAILBOX_COMMAND, %ecx
	cmp $MAILBOX_TEST, %ecx
	je taken
	cmp $MAILBOX_WAKEUP, %ecx
	jne rest
	cmpl $0, WAKEUP_MAILBOX + MAILBOX_VECTOR + 4
	jne rest
	mov WAKEUP_MAILBOX + MAILBOX_VECTOR, %eax
taken:
	movw $MAILBOX_NOOP, WAKEUP_MAILBOX + MAILBOX_COMMAND
	cmp $MAILBOX_TEST, %ecx
	je rest
	jmp *%rax
/* Interrupts are off, so nothing ends this HLT but Gnomon, after a millisecond (hv/vcpu.c). */
rest:
	REST
	jmp wakeup_poll

/* An NMI that is sent to all CPUs: nothing to do. */
nmi:
	iretq

	.balign 8
gdt:	.quad 0, 0
	.quad 0x00af9b000000ffff        /* WAKEUP_CS: 64-bit code */
	.quad 0x00cf93000000ffff        /* WAKEUP_DS: data */
idt:	.quad 0, 0, 0, 0
	.word HERE(nmi) - WAKEUP_BASE, WAKEUP_CS, 0x8e00, WAKEUP_BASE >> 16
	.quad 0
gdt_pointer:
	.word idt - gdt - 1
	.quad HERE(gdt)
idt_pointer:
	.word gdt_pointer - idt - 1
	.quad HERE(idt)
wakeup_loop_end:
	.section .note.GNU-stack, "", @progbits
