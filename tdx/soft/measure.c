/* MRTD and the run-time registers, and the leafs that make MRTD; see the header. */
#include "tdx/soft/measure.h"

#include <string.h>

#include "hv/base/digest.h"
#include "tdx/soft/mem.h"

_Static_assert(sizeof(struct sha384) <= TD_MR_CONTEXT, "room for the running digest");
_Static_assert(SHA384_BYTES == TD_DIGEST, "digests are of SHA-384");

/* What goes into the measurement before the data, if there is any: one block of the digest. */
struct record {
	char name[16]; /* of the leaf, without "TDH." */
	uint64_t gpa;
	uint8_t zero[104];
};
_Static_assert(sizeof(struct record) == 128, "record of the measurement");

static struct sha384 *context(struct soft_tdcs *tdcs) { return (struct sha384 *)tdcs->mr_context; }

void measure_start(struct soft_tdcs *tdcs)
{
	sha384_start(context(tdcs));
	memset(tdcs->mrtd, 0, sizeof(tdcs->mrtd));
	memset(tdcs->rtmr, 0, sizeof(tdcs->rtmr));
}

void measure_page(struct soft_tdcs *tdcs, gpa_t gpa)
{
	const struct record r = { .name = "MEM.PAGE.ADD", .gpa = gpa };

	sha384_add(context(tdcs), &r, sizeof(r));
}

void measure_extend(struct soft_tdcs *tdcs, gpa_t gpa, const uint8_t data[MEASURE_CHUNK])
{
	const struct record r = { .name = "MR.EXTEND", .gpa = gpa };

	sha384_add(context(tdcs), &r, sizeof(r));
	sha384_add(context(tdcs), data, MEASURE_CHUNK);
}

void measure_finish(struct soft_tdcs *tdcs) { sha384_finish(context(tdcs), tdcs->mrtd); }

void measure_rtmr(struct soft_tdcs *tdcs, uint32_t index, const uint8_t digest[TD_DIGEST])
{
	uint8_t both[2 * TD_DIGEST];

	memcpy(both, tdcs->rtmr[index], TD_DIGEST);
	memcpy(both + TD_DIGEST, digest, TD_DIGEST);
	sha384_of(both, sizeof(both), tdcs->rtmr[index]);
}

static const struct mem_rules extend_rules = {
	.td = LOCK_EXCLUSIVE, .tree = MEM_TREE_UNLOCKED, .states = SEPT_IN(TDX_SEPT_MAPPED),
};

uint64_t tdh_mr_extend(struct soft_call *c)
{
	struct mem_page p;
	uint64_t status = mem_open_byte(c, &extend_rules, MEASURE_CHUNK, &p);

	if (!status)
		measure_extend(p.td.tdcs, p.gpa, mem_byte(c, &p));
	mem_close(&p);
	return status;
}

uint64_t tdh_mr_finalize(struct soft_call *c)
{
	struct soft_td td;
	uint64_t status = td_open(c, TDX_RCX, LOCK_EXCLUSIVE, &td);

	if (status)
		return status;
	if (!td.tdcs->num_vcpus)
		return TDX_NO_VCPUS;
	measure_finish(td.tdcs);
	td.tdcs->op_state = TDX_RUNNABLE;
	return TDX_SUCCESS;
}
