/*
 * The vCPUs of a TD: made, and handed from CPU to CPU.
 */
#include "hv/base/panic.h"
#include "tdx/td.h"
#include "tdx/tdh.h"

static uint32_t this_cpu_index(void) { return tdx_module.machine.this_cpu(tdx_module.machine.ctx); }

static int add_pages(struct td *td, struct td_vcpu *v, struct failure *f)
{
	while (v->count < tdx_module.tdvps_pages) {
		hpa_t page = tdx_frame_alloc(OWNER_TD(td->id));
		bool first = v->count == 0;
		uint64_t status;

		if (page == HPA_NONE)
			return fail(f, -ENOMEM, "no memory that the TDX module knows is left for vCPU %u",
				    td->vcpu_count - 1);
		v->page[v->count++] = page;
		status = first ? tdh_vp_create(page, td->tdr) : tdh_vp_addcx(page, v->page[0]);
		if (!tdx_is_done(status))
			return tdx_fail(f, "a vCPU was not made", first ? TDH_VP_CREATE : TDH_VP_ADDCX, status);
	}
	return 0;
}

int td_vcpu_create(struct td *td, uint64_t rcx, struct failure *f)
{
	uint32_t index = td->vcpu_count;
	struct td_vcpu *v = &td->vcpu[index];
	uint64_t status;
	int err;

	INVARIANT(td->state == TD_INITIALIZED && index < GUEST_MAX_VCPUS);
	*v = (struct td_vcpu){ .cpu = TD_NO_CPU };
	td->vcpu_count++;
	err = add_pages(td, v, f);
	if (err)
		return err;
	td_vcpu_claim(td, index);
	status = tdh_vp_init(v->page[0], rcx);
	if (!tdx_is_done(status))
		return tdx_fail(f, "a vCPU was not initialised", TDH_VP_INIT, status);
	v->ready = true;
	return td_vcpu_flush(td, index, f);
}

void td_vcpu_claim(struct td *td, uint32_t index) { td->vcpu[index].cpu = this_cpu_index(); }

struct flush {
	const struct td *td;
	hpa_t tdvpr;
};

static uint64_t flush(void *arg)
{
	const struct flush *w = arg;

	return tdh_vp_flush(w->tdvpr, &w->td->kicker);
}

int td_vcpu_flush(struct td *td, uint32_t index, struct failure *f)
{
	struct td_vcpu *v = &td->vcpu[index];
	struct flush w = { td, v->page[0] };
	uint64_t status;

	if (v->cpu == TD_NO_CPU)
		return 0;
	status = tdx_on_cpu(v->cpu, flush, &w);
	/* That CPU does not have it after all, as when VP.INIT failed. */
	if (!tdx_is_done(status) && !tdx_status_is(status, TDX_VCPU_NOT_ASSOCIATED))
		return tdx_fail(f, "a CPU did not give its vCPU back", TDH_VP_FLUSH, status);
	v->cpu = TD_NO_CPU;
	return 0;
}

int td_vcpu_write(struct td *td, uint32_t index, uint64_t field, uint64_t value, uint64_t mask, struct failure *f)
{
	uint64_t status;

	td_vcpu_claim(td, index);
	status = tdh_vp_wr(td->vcpu[index].page[0], field, value, mask);
	return tdx_is_done(status) ? 0 : tdx_fail(f, "a field of a vCPU was not written", TDH_VP_WR, status);
}

int td_vcpu_read(struct td *td, uint32_t index, uint64_t field, uint64_t *value, struct failure *f)
{
	uint64_t status;

	td_vcpu_claim(td, index);
	status = tdh_vp_rd(td->vcpu[index].page[0], field, value);
	return tdx_is_done(status) ? 0 : tdx_fail(f, "a field of a vCPU was not read", TDH_VP_RD, status);
}
