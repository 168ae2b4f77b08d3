/* Reads .symtab and .strtab of a 64-bit ELF file. Owns pointers into it, set once. */
#include "hv/base/symbols.h"

#include <string.h>

#include "hv/base/failure.h"

#define ELF_SECTION_SYMTAB 2
#define ELF_SECTION_STRTAB 3
#define ELF_SYMBOL_NOTYPE 0
#define ELF_SYMBOL_FUNC 2

struct elf_header {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf_section {
	uint32_t name, type;
	uint64_t flags, addr, offset, size;
	uint32_t link, info;
	uint64_t addralign, entsize;
};

struct elf_symbol {
	uint32_t name;
	uint8_t info, other;
	uint16_t section;
	uint64_t value, size;
};

static const uint8_t *symtab;
static uint64_t symbol_count;
static const char *names;
static uint64_t names_size;

static bool inside(uint64_t offset, uint64_t len, uint64_t size)
{
	return offset <= size && len <= size - offset;
}

static void read_section(const uint8_t *elf, const struct elf_header *h, unsigned i, struct elf_section *s)
{
	memcpy(s, elf + h->shoff + (uint64_t)i * sizeof *s, sizeof *s);
}

static int read_header(const void *elf, size_t size, struct elf_header *h, struct failure *f)
{
	static const uint8_t magic[5] = { 0x7f, 'E', 'L', 'F', 2 };

	if (size < sizeof *h)
		return fail(f, -EINVAL, "the hypervisor's ELF file is only %lu bytes long", (uint64_t)size);
	memcpy(h, elf, sizeof *h);
	if (memcmp(h->ident, magic, sizeof magic))
		return fail(f, -EINVAL, "the hypervisor's file is not a 64-bit ELF file");
	if (h->shentsize != sizeof(struct elf_section) ||
	    !inside(h->shoff, (uint64_t)h->shnum * sizeof(struct elf_section), size))
		return fail(f, -EINVAL, "the section table of the hypervisor's ELF file lies outside it");
	return 0;
}

static int use_tables(const uint8_t *elf, size_t size, const struct elf_section *sym,
		      const struct elf_section *str, struct failure *f)
{
	if (!inside(sym->offset, sym->size, size) || !inside(str->offset, str->size, size) ||
	    str->type != ELF_SECTION_STRTAB || !str->size || elf[str->offset + str->size - 1])
		return fail(f, -EINVAL, "the symbol table of the hypervisor's ELF file is damaged");
	symtab = elf + sym->offset;
	symbol_count = sym->size / sizeof(struct elf_symbol);
	names = (const char *)elf + str->offset;
	names_size = str->size;
	return 0;
}

int symbols_read(const void *elf, size_t size, struct failure *f)
{
	struct elf_header h;
	struct elf_section sym, str;
	int err = read_header(elf, size, &h, f);

	symbol_count = 0;
	if (err)
		return err;
	for (unsigned i = 0; i < h.shnum; i++) {
		read_section(elf, &h, i, &sym);
		if (sym.type != ELF_SECTION_SYMTAB || sym.link >= h.shnum)
			continue;
		read_section(elf, &h, sym.link, &str);
		return use_tables(elf, size, &sym, &str, f);
	}
	return fail(f, -EINVAL, "the hypervisor's ELF file has no symbol table: backtraces will have no names");
}

static bool names_code(const struct elf_symbol *s)
{
	unsigned type = s->info & 15;

	return (type == ELF_SYMBOL_FUNC || type == ELF_SYMBOL_NOTYPE) && s->section && s->name < names_size &&
	       names[s->name];
}

/* The nearest symbol at or below, sized symbols only as far as they reach. */
const char *symbols_find(uint64_t address, uint64_t *offset)
{
	const char *best = NULL;
	uint64_t best_value = 0;

	for (uint64_t i = 0; i < symbol_count; i++) {
		struct elf_symbol s;

		memcpy(&s, symtab + i * sizeof s, sizeof s);
		if (s.value > address || s.value < best_value || !names_code(&s) ||
		    (s.size && address - s.value >= s.size))
			continue;
		best = names + s.name;
		best_value = s.value;
	}
	if (best)
		*offset = address - best_value;
	return best;
}
