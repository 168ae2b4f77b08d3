/* The fields of a vCPU that a host may see and write while the TD is no debug TD, and VP.RD and VP.WR. */
#include "tdx/soft/field.h"

#define RW (FIELD_HOST_READ | FIELD_HOST_WRITE)

#define DESCRIPTOR_ALIGN 64

static uint64_t read_details(const struct field_target *t, uint32_t i)
{
	(void)i;
	return vp_interrupt_pending(t->c->m, t->vp) ? TDX_VP_DETAILS_INTERRUPT_PENDING : 0;
}

static bool accepts_vector(const struct field_target *t, uint64_t value)
{
	(void)t;
	return value <= UINT8_MAX;
}

/* The CPU writes there: it must be memory, and the host's. */
static bool accepts_descriptor(const struct field_target *t, uint64_t value)
{
	void *at;

	return !hpa_map_shared(t->c, value, DESCRIPTOR_ALIGN, 0, &at);
}

static bool accepts_table(const struct field_target *t, uint64_t value)
{
	void *at;

	return !hpa_map_shared(t->c, value, PAGE_SIZE, 0, &at);
}

static bool accepts_one(const struct field_target *t, uint64_t value)
{
	(void)t;
	return value == 1;
}

#define VP(field_id, member, bits, check)                                             \
	{ .id = field_id, .count = 1, .access = RW, .place = FIELD_IN_VP,            \
	  .offset = offsetof(struct soft_vp, member), .size = sizeof(((struct soft_vp *)0)->member), \
	  .writable = bits, .accepts = check }

static const struct field rows[] = {
	VP(TDX_VP_POSTED_VECTOR, posted_vector, BITS(15, 0), accepts_vector),
	VP(TDX_VP_POSTED_DESCRIPTOR, posted_descriptor, BITS(63, 0), accepts_descriptor),
	VP(TDX_VP_SHARED_EPTP, shared_eptp, BITS(51, 12), accepts_table),
	VP(TDX_VP_PIN_CONTROLS, pin_controls, TDX_PIN_POSTED_INTERRUPTS, NULL),
	VP(TDX_VP_SECONDARY_CONTROLS, secondary_controls, BITS(31, 30), NULL),
	VP(TDX_VP_INSTRUCTION_TIMEOUT, instruction_timeout, BITS(31, 0), NULL),
	VP(TDX_VP_PEND_NMI, pend_nmi, 1, accepts_one),
	{ .id = TDX_VP_STATE_DETAILS, .count = 1, .access = FIELD_HOST_READ, .read = read_details },
};

const struct field_table vp_fields = { rows, ARRAY_LEN(rows) };

static uint64_t open_vcpu(struct soft_call *c, struct soft_vcpu *v)
{
	uint64_t status = vcpu_open(c, TDX_RCX, LOCK_SHARED, v);

	return status ? status : vcpu_associate(c, v);
}

uint64_t tdh_vp_rd(struct soft_call *c)
{
	struct soft_vcpu v;
	struct field_target t = { .c = c, .td = &v.td };
	uint64_t status = open_vcpu(c, &v);

	t.vp = v.vp;
	return status ? status : field_leaf_read(&vp_fields, &t, c->version);
}

uint64_t tdh_vp_wr(struct soft_call *c)
{
	struct soft_vcpu v;
	struct field_target t = { .c = c, .td = &v.td };
	uint64_t status = open_vcpu(c, &v);

	t.vp = v.vp;
	return status ? status : field_leaf_write(&vp_fields, &t);
}
