/*
 * Reading and loading ELF executables for x86.
 */
#include "hv/guest/elf.h"

#include <string.h>

#define EI_CLASS 4
#define EI_DATA 5
#define CLASS_32 1
#define CLASS_64 2
#define DATA_LITTLE 1
#define MACHINE_386 3
#define MACHINE_X86_64 62
#define TYPE_EXEC 2
#define TYPE_DYN 3

/* Offsets of the fields used; the program headers differ in order as well as in width. */
struct elf_layout {
	uint8_t ehsize, entry, phoff, phentsize_at, phnum_at, phentsize;
	uint8_t p_offset, p_paddr, p_filesz, p_memsz, p_align;
};

static const struct elf_layout layout32 = { 52, 24, 28, 42, 44, 32, 4, 12, 16, 20, 28 };
static const struct elf_layout layout64 = { 64, 24, 32, 54, 56, 56, 8, 24, 32, 40, 48 };

static const struct elf_layout *layout_of(const struct elf *e) { return e->is64 ? &layout64 : &layout32; }

static uint64_t get_word(const struct elf *e, const uint8_t *p) { return e->is64 ? get64(p) : get32(p); }

bool elf_is(const struct guest_file *k) { return k->size >= 4 && !memcmp(k->data, "\x7f" "ELF", 4); }

struct elf_segment elf_segment(const struct elf *e, unsigned i)
{
	const uint8_t *p = (const uint8_t *)e->file->data + e->phoff + (uint64_t)i * e->phentsize;
	const struct elf_layout *l = layout_of(e);

	return (struct elf_segment){
		.type = get32(p),
		.offset = get_word(e, p + l->p_offset),
		.paddr = get_word(e, p + l->p_paddr),
		.filesz = get_word(e, p + l->p_filesz),
		.memsz = get_word(e, p + l->p_memsz),
		.align = get_word(e, p + l->p_align),
	};
}

static int check_header(const struct guest_file *k, struct elf *e, struct failure *f)
{
	const uint8_t *p = k->data;
	unsigned machine;

	if (k->size < layout32.ehsize || (p[EI_CLASS] == CLASS_64 && k->size < layout64.ehsize))
		return fail(f, -ENOEXEC, "kernel %s is an ELF file of %lu bytes, cut off within its header: "
			    "copy it again", k->name, k->size);
	machine = get16(p + 18);
	if (p[EI_DATA] != DATA_LITTLE || (machine != MACHINE_386 && machine != MACHINE_X86_64) ||
	    (p[EI_CLASS] != CLASS_32 && p[EI_CLASS] != CLASS_64))
		return fail(f, -ENOEXEC, "kernel %s is an ELF file for another machine (%u): build it for "
			    "x86", k->name, machine);
	if (get16(p + 16) != TYPE_EXEC && get16(p + 16) != TYPE_DYN)
		return fail(f, -ENOEXEC, "kernel %s is an ELF file of type %u, not an executable: link it",
			    k->name, get16(p + 16));
	*e = (struct elf){ .file = k, .is64 = p[EI_CLASS] == CLASS_64 };
	return 0;
}

static int check_segments(const struct elf *e, struct failure *f)
{
	for (unsigned i = 0; i < e->phnum; i++) {
		struct elf_segment s = elf_segment(e, i);

		if (s.type != ELF_PT_LOAD && s.type != ELF_PT_NOTE)
			continue;
		if (!in_file(s.offset, s.filesz, e->file->size))
			return fail(f, -ENOEXEC, "kernel %s is truncated or corrupt: segment %u lies at "
				    "%lxh, %lxh bytes, of a file of %lxh bytes: copy it again", e->file->name,
				    i, s.offset, s.filesz, e->file->size);
		if (s.type == ELF_PT_LOAD && s.memsz < s.filesz)
			return fail(f, -ENOEXEC, "kernel %s is corrupt: segment %u has %lxh bytes in the "
				    "file but %lxh in memory: copy it again", e->file->name, i, s.filesz,
				    s.memsz);
	}
	return 0;
}

int elf_open(const struct guest_file *k, struct elf *e, struct failure *f)
{
	const uint8_t *p = k->data;
	const struct elf_layout *l;
	int err = check_header(k, e, f);

	if (err)
		return err;
	l = layout_of(e);
	e->entry = get_word(e, p + l->entry);
	e->phoff = get_word(e, p + l->phoff);
	e->phentsize = get16(p + l->phentsize_at);
	e->phnum = get16(p + l->phnum_at);
	if (!e->phnum || e->phnum > ELF_MAX_SEGMENTS || e->phentsize < l->phentsize)
		return fail(f, -ENOEXEC, "kernel %s has %u ELF segments of %u bytes each; 1 to %u of at "
			    "least %u are understood: link it as an executable", k->name, e->phnum,
			    e->phentsize, ELF_MAX_SEGMENTS, l->phentsize);
	if (!in_file(e->phoff, (uint64_t)e->phnum * e->phentsize, k->size))
		return fail(f, -ENOEXEC, "kernel %s is truncated or corrupt: its segment table at %lxh lies "
			    "outside the file of %lxh bytes: copy it again", k->name, e->phoff, k->size);
	return check_segments(e, f);
}

static bool is_loaded(const struct elf_segment *s) { return s->type == ELF_PT_LOAD && s->memsz; }

/* Segment i against guest memory and against the segments before it. */
static int check_load(const struct guest_mem *m, const struct elf *e, unsigned i, struct failure *f)
{
	struct elf_segment s = elf_segment(e, i);
	int err = boot_check_place(m, e->file, "segment", s.paddr, s.memsz, f);

	for (unsigned j = 0; j < i && !err; j++) {
		struct elf_segment o = elf_segment(e, j);

		if (is_loaded(&o) && s.paddr < o.paddr + o.memsz && o.paddr < s.paddr + s.memsz)
			err = fail(f, -ENOEXEC, "kernel %s is corrupt: its segments %u and %u overlap at "
				   "%lxh: copy it again", e->file->name, j, i, max_u64(s.paddr, o.paddr));
	}
	return err;
}

static int load_one(const struct guest_mem *m, const struct elf *e, const struct elf_segment *s,
		    struct failure *f)
{
	const uint8_t *from = (const uint8_t *)e->file->data + s->offset;
	int err = boot_copy(m, s->paddr, from, s->filesz, f);

	return err ? err : boot_clear(m, s->paddr + s->filesz, s->memsz - s->filesz, f);
}

int elf_load(const struct guest_mem *m, const struct elf *e, struct span *kernel, struct failure *f)
{
	struct elf_segment s;
	int err = 0;

	*kernel = (struct span){ UINT64_MAX, 0 };
	for (unsigned i = 0; i < e->phnum && !err; i++) {
		s = elf_segment(e, i);
		if (!is_loaded(&s))
			continue;
		err = check_load(m, e, i, f);
		kernel->base = min_u64(kernel->base, s.paddr);
		kernel->end = max_u64(kernel->end, s.paddr + s.memsz);
	}
	if (!err && !kernel->end)
		return fail(f, -ENOEXEC, "kernel %s has no ELF segment to load: link it as an executable",
			    e->file->name);
	for (unsigned i = 0; i < e->phnum && !err; i++) {
		s = elf_segment(e, i);
		if (is_loaded(&s))
			err = load_one(m, e, &s, f);
	}
	return err;
}

bool elf_covers(const struct elf *e, gpa_t gpa)
{
	for (unsigned i = 0; i < e->phnum; i++) {
		struct elf_segment s = elf_segment(e, i);

		if (is_loaded(&s) && gpa >= s.paddr && gpa - s.paddr < s.memsz)
			return true;
	}
	return false;
}
