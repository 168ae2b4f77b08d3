/* sources: hv/debug.c hv/base/failure.c hv/base/format.c */
/*
 * The hold on a guest: who may be held, what a vCPU does when it is asked, what it goes on with, and how the
 * debugger leaves. The order of both sides' steps is tests/model/hold.pml's. And the table of debug registers.
 */
#include "hv/debug.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "hv/debug_mem.h"
#include "hv/fpu.h"
#include "hv/monitor/monitor.h"
#include "hv/vm_life.h"
#include "tests/unit/support/machine.h"
#include "tests/unit/support/support.h"

#include <cmocka.h>

#define VCPUS 3

static struct vm_config config = { .name = "one" };
static struct vm vm;
static struct vcpu vcpus[VCPUS];
static uint64_t regs[VCPUS][REG_COUNT];
static uint8_t fx[VCPUS][DEBUG_FX_BYTES];
static struct debug_plan plans[VCPUS];
static bool attached[VCPUS];
static unsigned sets, fx_writes, wakes, blocks, requests[VCPUS], soft_removed;
static struct debug *d;

/* ---- what the vCPUs' side uses ---- */

static uint64_t get_reg(struct vcpu *v, enum guest_reg r) { return regs[v->index][r]; }

static void set_reg(struct vcpu *v, enum guest_reg r, uint64_t value)
{
	regs[v->index][r] = value;
	sets++;
}

static void follow_plan(struct vcpu *v, const struct debug_plan *plan)
{
	attached[v->index] = plan != NULL;
	plans[v->index] = plan ? *plan : (struct debug_plan){ 0 };
}

void fpu_release(struct vcpu *v) { (void)v; }
void fpu_switch_to(struct vcpu *v) { (void)v; }
void fpu_legacy_read(const struct vcpu *v, void *image) { memcpy(image, fx[v->index], DEBUG_FX_BYTES); }

void fpu_legacy_write(struct vcpu *v, const void *image)
{
	memcpy(fx[v->index], image, DEBUG_FX_BYTES);
	fx_writes++;
}

void monitor_wake(void) { wakes++; }
void debug_remove_all_soft(struct debug *which) { assert_ptr_equal(which, d), soft_removed++; }

void sched_block(uint64_t deadline)
{
	assert_true(deadline == NEVER);
	blocks++;
}

void vcpu_request(struct vcpu *v, uint32_t bits)
{
	assert_int_equal(bits, REQUEST_DEBUG);
	requests[v->index]++;
}

static struct backend backend = { .name = "tdx", .get_reg = get_reg, .set_reg = set_reg, .debug = follow_plan };

/* ---- a guest of three vCPUs ---- */

static int begin(void **state)
{
	(void)state;
	test_phys_init(MIB(1), MIB(1));
	memset(regs, 0, sizeof regs);
	memset(fx, 0, sizeof fx);
	memset(requests, 0, sizeof requests);
	sets = fx_writes = wakes = blocks = soft_removed = 0;
	backend.hides_state = false;
	vm = (struct vm){ .config = &config, .backend = &backend, .state = VM_RUNNING,
			  .vcpu_count = VCPUS };
	for (unsigned i = 0; i < VCPUS; i++) {
		vcpus[i] = (struct vcpu){ .vm = &vm, .index = i, .state = VCPU_RUNNING };
		vm.vcpus[i] = &vcpus[i];
		regs[i][REG_RIP] = 0x1000 + i;
		regs[i][REG_RSP] = 0x2000 + i;
		vcpus[i].gpr[GPR_RAX] = 0x30 + i;
	}
	d = NULL;
	return 0;
}

static int end(void **state)
{
	(void)state;
	assert_int_equal(test_frames_used(), 0);
	test_phys_end();
	return 0;
}

static void attach(void)
{
	static uint64_t cr2 = 0xc2;
	struct failure f = { 0 };

	test_machine_start(&(struct test_machine){ .cr2 = &cr2 });
	d = debug_attach(&vm, &f);
	assert_non_null(d);
}

static void all_stay(void)
{
	for (unsigned i = 0; i < VCPUS; i++)
		assert_true(debug_stay(&vcpus[i]));
}

static void attach_and_hold(void)
{
	attach();
	all_stay();
	assert_true(debug_all_held(d));
}

static void resume(unsigned stepping, unsigned running)
{
	bool steps[VCPUS] = { false }, runs[VCPUS] = { false };

	for (unsigned i = 0; i < VCPUS; i++) {
		steps[i] = stepping >> i & 1;
		runs[i] = running >> i & 1;
	}
	debug_resume(d, steps, runs);
}

static void leave(void)
{
	debug_detach(d);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_false(debug_stay(&vcpus[i]));
	assert_true(debug_release(d));
}

/* ---- who can be held ---- */

static void refused(const char *words)
{
	struct failure f = { 0 };

	assert_null(debug_attach(&vm, &f));
	assert_non_null(strstr(f.text, words));
}

static void test_refuses(void **state)
{
	(void)state;
	vm.state = VM_STOPPED;
	refused("not running");
	vm.state = VM_RUNNING;
	backend.hides_state = true;
	refused("a tdx guest");
	backend.hides_state = false;
	test_frames_left = 0;
	refused("no memory");
	test_frames_left = ~(uint64_t)0;
	attach();
	refused("being debugged already");
	debug_abandon(d);
}

/* ---- asking and answering ---- */

static void test_all_must_answer(void **state)
{
	(void)state;
	attach();
	for (unsigned i = 0; i < VCPUS; i++) {
		assert_int_equal(requests[i], 1);
		assert_true(debug_holds(&vcpus[i]));
		assert_false(debug_all_held(d));
		assert_true(debug_stay(&vcpus[i]));
		assert_int_equal(wakes, i + 1);
	}
	assert_true(debug_all_held(d));
	assert_true(attached[0] && plans[0].attached && !plans[0].step);
	debug_halt(d); /* has no need to ask again */
	assert_int_equal(requests[0], 1);
	assert_true(debug_all_held(d));
	leave();
}

/* Something else wakes it: it sleeps on, and nothing is copied over what the debugger has changed. */
static void test_sleeps_on(void **state)
{
	(void)state;
	attach_and_hold();
	d->vcpu[0].regs.gpr[GPR_RAX] = 77;
	assert_true(debug_stay(&vcpus[0]));
	assert_int_equal(blocks, VCPUS + 1);
	assert_int_equal(wakes, VCPUS);
	assert_int_equal(d->vcpu[0].regs.gpr[GPR_RAX], 77);
	leave();
	assert_int_equal(vcpus[0].gpr[GPR_RAX], 77);
}

static void test_registers(void **state)
{
	struct debug_regs *r;

	(void)state;
	fx[1][32] = 5;
	attach_and_hold();
	r = &d->vcpu[1].regs;
	assert_int_equal(r->gpr[GPR_RAX], 0x31);
	assert_int_equal(r->gpr[GPR_RSP], 0x2001);
	assert_int_equal(r->reg[REG_RIP], 0x1001);
	assert_int_equal(r->fx[32], 5);
	assert_int_equal(r->cr2, 0xc2);
	r->gpr[GPR_RSP] = 0x5000;
	r->reg[REG_RIP]++;
	r->fx[33] = 6;
	resume(0, 7);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_false(debug_stay(&vcpus[i]));
	assert_int_equal(regs[1][REG_RSP], 0x5000);
	assert_int_equal(regs[1][REG_RIP], 0x1002);
	assert_int_equal(fx[1][33], 6);
	assert_int_equal(sets, 2); /* and nothing that was not changed */
	assert_int_equal(fx_writes, 1);
	debug_halt(d);
	all_stay();
	leave();
}

/* Asked again before it has gone on: what the debugger made of its registers is still to be put in place. */
static void test_asked_again_at_once(void **state)
{
	(void)state;
	attach_and_hold();
	d->vcpu[0].regs.reg[REG_RIP] = 0x7777;
	resume(0, 7);
	assert_false(debug_all_held(d));
	debug_halt(d);
	assert_false(debug_all_held(d)); /* not before it has answered */
	all_stay();
	assert_true(debug_all_held(d));
	assert_int_equal(d->vcpu[0].regs.reg[REG_RIP], 0x7777);
	assert_int_equal(regs[0][REG_RIP], 0x1000);
	leave();
	assert_int_equal(regs[0][REG_RIP], 0x7777);
}

/* One goes on, others stay; a plan reaches those that go. */
static void test_one_steps(void **state)
{
	(void)state;
	attach_and_hold();
	assert_int_equal(debug_insert_hw(d, DEBUG_WRITE, 0x8000, 8), 0);
	resume(2, 0);
	assert_true(debug_stay(&vcpus[0]));
	assert_false(debug_stay(&vcpus[1]));
	assert_true(debug_stay(&vcpus[2]));
	assert_true(plans[1].step && plans[1].hw[0].used && plans[1].hw[0].address == 0x8000);
	assert_false(plans[0].hw[0].used);
	assert_false(debug_all_held(d));
	debug_hit(&vcpus[1], DEBUG_STEPPED, 0, DEBUG_EXECUTE);
	assert_true(debug_stay(&vcpus[1]));
	assert_true(debug_all_held(d));
	assert_false(plans[1].step);
	assert_int_equal(d->vcpu[1].event, DEBUG_STEPPED);
	assert_int_equal(d->vcpu[0].event, DEBUG_NOTHING);
	leave();
}

/* Two hit something at the same time: each is asked once, each has a request to leave its run loop, both are told. */
static void test_two_hits(void **state)
{
	unsigned before;

	(void)state;
	attach_and_hold();
	resume(0, 7);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_false(debug_stay(&vcpus[i]));
	before = requests[1];
	debug_hit(&vcpus[0], DEBUG_SOFT_HIT, 0x1000, DEBUG_EXECUTE);
	debug_hit(&vcpus[1], DEBUG_WATCH_HIT, 0x8000, DEBUG_WRITE);
	assert_int_equal(requests[1], before + 2);
	all_stay();
	assert_int_equal(d->vcpu[0].event, DEBUG_SOFT_HIT);
	assert_int_equal(d->vcpu[1].event, DEBUG_WATCH_HIT);
	assert_int_equal(d->vcpu[1].address, 0x8000);
	leave();
}

/* ---- the end ---- */

static void test_leaves(void **state)
{
	(void)state;
	attach_and_hold();
	d->vcpu[2].regs.reg[REG_RIP] = 0x99;
	debug_detach(d);
	assert_int_equal(soft_removed, 1);
	assert_false(debug_release(d));
	for (unsigned i = 0; i < VCPUS; i++) {
		assert_false(debug_release(d));
		assert_false(debug_stay(&vcpus[i]));
		assert_null(vcpus[i].debug);
		assert_false(attached[i]);
	}
	assert_int_equal(regs[2][REG_RIP], 0x99);
	assert_true(debug_release(d));
	assert_null(vm.debug);
	attach(); /* another may come */
	debug_abandon(d);
}

/* A vCPU that stops for good while it is asked answers nothing, and is not waited for. */
static void test_stopped_vcpu(void **state)
{
	(void)state;
	attach_and_hold();
	debug_detach(d);
	vcpus[1].state = VCPU_STOPPED;
	assert_false(debug_stay(&vcpus[0]));
	assert_false(debug_stay(&vcpus[1]));
	assert_non_null(vcpus[1].debug);
	assert_false(debug_release(d));
	assert_false(debug_stay(&vcpus[2]));
	assert_true(debug_release(d));
	assert_null(vcpus[1].debug);
}

/* ---- debug registers ---- */

static void test_debug_registers(void **state)
{
	(void)state;
	attach_and_hold();
	assert_int_equal(debug_insert_hw(d, DEBUG_EXECUTE, 0x1001, 1), 0);
	assert_int_equal(debug_insert_hw(d, DEBUG_EXECUTE, 0x1001, 1), 0); /* the same */
	assert_int_equal(debug_insert_hw(d, DEBUG_EXECUTE, 0x1001, 2), -EINVAL);
	assert_int_equal(debug_insert_hw(d, DEBUG_WRITE, 0x1001, 2), -EINVAL);
	assert_int_equal(debug_insert_hw(d, DEBUG_WRITE, 0x1000, 3), -EINVAL);
	assert_int_equal(debug_insert_hw(d, DEBUG_WRITE, 0x1000, 0), -EINVAL);
	assert_int_equal(debug_insert_hw(d, DEBUG_WRITE, 0x1000, 8), 0);
	assert_int_equal(debug_insert_hw(d, DEBUG_ACCESS, 0x1000, 8), 0);
	assert_int_equal(debug_insert_hw(d, DEBUG_ACCESS, 0x1000, 4), 0);
	assert_int_equal(debug_insert_hw(d, DEBUG_EXECUTE, 0x2000, 1), -ENOSPC);
	assert_int_equal(debug_remove_hw(d, DEBUG_ACCESS, 0x1000, 2), -ENOENT);
	assert_int_equal(debug_remove_hw(d, DEBUG_ACCESS, 0x1000, 8), 0);
	assert_int_equal(debug_remove_hw(d, DEBUG_ACCESS, 0x1000, 8), -ENOENT);
	assert_int_equal(debug_insert_hw(d, DEBUG_EXECUTE, 0x2000, 1), 0);
	leave();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refuses, begin, end),
		cmocka_unit_test_setup_teardown(test_all_must_answer, begin, end),
		cmocka_unit_test_setup_teardown(test_sleeps_on, begin, end),
		cmocka_unit_test_setup_teardown(test_registers, begin, end),
		cmocka_unit_test_setup_teardown(test_asked_again_at_once, begin, end),
		cmocka_unit_test_setup_teardown(test_one_steps, begin, end),
		cmocka_unit_test_setup_teardown(test_two_hits, begin, end),
		cmocka_unit_test_setup_teardown(test_leaves, begin, end),
		cmocka_unit_test_setup_teardown(test_stopped_vcpu, begin, end),
		cmocka_unit_test_setup_teardown(test_debug_registers, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
