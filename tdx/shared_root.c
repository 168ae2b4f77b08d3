/*
 * Following the ordinary root, entry by entry.
 */
#include "tdx/shared_root.h"

#include "hv/base/failure.h"
#include "hv/base/phys.h"

#define ENTRIES 512u
#define ROOT_SHIFT 39  /* of the address bits that select an entry of the root */
#define BELOW_SHIFT 30

/* SDM "The Extended Page Table Mechanism (EPT)": a table, everything allowed. Bit 63: no #VE for this walk. */
#define EPT_TABLE (BIT(63) | 7)
#define EPT_ADDR BITS(51, 12)
#define EPT_LARGE BIT(7)
#define EPT_EMPTY BIT(63)

static uint64_t *table(hpa_t frame) { return phys_to_virt(frame); }

static void fill_empty(hpa_t frame)
{
	for (unsigned i = 0; i < ENTRIES; i++)
		table(frame)[i] = EPT_EMPTY;
}

int shared_root_create(struct shared_root *s, uint32_t bit, gpa_t top, frame_owner_t owner)
{
	unsigned shift = bit >= ROOT_SHIFT ? ROOT_SHIFT : BELOW_SHIFT;

	s->offset = 1u << (bit - shift);
	s->count = (unsigned)min_u64((top + BIT(shift) - 1) >> shift, s->offset);
	s->below = HPA_NONE;
	s->root = frame_alloc(owner);
	if (s->root != HPA_NONE && shift == BELOW_SHIFT)
		s->below = frame_alloc(owner);
	if (s->root == HPA_NONE || (shift == BELOW_SHIFT && s->below == HPA_NONE)) {
		shared_root_destroy(s, owner);
		return -ENOMEM;
	}
	fill_empty(s->root);
	if (s->below == HPA_NONE)
		return 0;
	fill_empty(s->below);
	table(s->root)[0] = s->below | EPT_TABLE;
	return 0;
}

void shared_root_destroy(struct shared_root *s, frame_owner_t owner)
{
	if (s->below != HPA_NONE)
		frame_free(s->below, owner);
	if (s->root != HPA_NONE)
		frame_free(s->root, owner);
	s->root = s->below = HPA_NONE;
}

/* The ordinary table one level down: all addresses of the guest lie below its first entry's end. */
static const uint64_t *first_below(hpa_t ordinary)
{
	uint64_t entry = __atomic_load_n(table(ordinary), __ATOMIC_ACQUIRE);

	return (entry & 7) == 7 && !(entry & EPT_LARGE) ? table(entry & EPT_ADDR) : NULL;
}

/* What entry i ought to be; from is NULL for a table that is not there. */
static inline uint64_t wanted(const uint64_t *from, unsigned i)
{
	return from ? __atomic_load_n(&from[i], __ATOMIC_ACQUIRE) : EPT_EMPTY;
}

static bool follows(const uint64_t *to, const uint64_t *from, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (__atomic_load_n(&to[i], __ATOMIC_RELAXED) != wanted(from, i))
			return false;
	return true;
}

static const uint64_t *source_of(const struct shared_root *s, hpa_t ordinary)
{
	return s->below == HPA_NONE ? table(ordinary) : first_below(ordinary);
}

void shared_root_follow(struct shared_root *s, hpa_t ordinary)
{
	uint64_t *to = table(s->below == HPA_NONE ? s->root : s->below) + s->offset;
	const uint64_t *from;

	if (LIKELY(follows(to, source_of(s, ordinary), s->count)))
		return;
	spin_lock(&s->lock);
	from = source_of(s, ordinary);
	for (unsigned i = 0; i < s->count; i++)
		__atomic_store_n(&to[i], wanted(from, i), __ATOMIC_RELEASE);
	spin_unlock(&s->lock);
}
