/* Owns each CPU's reasons and its note. */
#include "hv/base/nmi.h"

#include "drivers/lapic.h"
#include "hv/base/backtrace.h"
#include "hv/base/clock.h"
#include "hv/base/panic.h"
#include "hv/base/smp.h"

#define PAIR_MS 100 /* two NMIs that were sent: the first takes both reasons, the second comes within this */

static struct {
	uint32_t why;    /* atomic */
	uint64_t sent;   /* TSC of the latest sending */
	uint64_t outside;
	struct nmi_note note;
} slots[MAX_CPUS];

static const struct nmi_hooks *hooks;

void nmi_set_hooks(const struct nmi_hooks *h) { hooks = h; }
const struct nmi_note *nmi_note(const struct cpu *c) { return &slots[c->index].note; }
uint64_t nmi_outside_count(const struct cpu *c) { return slots[c->index].outside; }

void nmi_send(struct cpu *c, uint32_t why)
{
	slots[c->index].sent = __builtin_ia32_rdtsc();
	__atomic_fetch_or(&slots[c->index].why, why, __ATOMIC_ACQ_REL);
	lapic_send_nmi(c->apic_id);
}

static void make_note(const struct cpu *c, const struct trap_frame *f)
{
	struct nmi_note *n = &slots[c->index].note;

	n->in_guest = trap_from_guest(f);
	n->rip = n->in_guest ? 0 : f->rip;
	if (hooks)
		hooks->complete(c, n);
	n->found = n->in_guest ? 0 : backtrace_collect(f->rsp, n->returns, NMI_RETURNS);
	__atomic_fetch_add(&n->count, 1, __ATOMIC_RELEASE);
}

static bool was_sent_lately(const struct cpu *c)
{
	return __builtin_ia32_rdtsc() - slots[c->index].sent < tsc_khz * PAIR_MS;
}

void nmi_take(const struct trap_frame *f)
{
	struct cpu *c = cpu_if_known();
	uint32_t why;

	if (!c)
		return; /* it has not come far enough to be asked */
	make_note(c, f);
	if (smp_nmi_stop() || panic_is_on())
		return;
	why = __atomic_exchange_n(&slots[c->index].why, 0, __ATOMIC_ACQ_REL);
	if (hooks && hooks->is_alarm(c))
		return;
	if (!why && was_sent_lately(c))
		return;
	slots[c->index].outside += !why;
	if (hooks)
		hooks->taken(c, why);
}
