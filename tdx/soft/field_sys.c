/* The fields of the module as a whole, and SYS.RD and SYS.RDALL. */
#include <string.h>

#include "tdx/soft/field.h"
#include "tdx/soft/td_cpuid.h"
#include "tdx/soft/td_params.h"

#define VENDOR_INTEL 0x8086
#define BUILD_DATE 20251122
#define BOTH (FIELD_HOST_READ | FIELD_GUEST_READ)

#define CONSTANT(name, value)                                                 \
	static uint64_t read_##name(const struct field_target *t, uint32_t i) \
	{                                                                     \
		(void)t;                                                      \
		(void)i;                                                      \
		return value;                                                 \
	}
#define FROM(name, value)                                                     \
	static uint64_t read_##name(const struct field_target *t, uint32_t i) \
	{                                                                     \
		const struct soft *m = t->c->m;                               \
                                                                              \
		(void)i;                                                      \
		return value;                                                 \
	}

CONSTANT(vendor, VENDOR_INTEL)
CONSTANT(minor, 5)
CONSTANT(major, 1)
CONSTANT(zero, 0)
CONSTANT(build_date, BUILD_DATE)
CONSTANT(features0, TDX_FEATURES0_NO_RBP_MOD)
FROM(num_cmrs, m->platform.num_cmrs)
FROM(cmr_base, m->platform.cmrs[i].base)
FROM(cmr_size, m->platform.cmrs[i].size)
CONSTANT(max_tdmrs, TDX_MAX_TDMRS)
CONSTANT(max_reserved, TDX_MAX_RESERVED)
CONSTANT(pamt_entry_size, sizeof(struct pamt_entry))
CONSTANT(tdr_size, PAGE_SIZE)
CONSTANT(tdcs_size, TDX_TDCS_PAGES * PAGE_SIZE)
CONSTANT(tdvps_size, TDX_TDVPS_PAGES * PAGE_SIZE)
FROM(attributes0, td_attributes_fixed0(m))
FROM(attributes1, td_attributes_fixed1(m))
FROM(xfam0, td_xfam_fixed0(m))
FROM(xfam1, td_xfam_fixed1(m))
FROM(flags0, td_config_flags_fixed0(m))
FROM(flags1, td_config_flags_fixed1(m))
FROM(gpa_bits, td_gpa_bits(m))

static uint64_t read_num_cpuid(const struct field_target *t, uint32_t i)
{
	(void)t;
	for (i = 0; td_cpuid_config(i); i++)
		;
	return i;
}

static uint64_t read_cpuid_leaf(const struct field_target *t, uint32_t i)
{
	const struct td_cpuid_config *config = td_cpuid_config(i);

	(void)t;
	return config ? config->leaf | (uint64_t)config->subleaf << 32 : 0;
}

static uint64_t read_cpuid_value(const struct field_target *t, uint32_t i)
{
	const struct td_cpuid_config *config = td_cpuid_config(i / 2);

	(void)t;
	if (!config)
		return 0;
	return i % 2 ? config->mask.ecx | (uint64_t)config->mask.edx << 32 :
		config->mask.eax | (uint64_t)config->mask.ebx << 32;
}

#define ROW(field_id, elements, who, name) { .id = field_id, .count = elements, .access = who, .read = read_##name }

static const struct field rows[] = {
	ROW(TDX_SYS_VENDOR, 1, BOTH, vendor),
	ROW(TDX_SYS_MINOR, 1, BOTH, minor),
	ROW(TDX_SYS_MAJOR, 1, BOTH, major),
	ROW(TDX_SYS_UPDATE, 1, BOTH, zero),
	ROW(TDX_SYS_BUILD_DATE, 1, BOTH, build_date),
	ROW(TDX_SYS_BUILD_NUM, 1, BOTH, zero),
	ROW(TDX_SYS_FEATURES0, 1, BOTH, features0),
	ROW(TDX_SYS_NUM_CMRS, 1, FIELD_HOST_READ, num_cmrs),
	ROW(TDX_SYS_CMR_BASE, TDX_MAX_CMRS, FIELD_HOST_READ, cmr_base),
	ROW(TDX_SYS_CMR_SIZE, TDX_MAX_CMRS, FIELD_HOST_READ, cmr_size),
	ROW(TDX_SYS_MAX_TDMRS, 1, FIELD_HOST_READ, max_tdmrs),
	ROW(TDX_SYS_MAX_RESERVED_PER_TDMR, 1, FIELD_HOST_READ, max_reserved),
	ROW(TDX_SYS_PAMT_4K_ENTRY_SIZE, 1, FIELD_HOST_READ, pamt_entry_size),
	ROW(TDX_SYS_PAMT_2M_ENTRY_SIZE, 1, FIELD_HOST_READ, pamt_entry_size),
	ROW(TDX_SYS_PAMT_1G_ENTRY_SIZE, 1, FIELD_HOST_READ, pamt_entry_size),
	ROW(TDX_SYS_TDR_BASE_SIZE, 1, FIELD_HOST_READ, tdr_size),
	ROW(TDX_SYS_TDCS_BASE_SIZE, 1, FIELD_HOST_READ, tdcs_size),
	ROW(TDX_SYS_TDVPS_BASE_SIZE, 1, FIELD_HOST_READ, tdvps_size),
	ROW(TDX_SYS_ATTRIBUTES_FIXED0, 1, BOTH, attributes0),
	ROW(TDX_SYS_ATTRIBUTES_FIXED1, 1, BOTH, attributes1),
	ROW(TDX_SYS_XFAM_FIXED0, 1, BOTH, xfam0),
	ROW(TDX_SYS_XFAM_FIXED1, 1, BOTH, xfam1),
	ROW(TDX_SYS_CONFIG_FLAGS_FIXED0, 1, FIELD_HOST_READ, flags0),
	ROW(TDX_SYS_CONFIG_FLAGS_FIXED1, 1, FIELD_HOST_READ, flags1),
	ROW(TDX_SYS_NUM_CPUID_CONFIG, 1, FIELD_HOST_READ, num_cpuid),
	ROW(TDX_SYS_CPUID_CONFIG_LEAVES, TDX_TD_PARAMS_CPUIDS, FIELD_HOST_READ, cpuid_leaf),
	ROW(TDX_SYS_CPUID_CONFIG_VALUES, 2 * TDX_TD_PARAMS_CPUIDS, FIELD_HOST_READ, cpuid_value),
	ROW(TDX_SYS_SOFT_GPA_BITS, 1, FIELD_HOST_READ, gpa_bits),
};

const struct field_table sys_fields = { rows, ARRAY_LEN(rows) };

static uint64_t check_lp(const struct soft_call *c)
{
	return c->m->lp_initialised[c->lp / 64] & BIT(c->lp % 64) ? TDX_SUCCESS : TDX_SYS_LP_INIT_NOT_DONE;
}

uint64_t tdh_sys_rd(struct soft_call *c)
{
	struct field_target t = { .c = c };
	uint64_t status = check_lp(c);

	return status ? status : field_leaf_read(&sys_fields, &t, true);
}

/* A list of metadata: its header, then sequences of one element each, which are its id and its value. */
struct list {
	uint16_t bytes, sequences;
	uint32_t reserved;
	struct {
		uint64_t id, value;
	} sequence[(PAGE_SIZE - 8) / 16];
};
_Static_assert(sizeof(struct list) <= PAGE_SIZE, "a list of metadata is in one page");

/* Fields from id on, as many as there is room for. Returns the id to go on with. */
static uint64_t fill(struct list *list, const struct field_target *t, uint64_t id)
{
	while (id != TDX_FIELD_FIRST && list->sequences < ARRAY_LEN(list->sequence)) {
		uint64_t value = 0;

		if (field_read(&sys_fields, t, FIELD_HOST_READ, id, &value))
			break;
		list->sequence[list->sequences].id = id;
		list->sequence[list->sequences++].value = value;
		id = field_next(&sys_fields, FIELD_HOST_READ, id);
	}
	list->bytes = (uint16_t)(offsetof(struct list, sequence) + list->sequences * sizeof(list->sequence[0]));
	return id;
}

uint64_t tdh_sys_rdall(struct soft_call *c)
{
	struct field_target t = { .c = c };
	uint64_t id = call_arg(c, TDX_R8), status = check_lp(c), value;
	void *page;

	if (!status)
		status = hpa_map_shared(c, call_arg(c, TDX_RDX), PAGE_SIZE, TDX_RDX, &page);
	if (!status && id == TDX_FIELD_FIRST)
		id = field_first(&sys_fields, FIELD_HOST_READ);
	if (!status)
		status = field_read(&sys_fields, &t, FIELD_HOST_READ, id, &value);
	if (status)
		return status;
	memset(page, 0, PAGE_SIZE);
	call_set(c, TDX_R8, fill(page, &t, id));
	return TDX_SUCCESS;
}
