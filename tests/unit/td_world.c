/*
 * A TD with one vCPU for tests of the host's side.
 */
#include "tests/unit/td_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/lapic.h"
#include "hv/base/clock.h"
#include "hv/base/phys.h"
#include "hv/base/trap.h"
#include "hv/base/vectors.h"
#include "hv/base/x86.h"
#include "hv/exits.h"
#include "hv/fpu.h"
#include "hv/guest/cpuid.h"
#include "hv/guest/msr.h"
#include "hv/pc.h"
#include "hv/vcpu.h"
#include "hv/vm_life.h"

struct vm td_vm;
struct tdx_vcpu td_vcpu;
struct td_seen td_seen;
uint32_t td_port_value;
uint64_t td_mmio_value, td_details;
void (*td_guest)(struct tdx_regs *r);
bool td_yield;
uint32_t td_taken;
int td_write_error;
bool td_lossy;
uint64_t fpu_guest_xcr0 = 3;

static struct vm_config config;
static struct cpu cpu;
static struct sched sched;
static struct context context;
static struct bus bus;
static struct cpuid_policy cpuid_store;
static struct msr_cpu msr_store;
static struct tdx_vm td;
static struct pc pc;

/* ---- the machine ---- */

/* The leak checker would wait by the C library's sched_yield(), whose name the scheduler's own has here. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return 1; }

void lapic_send_ipi(uint32_t apic_id, uint8_t vector)
{
	(void)apic_id;
	assert_int_equal(vector, HOST_VECTOR_POSTED);
	td_seen.notifications++;
}

void lapic_timer_arm(uint64_t tsc) { td_seen.armed = tsc; }

void trap_irq(uint8_t vector)
{
	td_seen.irqs++;
	td_seen.irq = vector;
}

void trap_raise_nmi(void) { td_seen.nmis++; }
void tdx_flush_here(void) { td_seen.flushes++; }
int rdmsr_safe(uint32_t msr, uint64_t *value)
{
	(void)msr;
	(void)value;
	return -1;
}

/* ---- hv/ ---- */

bool sched_tick(uint64_t now)
{
	(void)now;
	td_seen.ticks++;
	sched.resched = 0;
	return td_yield;
}

void sched_block(uint64_t deadline)
{
	td_seen.blocks++;
	td_seen.blocked_until = deadline;
}

void vm_stop(struct vm *vm, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (vm->state != VM_STOPPED)
		vsnprintf(td_seen.stop, sizeof td_seen.stop, fmt, args);
	va_end(args);
	vm->state = VM_STOPPED;
	td_seen.stops++;
	vcpu_request(&td_vcpu.v, REQUEST_STOP);
}

void vcpu_request(struct vcpu *v, uint32_t bits)
{
	td_seen.requests |= bits;
	v->requests |= bits;
}

uint32_t vcpu_take_requests(struct vcpu *v)
{
	uint32_t bits = v->requests | td_taken;

	v->requests = td_taken = 0;
	if (bits & REQUEST_STOP)
		v->state = VCPU_STOPPED;
	return bits;
}

bool vcpu_has_wake_event(struct vcpu *v) { return tdx_has_interrupt(v); }

void *vm_ram_at(struct vm *vm, gpa_t gpa, uint64_t len)
{
	static char byte;

	(void)vm;
	return gpa < TD_RAM && len <= TD_RAM - gpa ? &byte : NULL;
}

bool vpic_pending(const struct vpic *pic)
{
	(void)pic;
	return false;
}

uint8_t vpic_ack(struct vpic *pic)
{
	(void)pic;
	return 0;
}

/* ---- the module ---- */

int td_vcpu_write(struct td *t, uint32_t index, uint64_t field, uint64_t value, uint64_t mask, struct failure *f)
{
	(void)t;
	(void)mask;
	assert_int_equal(index, 0);
	td_seen.writes++;
	if (field == TDX_VP_PEND_NMI) {
		assert_int_equal(value, 1);
		td_seen.pend_nmis++;
	}
	return td_write_error ? (fail)(f, td_write_error, "the module says no") : 0;
}

int td_vcpu_read(struct td *t, uint32_t index, uint64_t field, uint64_t *value, struct failure *f)
{
	(void)t;
	(void)index;
	assert_true(field == TDX_VP_STATE_DETAILS);
	*value = td_details;
	return td_write_error ? (fail)(f, td_write_error, "the module says no") : 0;
}

void td_vcpu_claim(struct td *t, uint32_t index)
{
	(void)t;
	assert_int_equal(index, 0);
}

int td_vcpu_flush(struct td *t, uint32_t index, struct failure *f)
{
	(void)t;
	(void)index;
	(void)f;
	return 0;
}

struct tdx_vm *tdx_vm_of(const struct vm *vm)
{
	(void)vm;
	return &td;
}

int tdx_vm_map_firmware(struct vm *vm, struct failure *f)
{
	(void)vm;
	(void)f;
	return 0;
}

static void seamcall(void *ctx, struct tdx_regs *r)
{
	(void)ctx;
	assert_int_equal(r->gpr[TDX_RAX], TDH_VP_ENTER);
	assert_true(r->gpr[TDX_RCX] == td_vcpu.tdvpr && (td_vcpu.run_seq & 1));
	td_seen.entries++;
	if (td_guest) {
		td_guest(r);
		return;
	}
	*r = (struct tdx_regs){ .gpr = { [TDX_RAX] = 1, [TDX_R9] = 0x80000000u | HOST_VECTOR_KICK } };
}

static const struct tdx_ops ops = { .name = "a script", .call = seamcall };

/* ---- the guest's devices ---- */

static uint32_t port_read(void *dev, uint16_t port, unsigned size)
{
	(void)dev;
	td_seen.out.port = port;
	td_seen.out.size = size;
	return td_port_value;
}

static void port_write(void *dev, uint16_t port, unsigned size, uint32_t value)
{
	(void)dev;
	td_seen.out.port = port;
	td_seen.out.size = size;
	td_seen.out.value = value;
}

static uint64_t mmio_read(void *dev, uint64_t offset, unsigned size)
{
	(void)dev;
	td_seen.out.offset = offset;
	td_seen.out.size = size;
	return td_mmio_value;
}

static void mmio_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	(void)dev;
	td_seen.out.offset = offset;
	td_seen.out.size = size;
	td_seen.out.mmio_value = value;
}

static const struct pio_ops port_ops = { port_read, port_write, 4 };
static const struct mmio_ops mmio_ops = { mmio_read, mmio_write };

static void make_bus(void)
{
	bus_init(&bus);
	assert_int_equal(bus_add_pio(&bus, TD_PORT, 16, &port_ops, NULL, "ports", NULL), 0);
	assert_int_equal(bus_add_mmio(&bus, TD_MMIO, PAGE_SIZE, &mmio_ops, NULL, "registers", NULL), 0);
}

/* ---- all together ---- */

static feature_set_t no_features(void) { return 0; }
static uint64_t no_reg(struct vcpu *v, enum guest_reg r)
{
	(void)v;
	(void)r;
	return 0;
}

static const struct backend backend = { .features = no_features, .get_reg = no_reg,
					.has_interrupt = tdx_has_interrupt };

static void no_send(void *ctx, const struct apic_msg *m, enum vlapic_shorthand s)
{
	(void)ctx;
	(void)m;
	(void)s;
}
static void no_eoi(void *ctx, uint8_t vector)
{
	(void)ctx;
	(void)vector;
	fail_msg("an EOI of a TD");
}
static uint64_t lapic_now(void *ctx) { return vcpu_tsc(ctx); }
static void no_kick(void *ctx) { (void)ctx; }
static const struct vlapic_host lapic_callbacks = { no_send, no_eoi, lapic_now, no_kick, no_kick };

static void make_vcpu(void)
{
	struct vcpu *v = &td_vcpu.v;
	struct failure f = { 0 };

	*v = (struct vcpu){ .vm = &td_vm, .cpu = &cpu, .context = &context, .state = VCPU_RUNNING,
			    .cpuid = &cpuid_store, .msr = &msr_store, .mmu = &mirror_vcpus[0] };
	v->lapic.regs = phys_to_virt(frame_alloc(OWNER_VM_META(WORLD_VM)));
	v->lapic.posted = phys_to_virt(frame_alloc(OWNER_VM_META(WORLD_VM)));
	v->lapic.tsc_hz = tsc_khz * 1000;
	v->lapic.timer_hz = TDX_TSC_UNIT;
	v->lapic.remote = true;
	vlapic_init(&v->lapic, 0, true, &lapic_callbacks, v);
	assert_true(vlapic_remote_msr_write(&v->lapic, 0x80f, 0x1ff));
	if (exits_init_vcpu(v, &f))
		fail_msg("%s", f.text);
	td_vcpu.td = &td;
	td_vcpu.sched = &sched;
	td_vcpu.tdvpr = MIB(70);
}

void td_world_start(void)
{
	memset(&td_seen, 0, sizeof td_seen);
	memset(&td_vcpu, 0, sizeof td_vcpu);
	memset(&td_vm, 0, sizeof td_vm);
	memset(&td, 0, sizeof td);
	td_port_value = 0;
	td_mmio_value = td_details = 0;
	td_guest = NULL;
	td_yield = false;
	td_taken = 0;
	td_write_error = 0;
	td_lossy = false;
	config = (struct vm_config){ .name = "td", .memory = TD_RAM, .vcpus = 1, .type = VM_TYPE_TD, .strict = true };
	sched = (struct sched){ .current = &context, .next_event = NEVER, .tick_from = NEVER };
	cpu = (struct cpu){ .sched = &sched };
	test_this_cpu = &cpu;
	mirror_world_start(LEVEL_2M);
	mirror_add(0, TD_RAM >> PAGE_SHIFT, TD_RAM_HPA, SLOT_PRIVATE);
	make_bus();
	td_vm = (struct vm){ .id = WORLD_VM, .config = &config, .backend = &backend, .state = VM_RUNNING,
			     .mmu = &mirrored, .mmu_ready = true, .pc = &pc, .bus = &bus, .vcpu_count = 1,
			     .vcpus = { &td_vcpu.v } };
	td.vm = &td_vm;
	assert_int_equal(shared_root_create(&td.shared, SHARED_BIT, TD_RAM, OWNER_VM_META(WORLD_VM)), 0);
	make_vcpu();
	tdx_use(&ops);
}

void td_world_end(void)
{
	frame_free(virt_to_phys(td_vcpu.v.lapic.regs), OWNER_VM_META(WORLD_VM));
	frame_free(virt_to_phys(td_vcpu.v.lapic.posted), OWNER_VM_META(WORLD_VM));
	shared_root_destroy(&td.shared, OWNER_VM_META(WORLD_VM));
	mirror_world_end(td_lossy);
}

enum exit_result td_call(uint64_t function, uint64_t r12, uint64_t r13, uint64_t r14, uint64_t r15)
{
	uint64_t *g = td_vcpu.regs.gpr;

	g[TDX_RAX] = TDX_EXIT_TDCALL;
	g[TDX_RCX] = 0xfc00;
	g[TDX_R10] = 0;
	g[TDX_R11] = function;
	g[TDX_R12] = r12;
	g[TDX_R13] = r13;
	g[TDX_R14] = r14;
	g[TDX_R15] = r15;
	memset(&td_vcpu.answer, 0x5a, sizeof td_vcpu.answer);
	return tdx_vmcall(&td_vcpu);
}
