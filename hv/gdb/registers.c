/*
 * The table of registers. Names, order and features are those that gdb knows for i386:x86-64 (GDB manual,
 * "i386 Features"); what is only the guest's operating system's comes behind, in a feature of our own.
 */
#include "hv/gdb/registers.h"

#include <string.h>

#include "hv/base/format.h"
#include "hv/base/x86.h"

enum source { IN_GPR, IN_REG, IN_CR2, IN_FX, IN_FX_TAGS };
enum gdb_feature { CORE, SSE, SEGMENTS, CONTROL, FEATURES };

struct gdb_register {
	const char *name;
	const char *type; /* NULL: an integer */
	enum gdb_feature feature;
	enum source source;
	uint16_t index;   /* a GPR_*, a REG_*, or an offset in the FXSAVE image */
	uint16_t bits;    /* as gdb has it */
	uint8_t stored;   /* bytes of IN_FX */
	bool writable;
};

#define GPR(name, n) { name, NULL, CORE, IN_GPR, n, 64, 0, true }
#define SELECTOR(name, n) { name, NULL, CORE, IN_REG, n, 32, 0, false }
#define ST(name, n) { name, "i387_ext", CORE, IN_FX, 32 + 16 * (n), 80, 10, true }
#define X87(name, offset, stored) { name, NULL, CORE, IN_FX, offset, 32, stored, true }
#define XMM(name, n) { name, "vec128", SSE, IN_FX, 160 + 16 * (n), 128, 16, true }
#define BASE(name, n) { name, NULL, SEGMENTS, IN_REG, n, 64, 0, true }
#define CR(name, n) { name, NULL, CONTROL, IN_REG, n, 64, 0, false }

static const struct gdb_register registers[] = {
	GPR("rax", GPR_RAX), GPR("rbx", GPR_RBX), GPR("rcx", GPR_RCX), GPR("rdx", GPR_RDX),
	GPR("rsi", GPR_RSI), GPR("rdi", GPR_RDI),
	{ "rbp", "data_ptr", CORE, IN_GPR, GPR_RBP, 64, 0, true },
	{ "rsp", "data_ptr", CORE, IN_GPR, GPR_RSP, 64, 0, true },
	GPR("r8", GPR_R8), GPR("r9", GPR_R9), GPR("r10", GPR_R10), GPR("r11", GPR_R11),
	GPR("r12", GPR_R12), GPR("r13", GPR_R13), GPR("r14", GPR_R14), GPR("r15", GPR_R15),
	{ "rip", "code_ptr", CORE, IN_REG, REG_RIP, 64, 0, true },
	{ "eflags", "i386_eflags", CORE, IN_REG, REG_RFLAGS, 32, 0, true },
	SELECTOR("cs", REG_CS_SEL), SELECTOR("ss", REG_SS_SEL), SELECTOR("ds", REG_DS_SEL),
	SELECTOR("es", REG_ES_SEL), SELECTOR("fs", REG_FS_SEL), SELECTOR("gs", REG_GS_SEL),
	ST("st0", 0), ST("st1", 1), ST("st2", 2), ST("st3", 3), ST("st4", 4), ST("st5", 5), ST("st6", 6), ST("st7", 7),
	X87("fctrl", 0, 2), X87("fstat", 2, 2),
	{ "ftag", NULL, CORE, IN_FX_TAGS, 4, 32, 1, true },
	X87("fiseg", 12, 2), X87("fioff", 8, 4), X87("foseg", 20, 2), X87("fooff", 16, 4), X87("fop", 6, 2),
	XMM("xmm0", 0), XMM("xmm1", 1), XMM("xmm2", 2), XMM("xmm3", 3), XMM("xmm4", 4), XMM("xmm5", 5),
	XMM("xmm6", 6), XMM("xmm7", 7), XMM("xmm8", 8), XMM("xmm9", 9), XMM("xmm10", 10), XMM("xmm11", 11),
	XMM("xmm12", 12), XMM("xmm13", 13), XMM("xmm14", 14), XMM("xmm15", 15),
	{ "mxcsr", NULL, SSE, IN_FX, 24, 32, 4, true },
	BASE("fs_base", REG_FS_BASE), BASE("gs_base", REG_GS_BASE),
	CR("cr0", REG_CR0),
	{ "cr2", NULL, CONTROL, IN_CR2, 0, 64, 0, false },
	CR("cr3", REG_CR3), CR("cr4", REG_CR4), CR("efer", REG_EFER),
	CR("gdtr_base", REG_GDTR_BASE), CR("idtr_base", REG_IDTR_BASE),
};

/* CF PF AF ZF SF TF IF DF OF IOPL NT RF AC ID */
#define FLAGS_WRITABLE 0x257fd5ul
#define CS_AR_L BIT(13)
#define ADDRESS_BITS 48

unsigned gdb_register_count(void) { return ARRAY_LEN(registers); }

unsigned gdb_register_size(unsigned n) { return registers[n].bits / 8; }

/* ---- values ---- */

/* FXSAVE has one bit for each x87 register, set when it is in use; gdb two as FSAVE has, 3 when it is not. */
static uint16_t full_tags(uint8_t used)
{
	uint16_t tags = 0;

	for (unsigned i = 0; i < 8; i++)
		tags |= (uint16_t)((used >> i & 1 ? 0 : 3) << (2 * i));
	return tags;
}

static uint8_t used_of(uint16_t tags)
{
	uint8_t used = 0;

	for (unsigned i = 0; i < 8; i++)
		used |= (uint8_t)(((tags >> (2 * i) & 3) != 3) << i);
	return used;
}

static uint64_t *word_of(struct debug_regs *r, const struct gdb_register *g)
{
	switch (g->source) {
	case IN_GPR: return &r->gpr[g->index];
	case IN_REG: return &r->reg[g->index];
	default: return &r->cr2;
	}
}

void gdb_register_get(const struct debug_regs *r, unsigned n, void *bytes)
{
	const struct gdb_register *g = &registers[n];
	uint16_t tags;

	memset(bytes, 0, g->bits / 8);
	if (g->source == IN_FX) {
		memcpy(bytes, r->fx + g->index, g->stored);
	} else if (g->source == IN_FX_TAGS) {
		tags = full_tags(r->fx[g->index]);
		memcpy(bytes, &tags, sizeof tags);
	} else {
		memcpy(bytes, word_of((struct debug_regs *)(uintptr_t)r, g), g->bits / 8);
	}
}

static bool value_possible(const struct debug_regs *r, const struct gdb_register *g, uint64_t value)
{
	bool wide = (r->reg[REG_EFER] & EFER_LMA) && (r->reg[REG_CS_AR] & CS_AR_L);

	if (g->source == IN_GPR)
		return true;
	switch (g->index) {
	case REG_RFLAGS:
		return !((value ^ r->reg[REG_RFLAGS]) & ~FLAGS_WRITABLE);
	case REG_RIP:
		return wide ? is_canonical(value, ADDRESS_BITS) : !(value >> 32);
	default: /* FS and GS base */
		return is_canonical(value, ADDRESS_BITS);
	}
}

static bool set_word(struct debug_regs *r, const struct gdb_register *g, const void *bytes)
{
	uint64_t *word = word_of(r, g), value = 0;

	memcpy(&value, bytes, g->bits / 8);
	if (g->bits == 32)
		value |= *word & ~(uint64_t)UINT32_MAX;
	if (value == *word)
		return true;
	if (!g->writable || !value_possible(r, g, value))
		return false;
	*word = value;
	return true;
}

bool gdb_register_set(struct debug_regs *r, unsigned n, const void *bytes)
{
	const struct gdb_register *g = &registers[n];
	uint16_t tags;

	if (g->source == IN_FX) {
		memcpy(r->fx + g->index, bytes, g->stored);
		return true;
	}
	if (g->source == IN_FX_TAGS) {
		memcpy(&tags, bytes, sizeof tags);
		r->fx[g->index] = used_of(tags);
		return true;
	}
	return set_word(r, g, bytes);
}

/* ---- the description ---- */

static const char head[] =
	"<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">"
	"<architecture>i386:x86-64</architecture>";

static const char core_types[] = "<flags id=\"i386_eflags\" size=\"4\">";
static const char sse_types[] =
	"<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
	"<vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
	"<vector id=\"v4i32\" type=\"int32\" count=\"4\"/><vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
	"<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
	"<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
	"<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
	"<field name=\"uint128\" type=\"uint128\"/></union>";

static const struct {
	const char *name, *types;
} features[FEATURES] = {
	[CORE] = { "org.gnu.gdb.i386.core", core_types },
	[SSE] = { "org.gnu.gdb.i386.sse", sse_types },
	[SEGMENTS] = { "org.gnu.gdb.i386.segments", "" },
	[CONTROL] = { "org.gnomon.i386.control", "" },
};

static const struct {
	const char *name;
	uint8_t start, end;
} flags[] = {
	{ "CF", 0, 0 }, { "PF", 2, 2 }, { "AF", 4, 4 }, { "ZF", 6, 6 }, { "SF", 7, 7 }, { "TF", 8, 8 },
	{ "IF", 9, 9 }, { "DF", 10, 10 }, { "OF", 11, 11 }, { "IOPL", 12, 13 }, { "NT", 14, 14 }, { "RF", 16, 16 },
	{ "VM", 17, 17 }, { "AC", 18, 18 }, { "VIF", 19, 19 }, { "VIP", 20, 20 }, { "ID", 21, 21 },
};

static char xml[8192];
static size_t xml_size;

static void put(const char *text)
{
	xml_size += (size_t)format(xml + xml_size, sizeof xml - xml_size, "%s", text);
}

static void put_flags(void)
{
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		xml_size += (size_t)format(xml + xml_size, sizeof xml - xml_size,
					   "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", flags[i].name,
					   flags[i].start, flags[i].end);
	put("</flags>");
}

static void put_registers(enum gdb_feature f)
{
	for (size_t i = 0; i < ARRAY_LEN(registers); i++) {
		const struct gdb_register *g = &registers[i];
		const char *type = g->type ? g->type : g->bits == 64 ? "int64" : "int32";

		if (g->feature == f)
			xml_size += (size_t)format(xml + xml_size, sizeof xml - xml_size,
						   "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%lu\"/>", g->name,
						   g->bits, type, i);
	}
}

const char *gdb_target_xml(size_t *size)
{
	if (!xml_size) {
		put(head);
		for (enum gdb_feature f = 0; f < FEATURES; f++) {
			put("<feature name=\"");
			put(features[f].name);
			put("\">");
			put(features[f].types);
			if (f == CORE)
				put_flags();
			put_registers(f);
			put("</feature>");
		}
		put("</target>");
	}
	*size = xml_size;
	return xml;
}
