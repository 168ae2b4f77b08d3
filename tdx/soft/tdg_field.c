/*
 * TDCALL leafs that read and write metadata: TDG.VM.RD, VM.WR, SYS.RD. TDX Module 1.5 ABI specification,
 * "Metadata Access Interface".
 */
#include "tdx/soft/field.h"
#include "tdx/soft/run.h"

static struct field_target target(struct tdg_call *t)
{
	return (struct field_target){ .c = t->c, .td = &t->v->td, .vp = t->v->vp };
}

/* The id is in RDX. next: RDX becomes the next field's id, or -1; an id of -1 asks for the first. */
static uint64_t read_field(struct tdg_call *t, const struct field_table *table, bool next)
{
	struct field_target at = target(t);
	uint64_t *gpr = t->v->vp->gpr, id = gpr[TDX_RDX], value = 0, status;

	if (next && id == TDX_FIELD_FIRST) {
		gpr[TDX_RDX] = field_first(table, FIELD_GUEST_READ);
		gpr[TDX_R8] = 0;
		return TDX_METADATA_FIRST_FIELD_ID_IN_CONTEXT;
	}
	status = field_read(table, &at, FIELD_GUEST_READ, id, &value);
	if (next)
		gpr[TDX_RDX] = status ? TDX_FIELD_FIRST : field_next(table, FIELD_GUEST_READ, id);
	gpr[TDX_R8] = value;
	return status;
}

static enum tdg_end done(struct tdg_call *t, uint64_t status)
{
	t->status = status;
	return TDG_DONE;
}

enum tdg_end tdg_vm_rd(struct tdg_call *t)
{
	const uint64_t *gpr = t->v->vp->gpr;
	bool next = gpr[TDX_RAX] >> TDX_VERSION_SHIFT & TDX_VERSION_MASK;

	return done(t, gpr[TDX_RCX] ? invalid(TDX_RCX) : read_field(t, &td_fields, next));
}

enum tdg_end tdg_vm_wr(struct tdg_call *t)
{
	struct field_target at = target(t);
	uint64_t *gpr = t->v->vp->gpr, old = 0, status;

	if (gpr[TDX_RCX])
		return done(t, invalid(TDX_RCX));
	status = field_write(&td_fields, &at, FIELD_GUEST_WRITE, gpr[TDX_RDX], gpr[TDX_R8], gpr[TDX_R9], &old);
	gpr[TDX_R8] = old;
	return done(t, status);
}

enum tdg_end tdg_sys_rd(struct tdg_call *t) { return done(t, read_field(t, &sys_fields, true)); }
