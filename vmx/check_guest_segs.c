/*
 * VM-entry checks on the guest's segment registers. A rule's arg is the segment's number in VMCS
 * order; the fields of one kind follow each other in that order, two apart.
 */
#include "vmx/check.h"

#include "vmx/check_rules.h"

enum { ES, CS, SS, DS, FS, GS, LDTR, TR };

#define AR_TYPE(ar) ((unsigned)((ar) & 0xf))
#define AR_DPL(ar) ((unsigned)((ar) >> 5 & 3))
#define AR_S BIT(4)
#define AR_P BIT(7)
#define AR_L BIT(13)
#define AR_DB BIT(14)
#define AR_G BIT(15)
#define AR_UNUSABLE BIT(16)
#define AR_V8086 0xf3
#define LIMIT_V8086 0xffff

#define TYPE_ACCESSED 1
#define TYPE_READABLE 2 /* of code */
#define TYPE_CODE 8
#define TYPE_LDT 2
#define TYPE_TSS16_BUSY 3
#define TYPE_TSS_BUSY 11
#define TYPE_DATA_ACCESSED 3 /* writable: CS of an unrestricted guest in real mode */

#define SEL_RPL(sel) ((unsigned)((sel) & 3))
#define SEL_TI BIT(2)

static uint64_t selector(const struct check *c, uint64_t seg)
{
	return check_field(c, VMCS_GUEST_ES_SEL + 2 * (uint32_t)seg);
}

static uint64_t base(const struct check *c, uint64_t seg)
{
	return check_field(c, VMCS_GUEST_ES_BASE + 2 * (uint32_t)seg);
}

static uint64_t limit(const struct check *c, uint64_t seg)
{
	return check_field(c, VMCS_GUEST_ES_LIMIT + 2 * (uint32_t)seg);
}

static uint64_t rights(const struct check *c, uint64_t seg)
{
	return check_field(c, VMCS_GUEST_ES_AR + 2 * (uint32_t)seg);
}

static bool v8086(const struct check *c) { return check_field(c, VMCS_GUEST_RFLAGS) & RFLAGS_VM; }

/* CS and TR are looked at even when marked unusable. */
static bool usable(const struct check *c, uint64_t seg)
{
	return seg == CS || seg == TR || !(rights(c, seg) & AR_UNUSABLE);
}

/* The access-rights rules of ES..GS hold outside virtual-8086 mode, those of LDTR and TR always. */
static bool rights_matter(const struct check *c, uint64_t seg)
{
	return usable(c, seg) && (seg >= LDTR || !v8086(c));
}

static bool table_in_gdt(const struct check *c, const struct check_rule *r)
{
	return !usable(c, r->arg) || !(selector(c, r->arg) & SEL_TI);
}

static bool ss_rpl(const struct check *c, const struct check_rule *r)
{
	(void)r;
	return v8086(c) || check_unrestricted(c) || SEL_RPL(selector(c, SS)) == SEL_RPL(selector(c, CS));
}

static bool base_v8086(const struct check *c, const struct check_rule *r)
{
	return !v8086(c) || base(c, r->arg) == selector(c, r->arg) << 4;
}

static bool base_canonical(const struct check *c, const struct check_rule *r)
{
	return (r->arg == LDTR && !usable(c, LDTR)) || check_is_canonical(c, base(c, r->arg));
}

static bool base_32bit(const struct check *c, const struct check_rule *r)
{
	return !usable(c, r->arg) || !(base(c, r->arg) >> 32);
}

static bool limit_v8086(const struct check *c, const struct check_rule *r)
{
	return !v8086(c) || limit(c, r->arg) == LIMIT_V8086;
}

static bool rights_v8086(const struct check *c, const struct check_rule *r)
{
	return !v8086(c) || rights(c, r->arg) == AR_V8086;
}

static bool cs_type(const struct check *c, const struct check_rule *r)
{
	unsigned type = AR_TYPE(rights(c, CS));

	(void)r;
	return !rights_matter(c, CS) || (type & (TYPE_CODE | TYPE_ACCESSED)) == (TYPE_CODE | TYPE_ACCESSED) ||
	       (type == TYPE_DATA_ACCESSED && check_unrestricted(c));
}

static bool ss_type(const struct check *c, const struct check_rule *r)
{
	unsigned type = AR_TYPE(rights(c, SS));

	(void)r;
	return !rights_matter(c, SS) || type == 3 || type == 7;
}

static bool data_type(const struct check *c, const struct check_rule *r)
{
	unsigned type = AR_TYPE(rights(c, r->arg));

	return !rights_matter(c, r->arg) || (type & TYPE_ACCESSED && (!(type & TYPE_CODE) || type & TYPE_READABLE));
}

static bool code_or_data(const struct check *c, const struct check_rule *r)
{
	return !rights_matter(c, r->arg) || rights(c, r->arg) & AR_S;
}

static bool is_system(const struct check *c, const struct check_rule *r)
{
	return !usable(c, r->arg) || !(rights(c, r->arg) & AR_S);
}

static bool cs_dpl(const struct check *c, const struct check_rule *r)
{
	unsigned type = AR_TYPE(rights(c, CS)), dpl = AR_DPL(rights(c, CS)), ss = AR_DPL(rights(c, SS));

	(void)r;
	if (!rights_matter(c, CS))
		return true;
	switch (type) {
	case TYPE_DATA_ACCESSED:
		return dpl == 0;
	case 9:
	case 11:
		return dpl == ss;
	case 13:
	case 15: /* conforming */
		return dpl <= ss;
	default:
		return true; /* cs_type tells */
	}
}

static bool ss_dpl_rpl(const struct check *c, const struct check_rule *r)
{
	(void)r;
	return v8086(c) || check_unrestricted(c) || AR_DPL(rights(c, SS)) == SEL_RPL(selector(c, SS));
}

static bool ss_dpl_real(const struct check *c, const struct check_rule *r)
{
	bool real = AR_TYPE(rights(c, CS)) == TYPE_DATA_ACCESSED || !(check_field(c, VMCS_GUEST_CR0) & CR0_PE);

	(void)r;
	return v8086(c) || !real || AR_DPL(rights(c, SS)) == 0;
}

static bool data_dpl(const struct check *c, const struct check_rule *r)
{
	uint64_t ar = rights(c, r->arg);

	return !rights_matter(c, r->arg) || check_unrestricted(c) || AR_TYPE(ar) > TYPE_TSS_BUSY ||
	       AR_DPL(ar) >= SEL_RPL(selector(c, r->arg));
}

static bool present(const struct check *c, const struct check_rule *r)
{
	return !rights_matter(c, r->arg) || rights(c, r->arg) & AR_P;
}

static bool reserved_clear(const struct check *c, const struct check_rule *r)
{
	return !rights_matter(c, r->arg) || !(rights(c, r->arg) & (BITS(31, 17) | BITS(11, 8)));
}

static bool cs_long_default(const struct check *c, const struct check_rule *r)
{
	(void)r;
	return !rights_matter(c, CS) || !check_ia32e(c) || (rights(c, CS) & (AR_L | AR_DB)) != (AR_L | AR_DB);
}

static bool granularity(const struct check *c, const struct check_rule *r)
{
	uint64_t l = limit(c, r->arg);

	if (!rights_matter(c, r->arg))
		return true;
	return rights(c, r->arg) & AR_G ? (l & BITS(11, 0)) == BITS(11, 0) : !(l & BITS(31, 20));
}

static bool tr_type(const struct check *c, const struct check_rule *r)
{
	unsigned type = AR_TYPE(rights(c, TR));

	(void)r;
	return type == TYPE_TSS_BUSY || (type == TYPE_TSS16_BUSY && !check_ia32e(c));
}

static bool tr_usable(const struct check *c, const struct check_rule *r)
{
	(void)r;
	return !(rights(c, TR) & AR_UNUSABLE);
}

static bool ldtr_type(const struct check *c, const struct check_rule *r)
{
	(void)r;
	return !usable(c, LDTR) || AR_TYPE(rights(c, LDTR)) == TYPE_LDT;
}

#define SEG_RULE(id, kind, seg, ok, text) \
	{ id, SECTION_GUEST_SEGMENTS, VMCS_GUEST_##seg##_##kind, ALWAYS, ok, seg, text }

#define V8086_RULES(seg, name)                                                                      \
	SEG_RULE("guest-" name "-base-v8086", BASE, seg, base_v8086,                                \
		 "is not the selector times 16 in virtual-8086 mode"),                              \
	SEG_RULE("guest-" name "-limit-v8086", LIMIT, seg, limit_v8086,                             \
		 "is not ffffh in virtual-8086 mode"),                                              \
	SEG_RULE("guest-" name "-rights-v8086", AR, seg, rights_v8086, "is not f3h in virtual-8086 mode")

#define COMMON_RULES(seg, name)                                                                     \
	SEG_RULE("guest-" name "-present", AR, seg, present, "is not present (P, bit 7)"),          \
	SEG_RULE("guest-" name "-reserved", AR, seg, reserved_clear, "has reserved bits set: 31:17 or 11:8"), \
	SEG_RULE("guest-" name "-granularity", AR, seg, granularity,                                \
		 "has a granularity (G, bit 15) that does not fit the limit: 1 needs bits 11:0 of the limit all 1, " \
		 "0 needs bits 31:20 all 0")

#define CODE_OR_DATA_RULE(seg, name)                                                                \
	SEG_RULE("guest-" name "-s", AR, seg, code_or_data, "is a system segment (S, bit 4, is 0)")

#define SYSTEM_RULE(seg, name)                                                                      \
	SEG_RULE("guest-" name "-s", AR, seg, is_system, "is no system segment (S, bit 4, is 1)")

#define DATA_RULES(seg, name)                                                                       \
	SEG_RULE("guest-" name "-type", AR, seg, data_type, "must be accessed, and readable where it is code"), \
	SEG_RULE("guest-" name "-dpl", AR, seg, data_dpl, "has a DPL below its selector's RPL"),    \
	CODE_OR_DATA_RULE(seg, name), COMMON_RULES(seg, name), V8086_RULES(seg, name)

#define BASE_32BIT "has bits 63:32 set"
#define BASE_NOT_CANONICAL "is not canonical"

static const struct check_rule rules[] = {
	SEG_RULE("guest-tr-ti", SEL, TR, table_in_gdt, "must have TI (bit 2) 0"),
	SEG_RULE("guest-ldtr-ti", SEL, LDTR, table_in_gdt, "must have TI (bit 2) 0"),
	SEG_RULE("guest-ss-rpl", SEL, SS, ss_rpl, "has an RPL that differs from that of CS"),
	SEG_RULE("guest-tr-base", BASE, TR, base_canonical, BASE_NOT_CANONICAL),
	SEG_RULE("guest-fs-base", BASE, FS, base_canonical, BASE_NOT_CANONICAL),
	SEG_RULE("guest-gs-base", BASE, GS, base_canonical, BASE_NOT_CANONICAL),
	SEG_RULE("guest-ldtr-base", BASE, LDTR, base_canonical, BASE_NOT_CANONICAL),
	SEG_RULE("guest-cs-base", BASE, CS, base_32bit, BASE_32BIT),
	SEG_RULE("guest-ss-base", BASE, SS, base_32bit, BASE_32BIT),
	SEG_RULE("guest-ds-base", BASE, DS, base_32bit, BASE_32BIT),
	SEG_RULE("guest-es-base", BASE, ES, base_32bit, BASE_32BIT),

	SEG_RULE("guest-cs-type", AR, CS, cs_type,
		 "is no accessed code segment (nor, for an unrestricted guest, type 3)"),
	SEG_RULE("guest-cs-dpl", AR, CS, cs_dpl,
		 "has a DPL that does not fit: 0 for type 3, that of SS for 9 and 11, not above it for 13 and 15"),
	SEG_RULE("guest-cs-default", AR, CS, cs_long_default, "has both L (bit 13) and D/B (bit 14) set"),
	CODE_OR_DATA_RULE(CS, "cs"), COMMON_RULES(CS, "cs"), V8086_RULES(CS, "cs"),

	SEG_RULE("guest-ss-type", AR, SS, ss_type, "is no accessed, writable data segment (type 3 or 7)"),
	SEG_RULE("guest-ss-dpl", AR, SS, ss_dpl_rpl, "has a DPL that differs from its selector's RPL"),
	SEG_RULE("guest-ss-dpl-real", AR, SS, ss_dpl_real,
		 "has a DPL other than 0 while CR0.PE is 0 or CS has type 3"),
	CODE_OR_DATA_RULE(SS, "ss"), COMMON_RULES(SS, "ss"), V8086_RULES(SS, "ss"),

	DATA_RULES(DS, "ds"), DATA_RULES(ES, "es"), DATA_RULES(FS, "fs"), DATA_RULES(GS, "gs"),

	SEG_RULE("guest-tr-type", AR, TR, tr_type, "is no busy TSS (type 11; 3 only outside IA-32e mode)"),
	SEG_RULE("guest-tr-usable", AR, TR, tr_usable, "is marked unusable (bit 16)"),
	SYSTEM_RULE(TR, "tr"), COMMON_RULES(TR, "tr"),

	SEG_RULE("guest-ldtr-type", AR, LDTR, ldtr_type, "is no LDT (type 2)"),
	SYSTEM_RULE(LDTR, "ldtr"), COMMON_RULES(LDTR, "ldtr"),
};

const struct check_table check_guest_segs = { rules, ARRAY_LEN(rules) };
