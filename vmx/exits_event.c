/*
 * Exits that no instruction asked for: exceptions, interrupts, windows, faults beyond repair.
 */
#include "hv/base/log.h"
#include "hv/base/trap.h"
#include "hv/base/x86.h"
#include "vmx/core/vmcs.h"
#include "vmx/debug.h"
#include "vmx/timer.h"
#include "vmx/vmx.h"

#define DR7_GD BIT(13)
#define DR6_FIXED 0xffff0ff0u
#define DR6_RTM BIT(16)

/* SDM "Information for VM Exits Due to Vectored Events" and "Debug Exceptions": the exit leaves DR6
 * and DR7.GD as they were, the qualification says what the exception would have put there. RTM is
 * inverted between the two. */
void vmx_raise_debug(struct vmx_vcpu *x, uint64_t q)
{
	write_dr6((DR6_FIXED | (q & 0xe00f)) ^ (q & DR6_RTM));
	if (x->debug.registers)
		x->debug.guest_dr7 &= ~DR7_GD;
	else
		vmwrite(VMCS_GUEST_DR7, vmread(VMCS_GUEST_DR7) & ~DR7_GD);
	vmx_inject(&x->v, VEC_DB, -1);
	/* The trap that is delivered now is not pending any longer. */
	vmwrite(VMCS_GUEST_PENDING_DB, 0);
}

/* A software exception is a trap, and RIP still at its instruction. */
static void queue_software(struct vmx_vcpu *x, uint32_t info)
{
	vmx_queue(x, (struct vmx_event){ .info = info & ~INTR_NMI_UNBLOCK,
					 .length = (uint32_t)vmread(VMCS_EXIT_INSN_LENGTH) });
}

static void reflect(struct vmx_vcpu *x, uint32_t info)
{
	if (INTR_TYPE(info) == INTR_PRIV_SOFT_EXCEPTION) {
		write_dr6(DR6_FIXED); /* INT1 */
		queue_software(x, info);
	} else if (INTR_TYPE(info) == INTR_SOFT_EXCEPTION) {
		queue_software(x, info); /* INT3 or INTO, under a debugger */
	} else if (INTR_VECTOR(info) == VEC_DB) {
		vmx_raise_debug(x, vmread(VMCS_EXIT_QUALIFICATION));
	} else {
		if (INTR_VECTOR(info) == VEC_PF) /* during a debugger's step on EPT */
			write_cr2(vmread(VMCS_EXIT_QUALIFICATION));
		vmx_inject(&x->v, INTR_VECTOR(info),
			   info & INTR_ERROR_CODE ? (int64_t)vmread(VMCS_EXIT_ERROR_CODE) : -1);
	}
}

/* A machine check is the host's: its handler reports and panics when the state cannot be trusted. */
static void machine_check(void) { __asm__ volatile("int %0" : : "i"(VEC_MC) : "memory"); }

enum exit_result vmx_exit_exception(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);
	uint32_t info = (uint32_t)vmread(VMCS_EXIT_INTR_INFO);

	vmx_keep_delivery(x);
	if (LIKELY(x->shadow && INTR_VECTOR(info) == VEC_PF))
		return vmx_exit_page_fault(x, info);
	if (INTR_TYPE(info) == INTR_NMI) {
		trap_raise_nmi();
		return EXIT_RESUME;
	}
	if (INTR_VECTOR(info) == VEC_MC) {
		machine_check();
		vm_stop(v->vm, "a machine check interrupted vCPU %u: the host's log has its banks", v->index);
		return EXIT_RESUME;
	}
	if (UNLIKELY(x->debug.on) && vmx_debug_exception(x, info))
		return EXIT_RESUME;
	if ((info & INTR_NMI_UNBLOCK) && !x->event.info && INTR_VECTOR(info) != VEC_DF)
		vmx_undo_iret(x);
	reflect(x, info);
	return EXIT_RESUME;
}

/* The interrupt is still pending, unless the exit acknowledged it: then its vector is told. */
enum exit_result vmx_exit_interrupt(struct vcpu *v)
{
	if (UNLIKELY(vmx_uses(FEATURE_POSTED_INTERRUPTS)))
		trap_irq((uint8_t)INTR_VECTOR(vmread(VMCS_EXIT_INTR_INFO)));
	else
		__asm__ volatile("sti; nop; cli" : : : "memory");
	v->cpu->vmx->timer_armed = 0; /* it may have been the timer's */
	return EXIT_RESUME;
}

/* What waited is delivered on the way back. Where NMI handlers cannot be seen to end, interrupts
 * being open counts as that. */
enum exit_result vmx_exit_window(struct vcpu *v)
{
	to_vmx(v)->nmi_masked = false;
	return EXIT_RESUME;
}

/* The timers are looked at before every entry; here it is known that one is due, most likely the
 * guest's own, and the CPU told of its interrupt leaves nothing for the long way back. */
enum exit_result vmx_exit_preemption(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);

	if (vmx_timers_due(x, rdtsc()))
		return EXIT_YIELD;
	if (LIKELY(x->vid))
		vmx_apic_update(x);
	return EXIT_RESUME;
}

enum exit_result vmx_exit_triple_fault(struct vcpu *v)
{
	vm_stop(v->vm, "triple fault: vCPU %u could not deliver a double fault (RIP %lx)", v->index,
		vmread(VMCS_GUEST_RIP));
	return EXIT_RESUME;
}

enum exit_result vmx_exit_task_switch(struct vcpu *v)
{
	static const char *const source[] = { "CALL", "IRET", "JMP", "a task gate in the IDT" };
	uint64_t q = vmread(VMCS_EXIT_QUALIFICATION);

	vm_stop(v->vm, "vCPU %u asked for a hardware task switch to selector %lx by %s: Gnomon does not carry "
		"out task switches, use a kernel that switches tasks itself", v->index, q & 0xffff,
		source[q >> 30 & 3]);
	return EXIT_RESUME;
}

/* Someone sent INIT to the host CPU. In root mode it would be kept pending; here it is taken. */
enum exit_result vmx_exit_init(struct vcpu *v)
{
	log_warn("CPU %u received INIT while a guest ran: ignored", v->cpu->index);
	return EXIT_RESUME;
}
