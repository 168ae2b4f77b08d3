/*
 * A fake guest under shadow paging: its slots, as the hypervisor is told of them.
 */
#include "tests/unit/shadow_world.h"

#include <stdio.h>

#include "tests/unit/shadow_log.h"

static struct failure why;

void guest_slot_add(gfn_t gfn, uint64_t npages, uint64_t offset, bool readonly)
{
	int err = mmu_slot_add(&world_mmu, gfn, npages, MEM_RAM_HPA + offset, readonly ? SLOT_READONLY : 0, &why);

	if (err == -ENOMEM && world_allocs_left == 0)
		return;
	if (err || mem_slot_count == MEM_SLOTS)
		world_fail("slot at gfn %lx: %d %s", gfn, err, why.text);
	mem_slots[mem_slot_count++] = (struct mem_slot){ gfn, npages, MEM_RAM_HPA + offset, readonly };
	SAY("  slot added at gfn %lx, %lx pages at host offset %lx\n", gfn, npages, offset);
	log_slot_added(gfn);
}

void guest_slot_delete(gfn_t gfn)
{
	int err = mmu_slot_delete(&world_mmu, gfn, &why);

	if (err == -ENOMEM && world_allocs_left == 0)
		return;
	log_slot_goes(gfn);
	if (err)
		world_fail("slot at gfn %lx is not deleted: %d %s", gfn, err, why.text);
	for (uint32_t i = 0; i < mem_slot_count; i++)
		if (mem_slots[i].gfn == gfn)
			mem_slots[i--] = mem_slots[--mem_slot_count];
	SAY("  slot deleted at gfn %lx\n", gfn);
}

static struct mem_slot *slot_at(gfn_t gfn)
{
	for (uint32_t i = 0; i < mem_slot_count; i++)
		if (mem_slots[i].gfn == gfn)
			return &mem_slots[i];
	world_fail("no slot at gfn %lx", gfn);
}

static bool is_free_for(const struct mem_slot *moved, gfn_t gfn)
{
	for (uint32_t i = 0; i < mem_slot_count; i++)
		if (&mem_slots[i] != moved && gfn < mem_slots[i].gfn + mem_slots[i].npages &&
		    mem_slots[i].gfn < gfn + moved->npages)
			return false;
	return true;
}

void guest_slot_move(gfn_t gfn, gfn_t to)
{
	struct mem_slot *s = slot_at(gfn);
	int err = mmu_slot_move(&world_mmu, gfn, to, &why);

	if (err == -ENOMEM && world_allocs_left == 0)
		return;
	if (err != (log_is_on() ? -EBUSY : is_free_for(s, to) ? 0 : -EEXIST))
		world_fail("slot from gfn %lx to %lx: %d %s", gfn, to, err, why.text);
	if (err)
		return;
	s->gfn = to;
	SAY("  slot moved from gfn %lx to %lx\n", gfn, to);
}

void guest_slot_flags(gfn_t gfn, bool readonly)
{
	int err = mmu_slot_set_flags(&world_mmu, gfn, readonly ? SLOT_READONLY : 0, &why);

	if (err)
		world_fail("flags of the slot at gfn %lx: %d %s", gfn, err, why.text);
	slot_at(gfn)->readonly = readonly;
	SAY("  slot at gfn %lx is %s\n", gfn, readonly ? "read-only" : "writable");
}

void guest_attributes(gfn_t gfn, uint64_t npages, bool private)
{
	int err = mmu_set_attributes(&world_mmu, gfn, npages, private, &why);

	if (err != -EOPNOTSUPP)
		world_fail("attributes of %lx pages from gfn %lx on: %d", npages, gfn, err);
}
