/*
 * Where another CPU starts: real mode, CS = trampoline page >> 4, IP 0. The bytes from
 * trampoline_start to trampoline_end are copied to a page below 1 MiB, with struct ap_start
 * (hv/base/smp.h) behind them at trampoline_data. SDM vol. 3A, "MP Initialization Protocol" and
 * "Initializing IA-32e Mode". Protected mode, long mode and paging go on in one step each; the far
 * jump's targets are patched in by hv/base/smp.c at the two labels that it exports.
 */
#include "hv_base_offsets.h"

#define MSR_EFER 0xc0000080
#define HERE(label) ((label) - trampoline_start)
#define DATA(field) (HERE(trampoline_data) + (field))

	.section .rodata, "a", @progbits
	.balign 16
	.globl trampoline_start, trampoline_data, trampoline_end
	.globl trampoline_gdt_base, trampoline_jump32, trampoline_jump64
trampoline_start:
	.code16
	cli
	cld
	mov %cs, %ax
	mov %ax, %ds
	/* One CPU takes the ticket; whoever comes late finds none and waits for INIT. */
	xor %eax, %eax
	xchg %eax, DATA(AP_TICKET)
	test %eax, %eax
	jz late
	xor %ebx, %ebx
	mov %cs, %bx
	shl $4, %ebx                    /* ebx: physical address of this page */
	lgdtl HERE(gdt_pointer)
	mov %cr0, %eax
	or $1, %eax
	mov %eax, %cr0
	.byte 0x66, 0xea                /* ljmpl $8, $protected */
trampoline_jump32:
	.long HERE(protected)
	.word 8
late:
	hlt
	jmp late

	.code32
protected:
	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	/* CET and PCIDE are off in what is loaded; LA57 can only be set before paging. */
	mov DATA(AP_CR4)(%ebx), %eax
	mov %eax, %cr4
	mov DATA(AP_CR3)(%ebx), %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	mov DATA(AP_EFER)(%ebx), %eax
	xor %edx, %edx
	wrmsr
	mov DATA(AP_CR0)(%ebx), %eax
	mov %eax, %cr0
	.byte 0xea                      /* ljmp $24, $long_mode */
trampoline_jump64:
	.long HERE(long_mode)
	.word 24

	.code64
long_mode:
	mov DATA(AP_STACK)(%rbx), %rsp
	mov DATA(AP_CPU)(%rbx), %rdi
	mov DATA(AP_ENTRY)(%rbx), %rax
	xor %ebp, %ebp
	push $0                         /* as after a call: rsp + 8 is 16-byte aligned */
	jmp *%rax

	.balign 8
gdt:	.quad 0
	.quad 0x00cf9b000000ffff        /* 8: 32-bit code */
	.quad 0x00cf93000000ffff        /* 16: data */
	.quad 0x00af9b000000ffff        /* 24: 64-bit code */
gdt_pointer:
	.word . - gdt - 1
trampoline_gdt_base:
	.long HERE(gdt)
	.balign 8
trampoline_data:
trampoline_end:
	.section .note.GNU-stack, "", @progbits
