/* sources: mmu/ tdx/vp.c tdx/vp_life.c tdx/exits.c tdx/vmcall.c tdx/vmcall_map.c tdx/vmcall_fatal.c tdx/shared_root.c tdx/seamcall.c tdx/status.c hv/exits.c hv/exits_msr.c hv/bus.c hv/devices/vlapic.c hv/devices/vlapic_regs.c hv/devices/vlapic_post.c hv/devices/vlapic_ipi.c hv/devices/vlapic_timer.c hv/devices/vlapic_remote.c hv/guest/cpuid.c hv/guest/cpuid_features.c hv/guest/msr.c hv/guest/msr_table.c hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/external_fake.c tests/unit/mirror_world.c tests/unit/td_world.c */
/*
 * The run loop of a TD's vCPU, over a module that is a script: requests, time, interrupts, the bar, what
 * VP.ENTER is given and what becomes of each way it can end. And the shared EPT's root, at every place where
 * the shared bit can be.
 */
#include "tests/unit/td_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/clock.h"
#include "hv/base/phys.h"
#include "hv/base/vectors.h"
#include "hv/vcpu.h"
#include "tdx/abi/status.h"
#include "vmx/core/reasons.h"

#define INTERRUPT(vector) (0x80000000u | (vector))

static int start(void **state)
{
	(void)state;
	td_world_start();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	td_world_end();
	return 0;
}

/* ---- the script ---- */

#define MAX_STAYS 40
struct stay {
	uint64_t status, rcx, rdx, r8, r9; /* what VP.ENTER gives */
	uint32_t requests;                 /* that came meanwhile; REQUEST_STOP after the last stay */
};
static struct stay script[MAX_STAYS];
static struct tdx_regs given[MAX_STAYS]; /* what VP.ENTER took */
static unsigned stays;

static void play(struct tdx_regs *r)
{
	unsigned i = td_seen.entries - 1;
	const struct stay *s = &script[i < stays ? i : 0];

	assert_true(i < stays);
	given[i] = *r;
	*r = (struct tdx_regs){ .gpr = { [TDX_RAX] = s->status, [TDX_RCX] = s->rcx, [TDX_RDX] = s->rdx,
					 [TDX_R8] = s->r8, [TDX_R9] = s->r9 } };
	td_vcpu.v.requests |= i + 1 == stays ? s->requests | REQUEST_STOP : s->requests;
}

#define RUN(...) run_script((struct stay[]){ __VA_ARGS__ }, ARRAY_LEN(((struct stay[]){ __VA_ARGS__ })))
static void run_script(const struct stay *s, unsigned count)
{
	memcpy(script, s, count * sizeof *s);
	stays = count;
	td_seen.entries = 0;
	td_guest = play;
	tdx_run(&td_vcpu.v);
	assert_int_equal(td_vcpu.run_seq & 1, 0);
}

static uint64_t counted(uint32_t reason) { return td_vcpu.v.stats.count[reason]; }

/* ---- exits ---- */

static void interrupts_and_nmis(void **state)
{
	(void)state;
	RUN({ .status = REASON_EXTERNAL_INTERRUPT, .r9 = INTERRUPT(0x31) },
	    { .status = REASON_EXCEPTION_NMI, .r9 = INTERRUPT(INTR_TYPE_BITS(INTR_NMI) | 2) },
	    { .status = REASON_EXTERNAL_INTERRUPT, .r9 = 0 }, { .status = REASON_OTHER_SMI },
	    { .status = REASON_INIT }, { .status = REASON_BUS_LOCK });
	assert_true(td_seen.irqs == 1 && td_seen.irq == 0x31 && td_seen.nmis == 1);
	assert_int_equal(td_seen.entries, 6);
	assert_int_equal(counted(REASON_EXTERNAL_INTERRUPT), 2);
	assert_int_equal(td_seen.stops, 0);
}

/* After an exit that is no call, nothing is handed in but the leaf and the vCPU. */
static void nothing_leaks_in(void **state)
{
	(void)state;
	RUN({ .status = REASON_EXTERNAL_INTERRUPT, .rcx = 1, .rdx = 2, .r8 = 3, .r9 = INTERRUPT(0x31) },
	    { .status = REASON_OTHER_SMI });
	for (unsigned r = TDX_RDX; r < TDX_REGS; r++)
		assert_true(given[0].gpr[r] == 0 && given[1].gpr[r] == 0);
}

static void accept_call(struct tdx_regs *r)
{
	unsigned i = td_seen.entries - 1;

	given[i] = *r;
	if (i == 0)
		*r = (struct tdx_regs){ .gpr = { [TDX_RAX] = 77, [TDX_RCX] = 0xfc00, [TDX_R11] = GHCI_CPUID,
						 [TDX_R12] = 0x40000000, [TDX_RBX] = 0xb } };
	else if (i < 3) /* refused: the answer stays */
		*r = (struct tdx_regs){ .gpr = { [TDX_RAX] = TDX_OPERAND_BUSY | TDX_OP_TD_EPOCH, [TDX_R12] = 99 } };
	else
		*r = (struct tdx_regs){ .gpr = { [TDX_RAX] = REASON_OTHER_SMI } };
	if (i == 4)
		td_vcpu.v.requests |= REQUEST_STOP;
}

/* The answer to a call goes in with the next entry that takes place, and with no other. */
static void an_answer_survives_busy(void **state)
{
	(void)state;
	td_guest = accept_call;
	tdx_run(&td_vcpu.v);
	assert_int_equal(td_seen.entries, 5);
	for (unsigned i = 1; i < 4; i++)
		assert_true(given[i].gpr[TDX_R12] == 0x40000000 && given[i].gpr[TDX_R10] == 0 &&
			    given[i].gpr[TDX_RBX] == 0xb);
	assert_int_equal(given[4].gpr[TDX_R12], 0);
	assert_int_equal(counted(REASON_CPUID), 1);
	assert_int_equal(counted(TDX_REASON_REFUSED), 2);
	assert_int_equal(td_seen.stops, 0);
}

static uint64_t always;
static void always_says(struct tdx_regs *r)
{
	*r = (struct tdx_regs){ .gpr = { [TDX_RAX] = always } };
}

static void ends_with(uint64_t status, const char *sentence)
{
	td_world_end();
	td_world_start();
	always = status;
	td_guest = always_says;
	tdx_run(&td_vcpu.v);
	assert_non_null(strstr(td_seen.stop, sentence));
}

static void grave_ends(void **state)
{
	(void)state;
	ends_with(TDX_NON_RECOVERABLE_VCPU | REASON_TRIPLE_FAULT, "triple fault: vCPU 0 could not deliver");
	ends_with(TDX_NON_RECOVERABLE_TD | REASON_EPT_VIOLATION, "TDH.VP.ENTER said NON_RECOVERABLE_TD");
	ends_with(TDX_TD_FATAL, "TDH.VP.ENTER said TD_FATAL");
	ends_with(TDX_NON_RECOVERABLE_TD_NON_ACCESSIBLE, "NON_RECOVERABLE_TD_NON_ACCESSIBLE");
	ends_with(TDX_VCPU_STATE_INCORRECT, "VCPU_STATE_INCORRECT");
	ends_with(TDX_TSC_ROLLBACK, "TSC_ROLLBACK");
	ends_with(TDX_NO_MODULE, "cannot run");
	ends_with(REASON_TASK_SWITCH, "hardware task switch");
	ends_with(REASON_EPT_MISCONFIG, "(49, ");
	ends_with(0xffff, "(65535, ");
	for (uint64_t reason = 0; reason < EXIT_REASONS; reason++)
		if (reason > 1 && reason != 3 && reason != 5 && reason != 6 && reason != 9 && reason != 48 &&
		    reason != 74 && reason != 77)
			ends_with(reason, "left the TD");
}

/* Somebody holds a lock for ever: the guest is stopped in the end, others of the CPU had their turns. */
static void busy_for_ever(void **state)
{
	uint64_t khz = tsc_khz;

	(void)state;
	tsc_khz = 1000; /* two seconds are a thousandth of that */
	ends_with(TDX_OPERAND_BUSY | TDX_OP_TDR, "could not be entered for 2000 ms");
	tsc_khz = khz;
	assert_true(td_seen.entries > 1);
}

/* ---- memory ---- */

static uint64_t accept_of(unsigned level) { return TDX_EEQ_ACCEPT | (uint64_t)level << 32; }

static void violations(void **state)
{
	(void)state;
	fake.running = true;
	assert_int_equal(mirror_convert(8, 1, false), 0);
	RUN({ .status = REASON_EPT_VIOLATION, .rcx = MMU_WRITE, .rdx = accept_of(0), .r8 = 0x1000 },
	    { .status = REASON_EPT_VIOLATION, .rcx = MMU_WRITE, .rdx = accept_of(1), .r8 = MIB(2) },
	    { .status = REASON_EPT_VIOLATION, .rcx = MMU_READ, .r8 = SHARED(0x8000) }, /* RAM that is shared */
	    { .status = REASON_EPT_VIOLATION, .rcx = MMU_READ, .r8 = SHARED(GIB(3)) }, /* a device: #VE from now on */
	    { .status = REASON_EPT_VIOLATION, .rcx = MMU_WRITE, .rdx = accept_of(7), .r8 = MIB(4) });
	assert_int_equal(td_seen.stops, 0);
	assert_int_equal(mirror_level(1), LEVEL_4K);
	assert_int_equal(mirror_level(MIB(2) >> PAGE_SHIFT), LEVEL_2M);
	assert_int_equal(mirror_level(MIB(4) >> PAGE_SHIFT), LEVEL_2M);
	assert_int_equal(counted(REASON_EPT_VIOLATION), 5);
	mirror_agrees();
}

static void stopped_by(struct stay s, const char *sentence)
{
	td_world_end();
	td_world_start();
	fake.running = true;
	RUN(s);
	assert_non_null(strstr(td_seen.stop, sentence));
}

/* Each wrong access ends the guest with a sentence that names the address. */
static void wrong_accesses(void **state)
{
	static const struct {
		gpa_t gpa;
		uint64_t extended;
		const char *sentence;
	} cases[] = {
		{ 0x5000, TDX_EEQ_PENDING_EPT_VIOLATION, "private memory at guest-physical 5000 before it accepted it" },
		{ GIB(3), 0, "guest-physical c0000000 as private memory, where the guest has no memory" },
		{ GIB(3), TDX_EEQ_ACCEPT, "c0000000 as private memory" },
		{ SHARED(0x5000), 0, "as shared memory, which it is not" },
		{ BIT(46), 0, "beyond the 40 bits" },
		{ SHARED(0x5000), TDX_EEQ_ACCEPT, "beyond the" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		stopped_by((struct stay){ .status = REASON_EPT_VIOLATION, .rcx = MMU_READ, .rdx = cases[i].extended,
					  .r8 = cases[i].gpa }, cases[i].sentence);
}

static void touch_device(struct tdx_regs *r)
{
	*r = (struct tdx_regs){ .gpr = { [TDX_RAX] = REASON_EPT_VIOLATION, [TDX_RCX] = MMU_READ,
					 [TDX_R8] = SHARED(GIB(3)) } };
}

/* A #VE that the CPU cannot deliver would send the vCPU round for ever. */
static void no_ve_to_be_had(void **state)
{
	(void)state;
	td_guest = touch_device;
	tdx_run(&td_vcpu.v);
	assert_non_null(strstr(td_seen.stop, "cannot get on at shared guest-physical 8000c0000000"));
	assert_in_range(td_seen.entries, 100, 2000);
}

static void broken_external_table(void **state)
{
	(void)state;
	fake.running = true;
	fake.fail_in = 1;
	RUN({ .status = REASON_EPT_VIOLATION, .rcx = MMU_WRITE, .rdx = accept_of(0), .r8 = 0x1000 });
	assert_non_null(strstr(td_seen.stop, "its memory cannot be mapped any more (at guest-physical 1000)"));
	fake.fail_in = 0;
	td_lossy = true;
}

/* ---- requests, time, interrupts ---- */

static void requests(void **state)
{
	(void)state;
	td_vcpu.v.lapic.events = VLAPIC_PENDING_NMI;
	td_taken = REQUEST_EVENT;
	td_vcpu.v.requests = REQUEST_FLUSH;
	RUN({ .status = REASON_OTHER_SMI }, { .status = REASON_OTHER_SMI, .requests = REQUEST_FLUSH });
	assert_int_equal(td_seen.flushes, 2);
	assert_true(td_seen.pend_nmis == 1 && td_vcpu.v.lapic.events == 0);
	assert_int_equal(td_seen.entries, 2);
	assert_int_equal(td_vcpu.v.state, VCPU_STOPPED);
}

static void an_nmi_that_the_module_refuses(void **state)
{
	(void)state;
	td_vcpu.v.lapic.events = VLAPIC_PENDING_NMI;
	td_vcpu.v.requests = REQUEST_EVENT;
	td_write_error = -EIO;
	tdx_run(&td_vcpu.v);
	assert_string_equal(td_seen.stop, "vCPU 0: an NMI could not be delivered: the module says no");
	assert_int_equal(td_seen.entries, 0);
}

static void another_contexts_turn(void **state)
{
	(void)state;
	td_vcpu.sched->resched = 1;
	td_yield = true;
	tdx_run(&td_vcpu.v);
	assert_true(td_seen.entries == 0 && td_seen.ticks == 1 && td_vcpu.v.state == VCPU_RUNNING);
}

/* The host's timer ends the stay in time for the CPU's next event and for the guest's timer. */
static void timers(void **state)
{
	uint64_t soon = __builtin_ia32_rdtsc() + tsc_khz * 3600000ul;

	(void)state;
	td_vcpu.sched->next_event = soon;
	RUN({ .status = REASON_OTHER_SMI });
	assert_true(td_seen.armed == soon);
	td_vcpu.v.state = VCPU_RUNNING;
	assert_true(vlapic_remote_msr_write(&td_vcpu.v.lapic, 0x832, 2u << 17 | 0x51));
	vlapic_set_tsc_deadline(&td_vcpu.v.lapic, 1); /* long gone */
	RUN({ .status = REASON_OTHER_SMI });
	assert_true(td_vcpu.v.lapic.posted->pir[1] == BIT(0x51 - 64));
	assert_int_equal(td_seen.notifications, 1); /* interrupts are off: it is taken in the TD */
	td_vcpu.v.state = VCPU_RUNNING;
	vlapic_set_tsc_deadline(&td_vcpu.v.lapic, soon - 5);
	RUN({ .status = REASON_OTHER_SMI });
	assert_in_range(td_seen.armed, soon - 5 - tsc_khz, soon - 5 + tsc_khz);
	td_vcpu.v.state = VCPU_RUNNING;
	td_vcpu.sched->next_event = td_vcpu.sched->tick_from = 0;
	td_yield = true;
	td_seen.ticks = 0;
	tdx_run(&td_vcpu.v);
	assert_true(td_seen.ticks == 1 && td_vcpu.v.state == VCPU_RUNNING);
}

/* What the scheduler planned last may have been for another context, with no event for this one. */
static void a_fresh_plan(void **state)
{
	(void)state;
	RUN({ .status = REASON_OTHER_SMI });
	assert_int_equal(td_seen.ticks, 1);
}

static void notifying(void **state)
{
	struct apic_msg m = { .mode = APIC_FIXED, .vector = 0x60 };

	(void)state;
	assert_false(tdx_notify(&td_vcpu.v)); /* not in the TD */
	td_vcpu.run_seq = 1;
	vlapic_post(&td_vcpu.v.lapic, &m);
	assert_true(tdx_notify(&td_vcpu.v));
	assert_int_equal(td_seen.notifications, 1);
	m = (struct apic_msg){ .mode = APIC_NMI };
	vlapic_post(&td_vcpu.v.lapic, &m);
	assert_false(tdx_notify(&td_vcpu.v));
	td_vcpu.run_seq = 2;
}

static void must_leave(void **state)
{
	(void)state;
	assert_false(tdx_must_leave(&td_vcpu));
	td_vcpu.v.requests = REQUEST_APIC;
	assert_true(tdx_must_leave(&td_vcpu));
	td_vcpu.v.requests = 0;
	tdx_bar(td_vcpu.td, true);
	assert_true(tdx_must_leave(&td_vcpu));
	tdx_bar(td_vcpu.td, false);
	td_vcpu.sched->next_event = 0;
	assert_true(tdx_must_leave(&td_vcpu));
}

static void *lift_bar(void *arg)
{
	(void)arg;
	for (volatile int i = 0; i < 1000000; i++)
		;
	assert_int_equal(__atomic_load_n(&td_seen.entries, __ATOMIC_ACQUIRE), 0);
	tdx_bar(td_vcpu.td, false);
	return NULL;
}

static void the_bar(void **state)
{
	pthread_t thread;

	(void)state;
	tdx_bar(td_vcpu.td, true);
	assert_int_equal(pthread_create(&thread, NULL, lift_bar, NULL), 0);
	RUN({ .status = REASON_OTHER_SMI });
	pthread_join(thread, NULL);
	assert_int_equal(td_seen.entries, 1);
}

/* ---- time ---- */

/* Guest time and host time by any ratio: the host never looks before the guest's moment by more than rounding,
 * whatever the guest asks for. */
static void scaled_time(void **state)
{
	static const uint64_t ratios[] = { 0, BIT(48), BIT(48) + BIT(38), BIT(48) - BIT(38), BIT(47), BIT(50) };
	static const uint64_t ahead[] = { 1, 1000, 1000000000, BIT(47), BIT(60), ~0ul / 2, ~0ul };

	(void)state;
	for (size_t r = 0; r < ARRAY_LEN(ratios); r++)
		for (size_t a = 0; a < ARRAY_LEN(ahead); a++) {
			struct vcpu v = { .tsc_ratio = ratios[r], .tsc_offset = 0 - BIT(40) };
			uint64_t now = BIT(44), guest_now = vcpu_tsc_at(&v, now), guest, host;

			guest = ahead[a] < ~0ul - guest_now ? guest_now + ahead[a] : ~0ul;
			host = vcpu_host_tsc(&v, guest, now);
			assert_true(host >= now);
			if (host < BIT(60))
				assert_in_range(vcpu_tsc_at(&v, host), guest - 8, guest);
			assert_true(vcpu_host_tsc(&v, guest_now, now) == now && vcpu_host_tsc(&v, 0, now) == now);
		}
}

/* ---- the shared EPT's root ---- */

static void follow_at(uint32_t bit, gpa_t top, unsigned levels_down)
{
	hpa_t ordinary = frame_alloc(OWNER_VM_META(WORLD_VM)), pdpt = frame_alloc(OWNER_VM_META(WORLD_VM));
	uint64_t *root = phys_to_virt(ordinary), *below = phys_to_virt(pdpt), *own;
	unsigned shift = 39 - 9 * levels_down, i = 1u << (bit - shift);
	struct shared_root s = { 0 };

	for (unsigned n = 0; n < 512; n++)
		root[n] = below[n] = BIT(63);
	assert_int_equal(shared_root_create(&s, bit, top, OWNER_VM_META(WORLD_VM)), 0);
	shared_root_follow(&s, ordinary);
	root[0] = pdpt | BIT(63) | BIT(11) | 7;
	below[1] = 0x12345000 | BIT(63) | 7;
	shared_root_follow(&s, ordinary);
	own = phys_to_virt(s.root);
	if (levels_down) {
		assert_true((own[0] & BITS(51, 12)) == s.below && (own[0] & 7) == 7);
		own = phys_to_virt(s.below);
		assert_true(own[i + 1] == below[1] && own[1] == BIT(63));
	} else {
		assert_true(own[i] == root[0]);
	}
	root[0] = BIT(63); /* taken away: so it is here, before anybody enters */
	shared_root_follow(&s, ordinary);
	for (unsigned n = 0; n < 512; n++)
		assert_true(own[n] == BIT(63));
	shared_root_destroy(&s, OWNER_VM_META(WORLD_VM));
	frame_free(ordinary, OWNER_VM_META(WORLD_VM));
	frame_free(pdpt, OWNER_VM_META(WORLD_VM));
}

static void shared_root(void **state)
{
	struct shared_root s = { 0 };

	(void)state;
	follow_at(47, GIB(5), 0);
	follow_at(47, BIT(47), 0);
	follow_at(45, GIB(5), 0);
	follow_at(39, GIB(5), 0);
	follow_at(38, GIB(5), 1);
	follow_at(35, GIB(5), 1);
	for (uint64_t left = 0; left < 2; left++) {
		world_allocs_left = left;
		assert_int_equal(shared_root_create(&s, 38, GIB(5), OWNER_VM_META(WORLD_VM)), -ENOMEM);
		assert_true(s.root == HPA_NONE && s.below == HPA_NONE);
	}
	world_allocs_left = ~0ul;
}

/* What the module is told of a vCPU before it first runs; when it refuses, the guest is stopped. */
static void power_on(void **state)
{
	(void)state;
	td_vcpu.v.cpu->sched = td_vcpu.sched;
	td_vcpu.td->tsc_hz = 2900000000;
	td_vcpu.td->tsc_offset = 77;
	tdx_vcpu_reset(&td_vcpu.v, NULL);
	assert_true(td_seen.writes == 4 && td_seen.stops == 0);
	assert_true(td_vcpu.v.lapic.timer_hz == 25000000 && td_vcpu.v.lapic.tsc_hz == 2900000000);
	assert_true(td_vcpu.v.tsc_offset == 77);
	td_write_error = -EIO;
	tdx_vcpu_reset(&td_vcpu.v, NULL);
	assert_string_equal(td_seen.stop, "vCPU 0 cannot be started: the module says no");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(interrupts_and_nmis), TEST(nothing_leaks_in), TEST(an_answer_survives_busy), TEST(grave_ends),
		TEST(busy_for_ever), TEST(violations), TEST(wrong_accesses), TEST(no_ve_to_be_had),
		TEST(broken_external_table), TEST(requests), TEST(an_nmi_that_the_module_refuses),
		TEST(another_contexts_turn), TEST(timers), TEST(a_fresh_plan), TEST(notifying), TEST(must_leave), TEST(the_bar),
		TEST(scaled_time), TEST(shared_root), TEST(power_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
