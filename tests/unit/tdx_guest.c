/* A TD with memory; see the header. */
#include "tests/unit/tdx_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/phys.h"
#include "mmu/flush.h"
#include "mmu/sp.h"
#include "mmu/spte.h"

#define PATIENCE 2000

struct tdx_guest tdx_guest;

static struct tdx_guest *const g = &tdx_guest;

/* ---- what the back end provides ---- */

static void bar(void *ctx, bool barred)
{
	(void)ctx;
	__atomic_fetch_add(&tdx_world.bars, barred, __ATOMIC_RELAXED);
	if (tdx_world.on_bar)
		tdx_world.on_bar(barred);
}

static void kick(void *ctx)
{
	(void)ctx;
	__atomic_fetch_add(&tdx_world.kicks, 1, __ATOMIC_RELAXED);
	if (tdx_world.on_kick)
		tdx_world.on_kick();
}

static void flush(void *ctx, const struct flush_range *range)
{
	(void)ctx;
	(void)range;
}

/* ---- building ---- */

static int create_mmu(void)
{
	struct mmu_config config = {
		.vm_id = TDX_GUEST_VM, .hpa_bits = WORLD_HPA_BITS, .gpa_bits = WORLD_GPAW - 1, .max_level = LEVEL_1G,
		.flush = flush, .external = &g->td.external, .shared_bit = WORLD_GPAW - 1,
	};
	int err = mmu_init(&g->mmu, &config, &g->why);

	if (err)
		return err;
	g->mmu_ready = true;
	for (int i = 0; i < TDX_GUEST_VCPUS; i++)
		mmu_vcpu_init(&g->vcpu[i], &g->mmu);
	g->ram = frame_alloc_run(TDX_GUEST_BYTES >> PAGE_SHIFT, MIB(2) >> PAGE_SHIFT, OWNER_VM(TDX_GUEST_VM));
	if (g->ram == HPA_NONE)
		return (fail)(&g->why, -ENOMEM, "no RAM for the guest");
	return mmu_slot_add(&g->mmu, 0, TDX_GUEST_BYTES >> PAGE_SHIFT, g->ram, SLOT_PRIVATE, &g->why);
}

int tdx_guest_create(void)
{
	struct td_config config = {
		.attributes = TDX_ATTR_SEPT_VE_DISABLE, .xfam = 0x2e7, .max_vcpus = TDX_GUEST_VCPUS, .tsc_units = 40,
		.kicker = { bar, kick, NULL },
	};
	int err;

	memset(g, 0, sizeof(*g));
	err = td_create(&g->td, TDX_GUEST_VM, &config, &g->why);
	return err ? err : create_mmu();
}

int tdx_guest_vcpus(void)
{
	int err = 0;

	for (int i = 0; !err && i < TDX_GUEST_VCPUS; i++)
		err = td_vcpu_create(&g->td, 0x1234, &g->why);
	return err;
}

int tdx_guest_image(gfn_t gfn, uint64_t n, bool measure)
{
	hpa_t source = frame_alloc(OWNER_HV);
	int err = 0;

	if (source == HPA_NONE)
		return (fail)(&g->why, -ENOMEM, "no page for the image");
	for (uint64_t i = 0; !err && i < n; i++) {
		memset(phys_to_virt(source), (int)i + 1, PAGE_SIZE);
		err = td_add_page(&g->td, &g->mmu.host, gfn + i, source, measure, &g->why);
	}
	frame_free(source, OWNER_HV);
	return err;
}

int tdx_guest_build(void)
{
	int err = tdx_guest_create();

	if (!err)
		err = tdx_guest_vcpus();
	if (!err)
		err = tdx_guest_image(0, 2, true);
	if (!err)
		err = tdx_guest_image(600, 2, false);
	return err ? err : td_finalize(&g->td, &g->why);
}

int tdx_guest_destroy(void)
{
	int err = td_end(&g->td, g->mmu_ready ? &g->mmu : NULL, &g->why);

	for (int i = 0; g->mmu_ready && i < TDX_GUEST_VCPUS; i++)
		mmu_vcpu_destroy(&g->vcpu[i]);
	if (g->mmu_ready)
		mmu_destroy(&g->mmu);
	g->mmu_ready = false;
	for (uint64_t at = 0; g->ram && at < TDX_GUEST_BYTES; at += PAGE_SIZE)
		if (frame_owner(g->ram + at) == OWNER_VM(TDX_GUEST_VM))
			frame_free(g->ram + at, OWNER_VM(TDX_GUEST_VM));
	g->ram = HPA_NONE;
	return err;
}

/* ---- running ---- */

uint64_t tdx_guest_enter(uint32_t index, uint32_t cpu, struct tdx_regs *r)
{
	uint32_t here = tdx_world_cpu;

	tdx_world_cpu = cpu;
	td_vcpu_claim(&g->td, index);
	r->gpr[TDX_RAX] = TDH_VP_ENTER;
	r->gpr[TDX_RCX] = g->td.vcpu[index].page[0];
	tdx_call_once(r);
	tdx_world_cpu = here;
	return r->gpr[TDX_RAX];
}

enum fault_result tdx_guest_fault(gfn_t gfn)
{
	enum fault_result result = FAULT_RETRY;

	for (int n = 0; result == FAULT_RETRY && n < PATIENCE; n++)
		result = mmu_fault(&g->vcpu[0], gfn << PAGE_SHIFT, MMU_WRITE);
	return result;
}

int tdx_guest_convert(gfn_t gfn, uint64_t npages, bool private)
{
	int err = -EAGAIN;

	for (int n = 0; err == -EAGAIN && n < PATIENCE; n++)
		err = mmu_set_attributes(&g->mmu, gfn, npages, private, &g->why);
	return err;
}

/* ---- comparing ---- */

struct sept_entry {
	uint32_t state;
	hpa_t page;
};

static struct sept_entry read_entry(gfn_t gfn, int level)
{
	struct tdx_regs r = { .gpr = { [TDX_RAX] = TDH_MEM_SEPT_RD, [TDX_RDX] = g->td.tdr,
				       [TDX_RCX] = (gfn << PAGE_SHIFT) | (uint64_t)(level - 1) } };

	if (tdx_world_raw(&r))
		fail_msg("SEPT.RD of gfn %lx, level %d: %lx", gfn, level, r.gpr[TDX_RAX]);
	return (struct sept_entry){ tdx_sept_state(r.gpr[TDX_RDX]), r.gpr[TDX_RCX] & TDX_GPA_MASK };
}

static const char *table_differs(const struct sp *sp);

static const char *entry_differs(uint64_t spte, gfn_t gfn, int level)
{
	struct sept_entry e = read_entry(gfn, level);

	if (spte == SPTE_EMPTY)
		return e.state == TDX_SEPT_FREE ? NULL : "an entry is empty in the mirror alone";
	if (!spte_is_present(spte))
		return "an entry of the mirror is frozen";
	if (spte_is_leaf(spte, level)) {
		if (e.state != TDX_SEPT_MAPPED && e.state != TDX_SEPT_PENDING)
			return "a leaf of the mirror is none, or blocked, in the secure EPT";
		return e.page == spte_hpa(spte) ? NULL : "a leaf maps another page";
	}
	if (e.state != TDX_SEPT_NL_MAPPED)
		return "a table is in the mirror alone";
	return table_differs(sp_of(spte_hpa(spte)));
}

static const char *table_differs(const struct sp *sp)
{
	const char *differs = NULL;
	gfn_t end = 1ul << (WORLD_GPAW - 1 - PAGE_SHIFT);

	for (uint32_t i = 0; !differs && i < SPTES_PER_TABLE; i++) {
		gfn_t gfn = sp->gfn + ((gfn_t)i << (9 * (sp->level - 1)));

		if (gfn < end)
			differs = entry_differs(spte_read(&sp->table[i]), gfn, sp->level);
	}
	return differs;
}

const char *tdx_guest_differs(void)
{
	const char *differs;

	mmu_exclusive_begin(&g->mmu);
	differs = table_differs(g->mmu.mirror);
	mmu_exclusive_end(&g->mmu);
	return differs;
}
