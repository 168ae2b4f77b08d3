/* sources: hv/debug_mem.c mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c */
/*
 * A debugged guest's memory: breakpoints that are there for the CPU and for nobody else, what becomes of them
 * when the debugger or the guest writes there, and the edges of memory. Without paging, linear addresses are
 * guest-physical ones.
 */
#include "hv/debug_mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "hv/base/phys.h"
#include "mmu/gpa.h"
#include "mmu/walk.h"
#include "tests/unit/mmu_world.h"

#include <cmocka.h>

#define RAM_PAGES 16
#define RAM_HPA (WORLD_FIRST_HPA + MIB(32))
#define ROM_GFN 64
#define HERE 0x1000ul

static struct mmu mmu;
static struct vm vm;
static struct vcpu vcpu;
static struct debug *d;

static uint64_t get_code_state(struct vcpu *v, struct guest_paging *g, uint32_t *cs_ar)
{
	(void)v;
	memset(g, 0, sizeof *g);
	*cs_ar = 0;
	return 0;
}

static uint64_t get_reg(struct vcpu *v, enum guest_reg r)
{
	(void)v, (void)r;
	return 0;
}

static const struct backend backend = { .get_code_state = get_code_state, .get_reg = get_reg };

static void flush(void *ctx, const struct flush_range *range) { (void)ctx, (void)range; }

static int begin(void **state)
{
	struct mmu_config config = { .kind = MMU_EPT, .vm_id = WORLD_VM, .hpa_bits = 40, .gpa_bits = 40,
				     .max_level = LEVEL_4K, .flush = flush };
	struct failure f;

	(void)state;
	world_start();
	assert_int_equal(mmu_init(&mmu, &config, &f), 0);
	assert_int_equal(mmu_slot_add(&mmu, 0, RAM_PAGES, RAM_HPA, 0, &f), 0);
	assert_int_equal(mmu_slot_add(&mmu, ROM_GFN, 1, RAM_HPA + MIB(1), SLOT_READONLY, &f), 0);
	d = calloc(1, sizeof *d + sizeof d->vcpu[0]);
	vm = (struct vm){ .mmu = &mmu, .backend = &backend, .debug = d };
	vcpu = (struct vcpu){ .vm = &vm, .mmu = &mmu.host, .debug = &d->vcpu[0] };
	vm.vcpus[0] = &vcpu;
	d->vm = &vm;
	d->vcpus = 1;
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		((uint8_t *)phys_to_virt(RAM_HPA + HERE))[i] = (uint8_t)i;
	return 0;
}

static int end(void **state)
{
	(void)state;
	free(d);
	mmu_destroy(&mmu);
	world_end();
	return 0;
}

static uint8_t byte_at(gpa_t gpa)
{
	uint8_t byte = 0;

	assert_int_equal(gpa_read(&mmu.host, gpa, &byte, 1), 0);
	return byte;
}

static void breakpoints_are_hidden(void **state)
{
	uint8_t buf[8];

	(void)state;
	assert_int_equal(debug_insert_soft(d, 0, HERE + 3), 0);
	assert_int_equal(debug_insert_soft(d, 0, HERE + 3), 0);
	assert_int_equal(byte_at(HERE + 3), 0xcc);
	assert_int_equal(debug_read(d, 0, HERE, buf, sizeof buf), sizeof buf);
	assert_memory_equal(buf, "\0\1\2\3\4\5\6\7", 8);
	assert_int_equal(debug_fetch(&vcpu, HERE + 3, buf, 2), 2);
	assert_memory_equal(buf, "\3\4", 2);
	assert_true(debug_owns_int3(&vcpu, HERE + 3));
	assert_false(debug_owns_int3(&vcpu, HERE + 4));
	assert_int_equal(debug_remove_soft(d, HERE + 4), -ENOENT);
	assert_int_equal(debug_remove_soft(d, HERE + 3), 0);
	assert_int_equal(byte_at(HERE + 3), 3);
	assert_false(debug_owns_int3(&vcpu, HERE + 3));
}

static void the_debugger_writes_over_them(void **state)
{
	uint8_t buf[4];

	(void)state;
	assert_int_equal(debug_insert_soft(d, 0, HERE + 1), 0);
	assert_int_equal(debug_write(d, 0, HERE, "abcd", 4), 4);
	assert_int_equal(byte_at(HERE), 'a');
	assert_int_equal(byte_at(HERE + 1), 0xcc);
	assert_int_equal(debug_read(d, 0, HERE, buf, 4), 4);
	assert_memory_equal(buf, "abcd", 4);
	debug_remove_all_soft(d);
	assert_int_equal(byte_at(HERE + 1), 'b');
}

/* Other code is at the place by now: it stays, and is what the debugger reads. */
static void the_guest_writes_over_them(void **state)
{
	uint8_t byte;

	(void)state;
	assert_int_equal(debug_insert_soft(d, 0, HERE + 1), 0);
	assert_int_equal(gpa_write(&mmu.host, HERE + 1, "x", 1), 0);
	assert_int_equal(debug_read(d, 0, HERE + 1, &byte, 1), 1);
	assert_int_equal(byte, 'x');
	assert_int_equal(debug_insert_soft(d, 0, HERE + 1), 0);
	assert_int_equal(byte_at(HERE + 1), 0xcc);
	assert_int_equal(debug_remove_soft(d, HERE + 1), 0);
	assert_int_equal(byte_at(HERE + 1), 'x');
	assert_int_equal(debug_insert_soft(d, 0, HERE + 1), 0);
	assert_int_equal(gpa_write(&mmu.host, HERE + 1, "y", 1), 0);
	debug_remove_all_soft(d);
	assert_int_equal(byte_at(HERE + 1), 'y');
}

static void memory_has_ends(void **state)
{
	static uint8_t buf[3 * PAGE_SIZE];
	uint64_t last = RAM_PAGES * PAGE_SIZE;

	(void)state;
	assert_int_equal(debug_read(d, 0, last - 100, buf, 300), 100);
	assert_int_equal(debug_write(d, 0, last - 100, buf, 300), 100);
	assert_int_equal(debug_read(d, 0, HERE - 5, buf, sizeof buf), sizeof buf);
	assert_int_equal(debug_read(d, 0, last, buf, 1), 0);
	assert_int_equal(debug_read(d, 0, HERE, buf, 0), 0);
	assert_int_equal(debug_insert_soft(d, 0, last), -EFAULT);
	/* Read-only memory takes no breakpoint. */
	assert_int_equal(debug_read(d, 0, ROM_GFN << PAGE_SHIFT, buf, 4), 4);
	assert_int_equal(debug_insert_soft(d, 0, ROM_GFN << PAGE_SHIFT), -EFAULT);
	assert_int_equal(debug_write(d, 0, ROM_GFN << PAGE_SHIFT, buf, 1), 0);
	debug_clear_bits(&vcpu, last, 1);
	debug_clear_bits(&vcpu, HERE + 7, 5);
	assert_int_equal(byte_at(HERE + 7), 2);
}

static void there_is_room_for_so_many(void **state)
{
	(void)state;
	for (unsigned i = 0; i < DEBUG_SOFT; i++)
		assert_int_equal(debug_insert_soft(d, 0, HERE + i), 0);
	assert_int_equal(debug_insert_soft(d, 0, HERE + DEBUG_SOFT), -ENOSPC);
	assert_int_equal(debug_insert_soft(d, 0, HERE), 0);
	debug_remove_all_soft(d);
	for (unsigned i = 0; i < DEBUG_SOFT; i++)
		assert_int_equal(byte_at(HERE + i), i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(breakpoints_are_hidden, begin, end),
		cmocka_unit_test_setup_teardown(the_debugger_writes_over_them, begin, end),
		cmocka_unit_test_setup_teardown(the_guest_writes_over_them, begin, end),
		cmocka_unit_test_setup_teardown(memory_has_ends, begin, end),
		cmocka_unit_test_setup_teardown(there_is_room_for_so_many, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
