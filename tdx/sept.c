/*
 * The operations on the secure EPT.
 */
#include "tdx/sept.h"

#include <string.h>

#include "hv/base/format.h"
#include "hv/base/map_ram.h"
#include "mmu/mmu.h"
#include "tdx/tdh.h"

/* The module counts levels from 0. */
static uint32_t module_level(int level) { return (uint32_t)level - 1; }
static uint64_t pages_of(int level) { return level ? 1ul << (9 * (level - 1)) : 1; }
static gpa_t gpa_of(gfn_t gfn) { return gfn << PAGE_SHIFT; }

/* The first thing that went wrong is what to tell the operator. */
static int unexpected(struct td *td, enum tdh_leaf leaf, gfn_t gfn, uint64_t status)
{
	struct failure f;
	char what[64];

	if (__atomic_exchange_n(&td->broken_once, 1, __ATOMIC_RELAXED))
		return -EIO;
	format(what, sizeof(what), "private memory at gfn %lx", gfn);
	tdx_fail(&f, what, leaf, status);
	memcpy(td->broken, f.text, sizeof(td->broken));
	return -EIO;
}

/* What a status means to mmu/. */
static int result_of(struct td *td, enum tdh_leaf leaf, gfn_t gfn, uint64_t status)
{
	int err;

	if (tdx_is_success(status))
		return 0;
	err = tdx_errno(status);
	return err == -EIO || (err == -EINTR && leaf != TDH_MEM_PAGE_DEMOTE) ? unexpected(td, leaf, gfn, status) : err;
}

/* ---- whose pages are ---- */

static NOINLINE int no_table(struct td *td)
{
	if (!__atomic_exchange_n(&td->broken_once, 1, __ATOMIC_RELAXED))
		format(td->broken, sizeof(td->broken),
		       "no memory is left for page tables that leave its private memory out of the hypervisor's map");
	return -EIO;
}

/* From now on it is the TD's: nobody else looks at it, and it is out of the hypervisor's map. */
static ALWAYS_INLINE int hold(struct td *td, hpa_t page, uint64_t npages, frame_owner_t owner)
{
	if (UNLIKELY(map_hide(page, npages)))
		return no_table(td);
	frame_change_owner(page, npages, owner, OWNER_TD(td->id));
	return 0;
}

static void unhold(const struct td *td, hpa_t page, uint64_t npages, frame_owner_t owner)
{
	frame_change_owner(page, npages, OWNER_TD(td->id), owner);
	map_show(page, npages);
}

/* As far as anybody can tell. */
static bool module_has(hpa_t page)
{
	uint64_t type;
	hpa_t owner;

	return !tdx_is_done(tdh_phymem_page_rdmd(page, &type, &owner)) || type != TDX_PT_NDA;
}

static void doubt(struct td *td, hpa_t page, uint64_t npages)
{
	uint32_t n = __atomic_fetch_add(&td->doubt_count, 1, __ATOMIC_RELAXED);

	if (n >= TD_MAX_DOUBTS)
		return; /* stays on record as the TD's: lost */
	td->doubt[n].page = page;
	td->doubt[n].npages = npages;
}

/* A page was to be given to the module, which did not take it. */
static int not_given(struct td *td, enum tdh_leaf leaf, gfn_t gfn, uint64_t status, hpa_t page, uint64_t npages,
		 frame_owner_t owner)
{
	int err = result_of(td, leaf, gfn, status);

	if (!err)
		return 0;
	/*
	 * Whether busy or interrupted, nothing was changed. Of the rest nobody knows: mmu/ keeps a table in mind
	 * that was given away so, and asks for it at the end, but not a leaf that it did not install.
	 */
	if (err != -EIO)
		unhold(td, page, npages, owner);
	else if (owner == OWNER_VM(td->id))
		doubt(td, page, npages);
	return err;
}

/* A page was to be given to the module, which answered so. */
static inline int given(struct td *td, enum tdh_leaf leaf, gfn_t gfn, uint64_t status, hpa_t page, uint64_t npages,
			frame_owner_t owner)
{
	return tdx_is_success(status) ? 0 : not_given(td, leaf, gfn, status, page, npages, owner);
}

/* How many 4K pages are ours again from there on; 0: the module keeps it. */
static uint64_t take_some_back(hpa_t page)
{
	uint32_t level;

	/* Twice; and what is refused may be so because the module has given the page back before. */
	for (int tries = 0; tries < 2; tries++) {
		if (tdx_is_done(tdh_phymem_page_reclaim(page, &level)))
			return pages_of((int)level + 1);
		if (!module_has(page))
			return 1;
	}
	return 0;
}

bool sept_reclaim(hpa_t page, uint64_t npages)
{
	uint64_t some;

	for (uint64_t done = 0; done < npages; done += some) {
		some = take_some_back(page + done * PAGE_SIZE);
		if (!some)
			return false;
	}
	return true;
}

void sept_give_back(const struct td *td, hpa_t page, uint64_t npages, frame_owner_t owner)
{
	frame_change_owner(page, npages, OWNER_TD(td->id), owner);
	tdx_page_clear(page, npages);
}

bool sept_take_back(const struct td *td, hpa_t page, uint64_t npages, frame_owner_t owner)
{
	if (!sept_reclaim(page, npages))
		return false;
	sept_give_back(td, page, npages, owner);
	return true;
}

bool sept_settle_doubts(struct td *td)
{
	uint32_t count = td->doubt_count < TD_MAX_DOUBTS ? td->doubt_count : TD_MAX_DOUBTS;
	bool good = td->doubt_count <= TD_MAX_DOUBTS;

	for (uint32_t i = 0; i < count; i++)
		good &= sept_take_back(td, td->doubt[i].page, td->doubt[i].npages, OWNER_VM(td->id));
	td->doubt_count = 0;
	return good;
}

/* ---- the operations ---- */

static int do_link(struct td *td, gfn_t gfn, int level, hpa_t page)
{
	uint64_t status;

	if (hold(td, page, 1, OWNER_VM_META(td->id)))
		return -EIO;
	status = tdh_mem_sept_add(td->tdr, gpa_of(gfn), module_level(level), page);
	return given(td, TDH_MEM_SEPT_ADD, gfn, status, page, 1, OWNER_VM_META(td->id));
}

static int do_map(struct td *td, gfn_t gfn, int level, hpa_t page)
{
	bool image = td->source != 0;
	uint64_t status;

	if (hold(td, page, pages_of(level), OWNER_VM(td->id)))
		return -EIO;
	if (image)
		status = tdh_mem_page_add(td->tdr, gpa_of(gfn), page, td->source);
	else
		status = tdh_mem_page_aug(td->tdr, gpa_of(gfn), module_level(level), page);
	return given(td, image ? TDH_MEM_PAGE_ADD : TDH_MEM_PAGE_AUG, gfn, status, page, pages_of(level),
		     OWNER_VM(td->id));
}

static int do_block(struct td *td, gfn_t gfn, int level)
{
	uint64_t status = tdh_mem_range_block(td->tdr, gpa_of(gfn), module_level(level));

	return result_of(td, TDH_MEM_RANGE_BLOCK, gfn, status);
}

static int do_unblock(struct td *td, gfn_t gfn, int level)
{
	uint64_t status = tdh_mem_range_unblock(td->tdr, gpa_of(gfn), module_level(level));

	return result_of(td, TDH_MEM_RANGE_UNBLOCK, gfn, status);
}

/* Lines of the page that are still in caches under the TD's key would overwrite what comes after. */
static uint64_t write_back(const struct td *td, hpa_t page, uint64_t npages)
{
	uint64_t status = TDX_SUCCESS;

	for (uint64_t i = 0; tdx_is_done(status) && i < npages; i++)
		status = tdh_phymem_page_wbinvd(tdx_keyed(page + i * PAGE_SIZE, td->hkid));
	return status;
}

static int do_remove(struct td *td, gfn_t gfn, int level, hpa_t page)
{
	hpa_t removed;
	uint64_t status = tdh_mem_page_remove(td->tdr, gpa_of(gfn), module_level(level), &removed);
	int err = result_of(td, TDH_MEM_PAGE_REMOVE, gfn, status);

	if (err)
		return err;
	if (removed != page)
		return unexpected(td, TDH_MEM_PAGE_REMOVE, gfn, status);
	status = write_back(td, page, pages_of(level));
	if (!tdx_is_done(status))
		return unexpected(td, TDH_PHYMEM_PAGE_WBINVD, gfn, status); /* the page stays as it is */
	sept_give_back(td, page, pages_of(level), OWNER_VM(td->id));
	return 0;
}

static int do_demote(struct td *td, gfn_t gfn, int level, hpa_t page)
{
	uint64_t status;

	if (hold(td, page, 1, OWNER_VM_META(td->id)))
		return -EIO;
	status = tdh_mem_page_demote(td->tdr, gpa_of(gfn), module_level(level), page);
	return given(td, TDH_MEM_PAGE_DEMOTE, gfn, status, page, 1, OWNER_VM_META(td->id));
}

static int do_reclaim(struct td *td, int level, hpa_t page)
{
	frame_owner_t owner = level ? OWNER_VM(td->id) : OWNER_VM_META(td->id);

	/* The module was busy, or interrupted, to the end: it never took it. */
	if (frame_owner(page) == owner)
		return 0;
	return sept_take_back(td, page, pages_of(level), owner) ? 0 : -EIO;
}

static int act(void *ctx, enum external_op op, gfn_t gfn, int level, hpa_t page)
{
	struct td *td = ctx;

	switch (op) {
	case EXTERNAL_LINK: return do_link(td, gfn, level, page);
	case EXTERNAL_MAP: return do_map(td, gfn, level, page);
	case EXTERNAL_BLOCK: return do_block(td, gfn, level);
	case EXTERNAL_TRACK: return result_of(td, TDH_MEM_TRACK, gfn, tdh_mem_track(td->tdr));
	case EXTERNAL_UNBLOCK: return do_unblock(td, gfn, level);
	case EXTERNAL_REMOVE: return do_remove(td, gfn, level, page);
	case EXTERNAL_DEMOTE: return do_demote(td, gfn, level, page);
	case EXTERNAL_RECLAIM: return do_reclaim(td, level, page);
	default: return -EIO;
	}
}

static void bar(void *ctx, bool barred)
{
	struct td *td = ctx;

	td->kicker.bar(td->kicker.ctx, barred);
}

static void kick(void *ctx)
{
	struct td *td = ctx;

	td->kicker.kick(td->kicker.ctx);
}

void sept_init(struct td *td)
{
	td->external = (struct mmu_external){ LEVEL_2M, act, bar, kick, td };
}

/* "Extended exit qualification": type in bits 3:0; of ACCEPT, the level asked for in bits 34:32. */
int sept_accept_level(uint64_t rdx)
{
	return (rdx & 0xf) == TDX_EEQ_ACCEPT ? (int)(rdx >> 32 & 7) + 1 : 0;
}
