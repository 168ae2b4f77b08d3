/*
 * The life of a vCPU outside guest mode: waiting, waking, INIT and SIPI, power-on, stop.
 */
#include "hv/vcpu.h"

#include "hv/base/clock.h"
#include "hv/base/x86.h"
#include "hv/debug.h"
#include "hv/exits.h"
#include "hv/fpu.h"
#include "hv/guest/msr.h"
#include "hv/guest/wakeup.h"
#include "hv/pc.h"
#include "hv/vm_life.h"
#include "mmu/mmu.h"

#define MAILBOX_LOOK_MS 1

/* Requests the back end acts on by itself. */
#define BACKEND_REQUESTS (REQUEST_APIC | REQUEST_EXTINT | REQUEST_FLUSH | REQUEST_EVENT | REQUEST_LOG)

void vcpu_request(struct vcpu *v, uint32_t bits)
{
	uint32_t old = __atomic_fetch_or(&v->requests, bits, __ATOMIC_ACQ_REL);

	/* The running context itself looks before it enters the guest or blocks. */
	if (old == 0 && this_cpu()->sched->current != v->context)
		context_wake(v->context);
}

/* ---- messages on the APIC bus ---- */

static void deliver_lowest(struct vm *vm, const struct apic_msg *msg)
{
	struct vlapic *best = NULL;

	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		if (vlapic_matches(&vm->vcpus[i]->lapic, msg))
			best = vlapic_arbitrate(best, &vm->vcpus[i]->lapic);
	if (best)
		vlapic_post(best, msg);
}

void vcpu_deliver(void *opaque, const struct apic_msg *msg)
{
	struct vm *vm = opaque;

	if (msg->mode == APIC_LOWEST) {
		deliver_lowest(vm, msg);
		return;
	}
	/* The common case names one APIC: ids are vCPU indices. */
	if (!msg->logical && msg->dest < vm->vcpu_count) {
		vlapic_post(&vm->vcpus[msg->dest]->lapic, msg);
		return;
	}
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		if (vlapic_matches(&vm->vcpus[i]->lapic, msg))
			vlapic_post(&vm->vcpus[i]->lapic, msg);
}

static void lapic_send(void *ctx, const struct apic_msg *msg, enum vlapic_shorthand shorthand)
{
	struct vcpu *self = ctx;

	if (shorthand == VLAPIC_BY_DEST) {
		vcpu_deliver(self->vm, msg);
		return;
	}
	for (uint32_t i = 0; i < self->vm->vcpu_count; i++)
		if (self->vm->vcpus[i] != self)
			vlapic_post(&self->vm->vcpus[i]->lapic, msg);
}

static void lapic_eoi(void *ctx, uint8_t vector)
{
	struct vcpu *v = ctx;

	pc_eoi(v->vm->pc, vector);
}

static uint64_t lapic_tsc(void *ctx)
{
	struct vcpu *v = ctx;

	return vcpu_tsc(v);
}

static void lapic_kick(void *ctx)
{
	struct vcpu *v = ctx;

	if (!v->vm->backend->notify(v))
		vcpu_request(v, v->lapic.events ? REQUEST_APIC | REQUEST_EVENT : REQUEST_APIC);
}

static void lapic_mode_changed(void *ctx)
{
	struct vcpu *v = ctx;

	v->vm->backend->apic_changed(v);
}

const struct vlapic_host vcpu_lapic_host = {
	.send = lapic_send,
	.eoi = lapic_eoi,
	.tsc = lapic_tsc,
	.kick = lapic_kick,
	.mode_changed = lapic_mode_changed,
};

/* ---- requests ---- */

static void power_on(struct vcpu *v)
{
	struct vm *vm = v->vm;
	bool waits_in_loop = v->index != 0 && vm->mailbox;
	struct guest_entry loop = wakeup_entry(v->index);
	const struct guest_entry *entry = v->index == 0 ? vm->entry : waits_in_loop ? &loop : NULL;

	fpu_reset(v);
	fpu_switch_to(v);
	msr_reset(v->msr);
	vlapic_reset(&v->lapic, false);
	if (v->index == 0 && !v->lapic.remote)
		vlapic_virtual_wire(&v->lapic);
	vm->backend->vcpu_reset(v, entry);
	v->state = waits_in_loop || vm->backend->starts_all ? VCPU_RUNNING : VCPU_WAIT_SIPI;
	__atomic_add_fetch(&vm->powered, 1, __ATOMIC_ACQ_REL);
	if (v->index != 0)
		return;
	/* The kernel may send INIT at once: all others must be past their own power-on. */
	while (__atomic_load_n(&vm->powered, __ATOMIC_ACQUIRE) < vm->vcpu_count)
		sched_block(rdtsc() + SCHED_SLICE_MS);
	v->state = VCPU_RUNNING;
}

static void take_init(struct vcpu *v)
{
	if (v->index == 0) {
		vm_stop(v->vm, "vCPU 0 received INIT, which restarts a PC's firmware; a kernel that is "
			       "started directly has none to restart");
		return;
	}
	vlapic_reset(&v->lapic, true);
	v->vm->backend->vcpu_reset(v, NULL);
	v->state = VCPU_WAIT_SIPI;
}

/* SDM vol. 3A, "MP Initialization Protocol": only a CPU that waits for it takes a SIPI. */
static void take_sipi(struct vcpu *v)
{
	if (v->state != VCPU_WAIT_SIPI)
		return;
	if (v->vm->mmu->config.kind == MMU_SHADOW) {
		vm_stop(v->vm, "vCPU %u received a start-up IPI, which begins in real mode; with mmu = shadow a "
			"kernel starts it through the ACPI wakeup mailbox (Linux 5.17 or later does)", v->index);
		return;
	}
	v->vm->backend->vcpu_sipi(v, v->lapic.sipi_vector);
	v->state = VCPU_RUNNING;
}

static void take_events(struct vcpu *v)
{
	uint32_t events = __atomic_load_n(&v->lapic.events, __ATOMIC_ACQUIRE);

	if (v->state == VCPU_STOPPED)
		return;
	if (events & VLAPIC_PENDING_INIT) {
		__atomic_and_fetch(&v->lapic.events, ~(uint32_t)VLAPIC_PENDING_INIT, __ATOMIC_ACQ_REL);
		take_init(v);
	}
	if (events & VLAPIC_PENDING_SIPI) {
		__atomic_and_fetch(&v->lapic.events, ~(uint32_t)VLAPIC_PENDING_SIPI, __ATOMIC_ACQ_REL);
		take_sipi(v);
	}
}

static void take_snapshot(struct vcpu *v)
{
	for (unsigned r = 0; r < REG_COUNT; r++)
		v->snapshot[r] = v->vm->backend->get_reg(v, r);
	for (unsigned r = 0; r < GPR_COUNT; r++)
		v->snapshot[REG_COUNT + r] = v->gpr[r];
	v->snapshot[REG_COUNT + GPR_RSP] = v->snapshot[REG_RSP];
	__atomic_add_fetch(&v->snapshot_count, 1, __ATOMIC_RELEASE);
}

static void take_stop(struct vcpu *v)
{
	if (v->state == VCPU_STOPPED)
		return;
	v->state = VCPU_STOPPED;
	fpu_release(v);
	vm_vcpu_parked(v);
}

uint32_t vcpu_take_requests(struct vcpu *v)
{
	uint32_t bits = __atomic_exchange_n(&v->requests, 0, __ATOMIC_ACQ_REL);

	if (bits & REQUEST_POWER_ON)
		power_on(v);
	if (bits & REQUEST_EVENT)
		take_events(v);
	if (bits & REQUEST_STOP)
		take_stop(v);
	if (bits & REQUEST_SNAPSHOT)
		take_snapshot(v);
	return bits & BACKEND_REQUESTS;
}

/* ---- waiting and running ---- */

bool vcpu_has_wake_event(struct vcpu *v)
{
	if (v->lapic.events & VLAPIC_PENDING_NMI)
		return true;
	if (v->vm->backend->has_interrupt)
		return v->vm->backend->has_interrupt(v);
	if (!(v->vm->backend->get_reg(v, REG_RFLAGS) & RFLAGS_IF))
		return false;
	vlapic_sync_posted(&v->lapic);
	v->lapic.irr_pending = true; /* the CPU may have been told of interrupts and not delivered them */
	return vlapic_pending_vector(&v->lapic) >= 0 || exit_extint_pending(v);
}

/* Host TSC of the local APIC timer's next expiry. */
static uint64_t lapic_deadline(const struct vcpu *v)
{
	uint64_t guest = v->lapic.timer_deadline;

	return guest == NEVER ? NEVER : vcpu_host_tsc(v, guest, rdtsc());
}

/*
 * The wait loop of hv/guest/wakeup.h looks at the mailbox and halts, with interrupts off, and looks
 * again when this wakes it. So a vCPU whose kernel does not want it (yet) costs its host CPU a thousand
 * exits a second, not all its time.
 */
static void rest_in_loop(struct vcpu *v, uint64_t deadline)
{
	sched_block(min_u64(deadline, rdtsc() + tsc_khz * MAILBOX_LOOK_MS));
	v->state = VCPU_RUNNING;
}

static void halted(struct vcpu *v)
{
	uint64_t deadline = lapic_deadline(v);

	/* Who saw this vCPU in the guest and notified it there has posted before: see that now, the
	 * notification may have come too late. tests/model/posted.pml. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (deadline <= rdtsc())
		vlapic_timer_expired(&v->lapic, vcpu_tsc(v));
	if (vcpu_has_wake_event(v)) {
		v->state = VCPU_RUNNING;
		return;
	}
	mmu_vcpu_topup(v->mmu); /* so that the next faults need not */
	if (v->vm->mailbox && v->index != 0 && wakeup_in_loop(v->vm->backend->get_reg(v, REG_RIP))) {
		rest_in_loop(v, deadline);
		return;
	}
	sched_block(deadline);
}

static void run(struct vcpu *v)
{
	/* The back end takes requests itself before each entry: hand it what it has not seen. */
	if (v->carried)
		__atomic_or_fetch(&v->requests, v->carried, __ATOMIC_ACQ_REL);
	v->carried = 0;
	v->vm->backend->run(v);
	if (v->state == VCPU_RUNNING)
		sched_yield();
}

void vcpu_main(void *where)
{
	struct vcpu *v = *(struct vcpu **)where;

	for (;;) {
		if (__atomic_load_n(&v->requests, __ATOMIC_ACQUIRE))
			v->carried |= vcpu_take_requests(v);
		if (UNLIKELY(v->debug) && debug_stay(v))
			continue;
		if (v->state == VCPU_RUNNING)
			run(v);
		else if (v->state == VCPU_HALTED)
			halted(v);
		else
			sched_block(NEVER);
	}
}

void vcpu_switched_in(struct vcpu *v)
{
	const struct backend *b = v->vm->backend;
	struct cpu *c = this_cpu();

	if (v->state == VCPU_STOPPED && !v->requests)
		return;
	if (UNLIKELY(c->loaded_by != b)) {
		if (c->loaded_by)
			c->loaded_by->release(c);
		c->loaded_by = b;
	}
	b->load(v);
}

void vcpu_switched_out(struct vcpu *v) { v->vm->backend->put(v); }
