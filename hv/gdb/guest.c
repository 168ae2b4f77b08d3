/* What gdb asks, done with hv/debug.h. Threads are vCPUs. */
#include "hv/gdb/guest.h"

#include <errno.h>

#include "hv/base/format.h"
#include "hv/base/percpu.h"

static uint32_t threads(void *ctx) { return ((struct debug *)ctx)->vcpus; }

static void describe(void *ctx, uint32_t thread, char *text, size_t size)
{
	static const char *const states[] = { "waits for SIPI", "runs", "halted", "stopped" };
	const struct debug *d = ctx;
	const struct vcpu *v = d->vm->vcpus[thread];

	format(text, size, "vCPU %u on CPU %u, %s", thread, v->cpu->index, states[v->state]);
}

static struct debug_regs *registers(void *ctx, uint32_t thread) { return &((struct debug *)ctx)->vcpu[thread].regs; }

static size_t read(void *ctx, uint32_t thread, uint64_t address, void *buf, size_t len)
{
	return debug_read(ctx, thread, address, buf, len);
}

static size_t write(void *ctx, uint32_t thread, uint64_t address, const void *buf, size_t len)
{
	return debug_write(ctx, thread, address, buf, len);
}

/* x86 has no registers that watch reads alone; gdb makes do with accesses. */
static bool access_of(enum gdb_break kind, enum debug_access *access)
{
	switch (kind) {
	case GDB_BREAK_HW: *access = DEBUG_EXECUTE; return true;
	case GDB_WATCH_WRITE: *access = DEBUG_WRITE; return true;
	case GDB_WATCH_ACCESS: *access = DEBUG_ACCESS; return true;
	default: return false;
	}
}

static int insert(void *ctx, uint32_t thread, enum gdb_break kind, uint64_t address, uint64_t length)
{
	enum debug_access access;

	if (kind == GDB_BREAK_SOFT)
		return debug_insert_soft(ctx, thread, address);
	if (!access_of(kind, &access))
		return -ENOTSUP;
	return length > 8 ? -EINVAL : debug_insert_hw(ctx, access, address, (unsigned)length);
}

static int remove(void *ctx, enum gdb_break kind, uint64_t address, uint64_t length)
{
	enum debug_access access;

	if (kind == GDB_BREAK_SOFT)
		return debug_remove_soft(ctx, address);
	if (!access_of(kind, &access))
		return -ENOTSUP;
	return length > 8 ? -EINVAL : debug_remove_hw(ctx, access, address, (unsigned)length);
}

static enum gdb_why why_of(const struct vcpu_debug *v)
{
	switch (v->event) {
	case DEBUG_STEPPED: return GDB_STOP_STEP;
	case DEBUG_SOFT_HIT: return GDB_STOP_SOFT;
	case DEBUG_HW_HIT: return GDB_STOP_HW;
	case DEBUG_WATCH_HIT: return v->access == DEBUG_WRITE ? GDB_STOP_WATCH_WRITE : GDB_STOP_WATCH_ACCESS;
	default: return GDB_STOP_ASKED;
	}
}

/* A breakpoint that another vCPU has hit too is hit again when that goes on; what comes but once, a watched
 * access or a step, is told of when its turn comes. */
static void forget_others(struct debug *d, uint32_t told)
{
	d->vcpu[told].event = DEBUG_NOTHING;
	for (uint32_t i = 0; i < d->vcpus; i++)
		if (d->vcpu[i].event == DEBUG_SOFT_HIT || d->vcpu[i].event == DEBUG_HW_HIT)
			d->vcpu[i].event = DEBUG_NOTHING;
}

static bool has_event(const struct debug *d, uint32_t *thread)
{
	for (uint32_t n = 0; n < d->vcpus; n++) {
		uint32_t i = (*thread + n) % d->vcpus;

		if (d->vcpu[i].event == DEBUG_NOTHING)
			continue;
		*thread = i;
		return true;
	}
	return false;
}

static void why(void *ctx, uint32_t preferred, struct gdb_stop *stop)
{
	struct debug *d = ctx;
	uint32_t thread = preferred;
	bool any = has_event(d, &thread);

	*stop = (struct gdb_stop){ .thread = thread, .why = why_of(&d->vcpu[thread]),
				   .address = d->vcpu[thread].address };
	if (any)
		forget_others(d, thread);
}

/* An event that gdb has not been told of yet is a stop at once. */
static void resume(void *ctx, const bool *steps, const bool *runs)
{
	uint32_t thread = 0;

	if (!has_event(ctx, &thread))
		debug_resume(ctx, steps, runs);
}

static void halt(void *ctx) { debug_halt(ctx); }

/* hv/gdb/server.c sees that the conversation is over. */
static void detach(void *ctx) { (void)ctx; }

static void kill(void *ctx) { vm_stop(((struct debug *)ctx)->vm, "stopped by the debugger"); }

const struct gdb_target gdb_guest = {
	.threads = threads,
	.describe = describe,
	.registers = registers,
	.read = read,
	.write = write,
	.insert = insert,
	.remove = remove,
	.resume = resume,
	.halt = halt,
	.why = why,
	.detach = detach,
	.kill = kill,
};
