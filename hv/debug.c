/*
 * Stopping a guest's vCPUs for a debugger and setting them going. What a vCPU is asked travels as
 * REQUEST_DEBUG; what it answers, its registers, is the monitor's to use while it is HOLD_HELD.
 */
#include "hv/debug.h"

#include <errno.h>
#include <string.h>

#include "hv/base/phys.h"
#include "hv/base/x86.h"
#include "hv/debug_mem.h"
#include "hv/fpu.h"
#include "hv/monitor/monitor.h"
#include "hv/vm_life.h"

/* ---- the vCPU's side ---- */

static void copy_registers(struct vcpu *v, struct debug_regs *r)
{
	for (unsigned i = 0; i < REG_COUNT; i++)
		r->reg[i] = v->vm->backend->get_reg(v, i);
	memcpy(r->gpr, v->gpr, sizeof r->gpr);
	r->gpr[GPR_RSP] = r->reg[REG_RSP];
	r->cr2 = read_cr2();
	fpu_release(v);
	fpu_legacy_read(v, r->fx);
}

static void enter_hold(struct vcpu *v, struct vcpu_debug *d)
{
	if (!d->out) {
		d->plan.step = false;
		v->vm->backend->debug(v, &d->plan);
		copy_registers(v, &d->regs);
		d->before = d->regs;
		d->out = true;
	}
	__atomic_store_n(&d->hold, HOLD_HELD, __ATOMIC_RELEASE);
	monitor_wake();
}

/* RSP is where the debugger changed it: among the general registers. */
static void put_registers(struct vcpu *v, struct vcpu_debug *d)
{
	const struct backend *b = v->vm->backend;

	d->regs.reg[REG_RSP] = d->regs.gpr[GPR_RSP];
	memcpy(v->gpr, d->regs.gpr, sizeof v->gpr);
	for (unsigned i = 0; i < REG_COUNT; i++)
		if (d->regs.reg[i] != d->before.reg[i])
			b->set_reg(v, i, d->regs.reg[i]);
	if (memcmp(d->regs.fx, d->before.fx, sizeof d->regs.fx) != 0)
		fpu_legacy_write(v, d->regs.fx);
	fpu_switch_to(v);
}

static void end_hold(struct vcpu *v, struct vcpu_debug *d)
{
	bool leave = d->leave;

	put_registers(v, d);
	d->out = false;
	v->vm->backend->debug(v, leave ? NULL : &d->plan);
	if (!leave)
		return;
	__atomic_store_n(&v->debug, NULL, __ATOMIC_RELEASE);
	monitor_wake();
}

bool debug_stay(struct vcpu *v)
{
	struct vcpu_debug *d = v->debug;
	uint32_t hold;

	if (v->state == VCPU_STOPPED) /* the monitor may be giving d up */
		return false;
	hold = __atomic_load_n(&d->hold, __ATOMIC_ACQUIRE);
	if (hold == HOLD_GOING) {
		if (d->out)
			end_hold(v, d);
		return false;
	}
	if (hold == HOLD_ASKED)
		enter_hold(v, d);
	sched_block(NEVER);
	return true;
}

static void halt_vcpu(struct vcpu *v)
{
	uint32_t going = HOLD_GOING;

	if (__atomic_compare_exchange_n(&v->debug->hold, &going, HOLD_ASKED, false, __ATOMIC_ACQ_REL,
					__ATOMIC_RELAXED))
		vcpu_request(v, REQUEST_DEBUG);
}

void debug_hit(struct vcpu *v, enum debug_event event, uint64_t address, enum debug_access access)
{
	struct vcpu_debug *d = v->debug;

	d->event = event;
	d->address = address;
	d->access = access;
	debug_halt(v->vm->debug);
	vcpu_request(v, REQUEST_DEBUG); /* out of the run loop, also when somebody else has asked before */
}

/* ---- the debugger's side ---- */

void debug_halt(struct debug *d)
{
	for (uint32_t i = 0; i < d->vcpus; i++)
		halt_vcpu(d->vm->vcpus[i]);
}

bool debug_all_held(const struct debug *d)
{
	for (uint32_t i = 0; i < d->vcpus; i++)
		if (__atomic_load_n(&d->vcpu[i].hold, __ATOMIC_ACQUIRE) != HOLD_HELD)
			return false;
	return true;
}

static void let_go(struct debug *d, uint32_t index)
{
	__atomic_store_n(&d->vcpu[index].hold, HOLD_GOING, __ATOMIC_RELEASE);
	vcpu_request(d->vm->vcpus[index], REQUEST_DEBUG);
}

void debug_resume(struct debug *d, const bool *steps, const bool *runs)
{
	for (uint32_t i = 0; i < d->vcpus; i++) {
		struct vcpu_debug *v = &d->vcpu[i];

		if (!steps[i] && !runs[i])
			continue;
		v->event = DEBUG_NOTHING;
		v->plan.step = steps[i];
		memcpy(v->plan.hw, d->hw, sizeof v->plan.hw);
		let_go(d, i);
	}
}

static uint64_t pages_of(uint32_t vcpus)
{
	return (sizeof(struct debug) + vcpus * sizeof(struct vcpu_debug) + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

static int may_attach(const struct vm *vm, struct failure *f)
{
	const char *name = vm->config->name;

	if (vm->state != VM_RUNNING)
		return fail(f, -EINVAL, "guest %s is not running: `vm start %s`", name, name);
	if (vm->backend->hides_state)
		return fail(f, -ENOTSUP, "guest %s cannot be debugged: a %s guest keeps its registers and memory from "
			    "its host", name, vm->backend->name);
	if (vm->debug)
		return fail(f, -EBUSY, "guest %s is being debugged already", name);
	return 0;
}

struct debug *debug_attach(struct vm *vm, struct failure *f)
{
	struct debug *d;
	hpa_t home;

	if (may_attach(vm, f))
		return NULL;
	home = frame_alloc_run(pages_of(vm->vcpu_count), 1, OWNER_HV);
	if (home == HPA_NONE) {
		fail(f, -ENOMEM, "no memory for a debugger of guest %s", vm->config->name);
		return NULL;
	}
	d = phys_to_virt(home);
	d->vm = vm;
	d->vcpus = vm->vcpu_count;
	vm->debug = d;
	for (uint32_t i = 0; i < d->vcpus; i++) {
		d->vcpu[i].plan.attached = true;
		__atomic_store_n(&vm->vcpus[i]->debug, &d->vcpu[i], __ATOMIC_RELEASE);
	}
	debug_halt(d);
	return d;
}

void debug_detach(struct debug *d)
{
	debug_remove_all_soft(d);
	for (uint32_t i = 0; i < d->vcpus; i++) {
		d->vcpu[i].leave = true;
		let_go(d, i);
	}
}

static void give_back(struct debug *d)
{
	d->vm->debug = NULL;
	frame_free_run(virt_to_phys(d), pages_of(d->vcpus), OWNER_HV);
}

bool debug_release(struct debug *d)
{
	for (uint32_t i = 0; i < d->vcpus; i++) {
		struct vcpu *v = d->vm->vcpus[i];

		if (__atomic_load_n(&v->debug, __ATOMIC_ACQUIRE) && v->state != VCPU_STOPPED)
			return false;
	}
	debug_abandon(d);
	return true;
}

void debug_abandon(struct debug *d)
{
	for (uint32_t i = 0; i < d->vcpus; i++)
		d->vm->vcpus[i]->debug = NULL;
	give_back(d);
}

/* ---- debug registers ---- */

static bool hw_is(const struct debug_hw *h, enum debug_access access, gva_t address, unsigned length)
{
	return h->used && h->access == access && h->address == address && h->length == length;
}

/* SDM "Breakpoint Field Recognition": aligned to their length; code is one byte's. */
static bool hw_possible(enum debug_access access, gva_t address, unsigned length)
{
	if (access == DEBUG_EXECUTE)
		return length == 1;
	return (length == 1 || length == 2 || length == 4 || length == 8) && is_aligned(address, length);
}

int debug_insert_hw(struct debug *d, enum debug_access access, gva_t address, unsigned length)
{
	struct debug_hw *room = NULL;

	if (!hw_possible(access, address, length))
		return -EINVAL;
	for (unsigned i = 0; i < DEBUG_HW; i++) {
		if (hw_is(&d->hw[i], access, address, length))
			return 0;
		if (!d->hw[i].used && !room)
			room = &d->hw[i];
	}
	if (!room)
		return -ENOSPC;
	*room = (struct debug_hw){ true, access, (uint8_t)length, address };
	return 0;
}

int debug_remove_hw(struct debug *d, enum debug_access access, gva_t address, unsigned length)
{
	for (unsigned i = 0; i < DEBUG_HW; i++)
		if (hw_is(&d->hw[i], access, address, length)) {
			d->hw[i].used = false;
			return 0;
		}
	return -ENOENT;
}
