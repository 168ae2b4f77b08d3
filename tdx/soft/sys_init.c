/*
 * The module's start and end: SYS.INIT, SYS.LP.INIT, SYS.KEY.CONFIG, SYS.SHUTDOWN. TDX Module 1.5 base
 * specification, "Intel TDX Module Lifecycle: Enumeration, Initialization and Shutdown".
 */
#include "tdx/soft/module.h"

static bool lock_sys(struct soft_call *c, enum lock_mode mode)
{
	return call_try_lock(c, &c->m->sys_lock, mode, TDX_OP_SYS);
}

static void set_state(struct soft *m, enum soft_sys_state state)
{
	__atomic_store_n(&m->state, state, __ATOMIC_RELEASE);
}

uint64_t tdh_sys_init(struct soft_call *c)
{
	if (call_arg(c, TDX_RCX))
		return invalid(TDX_RCX);
	if (!lock_sys(c, LOCK_EXCLUSIVE))
		return TDX_SYS_BUSY;
	if (c->m->state != SOFT_SYS_INIT_PENDING)
		return TDX_SYS_INIT_NOT_PENDING;
	set_state(c->m, SOFT_SYS_INIT_DONE);
	return TDX_SUCCESS;
}

uint64_t tdh_sys_lp_init(struct soft_call *c)
{
	uint64_t bit = BIT(c->lp % 64);

	if (!lock_sys(c, LOCK_SHARED))
		return TDX_SYS_BUSY;
	if (c->m->state != SOFT_SYS_INIT_DONE)
		return TDX_SYS_LP_INIT_NOT_PENDING;
	if (__atomic_fetch_or(&c->m->lp_initialised[c->lp / 64], bit, __ATOMIC_RELAXED) & bit)
		return TDX_SYS_LP_INIT_DONE;
	__atomic_fetch_add(&c->m->lps_initialised, 1, __ATOMIC_RELAXED);
	return TDX_SUCCESS;
}

/* No memory is encrypted; but the key that reports are authenticated with is real, and of this boot. */
static bool generate_mac_key(struct soft_call *c)
{
	const struct soft_platform *p = &c->m->platform;
	bool ok = true;

	for (uint32_t i = 0; i < ARRAY_LEN(c->m->mac_key); i++)
		ok = ok && p->entropy(p->ctx, &c->m->mac_key[i]);
	return ok;
}

uint64_t tdh_sys_key_config(struct soft_call *c)
{
	struct soft *m = c->m;
	uint32_t package = call_package(c);
	uint64_t status;

	if (!lock_sys(c, LOCK_EXCLUSIVE))
		return TDX_SYS_BUSY;
	if (m->state != SOFT_SYS_CONFIG_DONE)
		return TDX_SYS_KEY_CONFIG_NOT_PENDING;
	if (m->packages_keyed & BIT(package))
		return TDX_KEY_CONFIGURED;
	status = call_lock(c, &m->ket_lock, LOCK_EXCLUSIVE, TDX_OP_KET);
	if (status)
		return status;
	if (call_fault(c, SOFT_FAULT_KEY, package) || (!m->packages_keyed && !generate_mac_key(c)))
		return TDX_KEY_GENERATION_FAILED;
	m->packages_keyed |= (uint8_t)BIT(package);
	if (m->packages_keyed == call_all_packages(c))
		set_state(m, SOFT_SYS_READY);
	return TDX_SUCCESS;
}

uint64_t tdh_sys_shutdown(struct soft_call *c)
{
	if (!lock_sys(c, LOCK_EXCLUSIVE))
		return TDX_SYS_BUSY;
	set_state(c->m, SOFT_SYS_SHUTDOWN);
	return TDX_SUCCESS;
}

/* Deprecated: it always succeeds and does nothing. */
uint64_t tdh_sys_lp_shutdown(struct soft_call *c)
{
	(void)c;
	return TDX_SUCCESS;
}
