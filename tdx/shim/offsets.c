/* Offsets for start.S. */
#include "hv/base/offsets.h"
#include "hv/guest/loader.h"

void offsets(void);
void offsets(void)
{
	VALUE(ENTRY_RIP, offsetof(struct guest_entry, rip));
	VALUE(ENTRY_RSP, offsetof(struct guest_entry, rsp));
	VALUE(ENTRY_RSI, offsetof(struct guest_entry, rsi));
	VALUE(ENTRY_CR3, offsetof(struct guest_entry, cr3));
	VALUE(ENTRY_GDT_BASE, offsetof(struct guest_entry, gdt_base));
	VALUE(ENTRY_GDT_LIMIT, offsetof(struct guest_entry, gdt_limit));
	VALUE(ENTRY_CS, offsetof(struct guest_entry, cs));
	VALUE(ENTRY_DS, offsetof(struct guest_entry, ds));
}
