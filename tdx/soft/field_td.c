/* The fields of a TD, and MNG.RD and MNG.WR. */
#include "tdx/soft/field.h"

#define HOST FIELD_HOST_READ
#define GUEST FIELD_GUEST_READ

/* Microseconds: 10 ms to 100 s. */
#define TIMEOUT_MIN 10000ul
#define TIMEOUT_MAX 100000000ul

static uint64_t read_gpaw(const struct field_target *t, uint32_t i)
{
	(void)i;
	return t->td->tdcs->config_flags & TDX_CONFIG_GPAW_52;
}

static uint64_t read_eptp(const struct field_target *t, uint32_t i)
{
	(void)i;
	return t->td->tdr->tdcx[TDCS_SEPT_ROOT] | t->td->tdcs->eptp_controls;
}

static bool accepts_timeout(const struct field_target *t, uint64_t value)
{
	(void)t;
	return value >= TIMEOUT_MIN && value <= TIMEOUT_MAX;
}

static struct soft_tsc tsc_of(const struct field_target *t)
{
	const struct soft *m = t->c->m;

	return soft_td_tsc(&m->platform.cpu, &m->controls, t->td->tdcs->tsc_frequency, -t->td->tdcs->tsc_offset);
}

static uint64_t read_tsc_offset(const struct field_target *t, uint32_t i)
{
	(void)i;
	return tsc_of(t).offset;
}

static uint64_t read_tsc_multiplier(const struct field_target *t, uint32_t i)
{
	(void)i;
	return tsc_of(t).multiplier;
}

/* A guest may choose how it learns of pending pages only if the host has agreed to that. */
static bool accepts_ctls(const struct field_target *t, uint64_t value)
{
	return value == t->td->tdcs->td_ctls || (t->td->tdcs->config_flags & TDX_CONFIG_FLEXIBLE_PENDING_VE);
}

#define TDR(field_id, elements, who, member)                                             \
	{ .id = field_id, .count = elements, .access = who, .place = FIELD_IN_TDR,       \
	  .offset = offsetof(struct soft_tdr, member), .size = sizeof(((struct soft_tdr *)0)->member) / (elements) }
#define TDCS(field_id, elements, who, member)                                            \
	{ .id = field_id, .count = elements, .access = who, .place = FIELD_IN_TDCS,      \
	  .offset = offsetof(struct soft_tdcs, member), .size = sizeof(((struct soft_tdcs *)0)->member) / (elements) }
#define WRITABLE(field_id, who, member, bits, check)                                     \
	{ .id = field_id, .count = 1, .access = who, .place = FIELD_IN_TDCS,             \
	  .offset = offsetof(struct soft_tdcs, member), .size = 8, .writable = bits, .accepts = check }

static const struct field rows[] = {
	TDR(TDX_TD_FATAL_FLAG, 1, HOST, fatal),
	TDR(TDX_TD_NUM_TDCX, 1, HOST, num_tdcx),
	TDR(TDX_TD_CHLDCNT, 1, HOST, children),
	TDR(TDX_TD_LIFECYCLE, 1, HOST, lifecycle),
	TDR(TDX_TD_UUID, 4, HOST | GUEST, uuid),
	TDR(TDX_TD_HKID, 1, HOST, hkid),
	TDCS(TDX_TD_NUM_VCPUS, 1, HOST | GUEST, num_vcpus),
	TDCS(TDX_TD_OP_STATE, 1, HOST, op_state),
	TDCS(TDX_TD_ATTRIBUTES, 1, HOST | GUEST, attributes),
	TDCS(TDX_TD_XFAM, 1, HOST | GUEST, xfam),
	TDCS(TDX_TD_MAX_VCPUS, 1, HOST | GUEST, max_vcpus),
	{ .id = TDX_TD_GPAW, .count = 1, .access = HOST | GUEST, .read = read_gpaw },
	{ .id = TDX_TD_EPTP, .count = 1, .access = HOST, .read = read_eptp },
	{ .id = TDX_TD_TSC_OFFSET, .count = 1, .access = HOST, .read = read_tsc_offset },
	{ .id = TDX_TD_TSC_MULTIPLIER, .count = 1, .access = HOST, .read = read_tsc_multiplier },
	TDCS(TDX_TD_CONFIG_FLAGS, 1, HOST | GUEST, config_flags),
	WRITABLE(TDX_TD_TD_CTLS, HOST | GUEST | FIELD_GUEST_WRITE, td_ctls, TDX_TD_CTLS_PENDING_VE_DISABLE,
		accepts_ctls),
	WRITABLE(TDX_TD_NOTIFY_ENABLES, GUEST | FIELD_GUEST_WRITE, notify_enables, BIT(0), NULL),
	WRITABLE(TDX_TD_HP_LOCK_TIMEOUT, HOST | FIELD_HOST_WRITE, hp_lock_timeout, BITS(63, 0), accepts_timeout),
	TDCS(TDX_TD_MRTD, TD_DIGEST / 8, GUEST, mrtd),
	TDCS(TDX_TD_RTMR, TD_RTMRS * TD_DIGEST / 8, GUEST, rtmr),
};

const struct field_table td_fields = { rows, ARRAY_LEN(rows) };

uint64_t tdh_mng_rd(struct soft_call *c)
{
	struct soft_td td;
	struct field_target t = { .c = c, .td = &td };
	uint64_t status = td_open(c, TDX_RCX, LOCK_SHARED, &td);

	return status ? status : field_leaf_read(&td_fields, &t, c->version);
}

uint64_t tdh_mng_wr(struct soft_call *c)
{
	struct soft_td td;
	struct field_target t = { .c = c, .td = &td };
	uint64_t status = td_open(c, TDX_RCX, LOCK_SHARED, &td);

	return status ? status : field_leaf_write(&td_fields, &t);
}
