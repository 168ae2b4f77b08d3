/*
 * Start-up of the TDX module, step by step.
 */
#include "tdx/module.h"

#include <string.h>

#include "hv/base/format.h"
#include "hv/base/log.h"
#include "tdx/module_memory.h"
#include "tdx/tdh.h"

#define GPAW_DEFAULT 48
#define OLDEST_MAJOR 1
#define OLDEST_MINOR 5

struct tdx_module tdx_module;

static struct tdx_module *const m = &tdx_module;

/* ---- on which CPU ---- */

struct elsewhere {
	uint64_t (*leaf)(void *arg);
	void *arg;
	uint64_t status;
};

static void run_elsewhere(void *arg)
{
	struct elsewhere *w = arg;

	w->status = w->leaf(w->arg);
}

uint64_t tdx_on_cpu(uint32_t cpu, uint64_t (*leaf)(void *arg), void *arg)
{
	struct elsewhere w = { leaf, arg, TDX_NO_MODULE };

	if (cpu == m->machine.this_cpu(m->machine.ctx))
		return leaf(arg);
	m->machine.on_cpu(m->machine.ctx, cpu, run_elsewhere, &w);
	return w.status;
}

static bool is_first_of_package(uint32_t cpu)
{
	uint32_t package = m->machine.package_of(m->machine.ctx, cpu);

	for (uint32_t i = 0; i < cpu; i++)
		if (m->machine.package_of(m->machine.ctx, i) == package)
			return false;
	return true;
}

uint64_t tdx_on_packages(uint64_t (*leaf)(void *arg), void *arg)
{
	uint64_t status = TDX_SUCCESS;

	for (uint32_t cpu = 0; tdx_is_done(status) && cpu < m->machine.cpus; cpu++)
		if (is_first_of_package(cpu))
			status = tdx_on_cpu(cpu, leaf, arg);
	return status;
}

/* ---- SYS.INIT and SYS.LP.INIT ---- */

static int sys_init(struct failure *f)
{
	uint64_t status = tdh_sys_init();

	if (status == TDX_NO_MODULE)
		return fail(f, -ENODEV, "no TDX module is loaded: have the firmware load one (TDX and the SEAM loader "
			    "in its set-up)");
	return tdx_is_done(status) ? 0 : tdx_fail(f, "the TDX module did not start", TDH_SYS_INIT, status);
}

static uint64_t lp_init(void *arg) { return tdh_sys_lp_init(arg); }

static int lps_init(struct failure *f)
{
	for (uint32_t cpu = 0; cpu < m->machine.cpus; cpu++) {
		struct tdx_operands o;
		uint64_t status = tdx_on_cpu(cpu, lp_init, &o);
		char what[80];

		if (tdx_is_done(status))
			continue;
		format(what, sizeof(what), "the TDX module does not take CPU %u", cpu);
		if (tdx_status_is(status, TDX_INCONSISTENT_CPUID_FIELD))
			return fail(f, -EIO, "%s: its CPUID leaf %x, subleaf %x differs from that of CPU 0", what,
				    (uint32_t)o.rcx, (uint32_t)(o.rcx >> 32));
		return tdx_fail(f, what, TDH_SYS_LP_INIT, status);
	}
	return 0;
}

/* ---- SYS.RD ---- */

/* Where the fields go, of 4 or 8 bytes each. */
static const struct {
	uint64_t field;
	uint32_t offset, size;
} wanted[] = {
#define INTO(field, member) { field, offsetof(struct tdx_module, member), sizeof(tdx_module.member) }
	INTO(TDX_SYS_MAJOR, major),
	INTO(TDX_SYS_MINOR, minor),
	INTO(TDX_SYS_UPDATE, update),
	INTO(TDX_SYS_BUILD_NUM, build),
	INTO(TDX_SYS_BUILD_DATE, build_date),
	INTO(TDX_SYS_FEATURES0, features),
	INTO(TDX_SYS_MAX_TDMRS, max_tdmrs),
	INTO(TDX_SYS_MAX_RESERVED_PER_TDMR, max_reserved),
	INTO(TDX_SYS_PAMT_1G_ENTRY_SIZE, pamt_entry[TDX_PAMT_1G]),
	INTO(TDX_SYS_PAMT_2M_ENTRY_SIZE, pamt_entry[TDX_PAMT_2M]),
	INTO(TDX_SYS_PAMT_4K_ENTRY_SIZE, pamt_entry[TDX_PAMT_4K]),
	INTO(TDX_SYS_TDCS_BASE_SIZE, tdcx_pages),
	INTO(TDX_SYS_TDVPS_BASE_SIZE, tdvps_pages),
	INTO(TDX_SYS_ATTRIBUTES_FIXED0, attributes_fixed0),
	INTO(TDX_SYS_ATTRIBUTES_FIXED1, attributes_fixed1),
	INTO(TDX_SYS_XFAM_FIXED0, xfam_fixed0),
	INTO(TDX_SYS_XFAM_FIXED1, xfam_fixed1),
	INTO(TDX_SYS_NUM_CPUID_CONFIG, cpuid_configs),
#undef INTO
};

int module_read_field(uint64_t field, uint64_t *value, struct failure *f)
{
	uint64_t status = tdh_sys_rd(field, value);
	char what[80];

	if (tdx_is_done(status))
		return 0;
	format(what, sizeof(what), "the TDX module does not tell its field %lx", field);
	return tdx_fail(f, what, TDH_SYS_RD, status);
}

static int read_fields(struct failure *f)
{
	int err = 0;

	for (size_t i = 0; !err && i < ARRAY_LEN(wanted); i++) {
		uint64_t value;

		err = module_read_field(wanted[i].field, &value, f);
		if (!err)
			memcpy((char *)m + wanted[i].offset, &value, wanted[i].size);
	}
	m->tdcx_pages /= PAGE_SIZE;
	m->tdvps_pages /= PAGE_SIZE;
	return err;
}

static int read_cpuid_configs(struct failure *f)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < m->cpuid_configs; i++) {
		uint64_t leaf, ab, cd;

		err = module_read_field(TDX_SYS_CPUID_CONFIG_LEAVES + i, &leaf, f);
		if (!err)
			err = module_read_field(TDX_SYS_CPUID_CONFIG_VALUES + 2ul * i, &ab, f);
		if (!err)
			err = module_read_field(TDX_SYS_CPUID_CONFIG_VALUES + 2ul * i + 1, &cd, f);
		if (err)
			break;
		m->cpuid[i].leaf = (uint32_t)leaf;
		m->cpuid[i].subleaf = (uint32_t)(leaf >> 32);
		m->cpuid[i].mask = (struct tdx_cpuid_values){ (uint32_t)ab, (uint32_t)(ab >> 32), (uint32_t)cd,
							      (uint32_t)(cd >> 32) };
	}
	return err;
}

/* What we rely on. Only from 1.5 on do modules have all of these. */
static int judge(struct failure *f)
{
	if (m->major < OLDEST_MAJOR || (m->major == OLDEST_MAJOR && m->minor < OLDEST_MINOR))
		return fail(f, -ENOTSUP, "the TDX module is of version %u.%u, too old for Gnomon, which needs %u.%u or "
			    "newer: update the firmware", m->major, m->minor, OLDEST_MAJOR, OLDEST_MINOR);
	if (m->tdcx_pages > TDX_MAX_TDCX || m->tdvps_pages > TDX_MAX_TDVPS || !m->tdcx_pages || !m->tdvps_pages)
		return fail(f, -ENOTSUP, "the TDX module wants %u pages for a TD and %u for a vCPU; Gnomon knows of at "
			    "most %u and %u", m->tdcx_pages, m->tdvps_pages, TDX_MAX_TDCX, TDX_MAX_TDVPS);
	if (m->cpuid_configs > TDX_TD_PARAMS_CPUIDS)
		return fail(f, -ENOTSUP, "the TDX module leaves %u CPUID leafs to the host, more than TD_PARAMS has room "
			    "for", m->cpuid_configs);
	if (!m->max_tdmrs || !m->max_reserved)
		return fail(f, -ENOTSUP, "the TDX module takes no memory");
	return 0;
}

static int read_metadata(struct failure *f)
{
	int err = read_fields(f);

	if (!err)
		err = judge(f);
	return err ? err : read_cpuid_configs(f);
}

/* ---- keys ---- */

/* Before the module's key is first used, no line of a PAMT may be in a cache without it. */
static uint64_t flush_caches(void *arg)
{
	(void)arg;
	m->machine.flush_caches(m->machine.ctx);
	return TDX_SUCCESS;
}

static uint64_t key_config(void *arg)
{
	(void)arg;
	return tdh_sys_key_config();
}

static int keys(struct failure *f)
{
	uint64_t status;

	for (uint32_t cpu = 0; cpu < m->machine.cpus; cpu++)
		tdx_on_cpu(cpu, flush_caches, NULL);
	status = tdx_on_packages(key_config, NULL);
	return tdx_is_done(status) ? 0 : tdx_fail(f, "the TDX module got no key", TDH_SYS_KEY_CONFIG, status);
}

static int start(struct failure *f)
{
	int err = sys_init(f);

	if (!err)
		err = lps_init(f);
	if (!err)
		err = read_metadata(f);
	if (!err)
		err = module_memory_give(f);
	if (!err)
		err = keys(f);
	return err ? err : module_memory_init(f);
}

static void report(void)
{
	log_info("TDX: %s %u.%u.%02u, build %u of %u; %lu MiB for TDs in %u regions, %lu MiB taken to keep track of it; "
		 "%u keys", m->machine.ops->name, m->major, m->minor, m->update, m->build, m->build_date,
		 tdx_memory_bytes() >> 20, m->memory.count, frame_count(OWNER_PAMT) >> 8, tdx_hkids_free());
}

int tdx_module_start(const struct tdx_machine *machine, struct failure *f)
{
	struct failure why = { 0 };
	int err;

	memset(m, 0, sizeof(*m));
	m->machine = *machine;
	m->global_hkid = machine->first_hkid;
	m->hkid_used[0] = 1;
	tdx_use(machine->ops);
	err = start(&why);
	if (err) {
		memcpy(m->why_not, why.text, sizeof(m->why_not));
		return fail(f, err, "%s", why.text);
	}
	m->ready = true;
	report();
	return 0;
}

/* ---- what TDs need ---- */

uint32_t tdx_shared_bit(void) { return (m->machine.gpaw ? m->machine.gpaw : GPAW_DEFAULT) - 1; }

static uint32_t hkid_count(void) { return min_u64(m->machine.hkids, TDX_MAX_HKIDS); }

uint32_t tdx_hkid_alloc(void)
{
	for (uint32_t i = 1; i < hkid_count(); i++)
		if (!(__atomic_fetch_or(&m->hkid_used[i / 64], BIT(i % 64), __ATOMIC_ACQ_REL) & BIT(i % 64)))
			return m->machine.first_hkid + i;
	return 0;
}

void tdx_hkid_free(uint32_t hkid)
{
	uint32_t i = hkid - m->machine.first_hkid;

	__atomic_fetch_and(&m->hkid_used[i / 64], ~BIT(i % 64), __ATOMIC_ACQ_REL);
}

uint32_t tdx_hkids_free(void)
{
	uint32_t free = 0;

	for (uint32_t i = 1; i < hkid_count(); i++)
		free += !(m->hkid_used[i / 64] & BIT(i % 64));
	return free;
}

hpa_t tdx_keyed(hpa_t page, uint32_t hkid) { return page | (uint64_t)hkid << m->machine.keyid_shift; }
