/* Offsets for entry.S and trampoline.S. */
#include "boot/boot_info.h"
#include "hv/base/machine.h"
#include "hv/base/offsets.h"
#include "hv/base/smp.h"

void offsets(void);
void offsets(void)
{
	VALUE(BOOT_INFO_MAGIC_LOW, BOOT_INFO_MAGIC & BITS(31, 0));
	VALUE(BOOT_INFO_MAGIC_HIGH, BOOT_INFO_MAGIC >> 32);
	VALUE(BOOT_INFO_SIZE, sizeof(struct boot_info));
	VALUE(BOOT_STACK_TOP, sizeof(struct image_stack));
	VALUE(AP_CR0, offsetof(struct ap_start, cr0));
	VALUE(AP_CR3, offsetof(struct ap_start, cr3));
	VALUE(AP_CR4, offsetof(struct ap_start, cr4));
	VALUE(AP_EFER, offsetof(struct ap_start, efer));
	VALUE(AP_ENTRY, offsetof(struct ap_start, entry));
	VALUE(AP_CPU, offsetof(struct ap_start, cpu));
	VALUE(AP_STACK, offsetof(struct ap_start, stack));
	VALUE(AP_TICKET, offsetof(struct ap_start, ticket));
}
