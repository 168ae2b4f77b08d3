/*
 * Exits that an instruction causes, apart from control registers (cr.c) and memory (exits_memory.c).
 */
#include "hv/base/x86.h"
#include "hv/exits.h"
#include "vmx/core/vmcs.h"
#include "vmx/vmx.h"

static NOINLINE enum exit_result string_io(struct vcpu *v, uint64_t qualification)
{
	struct io_access a = io_access_decode(qualification);
	uint32_t info = (uint32_t)vmread(VMCS_EXIT_INSN_INFO);
	struct string_exit s = {
		.port = a.port, .size = a.size, .in = a.in, .rep = a.rep,
		.address_bytes = io_info_address_bytes(info),
		.segment = io_info_segment(info),
		.length = (uint8_t)vmread(VMCS_EXIT_INSN_LENGTH),
	};

	return exit_string_io(v, &s);
}

enum exit_result vmx_exit_io(struct vcpu *v)
{
	uint64_t q = vmread_always(VMCS_EXIT_QUALIFICATION);
	struct io_access a;

	if (UNLIKELY(q & IO_ACCESS_STRING))
		return string_io(v, q);
	a = io_access_decode(q);
	return a.in ? exit_in(v, a.port, a.size) : exit_out(v, a.port, a.size);
}

/* An NMI that waits for the end of an interrupt shadow ends the halt before it begins. */
enum exit_result vmx_exit_hlt(struct vcpu *v)
{
	/* The CPU may have put posted vectors into IRR. */
	v->lapic.irr_pending |= to_vmx(v)->posted;
	return UNLIKELY(to_vmx(v)->attention & ATTENTION_NMI) ? EXIT_ADVANCE : exit_hlt(v);
}

enum exit_result vmx_exit_undefined(struct vcpu *v)
{
	vmx_inject(v, VEC_UD, -1);
	return EXIT_RESUME;
}

enum exit_result vmx_exit_gp(struct vcpu *v)
{
	vmx_inject(v, VEC_GP, 0);
	return EXIT_RESUME;
}

/* INVD and WBINVD: guest memory is coherent, and no device of the guest's bypasses the caches.
 * The CPU has checked the privilege level before the exit. */
enum exit_result vmx_exit_no_effect(struct vcpu *v)
{
	(void)v;
	return EXIT_ADVANCE;
}
