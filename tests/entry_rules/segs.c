/*
 * The entry checker's rules on the guest's segment registers, one case each.
 */
#include "tests/entry_rules/rules.h"

#define BAD_LINEAR (1ul << 47)
#define AR_P BIT(7)
#define AR_S BIT(4)
#define AR_DB BIT(14)
#define AR_G BIT(15)
#define AR_UNUSABLE BIT(16)
#define RESTRICTED FLIP(SECONDARY_CONTROLS, SECONDARY_UNRESTRICTED)

#define V8086_CASES(seg, name)                                                                      \
	{ "guest-" name "-base-v8086", .edits = { SET(GUEST_##seg##_BASE, 0x20000) }, .base = BASE_V8086 },          \
	{ "guest-" name "-limit-v8086", .edits = { SET(GUEST_##seg##_LIMIT, 0xfffff) }, .base = BASE_V8086 },        \
	{ "guest-" name "-rights-v8086", .edits = { SET(GUEST_##seg##_AR, 0x93) }, .base = BASE_V8086 }

/* Present, no reserved bit, granularity fits: for a segment whose good limit is all ones with G set. */
#define COMMON_CASES(seg, name)                                                                     \
	{ "guest-" name "-present", .edits = { FLIP(GUEST_##seg##_AR, AR_P) } },                       \
	{ "guest-" name "-reserved", .edits = { FLIP(GUEST_##seg##_AR, BIT(8)) } },                    \
	{ "guest-" name "-reserved", .edits = { FLIP(GUEST_##seg##_AR, BIT(17)) } },                   \
	{ "guest-" name "-granularity", .edits = { FLIP(GUEST_##seg##_AR, AR_G), SET(GUEST_##seg##_LIMIT, 0x100000) } }, \
	{ "guest-" name "-s", .edits = { FLIP(GUEST_##seg##_AR, AR_S) } }

#define BIG_CASES(seg, name)                                                                        \
	{ "guest-" name "-granularity", .edits = { SET(GUEST_##seg##_LIMIT, 0xffffe) } },                \
	COMMON_CASES(seg, name)

#define DATA_CASES(seg, name)                                                                       \
	{ "guest-" name "-type", .edits = { FLIP(GUEST_##seg##_AR, 1) } },                             \
	{ "guest-" name "-type", .edits = { SET(GUEST_##seg##_AR, 0xc099) } },                         \
	{ "guest-" name "-dpl", .edits = { RESTRICTED, SET(GUEST_##seg##_SEL, 0x13) } },               \
	BIG_CASES(seg, name), V8086_CASES(seg, name)

/* Small limits: G set needs bits 11:0 of the limit all ones, which 67h has not. */
#define SYSTEM_CASES(seg, name)                                                                     \
	{ "guest-" name "-present", .edits = { FLIP(GUEST_##seg##_AR, AR_P) } },                       \
	{ "guest-" name "-reserved", .edits = { FLIP(GUEST_##seg##_AR, BIT(11)) } },                   \
	{ "guest-" name "-granularity", .edits = { SET(GUEST_##seg##_LIMIT, 0x100000) } },             \
	{ "guest-" name "-granularity", .edits = { SET(GUEST_##seg##_LIMIT, 0x67), FLIP(GUEST_##seg##_AR, AR_G) } }, \
	{ "guest-" name "-s", .edits = { FLIP(GUEST_##seg##_AR, AR_S) } }

static const struct check_case cases[] = {
	{ "guest-tr-ti", .edits = { FLIP(GUEST_TR_SEL, 4) } },
	{ "guest-ldtr-ti", .edits = { FLIP(GUEST_LDTR_SEL, 4) } },
	{ "guest-ss-rpl", .edits = { RESTRICTED, SET(GUEST_CS_SEL, 0xb) } },
	{ "guest-tr-base", .edits = { SET(GUEST_TR_BASE, BAD_LINEAR) } },
	{ "guest-fs-base", .edits = { SET(GUEST_FS_BASE, BAD_LINEAR) } },
	{ "guest-gs-base", .edits = { SET(GUEST_GS_BASE, BAD_LINEAR) } },
	{ "guest-ldtr-base", .edits = { SET(GUEST_LDTR_BASE, BAD_LINEAR) } },
	{ "guest-cs-base", .edits = { SET(GUEST_CS_BASE, BIT(32)) } },
	{ "guest-ss-base", .edits = { SET(GUEST_SS_BASE, BIT(32)) } },
	{ "guest-ds-base", .edits = { SET(GUEST_DS_BASE, BIT(32)) } },
	{ "guest-es-base", .edits = { SET(GUEST_ES_BASE, BIT(32)) } },

	{ "guest-cs-type", .edits = { FLIP(GUEST_CS_AR, 1) } },
	{ "guest-cs-type", .edits = { RESTRICTED, SET(GUEST_CS_AR, 0xc093), SET(GUEST_RIP, 0) } },
	{ "guest-cs-dpl", .edits = { SET(GUEST_CS_AR, 0xa0fb) } },
	{ "guest-cs-dpl", .edits = { SET(GUEST_CS_AR, 0xa0ff) } },
	{ "guest-cs-dpl", .edits = { SET(GUEST_CS_AR, 0xc0f3), SET(GUEST_RIP, 0) } },
	{ "guest-cs-default", .edits = { FLIP(GUEST_CS_AR, AR_DB) } },
	BIG_CASES(CS, "cs"), V8086_CASES(CS, "cs"),

	{ "guest-ss-type", .edits = { FLIP(GUEST_SS_AR, 2) } },
	{ "guest-ss-type", .edits = { FLIP(GUEST_SS_AR, 1) } },
	{ "guest-ss-dpl", .edits = { RESTRICTED, SET(GUEST_CS_SEL, 0xb), SET(GUEST_SS_SEL, 0x13) } },
	{ "guest-ss-dpl-real",
	  .edits = { SET(GUEST_CS_AR, 0xc093), SET(GUEST_SS_AR, 0xc0f3), SET(GUEST_RIP, 0) } },
	BIG_CASES(SS, "ss"), V8086_CASES(SS, "ss"),

	DATA_CASES(DS, "ds"), DATA_CASES(ES, "es"), DATA_CASES(FS, "fs"), DATA_CASES(GS, "gs"),

	{ "guest-tr-type", .edits = { SET(GUEST_TR_AR, 0x89) } },
	{ "guest-tr-type", .edits = { SET(GUEST_TR_AR, 0x83) } },
	{ "guest-tr-usable", .edits = { FLIP(GUEST_TR_AR, AR_UNUSABLE) } },
	SYSTEM_CASES(TR, "tr"),
	{ "guest-ldtr-type", .edits = { SET(GUEST_LDTR_AR, 0x83) } },
	SYSTEM_CASES(LDTR, "ldtr"),
};

const struct check_cases cases_segs = { cases, ARRAY_LEN(cases), &check_guest_segs, "guest segments" };
