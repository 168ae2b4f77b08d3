/* A machine for the host's side of TDX; see the header. */
#include "tests/unit/tdx_world.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hv/base/map_ram.h"
#include "hv/base/panic.h"
#include "hv/base/phys.h"
#include "tdx/soft/vp.h"
#include "tests/unit/soft_cpu.h"
#include "tests/unit/support/support.h"
#include "vmx/core/fields.h"
#include "vmx/core/reasons.h"

#include <cmocka.h>

#define FRAMES (WORLD_RAM_BYTES / PAGE_SIZE)
#define POISON 0xa5

struct tdx_world tdx_world;
__thread uint32_t tdx_world_cpu;

static struct tdx_world *const w = &tdx_world;

/* ---- frames ---- */

static pthread_mutex_t frames_lock = PTHREAD_MUTEX_INITIALIZER;
static frame_owner_t owners[FRAMES];
static bool hidden[FRAMES]; /* from the hypervisor */
static uint8_t *ram;

static uint64_t index_of(hpa_t pa)
{
	INVARIANT(pa >= WORLD_RAM && pa < WORLD_RAM + WORLD_RAM_BYTES);
	return (pa - WORLD_RAM) / PAGE_SIZE;
}

static bool run_is_free(uint64_t first, uint64_t npages)
{
	for (uint64_t i = 0; i < npages; i++)
		if (owners[first + i] != OWNER_FREE)
			return false;
	return true;
}

static bool none_is_hidden(uint64_t first, uint64_t npages)
{
	return !memchr(&hidden[first], true, npages);
}

hpa_t frame_alloc_run(uint64_t npages, uint64_t align_pages, frame_owner_t owner)
{
	hpa_t found = HPA_NONE;

	pthread_mutex_lock(&frames_lock);
	for (uint64_t i = 0; w->frames_left && i + npages <= FRAMES; i += align_pages) {
		if (!run_is_free(i, npages))
			continue;
		INVARIANT(none_is_hidden(i, npages));
		for (uint64_t n = 0; n < npages; n++)
			owners[i + n] = owner;
		found = WORLD_RAM + i * PAGE_SIZE;
		memset(phys_to_virt(found), 0, npages * PAGE_SIZE);
		w->frames_left -= w->frames_left != ~(uint64_t)0;
		break;
	}
	pthread_mutex_unlock(&frames_lock);
	return found;
}

hpa_t frame_alloc(frame_owner_t owner) { return frame_alloc_run(1, 1, owner); }

void frame_change_owner(hpa_t first, uint64_t npages, frame_owner_t from, frame_owner_t to)
{
	pthread_mutex_lock(&frames_lock);
	for (uint64_t i = 0; i < npages; i++) {
		INVARIANT(owners[index_of(first) + i] == from);
		owners[index_of(first) + i] = to;
	}
	pthread_mutex_unlock(&frames_lock);
}

void frame_free_run(hpa_t first, uint64_t npages, frame_owner_t owner)
{
	frame_change_owner(first, npages, owner, OWNER_FREE);
	INVARIANT(none_is_hidden(index_of(first), npages));
	memset(phys_to_virt(first), POISON, npages * PAGE_SIZE);
}

frame_owner_t frame_owner(hpa_t pa) { return owners[index_of(pa)]; }

uint64_t frame_count(frame_owner_t owner)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < FRAMES; i++)
		count += owners[i] == owner;
	return count;
}

uint64_t tdx_world_free_frames(void) { return frame_count(OWNER_FREE); }

void frame_for_each_run(void (*each)(void *ctx, hpa_t first, uint64_t npages, frame_owner_t owner), void *ctx)
{
	each(ctx, WORLD_RAM, FRAMES / 2, OWNER_FREE);
	each(ctx, WORLD_RAM + WORLD_RAM_BYTES / 2, FRAMES / 2, OWNER_HV);
}

/* ---- the hypervisor's map of RAM ---- */

int map_hide(hpa_t first, uint64_t npages)
{
	if (!w->tables_left)
		return -ENOMEM;
	w->tables_left -= w->tables_left != ~(uint64_t)0;
	for (uint64_t i = 0; i < npages; i++)
		hidden[index_of(first) + i] = true;
	return 0;
}

void map_show(hpa_t first, uint64_t npages)
{
	for (uint64_t i = 0; i < npages; i++)
		hidden[index_of(first) + i] = false;
}

/* ---- the module's platform ---- */

static uint32_t package_of(void *ctx, uint32_t lp)
{
	(void)ctx;
	return lp * WORLD_PACKAGES / WORLD_CPUS;
}

static bool is_ram(hpa_t page) { return page >= WORLD_RAM && page < WORLD_RAM + WORLD_RAM_BYTES; }

/* What the module owns the host does not reach, and the other way round. */
static void *map(void *ctx, hpa_t page)
{
	(void)ctx;
	INVARIANT(is_ram(page) && hidden[index_of(page)]);
	return phys_to_virt(page);
}

static void *map_shared(void *ctx, hpa_t page)
{
	(void)ctx;
	return is_ram(page) && !hidden[index_of(page)] ? phys_to_virt(page) : NULL;
}

static uint32_t map_mark(void *ctx)
{
	(void)ctx;
	return 0;
}

static void map_release(void *ctx, uint32_t mark)
{
	(void)ctx;
	(void)mark;
}

static bool entropy(void *ctx, uint64_t *value)
{
	static uint64_t next;

	(void)ctx;
	*value = __atomic_add_fetch(&next, 1, __ATOMIC_RELAXED) * 0x9e3779b97f4a7c15ul;
	return true;
}

static bool interrupt_pending(void *ctx, uint32_t lp)
{
	(void)ctx;
	(void)lp;
	return w->interrupt;
}

static uint64_t now(void *ctx)
{
	static uint64_t tsc;

	(void)ctx;
	return __atomic_add_fetch(&tsc, 1, __ATOMIC_RELAXED);
}

#define VMCSS 16
struct vmcs {
	hpa_t page;
	uint64_t field[0x8000];
};
static struct vmcs vmcss[VMCSS];

static struct vmcs *vmcs_of(const struct soft_vp *vp)
{
	for (uint32_t i = 0; i < VMCSS; i++)
		if (vmcss[i].page == vp->page[TDVPS_VMCS])
			return &vmcss[i];
	fail_msg("a VMCS that was never made");
	return NULL;
}

static void vmcs_create(void *ctx, struct soft_vp *vp)
{
	uint32_t i = 0;

	(void)ctx;
	while (vmcss[i].page && vmcss[i].page != vp->page[TDVPS_VMCS])
		assert_true(++i < VMCSS);
	memset(&vmcss[i], 0, sizeof(vmcss[i]));
	vmcss[i].page = vp->page[TDVPS_VMCS];
}

static uint64_t vmcs_read(void *ctx, struct soft_vp *vp, uint32_t field)
{
	(void)ctx;
	return vmcs_of(vp)->field[field];
}

static void vmcs_write(void *ctx, struct soft_vp *vp, uint32_t field, uint64_t value)
{
	(void)ctx;
	vmcs_of(vp)->field[field] = value;
}

static void run(void *ctx, struct soft_vp *vp)
{
	vmcs_write(ctx, vp, VMCS_EXIT_REASON, REASON_EXTERNAL_INTERRUPT);
	vmcs_write(ctx, vp, VMCS_EXIT_QUALIFICATION, 0);
	if (w->guest)
		w->guest(vp);
}

static void of_vcpu(void *ctx, struct soft_vp *vp)
{
	(void)ctx;
	(void)vp;
}

static void switch_state(void *ctx, struct soft_vp *vp, uint32_t xmm)
{
	(void)ctx;
	(void)vp;
	(void)xmm;
}

static void apply(void *ctx, struct soft_vp *vp, enum soft_register reg)
{
	(void)ctx;
	(void)vp;
	(void)reg;
}

static void end_of_interrupt(void *ctx) { (void)ctx; }

static struct soft_platform platform(void)
{
	struct soft_platform p = {
		.hpa_bits = WORLD_HPA_BITS, .lps = WORLD_CPUS, .packages = WORLD_PACKAGES,
		.first_private_hkid = WORLD_FIRST_HKID, .private_hkids = WORLD_HKIDS, .keyid_shift = WORLD_HPA_BITS,
		.cpu = soft_cpu_fake(SOFT_CPU_FULL), .num_cmrs = 2, .cmrs = { { 0, GIB(1) }, { GIB(1), GIB(3) } },
		.package_of = package_of, .map = map, .map_large = map, .map_mark = map_mark, .map_release = map_release,
		.map_shared = map_shared, .entropy = entropy, .interrupt_pending = interrupt_pending, .now = now,
		.vmcs_create = vmcs_create, .vmcs_read = vmcs_read, .vmcs_write = vmcs_write, .run = run,
		.load = switch_state, .save = switch_state, .apply = apply, .end_of_interrupt = end_of_interrupt,
		.flush = of_vcpu, .flush_tlb = of_vcpu,
	};

	p.cpu.tsc_hz = 1000000000;
	p.cpu.xfam = 0x2e7;
	return p;
}

/* ---- SEAMCALL ---- */

static bool is_due(struct tdx_wrong *x, uint32_t leaf)
{
	if (x->status == 0 || leaf != x->leaf || w->calls[leaf] <= x->after || x->done == x->times)
		return false;
	x->done++;
	return true;
}

/* NULL: this call goes well. */
static const struct tdx_wrong *goes_wrong(uint32_t leaf)
{
	return is_due(&w->wrong, leaf) ? &w->wrong : is_due(&w->also, leaf) ? &w->also : NULL;
}

static void call(void *ctx, struct tdx_regs *r)
{
	uint32_t leaf = r->gpr[TDX_RAX] & TDX_LEAF_MASK;
	const struct tdx_wrong *wrong;

	(void)ctx;
	__atomic_fetch_add(&w->calls[leaf], 1, __ATOMIC_RELAXED);
	wrong = goes_wrong(leaf);
	if (leaf == TDH_SYS_RD && !wrong && w->field && w->field(r->gpr[TDX_RDX], &r->gpr[TDX_R8])) {
		r->gpr[TDX_RAX] = TDX_SUCCESS;
		return;
	}
	if (!wrong || wrong->late)
		soft_seamcall(w->soft, tdx_world_cpu, r);
	/* One that is to be carried out and could not be says why itself. */
	if (!wrong || (wrong->late && r->gpr[TDX_RAX] & TDX_ERROR))
		return;
	/* A call that fails may leave anything in the registers of its operands. */
	if (!wrong->late)
		r->gpr[TDX_RCX] = r->gpr[TDX_RDX] = r->gpr[TDX_R8] = r->gpr[TDX_R9] = 0xbad;
	r->gpr[TDX_RAX] = wrong->status;
}

/* The source says it, so that no leaf which is added there can be forgotten in a test. */
void tdx_world_host_leafs(bool start_up, bool made[TDH_LEAF_COUNT])
{
#define X(name, number, text) { #name, number },
	static const struct {
		const char *name;
		uint32_t leaf;
	} all[] = { TDH_LEAFS(X) };
#undef X
	static char source[65536];
	FILE *file = fopen("tdx/tdh.h", "r");
	char call[64];

	assert_non_null(file);
	source[fread(source, 1, sizeof(source) - 1, file)] = 0;
	fclose(file);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		snprintf(call, sizeof(call), "(%s,", all[i].name);
		made[all[i].leaf] = start_up == !strncmp(all[i].name, "TDH_SYS_", 8) &&
				    (strstr(source, call) || all[i].leaf == TDH_VP_ENTER);
	}
}

static uint32_t this_cpu_index(void *ctx)
{
	(void)ctx;
	return tdx_world_cpu;
}

static void on_cpu(void *ctx, uint32_t cpu, void (*fn)(void *arg), void *arg)
{
	uint32_t here = tdx_world_cpu;

	(void)ctx;
	tdx_world_cpu = cpu;
	fn(arg);
	tdx_world_cpu = here;
}

static void flush_caches(void *ctx)
{
	(void)ctx;
	w->cache_flushes |= 1u << tdx_world_cpu;
}

void tdx_world_end(void)
{
	if (ram)
		munmap(ram, WORLD_RAM_BYTES);
	ram = NULL;
	free(w->soft);
	memset(w, 0, sizeof(*w));
	memset(vmcss, 0, sizeof(vmcss));
	memset(&tdx_module, 0, sizeof(tdx_module));
	memset(tdx_counts, 0, sizeof(tdx_counts));
	tdx_world_cpu = 0;
}

void tdx_world_start(void)
{
	struct soft_platform p = platform();

	tdx_world_end();
	ram = mmap(NULL, WORLD_RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(ram != MAP_FAILED);
	phys_map_base = (uintptr_t)ram - WORLD_RAM;
	for (uint64_t i = 0; i < FRAMES; i++)
		owners[i] = OWNER_FREE;
	memset(hidden, 0, sizeof(hidden));
	w->frames_left = w->tables_left = ~(uint64_t)0;
	w->soft = calloc(1, sizeof(*w->soft));
	assert_int_equal(soft_init(w->soft, &p, NULL), 0);
	w->ops = (struct tdx_ops){ .name = "the software TDX module", .software = true, .call = call };
	w->machine = (struct tdx_machine){
		.ops = &w->ops, .first_hkid = WORLD_FIRST_HKID, .hkids = WORLD_HKIDS, .keyid_shift = WORLD_HPA_BITS,
		.hpa_bits = WORLD_HPA_BITS, .gpaw = WORLD_GPAW, .cpus = WORLD_CPUS, .package_of = package_of,
		.on_cpu = on_cpu, .this_cpu = this_cpu_index, .flush_caches = flush_caches,
	};
}

void tdx_world_ready(void)
{
	struct failure why;

	tdx_world_start();
	if (tdx_module_start(&w->machine, &why))
		fail_msg("%s", why.text);
	memset(w->calls, 0, sizeof(w->calls));
}

uint64_t tdx_world_raw(struct tdx_regs *r)
{
	soft_seamcall(w->soft, tdx_world_cpu, r);
	return r->gpr[TDX_RAX];
}

static uint64_t page_type(hpa_t page)
{
	struct tdx_regs r = { .gpr = { [TDX_RAX] = TDH_PHYMEM_PAGE_RDMD, [TDX_RCX] = page } };

	return tdx_world_raw(&r) ? TDX_PT_NDA : r.gpr[TDX_RCX];
}

const char *tdx_world_owners_wrong(bool exact)
{
	static char text[120];

	for (uint64_t i = 0; i < FRAMES; i++) {
		hpa_t page = WORLD_RAM + i * PAGE_SIZE;
		uint64_t type = page_type(page);
		bool has = type != TDX_PT_NDA && type != TDX_PT_RSVD, says = (owners[i] & 0xf000) == OWNER_TD(0);

		if (hidden[i] != frame_owner_is_hidden(owners[i])) {
			snprintf(text, sizeof(text), "page %lx of owner %x is %s the host's map", page, owners[i],
				 hidden[i] ? "not in" : "in");
			return text;
		}
		if (has == says || (says && !exact))
			continue;
		snprintf(text, sizeof(text), "page %lx is of type %lu to the module, and on record as %x", page, type,
			 owners[i]);
		return text;
	}
	return NULL;
}
