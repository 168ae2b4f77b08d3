/*
 * Guest memory by guest-physical address.
 */
#include "mmu/gpa.h"

#include <string.h>

#include "mmu/dirty.h"
#include "mmu/shadow_write.h"

/* A small copy is one move each way, so that the guest never sees half of an aligned value. */
static void copy(void *to, const void *from, uint64_t len)
{
	switch (len) {
	case 1: __builtin_memcpy(to, from, 1); break;
	case 2: __builtin_memcpy(to, from, 2); break;
	case 4: __builtin_memcpy(to, from, 4); break;
	case 8: __builtin_memcpy(to, from, 8); break;
	default: memcpy(to, from, len);
	}
}

bool gpa_writes(const struct slot *s, gpa_t gpa, uint64_t len)
{
	if (s->flags & SLOT_READONLY)
		return false;
	for (gfn_t gfn = gpa >> PAGE_SHIFT; gfn <= (gpa + len - 1) >> PAGE_SHIFT; gfn++)
		dirty_mark(s, gfn);
	return true;
}

/* Bytes from gpa to the end of its slot, at most len; 0 when it is no RAM. *s is the slot. */
static uint64_t run_at(struct mmu_vcpu *mv, gpa_t gpa, uint64_t len, const struct slot **s)
{
	*s = slot_find(mv, gpa >> PAGE_SHIFT);
	return *s ? min_u64(len, (slot_end(*s) << PAGE_SHIFT) - gpa) : 0;
}

/* Looks at every slot of the range before anything is copied. Slots end below 2^48: gpa never wraps. */
static int range_judge(struct mmu_vcpu *mv, gpa_t gpa, uint64_t len, bool write)
{
	const struct slot *s;

	while (len > 0) {
		uint64_t run = run_at(mv, gpa, len, &s);

		if (run == 0)
			return -EFAULT;
		if (write && (s->flags & SLOT_READONLY))
			return -EACCES;
		gpa += run;
		len -= run;
	}
	return 0;
}

int gpa_read(struct mmu_vcpu *mv, gpa_t gpa, void *buf, uint64_t len)
{
	const struct slot *s;
	uint64_t run;
	void *hva;
	int err = 0;

	mmu_enter(mv);
	hva = gpa_to_hva(mv, gpa, len);
	if (LIKELY(hva)) {
		copy(buf, hva, len);
		len = 0;
	} else {
		err = range_judge(mv, gpa, len, false);
	}
	for (; !err && len > 0; gpa += run, buf = (char *)buf + run, len -= run) {
		run = run_at(mv, gpa, len, &s);
		copy(buf, phys_to_virt(gpa + s->offset), run);
	}
	mmu_leave(mv);
	return err;
}

static int judge(struct mmu_vcpu *mv, gpa_t gpa, uint64_t len)
{
	int err;

	mmu_enter(mv);
	err = range_judge(mv, gpa, len, true);
	mmu_leave(mv);
	return err;
}

struct write {
	struct gpa_change change; /* first */
	const void *from;
};

static void apply_write(struct gpa_change *c, void *hva)
{
	copy(hva, CONTAINER_OF(c, struct write, change)->from, c->len);
}

/* In shadow mode guest memory may be a page table that is shadowed: page by page, and seen. */
static int write_shadowed(struct mmu_vcpu *mv, gpa_t gpa, const void *buf, uint64_t len)
{
	int err = judge(mv, gpa, len);

	while (!err && len > 0) {
		uint64_t run = min_u64(len, PAGE_SIZE - (gpa & PAGE_MASK));
		struct write w = { { apply_write, run }, buf };

		shadow_change(mv, gpa, &w.change);
		gpa += run;
		buf = (const char *)buf + run;
		len -= run;
	}
	return err;
}

int gpa_write(struct mmu_vcpu *mv, gpa_t gpa, const void *buf, uint64_t len)
{
	const struct slot *s;
	uint64_t run;
	void *hva;
	int err = 0;

	if (mv->mmu->shadow)
		return write_shadowed(mv, gpa, buf, len);
	mmu_enter(mv);
	hva = gpa_to_hva_writable(mv, gpa, len);
	if (LIKELY(hva)) {
		copy(hva, buf, len);
		len = 0;
	} else {
		err = range_judge(mv, gpa, len, true);
	}
	for (; !err && len > 0; gpa += run, buf = (const char *)buf + run, len -= run) {
		run = run_at(mv, gpa, len, &s);
		copy(gpa_to_hva_writable(mv, gpa, run), buf, run);
	}
	mmu_leave(mv);
	return err;
}

/* One instruction even where the address is not aligned, which the C of the builtins does not allow. */
static bool exchange(void *p, uint64_t old[2], const uint64_t new_value[2], unsigned size)
{
	bool same;

#define LOCKED(insn)                                                                                \
	__asm__ volatile("lock " insn " (%[p])"                                                     \
			 : "=@ccz"(same), "+a"(old[0]), "+d"(old[1])                                \
			 : [p] "r"(p), [value] "b"(new_value[0]), "c"(new_value[1])                 \
			 : "memory")
	switch (size) {
	case 1: LOCKED("cmpxchg %b[value],"); break;
	case 2: LOCKED("cmpxchg %w[value],"); break;
	case 4: LOCKED("cmpxchg %k[value],"); break;
	case 8: LOCKED("cmpxchg %q[value],"); break;
	default: LOCKED("cmpxchg16b"); break;
	}
#undef LOCKED
	return same;
}

struct swap {
	struct gpa_change change; /* first */
	uint64_t before[2], after[2];
	bool same;
};

static void apply_swap(struct gpa_change *c, void *hva)
{
	struct swap *w = CONTAINER_OF(c, struct swap, change);

	w->same = exchange(hva, w->before, w->after, (unsigned)c->len);
}

static int exchange_shadowed(struct mmu_vcpu *mv, gpa_t gpa, struct swap *w)
{
	int err = judge(mv, gpa, w->change.len);

	if (!err)
		shadow_change(mv, gpa, &w->change);
	return err;
}

int gpa_exchange(struct mmu_vcpu *mv, gpa_t gpa, const void *old, const void *new_value, unsigned size)
{
	struct swap w = { .change = { apply_swap, size } };
	void *hva;
	int err = 0;

	memcpy(w.before, old, size);
	memcpy(w.after, new_value, size);
	if (mv->mmu->shadow) {
		err = exchange_shadowed(mv, gpa, &w);
		return err ? err : w.same ? 0 : -EAGAIN;
	}
	mmu_enter(mv);
	hva = gpa_to_hva_writable(mv, gpa, size);
	if (LIKELY(hva))
		apply_swap(&w.change, hva);
	else
		err = range_judge(mv, gpa, size, true);
	mmu_leave(mv);
	return err ? err : w.same ? 0 : -EAGAIN;
}
