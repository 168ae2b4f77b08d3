/* sources: vmx/vm.c hv/base/failure.c hv/base/format.c */
/*
 * A flush of a guest's translations: done here at once, asked for elsewhere, and whoever is in the guest is
 * waited for, with an NMI when he does not come and an end when he never does.
 */
#include "vmx/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "hv/base/clock.h"
#include "hv/base/nmi.h"
#include "hv/vcpu.h"
#include "mmu/shadow.h"
#include "tests/unit/support/support.h"
#include "vmx/pml.h"
#include "vmx/vmx.h"

#include <cmocka.h>

#define TICKS_A_MS 100 /* of the real TSC: the test does not wait for real milliseconds */

static struct cpu here, other;
static struct sched sched;
static struct vmx_vcpu mine, theirs;
static struct vm_config config = { .name = "g" };
static struct vm vm;
static struct mmu mmu;
static unsigned flushes, nmis, leave_at_nmi;
static uint32_t asked;

void nmi_send(struct cpu *c, uint32_t why)
{
	assert_ptr_equal(c, &other);
	assert_int_equal(why, NMI_LEAVE);
	if (++nmis == leave_at_nmi)
		theirs.run_seq++;
}
void vmx_flush_tlb(struct vmx_vcpu *x)
{
	assert_ptr_equal(x, &mine);
	flushes++;
}
void vcpu_request(struct vcpu *v, uint32_t bits)
{
	assert_ptr_equal(v, &theirs.v);
	asked |= bits;
}
int mmu_slot_add(struct mmu *m, gfn_t gfn, uint64_t npages, hpa_t hpa, uint32_t flags, struct failure *f)
{
	(void)m, (void)gfn, (void)npages, (void)hpa, (void)flags, (void)f;
	return 0;
}
void vmx_pml_switch(void *ctx, bool on) { (void)ctx, (void)on; }
void vmx_pml_sync(void *ctx) { (void)ctx; }
bool vmx_multihit(void) { return false; }

const struct vmx_caps *vmx_caps(void)
{
	static const struct vmx_caps caps;

	return &caps;
}
const struct vmx_controls *vmx_controls(void)
{
	static const struct vmx_controls controls;

	return &controls;
}
void vmx_controls_lacking_ept(const struct vmx_caps *caps, char *out, size_t size)
{
	(void)caps, (void)size;
	out[0] = 0;
}

static int start(void **state)
{
	(void)state;
	tsc_khz = TICKS_A_MS;
	here = (struct cpu){ .index = 0, .sched = &sched };
	other = (struct cpu){ .index = 1, .apic_id = 5 };
	test_this_cpu = &here;
	mine = (struct vmx_vcpu){ .v = { .vm = &vm, .cpu = &here }, .ready = true };
	theirs = (struct vmx_vcpu){ .v = { .vm = &vm, .cpu = &other, .index = 1 }, .ready = true };
	vm = (struct vm){ .config = &config, .mmu = &mmu, .vcpu_count = 2, .vcpus = { &mine.v, &theirs.v } };
	flushes = nmis = leave_at_nmi = asked = 0;
	return 0;
}

static void outside(void **state)
{
	(void)state;
	vmx_flush(&vm);
	assert_int_equal(flushes, 1);
	assert_int_equal(asked, REQUEST_FLUSH);
	assert_int_equal(nmis, 0);
}

/* It keeps interrupts off, and the CPU takes none in this state: the second NMI brings it out. */
static void brought_out(void **state)
{
	(void)state;
	theirs.run_seq = 7;
	leave_at_nmi = 2;
	vmx_flush(&vm);
	assert_int_equal(nmis, 2);
}

static void never_comes(void **state)
{
	(void)state;
	theirs.run_seq = 7;
	assert_true(EXPECT_PANIC(vmx_flush(&vm)));
	assert_non_null(strstr(test_panic_text, "CPU 1 has been in guest g for 1000 ms"));
	assert_true(nmis > 10);
}

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(outside), TEST(brought_out), TEST(never_comes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
