/*
 * From the Multiboot entry (32-bit, paging off) to 64-bit C with the first 4 GiB mapped one to one,
 * and from a start-up IPI (real mode) or the ACPI wakeup mailbox (64-bit mode) to the same on every
 * other CPU.
 */
#include "tests/guests/lib/regs.h"

#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 3 /* modules page-aligned, memory information wanted */

#define CR0_ON 0x80010033 /* PG WP NE ET MP PE */
#define CR4_ON 0x620      /* PAE OSFXSR OSXMMEXCPT */
#define EFER_ON 0x901     /* SCE LME NXE */
#define STACK_SIZE 16384

	.section .multiboot, "a"
	.balign 4
	.long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

	.text
	.code32
	.globl start
start:
	cli
	cld
	movl	$boot_stack + STACK_SIZE, %esp
	movl	%eax, multiboot_magic
	movl	%ebx, multiboot_info
	movl	$boot_pdpt + 7, boot_pml4
	movl	$boot_pd + 7, boot_pdpt
	movl	$boot_pd + 0x1007, boot_pdpt + 8
	movl	$boot_pd + 0x2007, boot_pdpt + 16
	movl	$boot_pd + 0x3007, boot_pdpt + 24
	movl	$boot_pd, %edi
	movl	$0x87, %eax		/* present, writable, user, 2 MiB */
1:	movl	%eax, (%edi)
	addl	$8, %edi
	addl	$0x200000, %eax
	jnc	1b
	call	long_mode
	ljmp	$SEL_CODE64, $start64

/* Turns 64-bit mode on; the caller then jumps to a 64-bit code segment. */
long_mode:
	lgdt	boot_gdtr
	movl	$CR4_ON, %eax
	movl	%eax, %cr4
	movl	$boot_pml4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	movl	$EFER_ON, %eax
	xorl	%edx, %edx
	wrmsr
	movl	$CR0_ON, %eax
	movl	%eax, %cr0
	movl	$SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	ret

ap_start32:
	movl	$SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %ss
	movl	ap_stack, %esp
	call	long_mode
	ljmp	$SEL_CODE64, $ap_start64

	.code64
start64:
	movl	$boot_stack + STACK_SIZE, %esp
	xorl	%ebp, %ebp
	call	guest_start
1:	hlt
	jmp	1b

/* Where the wakeup mailbox sends a CPU: on tables and segments of the firmware. In a TD bits of CR4 must stay
 * on, and EFER is as it shall be and must be left so. */
	.globl ap_wakeup
ap_wakeup:
	lgdt	boot_gdtr
	movq	%cr4, %rax
	orl	$CR4_ON, %eax
	movq	%rax, %cr4
	movl	$boot_pml4, %eax
	movq	%rax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	andl	$EFER_ON, %eax
	cmpl	$EFER_ON, %eax
	je	1f
	movl	$EFER_ON, %eax
	xorl	%edx, %edx
	wrmsr
1:	movl	$CR0_ON, %eax
	movq	%rax, %cr0
	movl	$SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movl	ap_stack, %esp
	pushq	$SEL_CODE64
	pushq	$ap_start64
	lretq

ap_start64:
	movl	ap_stack, %esp
	xorl	%ebp, %ebp
	call	ap_main
1:	hlt
	jmp	1b

/* Copied to TRAMPOLINE, where a start-up IPI enters with CS = TRAMPOLINE >> 4 and IP = 0. */
	.code16
	.globl ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	ap_gdtr - ap_trampoline
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$SEL_CODE32, $ap_start32
	.balign 4
ap_gdtr:
	.word	boot_gdt_end - boot_gdt - 1
	.long	boot_gdt
ap_trampoline_end:

	.data
	.balign 8
	.globl boot_gdt, boot_gdtr
boot_gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* 08 code, 64-bit */
	.quad	0x00cf93000000ffff	/* 10 data */
	.quad	0x00cf9b000000ffff	/* 18 code, 32-bit */
	.quad	0x00cff3000000ffff	/* 20 user data */
	.quad	0x00affb000000ffff	/* 28 user code, 64-bit */
	.quad	0x00009b000000ffff + (TRAMPOLINE << 16)	/* 30 code, 16-bit, based at the trampoline */
	.quad	0x000093000000ffff + (TRAMPOLINE << 16)	/* 38 data, 16-bit, likewise */
	.quad	0, 0			/* 40 task state, filled by trap_init */
	.quad	0x00cffb000000ffff	/* 50 user code, 32-bit */
boot_gdt_end:
	.word	0
boot_gdtr:
	.word	boot_gdt_end - boot_gdt - 1
	.quad	boot_gdt

	.globl multiboot_magic, multiboot_info, ap_stack
multiboot_magic:
	.long	0
multiboot_info:
	.long	0
ap_stack:
	.long	0

	.bss
	.balign 4096
	.globl boot_pml4
boot_pml4:
	.skip	4096
boot_pdpt:
	.skip	4096
boot_pd:
	.skip	4 * 4096
boot_stack:
	.skip	STACK_SIZE
