/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c tests/unit/soft_tree.c tests/unit/soft_guest.c */
/* The root that CPUs walk for a TD: at every width of physical addresses, and as both its sources change. */
#include "tdx/soft/merged.h"
#include "tests/unit/soft_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define HOST_ROOT MIB(70) /* the host's Shared EPTP: tables in its own memory */
#define HOST_PDPT MIB(71)
#define HOST_PD MIB(72)
#define HOST_PT MIB(73)
#define HOST_PAGE MIB(80)
#define RWX 7ul
#define LEAF_WB 0x30ul

static uint64_t *table(hpa_t at) { return world_at(at); }

static unsigned index_of(gpa_t gpa, unsigned level) { return gpa >> (12 + 9 * level) & 511; }

/* The walk of a CPU: the 4K leaf for gpa, or the entry where it ends. */
static uint64_t walk(gpa_t gpa)
{
	uint64_t e = guest.td.tdcx[TDCS_MERGED_ROOT];

	for (unsigned level = 4; level-- > 0;) {
		e = table(e & BITS(51, 12))[index_of(gpa, level)];
		if (!(e & RWX) || (e & BIT(7) && level < 3))
			break;
	}
	return e;
}

static void start(uint32_t bits)
{
	world_ready();
	world.m.platform.hpa_bits = bits;
	world.m.platform.keyid_shift = bits > WORLD_KEYID_SHIFT ? bits : WORLD_KEYID_SHIFT;
	guest_start_on_world();
	assert_int_equal(td_tdcs(&guest.td)->gpa_bits, bits > 48 ? 48 : bits);
}

static gpa_t shared_bit(void) { return td_shared_bit(td_tdcs(&guest.td)); }

/* gpa, with the shared bit, is a page of the host's. */
static void host_maps(gpa_t gpa)
{
	table(HOST_ROOT)[index_of(gpa, 3)] = HOST_PDPT | RWX;
	table(HOST_PDPT)[index_of(gpa, 2)] = HOST_PD | RWX;
	table(HOST_PD)[index_of(gpa, 1)] = HOST_PT | RWX;
	table(HOST_PT)[index_of(gpa, 0)] = HOST_PAGE | LEAF_WB | RWX;
}

static void host_sets_root(void)
{
	out = (struct tdx_regs){ 0 };
	assert_int_equal(sc(0, TDH_VP_WR, guest.td.vp[0], TDX_VP_SHARED_EPTP, HOST_ROOT, BITS(51, 12)), 0);
}

static void enters(void)
{
	GUEST_DO();
	assert_int_equal(guest_enter(), REASON_EXTERNAL_INTERRUPT);
}

static void one_width(uint32_t bits)
{
	gpa_t gpa;

	start(bits);
	gpa = shared_bit() | 0x12345000;
	enters();
	assert_int_equal(walk(GUEST_CODE) & RWX, RWX);
	assert_ptr_equal(world_at(walk(GUEST_CODE) & BITS(51, 12)), guest.code);
	assert_int_equal(walk(gpa), SEPT_SUPPRESS_VE); /* the host has set no root */
	host_maps(gpa);
	host_sets_root();
	enters();
	assert_int_equal(walk(gpa), HOST_PAGE | LEAF_WB | RWX);
	assert_int_equal(walk(gpa & ~shared_bit()) & RWX, 0);
	assert_int_equal(walk(GUEST_CODE) & RWX, RWX);
	/* Nothing of the host's is in the private half, whatever its tables have there. */
	table(HOST_ROOT)[0] |= HOST_PDPT | RWX;
	table(HOST_PDPT)[0] = HOST_PD | RWX;
	enters();
	assert_ptr_equal(world_at(walk(GUEST_CODE) & BITS(51, 12)), guest.code);
	world_end();
}

static void both_halves_at_every_width(void **state)
{
	static const uint32_t widths[] = { 36, 39, 40, 46, 48, 52 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(widths); i++)
		one_width(widths[i]);
}

/* What is blocked at the level of the copies is gone before the epoch after it begins for any vCPU. */
static void blocked_table_is_gone_with_the_next_entry(uint32_t bits, uint32_t level)
{
	start(bits);
	enters();
	assert_int_equal(walk(GUEST_CODE) & RWX, RWX);
	tree_block(&guest.td, 0, level);
	tree_track(&guest.td);
	enters();
	assert_int_equal(walk(GUEST_CODE) & RWX, 0);
	assert_true(walk(GUEST_CODE) & SEPT_SUPPRESS_VE);
	mem_ok(&guest.td, TDH_MEM_RANGE_UNBLOCK, 0, level, 0);
	enters();
	assert_int_equal(walk(GUEST_CODE) & RWX, RWX);
	world_end();
}

static void blocks_reach_the_copies(void **state)
{
	(void)state;
	blocked_table_is_gone_with_the_next_entry(46, SOFT_512G);
	blocked_table_is_gone_with_the_next_entry(39, SOFT_1G);
	blocked_table_is_gone_with_the_next_entry(39, SOFT_512G);
}

/* A table that was added while the guest runs is found when the guest goes there. */
static gpa_t new_gpa;

static void add_and_touch(struct soft_vp *vp)
{
	struct tdx_regs kept = out;

	tree_aug(&guest.td, new_gpa, SOFT_4K);
	td_tdcs(&guest.td)->td_ctls = TDX_TD_CTLS_PENDING_VE_DISABLE;
	out = kept;
	step_violation(vp, new_gpa);
}

static void new_tables_are_seen_at_the_first_access(void **state)
{
	(void)state;
	start(46);
	new_gpa = GIB(600); /* below another root entry */
	enters();
	assert_int_equal(walk(new_gpa) & RWX, 0);
	GUEST_DO(add_and_touch);
	assert_int_equal(guest_enter(), REASON_EPT_VIOLATION);
	assert_int_equal(out.gpr[TDX_RDX], TDX_EEQ_PENDING_EPT_VIOLATION);
	assert_int_equal(guest_accept(&guest.td, new_gpa, SOFT_4K), 0);
	enters();
	assert_int_equal(walk(new_gpa) & RWX, RWX);
	world_end();
}

/* ---- violations in the shared half ---- */

static void touch_shared(struct soft_vp *vp) { step_violation(vp, shared_bit() | 0x12345678); }

static void touch_while_delivering(struct soft_vp *vp)
{
	touch_shared(vp);
	*guest_field(vp, VMCS_IDT_VECTORING_INFO) = INTR_VALID | 0x41;
}

static void see_ve(struct soft_vp *vp)
{
	struct ve_info *i = run_ve_info(&(struct run){ .m = &world.m, .vp = vp });

	assert_int_equal(injected_vector(), VEC_VE);
	assert_int_equal(i->reason, REASON_EPT_VIOLATION);
	assert_int_equal(i->gpa, shared_bit() | 0x12345678);
	assert_int_equal(i->gla, shared_bit() | 0x12345678);
	assert_true(i->qualification & EPT_VIOLATION_LINEAR_VALID);
	step_exit(vp, REASON_EXTERNAL_INTERRUPT, 0);
}

static void see_interrupt_again(struct soft_vp *vp)
{
	assert_int_equal(guest.injected, INTR_VALID | 0x41);
	step_exit(vp, REASON_EXTERNAL_INTERRUPT, 0);
}

static void device_pages_are_ve(void **state)
{
	gpa_t gpa;

	(void)state;
	start(46);
	gpa = shared_bit() | 0x12345000;
	host_maps(gpa);
	host_sets_root();
	enters();
	table(HOST_PT)[index_of(gpa, 0)] = 0; /* SVE is 0 */
	GUEST_RUN(touch_shared, see_ve);
	/* The guest has not read it yet: the host's. */
	GUEST_DO(touch_shared);
	assert_int_equal(guest_enter(), REASON_EPT_VIOLATION);
	run_ve_info(&(struct run){ .m = &world.m, .vp = guest.vp })->busy = 0;
	/* While an interrupt is delivered: the host's, and the interrupt comes again. */
	GUEST_DO(touch_while_delivering);
	assert_int_equal(guest_enter(), REASON_EPT_VIOLATION);
	assert_int_equal(out.gpr[TDX_R8], gpa);
	GUEST_RUN(see_interrupt_again);
	/* Suppressed: the host maps it. */
	table(HOST_PT)[index_of(gpa, 0)] = SEPT_SUPPRESS_VE;
	GUEST_DO(touch_shared);
	assert_int_equal(guest_enter(), REASON_EPT_VIOLATION);
	assert_int_equal(out.gpr[TDX_RDX], 0);
	world_end();
}

static void tables_where_no_memory_is_end_the_walk(void **state)
{
	(void)state;
	start(46);
	host_sets_root();
	table(HOST_ROOT)[index_of(shared_bit(), 3)] = (BIT(45) - PAGE_SIZE) | RWX;
	GUEST_DO(touch_shared, touch_shared);
	assert_int_equal(guest_enter(), REASON_EPT_VIOLATION);
	world_end();
}

static void misconfigure_shared(struct soft_vp *vp)
{
	step_exit(vp, REASON_EPT_MISCONFIG, 0);
	*guest_field(vp, VMCS_GUEST_PHYSICAL) = shared_bit() | 0x1234;
}

static void misconfigured_entries_are_the_hosts(void **state)
{
	(void)state;
	start(46);
	GUEST_DO(misconfigure_shared);
	assert_int_equal(guest_enter(), REASON_EPT_MISCONFIG);
	assert_int_equal(out.gpr[TDX_R8], shared_bit() | 0x1000);
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_halves_at_every_width),
		cmocka_unit_test(blocks_reach_the_copies),
		cmocka_unit_test(new_tables_are_seen_at_the_first_access),
		cmocka_unit_test(device_pages_are_ve),
		cmocka_unit_test(tables_where_no_memory_is_end_the_walk),
		cmocka_unit_test(misconfigured_entries_are_the_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
