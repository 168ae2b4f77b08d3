/* sources: hv/vm.c hv/base/failure.c hv/base/format.c */
/*
 * The life of VMs: start, stop from anywhere, the report of who caused it, restart, and when the last
 * one has come to rest. Building, loading and vCPUs are stand-ins that note what is asked of them.
 */
#include "hv/vm_life.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "hv/base/phys.h"
#include "hv/console.h"
#include "hv/gdb/server.h"
#include "hv/guest/acpi.h"
#include "hv/guest/loader.h"
#include "hv/guest/wakeup.h"
#include "hv/monitor/monitor.h"
#include "hv/pc.h"
#include "hv/report.h"
#include "hv/vm_build.h"
#include "mmu/mmu.h"
#include "mmu/shadow.h"
#include "tests/unit/support/support.h"

#include <cmocka.h>

#define ARENA MIB(2)
#define RAM (ARENA + MIB(2)) /* of the first VM: two runs that do not touch */
#define FILES (ARENA + PAGE_SIZE)

static struct boot_info *boot;
static struct failure why;
static struct vcpu vcpus[2];
static struct pc a_pc;
static struct mmu a_mmu;
static struct guest_entry entry;
static struct context context;
static struct sched sched = { .current = &context };
static uint32_t requested[2];
static unsigned loads, reports, wakes, stopped_calls, power_ons;
static unsigned unloads, parks, unbuilds, zaps;
static int build_error, load_error, unload_error;

/* The leak checker would wait by the C library's sched_yield(), whose name the scheduler's has here. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return 1; }
void sched_yield(void) {}
void gdb_guest_stopped(struct vm *stopped) { (void)stopped; }

/* A back end whose guests keep their memory to themselves. */
static int load_itself(struct vm *vm, const struct guest_image *img, struct failure *f)
{
	(void)vm;
	loads++;
	assert_true(img->kernel.size == 77);
	return load_error ? (fail)(f, load_error, "not a kernel") : 0;
}

static int unload_itself(struct vm *vm, struct failure *f)
{
	(void)vm;
	unloads++;
	return unload_error ? (fail)(f, unload_error, "7 pages are lost") : 0;
}

static void park_itself(struct vcpu *v)
{
	(void)v;
	parks++;
}

static const struct backend plain, hiding = { .vm_load = load_itself, .vm_unload = unload_itself,
					      .park = park_itself };
static const struct backend *backend;

int vm_build(struct vm *vm, struct failure *f)
{
	if (build_error)
		return (fail)(f, build_error, "no memory");
	vm->backend = backend;
	vm->pc = &a_pc;
	vm->mmu = &a_mmu;
	vm->entry = &entry;
	vm->vcpu_count = 2;
	for (unsigned i = 0; i < 2; i++) {
		vcpus[i] = (struct vcpu){ .vm = vm, .index = i };
		vm->vcpus[i] = &vcpus[i];
	}
	vm->extent_count = 2;
	vm->extents[0] = (struct vm_extent){ 0, RAM, MIB(2) };
	vm->extents[1] = (struct vm_extent){ MIB(2), RAM + MIB(4), MIB(2) };
	return 0;
}

/* Its page tables are about to be cleared. */
void mmu_shadow_zap_all(struct mmu *mmu)
{
	assert_ptr_equal(mmu, &a_mmu);
	zaps++;
}

void vm_unbuild(struct vm *vm)
{
	assert_int_equal(power_ons, 0);
	vm->pc = NULL;
	unbuilds++;
}

void pc_power_on(struct vm *vm)
{
	(void)vm;
	power_ons++;
}

int guest_load(const struct guest_mem *m, const struct guest_image *img, struct guest_entry *e, struct failure *f)
{
	(void)e;
	loads++;
	assert_true(img->kernel.size == 77 && img->kernel.data == phys_to_virt(FILES));
	assert_non_null(m->at(m->ctx, 0, MIB(2)));
	return load_error ? (fail)(f, load_error, "not a kernel") : 0;
}

int acpi_build(const struct guest_mem *m, unsigned count, enum guest_platform platform, gpa_t *rsdp,
	       struct failure *f)
{
	(void)m;
	(void)platform;
	(void)f;
	assert_int_equal(count, 2);
	*rsdp = 0xe0000;
	return 0;
}

int wakeup_build(const struct guest_mem *m, struct failure *f)
{
	(void)m;
	(void)f;
	return 0;
}

void console_guest_started(struct vm *vm) { (void)vm; }
void console_guest_stopped(struct vm *vm)
{
	(void)vm;
	stopped_calls++;
}
void monitor_wake(void) { wakes++; }
void report_stopped_vcpu(struct vcpu *v)
{
	assert_ptr_equal(v, v->vm->culprit);
	reports++;
}
void vcpu_request(struct vcpu *v, uint32_t bits) { requested[v->index] |= bits; }

static int start(void **state)
{
	(void)state;
	test_phys_init(ARENA, MIB(10));
	boot = calloc(1, sizeof(*boot));
	boot->file_count = 1;
	strcpy(boot->files[0].path, "/kernel");
	boot->files[0].base = FILES;
	boot->files[0].size = 77;
	boot->config.vm_count = 2;
	boot->config.vms[0] = (struct vm_config){ .name = "one", .kernel = "/kernel", .memory = MIB(4), .vcpus = 2,
						   .autostart = true, .line = 3 };
	boot->config.vms[1] = (struct vm_config){ .name = "two", .kernel = "/other", .memory = MIB(4), .vcpus = 2,
						   .line = 9 };
	test_this_cpu->sched = &sched;
	context.vcpu = NULL;
	backend = &plain;
	unloads = parks = unbuilds = zaps = 0;
	a_mmu.config.kind = MMU_EPT;
	unload_error = 0;
	loads = reports = wakes = stopped_calls = power_ons = 0;
	build_error = load_error = 0;
	memset(requested, 0, sizeof(requested));
	assert_int_equal(vms_init(boot, &why), 0);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	vms_poll();
	free(boot);
	test_phys_end();
	return 0;
}

static struct vm *one(void) { return vm_by_name("one"); }

static void park_all(struct vm *vm)
{
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		vm_vcpu_parked(vm->vcpus[i]);
}

static void names(void **state)
{
	(void)state;
	assert_int_equal(vms_count(), 2);
	assert_true(vm_at(0) == one() && one()->id == 1 && one()->state == VM_OFF);
	assert_ptr_equal(vm_by_name("two"), vm_at(1));
	assert_null(vm_by_name("three"));
}

/* Memory counts only where it is one piece for the host. */
static void ram(void **state)
{
	struct vm *vm = one();

	(void)state;
	assert_null(vm_ram_at(vm, 0, 1));
	assert_int_equal(vm_start(vm, &why), 0);
	assert_ptr_equal(vm_ram_at(vm, 5, 1), (char *)phys_to_virt(RAM) + 5);
	assert_non_null(vm_ram_at(vm, 0, MIB(2)));
	assert_null(vm_ram_at(vm, 0, MIB(2) + 1));
	assert_ptr_equal(vm_ram_at(vm, MIB(2), 8), phys_to_virt(RAM + MIB(4)));
	assert_null(vm_ram_at(vm, MIB(4) - 1, 2));
	assert_null(vm_ram_at(vm, MIB(4), 1));
	assert_null(vm_ram_at(vm, 8, ~(uint64_t)0));
}

static void starting(void **state)
{
	struct vm *vm = one();

	(void)state;
	assert_int_equal(vm_start(vm, &why), 0);
	assert_true(vm->state == VM_RUNNING && vm->running_vcpus == 2);
	assert_true(requested[0] == REQUEST_POWER_ON && requested[1] == REQUEST_POWER_ON);
	assert_true(vcpus[0].tsc_offset == vcpus[1].tsc_offset);
	assert_int_equal(vm_start(vm, &why), -EBUSY);
	assert_string_equal(why.text, "guest one is running already");
	assert_int_equal(loads, 1);
}

/* Each refusal leaves a VM that can be started once its cause is gone. */
static void refusals(void **state)
{
	struct vm *vm = one();

	(void)state;
	assert_int_equal(vm_start(vm_by_name("two"), &why), -ENOENT);
	assert_non_null(strstr(why.text, "gnomon.conf:9: [vm two]: kernel /other was not loaded"));
	build_error = -ENOMEM;
	assert_int_equal(vm_start(vm, &why), -ENOMEM);
	assert_true(vm->state == VM_OFF && power_ons == 0);
	build_error = 0;
	load_error = -ENOEXEC;
	assert_int_equal(vm_start(vm, &why), -ENOEXEC);
	assert_true(vm->state == VM_OFF && requested[0] == 0 && unbuilds == 2 && !vm->pc);
	assert_false(vms_poll() && stopped_calls); /* it never ran: nobody is told that it stopped */
	load_error = 0;
	assert_int_equal(vm_start(vm, &why), 0);
}

/* Runs until it is stopped. */
static void live(struct vm *vm, enum mmu_kind kind)
{
	a_mmu.config.kind = kind;
	assert_int_equal(vm_start(vm, &why), 0);
	vm_stop(vm, "test");
	park_all(vm);
	vms_poll();
}

/* What stands for its page tables goes before they do. */
static void shadow_goes_with_the_memory(void **state)
{
	(void)state;
	live(one(), MMU_EPT);
	live(one(), MMU_EPT);
	assert_int_equal(zaps, 0);
	live(one(), MMU_SHADOW);
	assert_int_equal(zaps, 1);
}

/* What the guest before left is not there any more. */
static void memory_is_cleared(void **state)
{
	struct vm *vm = one();
	uint8_t *last = (uint8_t *)phys_to_virt(RAM + MIB(6)) - 1;

	(void)state;
	assert_int_equal(vm_start(vm, &why), 0);
	*last = 0x5a;
	vm_stop(vm, "test");
	park_all(vm);
	assert_int_equal(*last, 0x5a); /* it can be looked at until then */
	assert_int_equal(vm_start(vm, &why), 0);
	assert_int_equal(*last, 0);
}

/* The first reason counts, the vCPU whose exit it was reports, the last to park wakes the monitor. */
static void stopping(void **state)
{
	struct vm *vm = one();

	(void)state;
	vm_stop(vm, "not running: nobody asks");
	assert_int_equal(vm->state, VM_OFF);
	assert_int_equal(vm_start(vm, &why), 0);
	context.vcpu = &vcpus[1];
	vm_stop(vm, "reason %d", 1);
	vm_stop(vm, "reason %d", 2);
	assert_true(vm->state == VM_STOPPING && vm->culprit == &vcpus[1]);
	assert_string_equal(vm->stop_reason, "reason 1");
	assert_true((requested[0] & REQUEST_STOP) && (requested[1] & REQUEST_STOP));
	assert_int_equal(vm_start(vm, &why), -EBUSY);
	vm_vcpu_parked(&vcpus[0]);
	assert_true(vm->state == VM_STOPPING && reports == 0 && wakes == 0);
	vm_vcpu_parked(&vcpus[1]);
	assert_true(vm->state == VM_STOPPED && reports == 1 && wakes == 1);
}

/* Told once; and the last of those started by themselves is told apart, once. */
static void polling(void **state)
{
	struct vm *vm = one();

	(void)state;
	assert_false(vms_poll());
	assert_int_equal(vm_start(vm, &why), 0);
	assert_false(vms_poll());
	vm_stop(vm, "enough");
	assert_false(vms_poll());
	park_all(vm);
	assert_true(vms_poll());
	assert_int_equal(stopped_calls, 1);
	assert_string_equal(test_last_log, "guest one has stopped: enough");
	assert_false(vms_poll());
	assert_int_equal(stopped_calls, 1);
}

/* A reset is a stop and a start; one that fails leaves the VM stopped and says why. */
static void resetting(void **state)
{
	struct vm *vm = one();

	(void)state;
	assert_int_equal(vm_start(vm, &why), 0);
	vm->reset_wanted = 1;
	vm_stop(vm, "reset");
	park_all(vm);
	assert_false(vms_poll());
	assert_true(vm->state == VM_RUNNING && vm->reset_wanted == 0 && loads == 2 && power_ons == 2);
	vm->reset_wanted = 1;
	vm_stop(vm, "reset");
	park_all(vm);
	load_error = -ENOEXEC;
	assert_true(vms_poll());
	assert_int_equal(vm->state, VM_STOPPED);
	assert_non_null(strstr(test_last_log, "could not be started again: not a kernel"));
}

/* What the back end has loaded it unloads, once, after every vCPU was parked; what is lost then ends the VM. */
static void loaded_by_the_back_end(void **state)
{
	struct vm *vm = one();

	(void)state;
	backend = &hiding;
	load_error = -EIO;
	assert_int_equal(vm_start(vm, &why), -EIO);
	assert_true(unloads == 1 && unbuilds == 1 && vm->state == VM_OFF);
	load_error = 0;
	assert_int_equal(vm_start(vm, &why), 0);
	vm_stop(vm, "done");
	park_all(vm);
	assert_true(parks == 2 && unloads == 1);
	vms_poll();
	vms_poll();
	assert_int_equal(unloads, 2);
	assert_int_equal(vm_start(vm, &why), 0);
	unload_error = -EIO;
	vm_stop(vm, "done");
	park_all(vm);
	vms_poll();
	assert_non_null(strstr(test_last_log, "guest one cannot be started again"));
	assert_non_null(strstr(test_last_log, "7 pages are lost"));
	assert_int_equal(vm_start(vm, &why), -EIO);
	assert_int_equal(loads, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names), TEST(ram), TEST(starting), TEST(refusals), TEST(memory_is_cleared),
		TEST(shadow_goes_with_the_memory), TEST(stopping),
		TEST(polling), TEST(resetting), TEST(loaded_by_the_back_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
