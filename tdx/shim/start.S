/*
 * The way of a TD's vCPU from its reset state, 32-bit flat protected mode at FFFFFFF0h with EFER.LME on and
 * its index in ESI (TDX Module 1.5 base specification, "Initial State of TD vCPU"), to 64-bit mode.
 */
#include "hv/guest/wakeup.h"
#include "tdx/shim/asm.h"
#include "tdx/shim/machine.h"
#include "tdx_shim_offsets.h"

#define CR4_PAE 0x20
#define CR0_PG 0x80000000
#define SEL_CODE64 0x10
#define SEL_DATA 0x18
#define PTE_LINK 0x3
#define PTE_LEAF 0x83 /* 2M */

	.section .reset, "ax", @progbits
	.code32
	cli
	jmp start32
	.balign 16

	.text
start32:
	cld
	lgdt gdt_pointer
	mov %cr4, %eax
	or $CR4_PAE, %eax
	mov %eax, %cr4
	mov $pml4, %eax
	mov %eax, %cr3
	mov %cr0, %eax
	or $CR0_PG, %eax
	mov %eax, %cr0
	ljmp $SEL_CODE64, $start64

	.code64
start64:
	mov $SEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %eax, %fs
	mov %eax, %gs
	test %esi, %esi
	jnz other
	lea stack_top(%rip), %rsp
	call shim_main
	ud2

/* The wait loop is there once the first vCPU has accepted and filled its memory. */
other:
	cmpl $0, shim_others_go(%rip)
	jne 1f
	TD_REST
	jmp other
1:	mov $WAKEUP_CODE, %eax
	jmp *%rax

/* void shim_enter(const struct guest_entry *entry): the entry's GDT has its selectors. */
	.globl shim_enter
shim_enter:
	mov ENTRY_CR3(%rdi), %rax
	mov %rax, %cr3
	mov ENTRY_RSP(%rdi), %rsp
	sub $16, %rsp
	mov ENTRY_GDT_LIMIT(%rdi), %ax
	mov %ax, (%rsp)
	mov ENTRY_GDT_BASE(%rdi), %rax
	mov %rax, 2(%rsp)
	lgdt (%rsp)
	add $16, %rsp
	movzwl ENTRY_DS(%rdi), %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %eax, %fs
	mov %eax, %gs
	movzwl ENTRY_CS(%rdi), %eax
	push %rax
	push ENTRY_RIP(%rdi)
	mov ENTRY_RSI(%rdi), %rsi
	xor %eax, %eax
	xor %ebx, %ebx
	xor %ebp, %ebp
	xor %edi, %edi
	lretq

/* One stub a vector: the number, and then what the CPU pushed, to shim_trap. */
	.balign SHIM_STUB_SIZE
	.globl shim_trap_stubs
shim_trap_stubs:
	.set vector, 0
	.rept SHIM_VECTORS
	.balign SHIM_STUB_SIZE
	mov $vector, %edi
	mov %rsp, %rsi
	jmp trapped
	.set vector, vector + 1
	.endr
trapped:
	and $-16, %rsp
	call shim_trap
	ud2

	.section .rodata, "a", @progbits
	.balign 8
gdt:	.quad 0, 0
	.quad 0x00af9b000000ffff        /* SEL_CODE64 */
	.quad 0x00cf93000000ffff        /* SEL_DATA */
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt

/* Private memory one to one up to 4 GiB, then the window. */
	.section .tables, "aw", @progbits
	.balign 4096
pml4:	.quad pdpt + PTE_LINK
	.fill 511, 8, 0
pdpt:
	.set table, 0
	.rept 4
	.quad directories + table * 4096 + PTE_LINK
	.set table, table + 1
	.endr
	.quad shim_window + PTE_LINK
	.fill 507, 8, 0
directories:
	.set page, 0
	.rept 2048
	.quad page * 0x200000 + PTE_LEAF
	.set page, page + 1
	.endr
	.globl shim_window
shim_window:
	.fill 512, 8, 0

	.bss
	.balign 16
	.fill SHIM_STACK_SIZE
stack_top:
	.globl shim_idt, shim_others_go
shim_idt:
	.fill 2 * SHIM_VECTORS * 8
shim_others_go:
	.long 0
	.section .note.GNU-stack, "", @progbits
