/*
 * The run loop: what is done before every entry and after every exit. The common exits pass through
 * vmx_exit, one handler, vmx_skip_instruction and prepare, with no lock and no allocation.
 */
#include "vmx/vmx.h"

#include "hv/base/x86.h"
#include "hv/vcpu.h"
#include "vmx/core/vmcs.h"
#include "vmx/timer.h"

/* Bits of requests and conditions that the fast path of prepare does not handle. */
static inline bool quiet(const struct vmx_vcpu *x)
{
	return !__atomic_load_n(&x->v.requests, __ATOMIC_RELAXED) &&
	       !__atomic_load_n(&x->v.cpu->sched->resched, __ATOMIC_RELAXED);
}

static inline bool events_wait(const struct vmx_vcpu *x)
{
	return x->event.info | x->v.lapic.irr_pending | x->nmi_pending | x->extint;
}

static void take_nmi(struct vmx_vcpu *x)
{
	if (__atomic_fetch_and(&x->v.lapic.events, ~(uint32_t)VLAPIC_PENDING_NMI, __ATOMIC_ACQ_REL) &
	    VLAPIC_PENDING_NMI)
		x->nmi_pending = true;
}

void vmx_flush_tlb(struct vmx_vcpu *x)
{
	invept(INVEPT_SINGLE, x->eptp);
	if (vmx_uses(FEATURE_VPID))
		invvpid(INVVPID_SINGLE, vmx_vpid(x));
}

/* Requests of others, and a scheduler that wants to look again. False: leave the run loop. */
static bool take_requests(struct vmx_vcpu *x)
{
	struct vcpu *v = &x->v;
	bool yield = v->cpu->sched->resched && sched_tick(rdtsc());
	uint32_t bits = v->requests ? vcpu_take_requests(v) : 0;

	if (bits & REQUEST_FLUSH)
		invept(INVEPT_SINGLE, x->eptp);
	if (bits & REQUEST_APIC)
		vlapic_sync_posted(&v->lapic);
	if (bits & REQUEST_EXTINT)
		x->extint = true;
	if (v->lapic.events)
		take_nmi(x);
	return v->state == VCPU_RUNNING && !yield;
}

static inline void enter_guest_side(struct vmx_vcpu *x)
{
	/* A full barrier: whoever sets a request either sees us inside and waits, or we see it. */
	__atomic_add_fetch(&x->run_seq, 1, __ATOMIC_SEQ_CST);
}

static inline void leave_guest_side(struct vmx_vcpu *x)
{
	__atomic_store_n(&x->run_seq, x->run_seq + 1, __ATOMIC_RELEASE);
}

void vmx_left_guest(struct vmx_vcpu *x) { leave_guest_side(x); }

/* Everything an entry needs; on true the next instruction but a few is VMRESUME. *now: host TSC. */
static inline bool prepare(struct vmx_vcpu *x, uint64_t *now)
{
	uint64_t left;

	for (;;) {
		enter_guest_side(x);
		if (UNLIKELY(!quiet(x))) {
			leave_guest_side(x);
			if (!take_requests(x))
				return false;
			continue;
		}
		*now = rdtsc();
		left = vmx_time_left(x, *now);
		if (LIKELY(left))
			break;
		leave_guest_side(x);
		if (vmx_timers_due(x, *now))
			return false;
	}
	if (UNLIKELY(events_wait(x)) || (x->primary & (PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW)))
		vmx_deliver_events(x);
	vmx_timer_set(x, *now, left);
	return true;
}

static inline void account(struct vcpu *v, uint64_t now)
{
	struct exit_stat *s = &v->stats[v->last_reason];

	s->count++;
	s->cycles += now - v->exit_tsc;
}

static inline void record(struct vcpu *v, uint32_t reason)
{
	struct exit_record *r = &v->ring[v->ring_next++ % EXIT_RING];

	v->last_reason = reason;
	r->tsc = v->exit_tsc;
	r->reason = reason;
	r->vcpu = v->index;
}

static void clear_shadows(void)
{
	uint64_t state = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	if (UNLIKELY(state & (BLOCKING_STI | BLOCKING_MOV_SS)))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, state & ~(BLOCKING_STI | BLOCKING_MOV_SS));
}

#define DEBUGCTL_BTF BIT(1)

/* RFLAGS.TF: a trap after each instruction, or after branches only with BTF. */
static void single_step(void)
{
	if (!(vmread(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF))
		vmwrite(VMCS_GUEST_PENDING_DB, vmread(VMCS_GUEST_PENDING_DB) | PENDING_DB_BS);
}

inline void vmx_finish_instruction(struct vcpu *v)
{
	(void)v;
	clear_shadows();
	if (UNLIKELY(vmread(VMCS_GUEST_RFLAGS) & RFLAGS_TF))
		single_step();
}

inline void vmx_skip_instruction(struct vmx_vcpu *x)
{
	uint64_t rip = vmread(VMCS_GUEST_RIP);
	uint64_t next = rip + vmread(VMCS_EXIT_INSN_LENGTH);

	/* EIP wraps at 4 GiB outside 64-bit mode. */
	if (UNLIKELY((next ^ rip) >> 32) && !vmx_in_long_mode())
		next = (uint32_t)next;
	vmwrite(VMCS_GUEST_RIP, next);
	vmx_finish_instruction(&x->v);
}

static inline bool refused(struct vmx_vcpu *x, uint32_t reason)
{
	vmx_entry_refused(x, reason);
	return false;
}

bool vmx_exit(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);
	uint32_t reason = (uint32_t)vmread(VMCS_EXIT_REASON);
	const struct exit_row *row = &vmx_exit_rows[REASON_BASIC(reason)];
	uint64_t now;

	leave_guest_side(x);
	if (UNLIKELY(reason >= REASON_COUNT))
		return refused(x, reason);
	record(v, reason);
	if (row->delivery)
		vmx_keep_delivery(x, reason);
	switch (row->handle(v)) {
	case EXIT_ADVANCE:
		vmx_skip_instruction(x);
		break;
	case EXIT_YIELD:
		account(v, rdtsc());
		return false;
	case EXIT_RESUME:
		break;
	}
	if (UNLIKELY(!prepare(x, &now))) {
		account(v, rdtsc());
		return false;
	}
	account(v, now);
	return true;
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
