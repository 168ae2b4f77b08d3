/*
 * The run loop of a TD's vCPU: what is done before every VP.ENTER, and what others do to a vCPU that is in
 * the TD. There is no preemption timer and no event injection: the host's APIC timer ends the TD's time, and
 * interrupts get in by the posted-interrupt descriptor alone. The protocol of run_seq is tests/model/kick.pml.
 */
#include "tdx/vp.h"

#include <string.h>

#include "drivers/lapic.h"
#include "hv/base/clock.h"
#include "hv/base/vectors.h"
#include "hv/base/x86.h"
#include "hv/trace.h"
#include "hv/vcpu.h"
#include "mmu/mmu.h"

/* How long VP.ENTER may be refused because somebody else holds what it needs. */
#define BUSY_MS 2000

/* ---- who is in the TD ---- */

static inline void enter_guest_side(struct tdx_vcpu *x)
{
	/* A full barrier: whoever sets a request or the bar either sees us inside and waits, or we see it. */
	__atomic_add_fetch(&x->run_seq, 1, __ATOMIC_SEQ_CST);
}

static inline void leave_guest_side(struct tdx_vcpu *x)
{
	__atomic_store_n(&x->run_seq, x->run_seq + 1, __ATOMIC_RELEASE);
}

static void wait_until_out(struct tdx_vcpu *x)
{
	uint32_t seen = __atomic_load_n(&x->run_seq, __ATOMIC_SEQ_CST);

	while ((seen & 1) && __atomic_load_n(&x->run_seq, __ATOMIC_ACQUIRE) == seen)
		cpu_pause();
}

void tdx_bar(void *ctx, bool barred)
{
	struct tdx_vm *t = ctx;

	__atomic_add_fetch(&t->barred, barred ? 1u : ~0u, __ATOMIC_SEQ_CST);
}

void tdx_kick(void *ctx)
{
	struct tdx_vm *t = ctx;

	tdx_flush(t->vm);
}

/* Of a CPU that is not in a guest the translations go at once; elsewhere the request is taken before the next
 * entry. */
void tdx_flush(struct vm *vm)
{
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		if (vm->vcpus[i]->cpu == this_cpu())
			tdx_flush_here();
		else
			vcpu_request(vm->vcpus[i], REQUEST_FLUSH);
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		if (vm->vcpus[i]->cpu != this_cpu())
			wait_until_out(to_tdx(vm->vcpus[i]));
}

/* SDM "Posted-Interrupt Processing": see vmx_notify(), which has the same to say. */
bool tdx_notify(struct vcpu *v)
{
	struct tdx_vcpu *x = to_tdx(v);

	if (vlapic_needs_exit(&v->lapic) || !(__atomic_load_n(&x->run_seq, __ATOMIC_SEQ_CST) & 1))
		return false;
	lapic_send_ipi(v->cpu->apic_id, HOST_VECTOR_POSTED);
	return true;
}

/* ---- before an entry ---- */

static inline uint32_t asked(const struct tdx_vcpu *x)
{
	return __atomic_load_n(&x->v.requests, __ATOMIC_RELAXED) |
	       __atomic_load_n(&x->sched->resched, __ATOMIC_RELAXED) |
	       __atomic_load_n(&x->td->barred, __ATOMIC_RELAXED);
}

/* Host TSC at which the TD must be left for the CPU's next event or the guest's timer. */
static uint64_t due(const struct tdx_vcpu *x, uint64_t now)
{
	uint64_t guest = x->v.lapic.timer_deadline;
	uint64_t timer = guest == NEVER ? NEVER : vcpu_host_tsc(&x->v, guest, now);

	return min_u64(timer, x->sched->next_event);
}

bool tdx_must_leave(const struct tdx_vcpu *x)
{
	uint64_t now = rdtsc();

	return asked(x) || due(x, now) <= now;
}

static void stop_for(struct tdx_vcpu *x, const char *what, const struct failure *f)
{
	vm_stop(x->v.vm, "vCPU %u: %s: %s", x->v.index, what, f->text);
}

static void take_nmi(struct tdx_vcpu *x)
{
	struct failure f = { 0 };

	if (!(__atomic_fetch_and(&x->v.lapic.events, ~(uint32_t)VLAPIC_PENDING_NMI, __ATOMIC_ACQ_REL) &
	      VLAPIC_PENDING_NMI))
		return;
	if (td_vcpu_write(&x->td->td, x->v.index, TDX_VP_PEND_NMI, 1, 1, &f))
		stop_for(x, "an NMI could not be delivered", &f);
}

/* Requests of others, and a scheduler that wants to look again. False: leave the run loop. */
static bool take_requests(struct tdx_vcpu *x)
{
	struct vcpu *v = &x->v;
	bool yield = x->sched->resched && sched_tick(rdtsc());
	uint32_t bits = v->requests ? vcpu_take_requests(v) : 0;

	if (bits & REQUEST_FLUSH)
		tdx_flush_here();
	if (bits & REQUEST_APIC)
		vlapic_sync_posted(&v->lapic);
	if (v->lapic.events)
		take_nmi(x);
	return v->state == VCPU_RUNNING && !yield;
}

static bool take_timers(struct tdx_vcpu *x, uint64_t now)
{
	vlapic_timer_expired(&x->v.lapic, vcpu_tsc_at(&x->v, now));
	return now < x->sched->tick_from || !sched_tick(now);
}

static bool take_all(struct tdx_vcpu *x, uint64_t now)
{
	while (__atomic_load_n(&x->td->barred, __ATOMIC_ACQUIRE))
		cpu_pause();
	return take_requests(x) && take_timers(x, now);
}

static void arm_timer(struct tdx_vcpu *x, uint64_t until)
{
	if (x->timer_armed == until)
		return;
	x->timer_armed = until;
	lapic_timer_arm(until);
}

/* Vectors that were posted while nobody could take the notification: it waits for the entry, as interrupts
 * are off, and is taken in the TD. */
static void notify_self(struct tdx_vcpu *x)
{
	if (vlapic_remote_pending(&x->v.lapic))
		lapic_send_ipi(x->v.cpu->apic_id, HOST_VECTOR_POSTED);
}

/* All that an entry may need. True: on the guest's side, enter now. False: leave the run loop. */
static bool prepare(struct tdx_vcpu *x)
{
	uint64_t now, until;

	for (;;) {
		now = rdtsc();
		until = due(x, now);
		enter_guest_side(x);
		if (until > now && !asked(x))
			break;
		leave_guest_side(x);
		if (!take_all(x, now))
			return false;
	}
	arm_timer(x, until);
	notify_self(x);
	shared_root_follow(&x->td->shared, mmu_eptp(x->v.vm->mmu) & BITS(51, 12));
	return true;
}

/* ---- the entry ---- */

static void record(struct vcpu *v, uint32_t reason)
{
	uint32_t at = v->ring.next++ % EXIT_RING;

	v->last_reason = reason;
	v->ring.tsc[at] = v->exit_tsc;
	v->ring.reason[at] = reason;
	v->stats.count[reason]++;
	if (UNLIKELY(trace_on))
		trace_exit(v, reason, 0, 0, 0); /* the TD keeps its RIP */
}

/* What an entry needs is held by another CPU for a while. Nothing was entered: what the guest is to be
 * answered stays. */
static enum exit_result busy(struct tdx_vcpu *x, uint64_t status)
{
	uint64_t now = rdtsc();

	if (!x->busy_since)
		x->busy_since = now;
	if (now - x->busy_since < tsc_khz * BUSY_MS)
		return EXIT_RESUME;
	vm_stop(x->v.vm, "vCPU %u could not be entered for %u ms: %s (%lx)", x->v.index, BUSY_MS,
		tdx_status_text(status), status);
	return EXIT_YIELD;
}

/* The TD, or this vCPU, ran for the last time; or it never will. */
static enum exit_result refused(struct tdx_vcpu *x, uint64_t status)
{
	if (tdx_status_is(status, TDX_NON_RECOVERABLE_VCPU))
		vm_stop(x->v.vm, "triple fault: vCPU %u could not deliver a double fault", x->v.index);
	else
		vm_stop(x->v.vm, "vCPU %u cannot run: TDH.VP.ENTER said %s (%lx): %s", x->v.index,
			tdx_status_name(status), status, tdx_status_text(status));
	return EXIT_YIELD;
}

static enum exit_result enter(struct tdx_vcpu *x)
{
	uint64_t status;

	x->regs = x->answer;
	x->regs.gpr[TDX_RAX] = TDH_VP_ENTER;
	x->regs.gpr[TDX_RCX] = x->tdvpr;
	td_vcpu_claim(&x->td->td, x->v.index);
	status = tdx_call_once(&x->regs);
	x->v.exit_tsc = rdtsc();
	leave_guest_side(x);
	if (UNLIKELY(tdx_status_class(status) == TDX_CLASS_BUSY)) {
		record(&x->v, TDX_REASON_REFUSED);
		return busy(x, status);
	}
	x->busy_since = 0;
	memset(&x->answer, 0, sizeof x->answer);
	if (UNLIKELY(!tdx_status_is(status, TDX_SUCCESS))) {
		record(&x->v, TDX_REASON_REFUSED);
		return refused(x, status);
	}
	record(&x->v, tdx_exit_reason(&x->regs));
	return tdx_exit(x);
}

void tdx_run(struct vcpu *v)
{
	struct tdx_vcpu *x = to_tdx(v);

	x->timer_armed = 0; /* whoever ran before may have armed it */
	if (sched_tick(rdtsc())) /* what it planned last may have been for another context */
		return;
	while (prepare(x)) {
		bool goes_on = enter(x) != EXIT_YIELD;

		v->stats.cycles[v->last_reason] += rdtsc() - v->exit_tsc;
		if (!goes_on)
			return;
	}
}
