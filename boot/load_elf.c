/* Owns nothing: reads the ELF format (System V ABI, "Object Files"), as far as linker.ld produces it. */
#include "boot/load_elf.h"

#include <string.h>

#include "boot/boot_info.h"
#include "hv/base/map.h"

#define IMAGE_MAX MIB(64)
#define ELF_EXECUTABLE 2
#define ELF_X86_64 62
#define SEGMENT_LOAD 1

struct elf_header {
	uint8_t ident[16]; /* magic, class, byte order, version */
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, segments_at, sections_at;
	uint32_t flags;
	uint16_t header_size, segment_size, segment_count, section_size, section_count, names_index;
};

struct elf_segment {
	uint32_t type, flags;
	uint64_t offset, linear, physical, file_size, memory_size, align;
};

static struct elf_header read_header(const void *file)
{
	struct elf_header h;

	memcpy(&h, file, sizeof(h));
	return h;
}

static struct elf_segment read_segment(const void *file, const struct elf_header *h, unsigned i)
{
	struct elf_segment s;

	memcpy(&s, (const uint8_t *)file + h->segments_at + i * sizeof(s), sizeof(s));
	return s;
}

static bool is_loaded(const struct elf_segment *s) { return s->type == SEGMENT_LOAD && s->memory_size; }

static int check_header(const struct elf_header *h, uint64_t len, struct failure *f)
{
	static const uint8_t wanted[] = { 0x7f, 'E', 'L', 'F', 2, 1, 1 };

	if (memcmp(h->ident, wanted, sizeof(wanted)) != 0 || h->type != ELF_EXECUTABLE || h->machine != ELF_X86_64)
		return fail(f, -ENOEXEC, "it is no 64-bit x86 program; copy gnomon.elf to the stick again");
	if (h->segment_size != sizeof(struct elf_segment) || h->segments_at > len ||
	    h->segment_count * sizeof(struct elf_segment) > len - h->segments_at)
		return fail(f, -ENOEXEC, "its table of segments is damaged; copy gnomon.elf to the stick again");
	return 0;
}

static int check_segment(const struct elf_segment *s, uint64_t len, struct failure *f)
{
	if (s->offset > len || s->file_size > len - s->offset)
		return fail(f, -ENOEXEC, "it ends early, at %lu bytes; copy gnomon.elf to the stick again", len);
	if (s->linear < HV_IMAGE_BASE || s->memory_size > IMAGE_MAX || s->file_size > s->memory_size ||
	    s->linear - HV_IMAGE_BASE > IMAGE_MAX - s->memory_size)
		return fail(f, -ENOEXEC, "a segment at %lx does not belong to the hypervisor; is it gnomon.elf?", s->linear);
	return 0;
}

/* Where the file has the len bytes that end at a linear address; NULL when no segment has them. */
static const uint8_t *bytes_before(const void *file, const struct elf_header *h, uint64_t linear, uint64_t len)
{
	for (unsigned i = 0; i < h->segment_count; i++) {
		struct elf_segment s = read_segment(file, h, i);

		if (is_loaded(&s) && linear >= s.linear && linear - s.linear >= len &&
		    linear - s.linear <= s.file_size)
			return (const uint8_t *)file + s.offset + (linear - s.linear) - len;
	}
	return NULL;
}

/* The file is checked but for this: whether it wants the boot_info that this loader makes. */
static int check_contract(const void *file, const struct elf_header *h, struct failure *f)
{
	static const uint64_t wanted[] = { BOOT_INFO_MAGIC, sizeof(struct boot_info) };
	const uint8_t *found = bytes_before(file, h, h->entry, sizeof(wanted));

	if (found && memcmp(found, wanted, sizeof(wanted)) == 0)
		return 0;
	return fail(f, -ENOEXEC, "it is not of the same build as gnomon.efi; copy both to the stick from one build");
}

int elf_check(const void *file, uint64_t len, struct elf_layout *layout, struct failure *f)
{
	struct elf_header h;
	int err;

	if (len < sizeof(h))
		return fail(f, -ENOEXEC, "it is only %lu bytes long; copy gnomon.elf to the stick again", len);
	h = read_header(file);
	err = check_header(&h, len, f);
	if (err)
		return err;
	*layout = (struct elf_layout){ .entry = h.entry };
	for (unsigned i = 0; i < h.segment_count; i++) {
		struct elf_segment s = read_segment(file, &h, i);

		if (!is_loaded(&s))
			continue;
		err = check_segment(&s, len, f);
		if (err)
			return err;
		layout->size = max_u64(layout->size, align_up(s.linear - HV_IMAGE_BASE + s.memory_size, PAGE_SIZE));
	}
	if (h.entry < HV_IMAGE_BASE || h.entry - HV_IMAGE_BASE >= layout->size)
		return fail(f, -ENOEXEC, "its entry point %lx is outside its segments; copy gnomon.elf again", h.entry);
	return check_contract(file, &h, f);
}

void elf_place(const void *file, const struct elf_layout *layout, void *memory)
{
	struct elf_header h = read_header(file);

	memset(memory, 0, layout->size);
	for (unsigned i = 0; i < h.segment_count; i++) {
		struct elf_segment s = read_segment(file, &h, i);

		if (is_loaded(&s))
			memcpy((uint8_t *)memory + (s.linear - HV_IMAGE_BASE), (const uint8_t *)file + s.offset, s.file_size);
	}
}
