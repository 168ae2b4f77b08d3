/* Owns nothing: operations on the sorted ranges of a boot_info. */
#include "boot/ranges.h"

#include <string.h>

void ranges_clear(struct boot_info *info) { info->range_count = 0; }

static hpa_t range_end(const struct boot_range *r) { return r->base + r->size; }

static void remove_range(struct boot_info *info, uint32_t at)
{
	info->range_count--;
	memmove(&info->ranges[at], &info->ranges[at + 1], (info->range_count - at) * sizeof(info->ranges[0]));
}

/* Puts a range that overlaps none where it belongs, joined with neighbours of its kind. */
static bool insert(struct boot_info *info, struct boot_range r)
{
	struct boot_range *ranges = info->ranges;
	uint32_t at = 0;

	while (at < info->range_count && ranges[at].base < r.base)
		at++;
	if (at > 0 && range_end(&ranges[at - 1]) == r.base && ranges[at - 1].kind == r.kind) {
		r.base = ranges[at - 1].base;
		r.size += ranges[at - 1].size;
		remove_range(info, --at);
	}
	if (at < info->range_count && range_end(&r) == ranges[at].base && ranges[at].kind == r.kind) {
		r.size += ranges[at].size;
		remove_range(info, at);
	}
	if (info->range_count == BOOT_MAX_RANGES)
		return false;
	memmove(&ranges[at + 1], &ranges[at], (info->range_count - at) * sizeof(ranges[0]));
	ranges[at] = r;
	info->range_count++;
	return true;
}

/* Takes [base, end) out of whatever range holds some of it. */
static bool cut_out(struct boot_info *info, hpa_t base, hpa_t end)
{
	bool room = true;

	for (uint32_t i = 0; room && i < info->range_count;) {
		struct boot_range old = info->ranges[i];

		if (range_end(&old) <= base || old.base >= end) {
			i++;
			continue;
		}
		remove_range(info, i);
		if (old.base < base)
			room = insert(info, (struct boot_range){ old.base, base - old.base, old.kind });
		if (room && range_end(&old) > end)
			room = insert(info, (struct boot_range){ end, range_end(&old) - end, old.kind });
		i = 0;
	}
	return room;
}

/* Of two claims to one page the higher kind holds: enum boot_range_kind runs from free to untouchable. */
bool ranges_add(struct boot_info *info, hpa_t base, uint64_t size, enum boot_range_kind kind)
{
	hpa_t end = base + size < base ? ~PAGE_MASK : align_down(base + size, PAGE_SIZE);
	hpa_t at = align_up(base, PAGE_SIZE);

	/* What is no RAM reaches to the ends of the pages it touches. */
	if (kind != BOOT_RANGE_RAM) {
		end = base + size < base ? ~PAGE_MASK : align_up(base + size, PAGE_SIZE);
		at = align_down(base, PAGE_SIZE);
	}
	while (at < end) {
		hpa_t next = end;
		bool taken = false;

		for (uint32_t i = 0; i < info->range_count; i++) {
			const struct boot_range *r = &info->ranges[i];

			if (r->kind < kind || range_end(r) <= at)
				continue;
			taken = r->base <= at;
			next = taken ? min_u64(range_end(r), end) : min_u64(r->base, end);
			break;
		}
		if (!taken && (!cut_out(info, at, next) || !insert(info, (struct boot_range){ at, next - at, kind })))
			return false;
		at = next;
	}
	return true;
}

bool ranges_carve(struct boot_info *info, hpa_t base, uint64_t size, enum boot_range_kind kind)
{
	return cut_out(info, base, base + size) && insert(info, (struct boot_range){ base, size, kind });
}

hpa_t ranges_top(const struct boot_info *info)
{
	hpa_t top = 0;

	for (uint32_t i = 0; i < info->range_count; i++)
		if (info->ranges[i].kind != BOOT_RANGE_RESERVED)
			top = range_end(&info->ranges[i]);
	return top;
}

uint64_t ranges_total(const struct boot_info *info, enum boot_range_kind kind)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < info->range_count; i++)
		if (info->ranges[i].kind == kind)
			total += info->ranges[i].size;
	return total;
}
