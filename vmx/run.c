/*
 * The run loop: what is done before every entry and after every exit. The common exits pass through
 * vmx_exit, one handler and resume(), with no lock and no allocation; all that is rare (requests,
 * events to deliver, timers due) is prepare()'s.
 */
#include "vmx/vmx.h"

#include "hv/base/x86.h"
#include "hv/debug.h"
#include "hv/trace.h"
#include "hv/vcpu.h"
#include "vmx/core/vmcs.h"
#include "vmx/debug.h"
#include "vmx/guard.h"
#include "vmx/pml.h"
#include "vmx/timer.h"

#define COLD __attribute__((noinline, cold))

/* ---- who is in the guest ---- */

static inline void enter_guest_side(struct vmx_vcpu *x)
{
	/* A full barrier: whoever sets a request either sees us inside and waits, or we see it. */
	__atomic_add_fetch(&x->run_seq, 1, __ATOMIC_SEQ_CST);
}

/* Only the owner writes run_seq; what it did inside comes before, as stores on x86 do. */
static inline void leave_guest_side(struct vmx_vcpu *x)
{
	x->run_seq++;
	__asm__ volatile("" : : : "memory");
}

void vmx_left_guest(struct vmx_vcpu *x) { leave_guest_side(x); }

void vmx_flush_tlb(struct vmx_vcpu *x)
{
	if (!x->shadow)
		invept(INVEPT_SINGLE, x->eptp);
	if (vmx_uses(FEATURE_VPID))
		invvpid(INVVPID_SINGLE, vmx_vpid(x));
}

/* ---- before an entry, the long way ---- */

/* Whether anybody but the timers wants something done before the entry. Both words are other CPUs' to
 * set; an aligned load is all it takes to see them, and enter_guest_side() keeps it in its place. */
static inline uint32_t asked(const struct vmx_vcpu *x) { return x->v.requests | x->sched->resched; }

static void take_nmi(struct vmx_vcpu *x)
{
	if (__atomic_fetch_and(&x->v.lapic.events, ~(uint32_t)VLAPIC_PENDING_NMI, __ATOMIC_ACQ_REL) &
	    VLAPIC_PENDING_NMI)
		x->attention |= ATTENTION_NMI;
}

/* Requests of others, and a scheduler that wants to look again. False: leave the run loop. */
static bool take_requests(struct vmx_vcpu *x)
{
	struct vcpu *v = &x->v;
	bool yield = x->sched->resched && sched_tick(rdtsc());
	uint32_t bits = v->requests ? vcpu_take_requests(v) : 0;

	if ((bits & REQUEST_FLUSH) && x->shadow)
		vmx_shadow_flush(x);
	else if (bits & REQUEST_FLUSH)
		invept(INVEPT_SINGLE, x->eptp);
	if (bits & REQUEST_LOG)
		vmx_pml_update(x);
	if (bits & REQUEST_APIC)
		vlapic_sync_posted(&v->lapic);
	if (bits & REQUEST_EXTINT)
		x->attention |= ATTENTION_EXTINT;
	if (v->lapic.events)
		take_nmi(x);
	return v->state == VCPU_RUNNING && !yield && !debug_holds(v);
}

/* What must be done before the guest may go on, *left being its time until then; false: leave the run
 * loop. Not on the guest's side. */
static bool take_all(struct vmx_vcpu *x, uint64_t now, uint64_t left)
{
	if (asked(x))
		return take_requests(x);
	return left || !vmx_timers_due(x, now);
}

/* The last steps before an entry: how long the guest may run, and what it must not learn. */
static void set_limits(struct vmx_vcpu *x, uint64_t now, uint64_t left)
{
	if (x->attention & ATTENTION_NO_TIMER)
		vmx_timer_lapic(x, now, left);
	else
		vmx_timer_set(x, left);
	if (UNLIKELY(x->attention & ATTENTION_GUARD))
		guard_entry(x->v.cpu->vmx);
}

/*
 * Everything an entry may need. True: enter now, *now being the host TSC; false: leave the run loop.
 * Called on the guest's side, which it leaves when it returns false.
 */
static bool prepare(struct vmx_vcpu *x, uint64_t *now)
{
	uint64_t left;

	if (UNLIKELY(x->attention & ATTENTION_STEP))
		vmx_debug_landed(x);
	for (;;) {
		*now = rdtsc();
		vmx_time_event(x, *now);
		vmx_timer_own(x, *now);
		left = vmx_time_left(x, *now);
		if (left && !asked(x))
			break;
		leave_guest_side(x);
		if (!take_all(x, *now, left))
			return false;
		enter_guest_side(x);
	}
	/* The notification may have been taken in root mode, or while another vCPU was in the guest. */
	if (vmx_uses(FEATURE_POSTED_INTERRUPTS))
		vlapic_sync_posted(&x->v.lapic);
	if (UNLIKELY(x->attention & ATTENTION_STEP))
		vmx_debug_entry(x);
	else if (x->vid && !(x->attention & ~(ATTENTION_NO_TIMER | ATTENTION_GUARD)))
		vmx_apic_update(x);
	else if (x->attention | x->v.lapic.irr_pending)
		vmx_deliver_events(x);
	set_limits(x, *now, left);
	if (UNLIKELY(x->attention & ATTENTION_STEP))
		vmx_debug_limit(x);
	return true;
}

/* ---- after an exit ---- */

static inline void account(struct vcpu *v, uint64_t now)
{
	uint64_t spent = now - v->exit_tsc;

	__asm__("" : "+r"(spent)); /* one addition to memory, which the compiler would take apart */
	v->stats.count[v->last_reason]++;
	v->stats.cycles[v->last_reason] += spent;
}

static inline void record(struct vcpu *v, uint32_t reason, uint64_t tsc)
{
	uint32_t at = v->ring.next++ % EXIT_RING;

	v->exit_tsc = tsc;
	v->last_reason = reason;
	v->ring.tsc[at] = tsc;
	v->ring.reason[at] = reason;
}

#define SHADOWS (BLOCKING_STI | BLOCKING_MOV_SS)
#define DEBUGCTL_BTF BIT(1)

static COLD void clear_shadows(uint64_t state) { vmwrite(VMCS_GUEST_INTERRUPTIBILITY, state & ~SHADOWS); }

/* RFLAGS.TF: a trap after each instruction, or after branches only with BTF. */
static COLD void single_step(void)
{
	if (!(vmread(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF))
		vmwrite(VMCS_GUEST_PENDING_DB, vmread(VMCS_GUEST_PENDING_DB) | PENDING_DB_BS);
}

static inline void finish_instruction(void)
{
	uint64_t state = vmread_always(VMCS_GUEST_INTERRUPTIBILITY);

	if (UNLIKELY(state & SHADOWS))
		clear_shadows(state);
	if (UNLIKELY(vmread_always(VMCS_GUEST_RFLAGS) & RFLAGS_TF))
		single_step();
}

/* Exits that are like faults save RF as 1. SDM "Saving RIP, RSP, RFLAGS, and SSP". */
void vmx_complete_at(struct vcpu *v, uint64_t rip)
{
	uint64_t flags = vmread_always(VMCS_GUEST_RFLAGS);

	(void)v;
	vmwrite_always(VMCS_GUEST_RIP, rip);
	if (flags & RFLAGS_RF)
		vmwrite_always(VMCS_GUEST_RFLAGS, flags & ~RFLAGS_RF);
	finish_instruction();
}

/* EIP wraps at 4 GiB outside 64-bit mode. */
static COLD uint64_t wrap(uint64_t rip) { return vmx_in_long_mode() ? rip : (uint32_t)rip; }

static inline void skip_instruction(void)
{
	uint64_t rip = vmread_always(VMCS_GUEST_RIP);
	uint64_t length = vmread_always(VMCS_EXIT_INSN_LENGTH), next = rip + length;

	if (UNLIKELY((uint32_t)next < (uint32_t)length))
		next = wrap(next);
	vmwrite_always(VMCS_GUEST_RIP, next);
	finish_instruction();
}

void vmx_skip_instruction(void) { skip_instruction(); }

static COLD enum vmx_next leave(struct vcpu *v)
{
	account(v, rdtsc());
	return VMX_LEAVE;
}

/* What is to be done before every entry on some CPUs, and says nothing of this one. */
#define ATTENTION_ALWAYS (ATTENTION_NO_TIMER | ATTENTION_GUARD)

/* And with an exception for the guest, which nothing goes before: all that needs no look around. */
#define ATTENTION_BRIEF (ATTENTION_ALWAYS | ATTENTION_EVENT)

/* An entry that needs nothing else. *now as of prepare(); false: it does. */
static bool prepare_briefly(struct vmx_vcpu *x, uint64_t *now)
{
	uint64_t left;

	if (x->v.lapic.irr_pending | (x->attention & ~ATTENTION_BRIEF) | asked(x))
		return false;
	*now = rdtsc();
	left = vmx_time_left(x, *now);
	if (!left)
		return false;
	if (x->attention & ATTENTION_EVENT)
		vmx_deliver_queued(x);
	set_limits(x, *now, left);
	return true;
}

static COLD enum vmx_next resume_slowly(struct vmx_vcpu *x)
{
	uint64_t now;

	if (!((x->attention & ATTENTION_BRIEF) && prepare_briefly(x, &now)) && !prepare(x, &now))
		return leave(&x->v);
	account(&x->v, now);
	return VMX_ENTER;
}

/* Back into the guest by `fast`, if nothing but the next exit's time has to be seen to. */
static inline enum vmx_next resume(struct vmx_vcpu *x, enum vmx_next fast)
{
	uint64_t now, left;

	enter_guest_side(x);
	if (UNLIKELY(x->v.lapic.irr_pending | x->attention | asked(x)))
		return resume_slowly(x);
	now = rdtsc();
	left = vmx_time_left(x, now);
	if (UNLIKELY(!left))
		return resume_slowly(x);
	vmx_timer_set(x, left);
	account(&x->v, now);
	return fast;
}

static COLD enum vmx_next refused(struct vmx_vcpu *x, uint32_t reason)
{
	leave_guest_side(x);
	vmx_entry_refused(x, reason);
	return VMX_LEAVE;
}

/* For the trace: where and why, and the address of those that have one. */
static void trace(struct vcpu *v)
{
	bool ept = v->last_reason == REASON_EPT_VIOLATION || v->last_reason == REASON_EPT_MISCONFIG;

	trace_exit(v, v->last_reason, vmread(VMCS_GUEST_RIP), vmread(VMCS_EXIT_QUALIFICATION),
		   ept ? vmread(VMCS_GUEST_PHYSICAL) : 0);
}

/* The rest of vmx_exit() while the trace is on; apart, so that vmx_exit() itself needs no more registers. */
static COLD enum vmx_next exit_traced(struct vmx_vcpu *x)
{
	enum exit_result result;

	trace(&x->v);
	result = vmx_exit_rows[x->v.last_reason].handle(&x->v);
	if (result == EXIT_YIELD)
		return leave(&x->v);
	if (result == EXIT_ADVANCE)
		skip_instruction();
	return resume(x, VMX_ENTER);
}

/* Handlers that have EXIT_ADVANCE change no general register but RAX, RBX, RCX and RDX. */
enum vmx_next vmx_exit(struct vcpu *v, uint64_t tsc)
{
	struct vmx_vcpu *x = to_vmx(v);
	uint64_t reason = vmread_always(VMCS_EXIT_REASON);
	enum exit_result result;

	if (UNLIKELY(reason >= REASON_COUNT))
		return refused(x, (uint32_t)reason);
	leave_guest_side(x);
	record(v, (uint32_t)reason, tsc);
	if (UNLIKELY(trace_on))
		return exit_traced(x);
	result = vmx_exit_rows[reason].handle(v);
	if (LIKELY(result == EXIT_ADVANCE)) {
		skip_instruction();
		return resume(x, VMX_ENTER_KEPT);
	}
	return result == EXIT_RESUME ? resume(x, VMX_ENTER) : leave(v);
}

void vmx_run(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);
	uint64_t now;

	v->cpu->vmx->timer_armed = 0; /* whoever ran before may have armed it */
	vmx_pml_begin(x);
	enter_guest_side(x);
	if (prepare(x, &now)) {
		if (vmx_enter(v, x->launched))
			vmx_entry_vmfail(x);
		else
			x->launched = true;
	}
	vmx_pml_end(x);
}
