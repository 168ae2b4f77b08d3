/*
 * The run loop: what is done before every entry and after every exit. The common exits pass through
 * vmx_exit, one handler and resume(), with no lock and no allocation; all that is rare (requests,
 * events to deliver, timers due) is prepare()'s.
 */
#include "vmx/vmx.h"

#include "hv/base/x86.h"
#include "hv/vcpu.h"
#include "vmx/core/vmcs.h"
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
	invept(INVEPT_SINGLE, x->eptp);
	if (vmx_uses(FEATURE_VPID))
		invvpid(INVVPID_SINGLE, vmx_vpid(x));
}

/* ---- before an entry, the long way ---- */

/* Whether anybody but the timers wants something done before the entry. */
static inline uint32_t asked(const struct vmx_vcpu *x)
{
	return __atomic_load_n(&x->v.requests, __ATOMIC_RELAXED) |
	       __atomic_load_n(&x->sched->resched, __ATOMIC_RELAXED);
}

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

	if (bits & REQUEST_FLUSH)
		invept(INVEPT_SINGLE, x->eptp);
	if (bits & REQUEST_APIC)
		vlapic_sync_posted(&v->lapic);
	if (bits & REQUEST_EXTINT)
		x->attention |= ATTENTION_EXTINT;
	if (v->lapic.events)
		take_nmi(x);
	return v->state == VCPU_RUNNING && !yield;
}

/* Everything an entry may need. True: enter now, *now being the host TSC; false: leave the run loop. */
static bool prepare(struct vmx_vcpu *x, uint64_t *now)
{
	uint64_t left;

	for (;;) {
		enter_guest_side(x);
		if (!asked(x)) {
			*now = rdtsc();
			left = vmx_time_left(x, *now);
			if (left)
				break;
			leave_guest_side(x);
			if (vmx_timers_due(x, *now))
				return false;
			continue;
		}
		leave_guest_side(x);
		if (!take_requests(x))
			return false;
	}
	if (x->attention | x->v.lapic.irr_pending)
		vmx_deliver_events(x);
	if (x->attention & ATTENTION_NO_TIMER)
		vmx_timer_lapic(x, *now, left);
	else
		vmx_timer_set(x, left);
	return true;
}

/* ---- after an exit ---- */

static inline void account(struct vcpu *v, struct exit_stat *s, uint64_t now)
{
	s->count++;
	s->cycles += now - v->exit_tsc;
}

static inline void record(struct vcpu *v, uint32_t reason)
{
	struct exit_record *r = &v->ring[v->ring_next++ % EXIT_RING];

	v->last_reason = reason;
	r->tsc = v->exit_tsc;
	r->reason = reason;
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

void vmx_complete_at(struct vcpu *v, uint64_t rip)
{
	(void)v;
	vmwrite(VMCS_GUEST_RIP, rip);
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
	account(v, &v->stats[v->last_reason], rdtsc());
	return VMX_LEAVE;
}

static COLD enum vmx_next resume_slowly(struct vmx_vcpu *x)
{
	uint64_t now;

	leave_guest_side(x);
	if (!prepare(x, &now))
		return leave(&x->v);
	account(&x->v, &x->v.stats[x->v.last_reason], now);
	return VMX_ENTER;
}

/* Back into the guest by `fast`, if nothing but the next exit's time has to be seen to. */
static inline enum vmx_next resume(struct vmx_vcpu *x, struct exit_stat *s, enum vmx_next fast)
{
	uint64_t now, left;

	enter_guest_side(x);
	if (UNLIKELY(asked(x) | x->attention | x->v.lapic.irr_pending))
		return resume_slowly(x);
	now = rdtsc();
	left = vmx_time_left(x, now);
	if (UNLIKELY(!left))
		return resume_slowly(x);
	vmx_timer_set(x, left);
	account(&x->v, s, now);
	return fast;
}

static COLD enum vmx_next refused(struct vmx_vcpu *x, uint32_t reason)
{
	leave_guest_side(x);
	vmx_entry_refused(x, reason);
	return VMX_LEAVE;
}

/* Handlers that have EXIT_ADVANCE change no general register but RAX, RBX, RCX and RDX. */
enum vmx_next vmx_exit(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);
	uint32_t reason = (uint32_t)vmread_always(VMCS_EXIT_REASON);
	enum exit_result result;
	struct exit_stat *stat;

	if (UNLIKELY(reason >= REASON_COUNT))
		return refused(x, reason);
	leave_guest_side(x);
	record(v, reason);
	stat = &v->stats[reason];
	result = vmx_exit_rows[reason].handle(v);
	if (LIKELY(result == EXIT_ADVANCE)) {
		skip_instruction();
		return resume(x, stat, VMX_ENTER_KEPT);
	}
	return result == EXIT_RESUME ? resume(x, stat, VMX_ENTER) : leave(v);
}

void vmx_run(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);
	uint64_t now;

	v->cpu->vmx->timer_armed = 0; /* whoever ran before may have armed it */
	if (!prepare(x, &now))
		return;
	if (vmx_enter(v, x->launched))
		vmx_entry_vmfail(x);
	else
		x->launched = true;
}
