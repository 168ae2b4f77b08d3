/*
 * MNG.INIT: a TD's parameters, checked and taken over. TDX Module 1.5 base specification, "TD Initialization".
 */
#include <string.h>

#include "tdx/abi/fields.h"
#include "tdx/soft/measure.h"
#include "tdx/soft/td.h"
#include "tdx/soft/run.h"
#include "tdx/soft/td_params.h"

#define HP_LOCK_TIMEOUT_DEFAULT 1000000 /* microseconds */
#define GPA_BITS_MAX 48

/*
 * The real module's guest-physical addresses have 48 or 52 bits. The software module's EPT is the one that the
 * CPU walks, which refuses addresses wider than its own: TDX_SYS_SOFT_GPA_BITS tells the host.
 */
uint32_t td_gpa_bits(const struct soft *m)
{
	return (uint32_t)min_u64(GPA_BITS_MAX, m->platform.hpa_bits);
}

static void take_params(struct soft *m, struct soft_tdcs *t, const struct tdx_td_params *p)
{
	t->attributes = p->attributes;
	t->xfam = p->xfam;
	t->eptp_controls = p->eptp_controls;
	t->config_flags = p->config_flags;
	t->max_vcpus = p->max_vcpus;
	t->gpa_bits = td_gpa_bits(m);
	t->ept_levels = 4;
	t->tsc_frequency = p->tsc_frequency;
	memcpy(t->cpuid_config, p->cpuid, sizeof(t->cpuid_config));
	memcpy(t->mrconfigid, p->mrconfigid, sizeof(t->mrconfigid));
	memcpy(t->mrowner, p->mrowner, sizeof(t->mrowner));
	memcpy(t->mrownerconfig, p->mrownerconfig, sizeof(t->mrownerconfig));
}

static void start_td(struct soft *m, struct soft_td *td, const struct tdx_td_params *p)
{
	struct soft_tdcs *t = td->tdcs;

	take_params(m, t, p);
	t->hp_lock_timeout = HP_LOCK_TIMEOUT_DEFAULT;
	t->tsc_offset = -m->platform.now(m->platform.ctx);
	t->td_ctls = t->attributes & TDX_ATTR_SEPT_VE_DISABLE ? TDX_TD_CTLS_PENDING_VE_DISABLE : 0;
	t->epoch = 1;
	measure_start(t);
	run_td_init(m, td);
	t->op_state = TDX_INITIALIZED;
}

/* The host's structure is read once: what is checked is what is used. */
static uint64_t read_params(struct soft_call *c, struct tdx_td_params *params)
{
	void *p;
	uint64_t leaf = 0;
	uint64_t status = hpa_map_shared(c, call_arg(c, TDX_RDX), sizeof(*params), TDX_RDX, &p);

	if (status)
		return status;
	memcpy(params, p, sizeof(*params));
	status = td_params_check(c->m, params, &leaf);
	if (status == invalid(TDX_OP_CPUID_CONFIG))
		call_set(c, TDX_RCX, leaf);
	return status;
}

uint64_t tdh_mng_init(struct soft_call *c)
{
	struct soft_td td;
	struct tdx_td_params params;
	uint64_t status = td_lock(c, TDX_RCX, LOCK_EXCLUSIVE, &td);

	if (!status)
		status = td_check(c, &td, LOCK_EXCLUSIVE);
	if (!status)
		status = read_params(c, &params);
	if (!status)
		start_td(c->m, &td, &params);
	return status;
}
