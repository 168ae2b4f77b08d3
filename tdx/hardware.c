/*
 * The machine's own TDX module.
 */
#include "hv/base/phys.h"
#include "tdx/seamcall.h"

void tdx_seamcall(struct tdx_regs *r); /* tdx/seamcall_insn.S */

static void call(void *ctx, struct tdx_regs *r)
{
	(void)ctx;
	tdx_seamcall(r);
}

/*
 * A line of private memory read without its key is poison; writing all 64 bytes of it at once makes it
 * good again. Every CPU with TDX has the instruction. TDX Module base specification, "Physical Page Reclamation".
 */
static void clear(void *ctx, hpa_t page, uint64_t npages)
{
	static const struct {
		uint8_t bytes[64];
	} zero __attribute__((aligned(64)));
	char *at = phys_to_virt(page), *end = at + (npages << PAGE_SHIFT);

	(void)ctx;
	for (; at < end; at += sizeof(zero))
		__asm__ volatile("movdir64b %0, %1" : : "m"(zero), "r"(at) : "memory");
	__asm__ volatile("mfence" : : : "memory"); /* those stores are weakly ordered */
}

const struct tdx_ops tdx_hardware = { .name = "the TDX module", .call = call, .clear = clear };
