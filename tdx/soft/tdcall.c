/*
 * TDCALL. On plain VMX the instruction is undefined, so the guest's exits by #UD are looked at: TDCALL is
 * carried out, everything else is what it would be on a CPU without SEAM. TDX Module 1.5 base specification,
 * "Guest-Side (TDCALL) Interface Functions".
 */
#include "tdx/soft/guest_code.h"
#include "tdx/soft/run.h"

static enum tdg_end unknown(struct tdg_call *t)
{
	t->status = invalid(TDX_RAX);
	return TDG_DONE;
}

/* version: the highest. Leafs without a row are unknown. */
static const struct leaf {
	enum tdg_end (*carry_out)(struct tdg_call *t);
	uint8_t version;
} leafs[] = {
	[TDG_VP_VMCALL] = { tdg_vp_vmcall, 0 },
	[TDG_VP_INFO] = { tdg_vp_info, 0 },
	[TDG_MR_RTMR_EXTEND] = { tdg_mr_rtmr_extend, 0 },
	[TDG_VP_VEINFO_GET] = { tdg_vp_veinfo_get, 0 },
	[TDG_MR_REPORT] = { tdg_mr_report, 0 },
	[TDG_VP_CPUIDVE_SET] = { tdg_vp_cpuidve_set, 0 },
	[TDG_MEM_PAGE_ACCEPT] = { tdg_mem_page_accept, 0 },
	[TDG_VM_RD] = { tdg_vm_rd, 1 },
	[TDG_VM_WR] = { tdg_vm_wr, 0 },
	[TDG_SYS_RD] = { tdg_sys_rd, 0 },
};

static enum tdg_end carry_out(struct tdg_call *t, uint64_t rax)
{
	uint32_t leaf = rax & TDX_LEAF_MASK, version = rax >> TDX_VERSION_SHIFT & TDX_VERSION_MASK;

	if (rax & TDX_LEAF_RESERVED || leaf >= ARRAY_LEN(leafs) || !leafs[leaf].carry_out ||
	    version > leafs[leaf].version)
		return unknown(t);
	return leafs[leaf].carry_out(t);
}

/* The host was kept from an entry by this guest, and asks it to let go: the guest is told to try again, but not for
 * ever. Whether it may go on. */
static bool host_may_wait(struct run *r, uint64_t *status)
{
	uint64_t now = r->m->platform.now(r->m->platform.ctx), ticks;

	if (!tdx_status_is(*status, TDX_OPERAND_BUSY_HOST_PRIORITY)) {
		r->vp->host_waits_since = 0;
		return true;
	}
	*status = TDX_OPERAND_BUSY | (*status & TDX_STATUS_DETAIL);
	if (!r->vp->host_waits_since)
		r->vp->host_waits_since = now;
	ticks = now - r->vp->host_waits_since;
	return ticks / (r->m->platform.cpu.tsc_hz / 1000000 + 1) < r->tdcs->hp_lock_timeout;
}

static bool done(struct run *r, struct tdg_call *t)
{
	if (!host_may_wait(r, &t->status)) {
		r->vp->host_waits_since = 0;
		return run_leave(r, TDX_HOST_PRIORITY_BUSY_TIMEOUT, TDX_EXIT_TDCALL);
	}
	r->vp->gpr[TDX_RAX] = t->status;
	run_skip(r, TDX_OPCODE_LENGTH);
	return true;
}

static bool leave(struct run *r, const struct tdg_call *t)
{
	*r->exit = t->exit;
	if (t->exit.reason == TDX_EXIT_TDCALL)
		run_skip(r, TDX_OPCODE_LENGTH);
	return false;
}

static bool tdcall(struct run *r)
{
	struct tdg_call t = { .c = r->c, .v = r->v };

	if (run_cpl(r) || !run_in_64bit(r)) {
		event_exception(r, VEC_GP, 0);
		return true;
	}
	switch (carry_out(&t, r->vp->gpr[TDX_RAX])) {
	case TDG_DONE:
		return done(r, &t);
	case TDG_EXIT:
		return leave(r, &t);
	case TDG_FAULT:
		return ept_access(r, t.gpa, t.write);
	case TDG_AGAIN:
		break;
	}
	return true;
}

static bool is_tdcall(const uint8_t *bytes)
{
	return bytes[0] == 0x66 && bytes[1] == 0x0f && bytes[2] == 0x01 && bytes[3] == TDX_OPCODE_TDCALL;
}

bool tdcall_exit_undefined(struct run *r)
{
	uint8_t bytes[TDX_OPCODE_LENGTH];
	enum guest_code c = guest_code_read(r, bytes, sizeof bytes);

	if (c == GUEST_CODE_GONE)
		return true;
	if (c == GUEST_CODE_READ && is_tdcall(bytes))
		return tdcall(r);
	event_exception(r, VEC_UD, -1);
	return true;
}

bool tdcall_exit(struct run *r) { return tdcall(r); }
