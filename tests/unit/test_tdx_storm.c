/* sources: tdx/soft/ tdx/module.c tdx/module_memory.c tdx/tdmr.c tdx/seamcall.c tdx/status.c tdx/td.c tdx/td_vcpu.c tdx/sept.c mmu/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/tdx_world.c tests/unit/tdx_guest.c tests/unit/tdx_cpu.c tests/unit/soft_cpu.c */
/*
 * Storms of partial conversions on the software module: two vCPUs take 4K pages and whole frames out of private
 * memory and put them back, a third touches and accepts all over, each on a thread of its own. Nothing is promoted,
 * everybody gets on, and who reaches a page finds in it what the guest wrote or zeroes, never the host's.
 */
#include "tests/unit/tdx_guest.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/phys.h"
#include "mmu/check.h"
#include "tdx/sept.h"
#include "tests/unit/support/random.h"
#include "tests/unit/tdx_cpu.h"
#include "vmx/core/reasons.h"

#define FRAME 512ul /* pages of 2 MiB */
#define FIRST (2 * FRAME) /* the guest's image is before it */
#define FRAMES 6
#define ROUNDS 150
#define JUNK 0x6a
#define TOUCHES 12
#define HOT 4

static struct hand {
	pthread_t thread;
	uint32_t index;
	uint64_t random;
	uint32_t seq;    /* odd: in the TD or about to enter */
	uint32_t kicked;
	gpa_t accept;    /* ... of the page that was found pending; 0: none */
	uint32_t level;
	uint64_t reached, accepts, converted;
} hands[TDX_GUEST_VCPUS];
static uint32_t barred, converting;

static void die(const char *what, uint64_t value)
{
	fprintf(stderr, "%s: %lx\n", what, value);
	abort();
}

static uint64_t mark(gpa_t gpa) { return gpa * 0x9e3779b97f4a7c15ul | 1; }

static uint64_t below(uint64_t *state, uint64_t n) { return test_random(state) % n; }

/* A place in a frame: mostly one of a few, which everybody goes to. */
static uint64_t any_place(struct hand *h) { return below(&h->random, below(&h->random, 4) ? HOT : FRAME); }

static gfn_t any_gfn(struct hand *h) { return FIRST + below(&h->random, FRAMES) * FRAME + any_place(h); }

/* ---- the guest ---- */

/* Reads and writes one page where the CPU can; false: an EPT violation. */
static bool touch(struct hand *h, gpa_t gpa)
{
	uint64_t *page = tdx_cpu_reach(h->index, gpa), value;

	if (!page)
		return false;
	for (size_t at = 0; at < PAGE_SIZE / 8; at += PAGE_SIZE / 8 - 1) {
		value = __atomic_load_n(&page[at], __ATOMIC_RELAXED);
		if (value && value != mark(gpa))
			die("the guest found what nobody of it has written", value);
		__atomic_store_n(&page[at], mark(gpa), __ATOMIC_RELAXED);
	}
	h->reached++;
	return true;
}

static struct tdx_step accept_next(struct hand *h)
{
	uint64_t size = h->level ? FRAME << PAGE_SHIFT : PAGE_SIZE;

	return (struct tdx_step){ TDX_STEP_ACCEPT, align_down(h->accept, size), h->level };
}

static void accepted(struct hand *h, uint64_t status)
{
	h->accepts++;
	if (tdx_status_is(status, TDX_PAGE_SIZE_MISMATCH) && h->level)
		h->level = 0;
	else if (!tdx_status_is(status, TDX_OPERAND_BUSY))
		h->accept = 0;
}

static struct tdx_step script(uint32_t vcpu, struct tdx_accepted last)
{
	struct hand *h = &hands[vcpu];

	if (h->accept && last.done)
		accepted(h, last.status);
	if (__atomic_load_n(&h->kicked, __ATOMIC_ACQUIRE))
		return (struct tdx_step){ .kind = TDX_STEP_INTERRUPT };
	if (h->accept)
		return accept_next(h);
	for (int i = 0; i < TOUCHES; i++) {
		gpa_t gpa = any_gfn(h) << PAGE_SHIFT;

		if (!touch(h, gpa))
			return (struct tdx_step){ TDX_STEP_TOUCH, gpa, 0 };
	}
	return (struct tdx_step){ .kind = TDX_STEP_INTERRUPT };
}

/* ---- the host ---- */

static void bar_all(bool bar) { __atomic_fetch_add(&barred, bar ? 1 : UINT32_MAX, __ATOMIC_SEQ_CST); }

static void kick_all(void)
{
	for (uint32_t i = 0; i < TDX_GUEST_VCPUS; i++) {
		uint32_t seen = __atomic_load_n(&hands[i].seq, __ATOMIC_SEQ_CST);

		if (!(seen & 1))
			continue;
		__atomic_store_n(&hands[i].kicked, 1, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&hands[i].seq, __ATOMIC_SEQ_CST) == seen)
			sched_yield();
	}
}

/* False: entry was barred. */
static bool enter(struct hand *h, struct tdx_regs *r)
{
	bool may;

	__atomic_fetch_add(&h->seq, 1, __ATOMIC_SEQ_CST);
	may = !__atomic_load_n(&barred, __ATOMIC_SEQ_CST);
	if (may) {
		memset(r, 0, sizeof(*r));
		tdx_guest_enter(h->index, h->index + 1, r);
	}
	__atomic_fetch_add(&h->seq, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&h->kicked, 0, __ATOMIC_SEQ_CST);
	return may;
}

static void resolve(struct hand *h, const struct tdx_regs *r)
{
	gpa_t gpa = r->gpr[TDX_R8];
	int level = sept_accept_level(r->gpr[TDX_RDX]);
	enum fault_result result;

	if ((r->gpr[TDX_RDX] & 0xf) == TDX_EEQ_PENDING_EPT_VIOLATION) {
		h->accept = gpa;
		h->level = (uint32_t)below(&h->random, 2);
		return;
	}
	result = level ? mmu_mirror_accept(&tdx_guest.vcpu[h->index], gpa, level) :
			 mmu_fault(&tdx_guest.vcpu[h->index], gpa, MMU_WRITE);
	if (result == FAULT_WRONG_KIND)
		h->accept = 0; /* it is shared now: another guest would be at fault */
	else if (result != FAULT_MAPPED && result != FAULT_RETRY)
		die(fault_result_names[result], gpa);
}

static void stay(struct hand *h)
{
	struct tdx_regs r;

	if (!enter(h, &r)) {
		sched_yield();
		return;
	}
	if (r.gpr[TDX_RAX] == REASON_EPT_VIOLATION)
		resolve(h, &r);
	else if (r.gpr[TDX_RAX] != REASON_EXTERNAL_INTERRUPT && tdx_status_class(r.gpr[TDX_RAX]) != TDX_CLASS_BUSY)
		die(tdx_status_name(r.gpr[TDX_RAX]), r.gpr[TDX_RAX]);
}

/* Each of the two has gfns of its own: the odd, or the even ones, of all frames, and two frames whole. */
static void convert(struct hand *h)
{
	bool whole = below(&h->random, 8) == 0, private;
	gfn_t gfn = whole ? FIRST + (h->index * 2 + below(&h->random, 2)) * FRAME :
			    FIRST + (4 + below(&h->random, 2)) * FRAME +
				    align_down(any_place(h), 2) + h->index;
	uint64_t npages = whole ? FRAME : 1;

	for (private = false;; private = true) {
		int err;

		do
			err = mmu_set_attributes(&tdx_guest.mmu, gfn, npages, private, NULL);
		while (err == -EAGAIN);
		if (err)
			die("conversion", (uint64_t)-err);
		h->converted++;
		if (private || below(&h->random, 16) == 0)
			break;
		memset(phys_to_virt(tdx_guest.ram + (gfn << PAGE_SHIFT)), JUNK, npages << PAGE_SHIFT);
	}
}

static void *run_vcpu(void *arg)
{
	struct hand *h = arg;
	bool converts = h->index < 2;

	for (int round = 0; converts ? round < ROUNDS : __atomic_load_n(&converting, __ATOMIC_ACQUIRE) != 0; round++) {
		for (int i = 0; i < 10; i++)
			stay(h);
		if (converts)
			convert(h);
	}
	if (converts)
		__atomic_fetch_sub(&converting, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* ---- the storm ---- */

static void start_hands(uint64_t seed)
{
	memset(hands, 0, sizeof(hands));
	converting = 2;
	for (uint32_t i = 0; i < TDX_GUEST_VCPUS; i++) {
		hands[i].index = i;
		hands[i].random = seed + i + 1;
		assert_int_equal(pthread_create(&hands[i].thread, NULL, run_vcpu, &hands[i]), 0);
	}
	for (uint32_t i = 0; i < TDX_GUEST_VCPUS; i++)
		pthread_join(hands[i].thread, NULL);
}

static void storm(uint64_t seed)
{
	struct failure why;
	const char *wrong;

	if (tdx_guest_build())
		fail_msg("%s", tdx_guest.why.text);
	tdx_cpu_root(tdx_guest.td.tdcx[3]); /* "TDCS: S-EPT root page" */
	start_hands(seed);
	wrong = tdx_guest_differs();
	if (!wrong)
		wrong = tdx_world_owners_wrong(true);
	if (wrong)
		fail_msg("%s", wrong);
	if (mmu_check(&tdx_guest.mmu, &why))
		fail_msg("%s", why.text);
	for (int i = 0; i < TDX_GUEST_VCPUS; i++)
		printf("vCPU %d: reached %lu pages, %lu accepts, %lu conversions\n", i, hands[i].reached,
		       hands[i].accepts, hands[i].converted);
	if (tdx_guest_destroy())
		fail_msg("%s", tdx_guest.why.text);
}

static void storms(void **state)
{
	const char *text = getenv("MMU_TEST_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : 0x5709, before;

	(void)state;
	tdx_world_ready();
	tdx_cpu_start();
	tdx_cpu_script = script;
	tdx_world.on_bar = bar_all;
	tdx_world.on_kick = kick_all;
	before = tdx_world_free_frames();
	for (int i = 0; i < 3; i++)
		storm(seed + 1000 * (uint64_t)i);
	assert_int_equal(tdx_world_free_frames(), before);
	assert_int_equal(tdx_world.calls[TDH_MEM_PAGE_PROMOTE], 0);
	assert_true(tdx_world.calls[TDH_MEM_PAGE_DEMOTE] > 10 && tdx_cpu_tlb_hits > 100);
	printf("BLOCK %lu, TRACK %lu, REMOVE %lu, DEMOTE %lu, AUG %lu; %lu kicks, %lu by the TLB\n",
	       tdx_world.calls[TDH_MEM_RANGE_BLOCK], tdx_world.calls[TDH_MEM_TRACK],
	       tdx_world.calls[TDH_MEM_PAGE_REMOVE], tdx_world.calls[TDH_MEM_PAGE_DEMOTE],
	       tdx_world.calls[TDH_MEM_PAGE_AUG], tdx_world.kicks, tdx_cpu_tlb_hits);
	tdx_world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(storms) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
