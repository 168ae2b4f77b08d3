/*
 * Start-up of the TDX module, step by step.
 */
#include "tdx/module.h"

#include <string.h>

#include "hv/base/format.h"
#include "hv/base/log.h"
#include "hv/base/phys.h"
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

static int read_field(uint64_t field, uint64_t *value, struct failure *f)
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

		err = read_field(wanted[i].field, &value, f);
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

		err = read_field(TDX_SYS_CPUID_CONFIG_LEAVES + i, &leaf, f);
		if (!err)
			err = read_field(TDX_SYS_CPUID_CONFIG_VALUES + 2ul * i, &ab, f);
		if (!err)
			err = read_field(TDX_SYS_CPUID_CONFIG_VALUES + 2ul * i + 1, &cd, f);
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

/* ---- memory ---- */

struct memory {
	struct tdx_range ram[TDMR_MAX_INPUT];
	uint32_t count;
	bool too_many;
	struct tdx_range cmr[TDX_MAX_CMRS];
	uint32_t cmr_count;
	struct tdx_range pamt[TDX_MAX_TDMRS]; /* runs that were allocated */
	uint32_t pamt_count;
};

static struct memory memory;

/* Whoever has it: all of it may be a TD's one day. */
static void add_run(void *ctx, hpa_t first, uint64_t npages, frame_owner_t owner)
{
	struct tdx_range *last = memory.count ? &memory.ram[memory.count - 1] : NULL;

	(void)ctx;
	(void)owner;
	if (last && last->base + last->size == first)
		last->size += npages << PAGE_SHIFT;
	else if (memory.count < TDMR_MAX_INPUT)
		memory.ram[memory.count++] = (struct tdx_range){ first, npages << PAGE_SHIFT };
	else
		memory.too_many = true;
}

static int read_cmrs(struct failure *f)
{
	uint64_t n, base, size;
	int err = read_field(TDX_SYS_NUM_CMRS, &n, f);

	for (uint64_t i = 0; !err && i < n && i < TDX_MAX_CMRS; i++) {
		err = read_field(TDX_SYS_CMR_BASE + i, &base, f);
		if (!err)
			err = read_field(TDX_SYS_CMR_SIZE + i, &size, f);
		if (!err && size)
			memory.cmr[memory.cmr_count++] = (struct tdx_range){ base, size };
	}
	return err;
}

/* CMRs that touch count as one. */
static bool is_convertible(hpa_t base, uint64_t bytes)
{
	for (uint32_t i = 0; bytes && i < memory.cmr_count; i++) {
		const struct tdx_range *c = &memory.cmr[i];

		if (base >= c->base && base < c->base + c->size) {
			uint64_t inside = min_u64(bytes, c->base + c->size - base);

			base += inside;
			bytes -= inside;
		}
	}
	return bytes == 0;
}

#define PLACE_TRIES 16

/* Runs that are not convertible are kept while looking for another. */
static hpa_t place_pamt(void *ctx, uint64_t bytes)
{
	hpa_t unfit[PLACE_TRIES], run;
	uint64_t npages = bytes >> PAGE_SHIFT;
	int n = 0;

	(void)ctx;
	do {
		run = frame_alloc_run(npages, 1, OWNER_PAMT);
		if (run == HPA_NONE || is_convertible(run, bytes))
			break;
		unfit[n++] = run;
		run = HPA_NONE;
	} while (n < PLACE_TRIES);
	while (n > 0)
		frame_free_run(unfit[--n], npages, OWNER_PAMT);
	if (run != HPA_NONE)
		memory.pamt[memory.pamt_count++] = (struct tdx_range){ run, bytes };
	return run;
}

static void free_pamts(void)
{
	while (memory.pamt_count) {
		const struct tdx_range *r = &memory.pamt[--memory.pamt_count];

		frame_free_run(r->base, r->size >> PAGE_SHIFT, OWNER_PAMT);
	}
}

static int build_tdmrs(struct failure *f)
{
	struct tdmr_limits limits = { min_u64(m->max_tdmrs, TDX_MAX_TDMRS), min_u64(m->max_reserved, TDX_MAX_RESERVED),
				      { m->pamt_entry[0], m->pamt_entry[1], m->pamt_entry[2] } };
	int err = read_cmrs(f);

	if (err)
		return err;
	frame_for_each_run(add_run, NULL);
	if (memory.too_many)
		return fail(f, -ENOSPC, "the machine's memory is in more than %u pieces", TDMR_MAX_INPUT);
	err = tdmr_build(&m->memory, &limits, memory.ram, memory.count, memory.cmr, memory.cmr_count, place_pamt, NULL,
			 f);
	if (!err && m->memory.given_up)
		log_warn("TDX: memory is so scattered that TDs cannot use %lu KiB of it", m->memory.given_up >> 10);
	return err;
}

/* ---- SYS.CONFIG and on ---- */

#define INFO_SLOT 512u /* a TDMR_INFO is 320 bytes, aligned to 512 */
#define INFO_FRAMES (1 + TDX_MAX_TDMRS * INFO_SLOT / PAGE_SIZE)

static int sys_config(struct failure *f)
{
	hpa_t frames = frame_alloc_run(INFO_FRAMES, 1, OWNER_HV);
	uint64_t status, *addresses;

	if (frames == HPA_NONE)
		return fail(f, -ENOMEM, "no memory for the list of TDMRs");
	addresses = phys_to_virt(frames);
	for (uint32_t i = 0; i < m->memory.count; i++) {
		addresses[i] = frames + PAGE_SIZE + i * INFO_SLOT;
		memcpy(phys_to_virt(addresses[i]), &m->memory.tdmr[i], sizeof(m->memory.tdmr[i]));
	}
	status = tdh_sys_config(frames, m->memory.count, m->global_hkid);
	frame_free_run(frames, INFO_FRAMES, OWNER_HV);
	return tdx_is_done(status) ? 0 : tdx_fail(f, "the TDX module did not take its memory", TDH_SYS_CONFIG, status);
}

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

#define TDMR_INIT_STEP MIB(4) /* the least that a call does: 1024 entries of a PAMT */

static int tdmr_init(const struct tdx_tdmr_info *t, struct failure *f)
{
	uint64_t said = t->base, most = t->size / TDMR_INIT_STEP + 1;
	hpa_t next = t->base;

	while (next < t->base + t->size) {
		uint64_t status = most-- ? tdh_sys_tdmr_init(t->base, &next) : TDX_SYS_STATE_INCORRECT;

		m->tdmr_calls++;
		if (!tdx_is_done(status))
			return tdx_fail(f, "memory was not made ready for TDs", TDH_SYS_TDMR_INIT, status);
		if (tdx_status_is(status, TDX_TDMR_ALREADY_INITIALIZED))
			break;
		if (next - said >= GIB(64) && next < t->base + t->size) {
			said = next;
			log_info("TDX: memory is ready for TDs up to %lu GiB", next >> 30);
		}
	}
	return 0;
}

static uint64_t usable_memory(void)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < m->memory.memory_count; i++)
		bytes += m->memory.memory[i].size;
	return bytes;
}

static int tdmrs_init(struct failure *f)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < m->memory.count; i++)
		err = tdmr_init(&m->memory.tdmr[i], f);
	return err;
}

static int start(struct failure *f)
{
	int err = sys_init(f);

	if (!err)
		err = lps_init(f);
	if (!err)
		err = read_metadata(f);
	if (!err)
		err = build_tdmrs(f);
	if (!err)
		err = sys_config(f);
	if (err) {
		free_pamts();
		return err;
	}
	/* From here on the PAMTs are the module's, come what may. */
	err = keys(f);
	return err ? err : tdmrs_init(f);
}

static void report(void)
{
	uint64_t pamts = 0;

	for (uint32_t i = 0; i < memory.pamt_count; i++)
		pamts += memory.pamt[i].size;
	log_info("TDX: %s %u.%u.%02u, build %u of %u; %lu MiB for TDs in %u regions, %lu MiB taken to keep track of it; "
		 "%u keys", m->machine.ops->name, m->major, m->minor, m->update, m->build, m->build_date,
		 usable_memory() >> 20, m->memory.count, pamts >> 20, tdx_hkids_free());
	if (m->machine.ops->software)
		log_warn("TDX: this module is software and protects nobody: TDs can be read and changed by the host");
}

int tdx_module_start(const struct tdx_machine *machine, struct failure *f)
{
	struct failure why = { 0 };
	int err;

	memset(m, 0, sizeof(*m));
	memset(&memory, 0, sizeof(memory));
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

bool tdx_memory_fits(hpa_t first, uint64_t npages) { return tdmr_covers(&m->memory, first, npages << PAGE_SHIFT); }

#define UNFIT_MAX 64

hpa_t tdx_frame_alloc(frame_owner_t owner)
{
	hpa_t unfit[UNFIT_MAX], frame = HPA_NONE;
	int n = 0;

	while (n < UNFIT_MAX) {
		frame = frame_alloc(owner);
		if (frame == HPA_NONE || tdx_memory_fits(frame, 1))
			break;
		unfit[n++] = frame;
		frame = HPA_NONE;
	}
	while (n > 0)
		frame_free(unfit[--n], owner);
	return frame;
}

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
