/* sources: vmx/check.c vmx/check_controls.c vmx/check_host.c vmx/check_guest_regs.c vmx/check_guest_segs.c vmx/check_nonreg.c tests/unit/check_state.c hv/base/format.c */
/*
 * The entry checker's rules on the guest's segment registers, one case each.
 */
#include "tests/unit/check_state.h"

#define BAD_LINEAR (1ul << 47)
#define AR_P BIT(7)
#define AR_S BIT(4)
#define AR_DB BIT(14)
#define AR_G BIT(15)
#define AR_UNUSABLE BIT(16)
#define RESTRICTED FLIP(SECONDARY_CONTROLS, SECONDARY_UNRESTRICTED)

/* Virtual-8086 mode: six segments alike, 32-bit guest. Tables are made whole by v8086(). */
#define V8086 { 0, 0, false }

static void edit(uint32_t field, uint64_t value)
{
	const struct check_edit e = { field, value, false };
	check_state_edit(&e);
}

static void v8086(struct check_env *env, struct vmx_caps *caps)
{
	(void)caps;
	edit(VMCS_ENTRY_CONTROLS, ENTRY_LOAD_PAT);
	edit(VMCS_GUEST_RIP, 0x1000);
	edit(VMCS_GUEST_RFLAGS, RFLAGS_FIXED1 | RFLAGS_VM);
	for (uint32_t seg = 0; seg < 6; seg++) {
		edit(VMCS_GUEST_ES_SEL + 2 * seg, 0x1000);
		edit(VMCS_GUEST_ES_BASE + 2 * seg, 0x10000);
		edit(VMCS_GUEST_ES_LIMIT + 2 * seg, 0xffff);
		edit(VMCS_GUEST_ES_AR + 2 * seg, 0xf3);
	}
	(void)env;
}

#define V8086_TWEAKS(seg)                                                                           \
	static void v8086_##seg##_base(struct check_env *env, struct vmx_caps *caps)                \
	{                                                                                           \
		v8086(env, caps);                                                                   \
		edit(VMCS_GUEST_##seg##_BASE, 0x20000);                                             \
	}                                                                                           \
	static void v8086_##seg##_limit(struct check_env *env, struct vmx_caps *caps)               \
	{                                                                                           \
		v8086(env, caps);                                                                   \
		edit(VMCS_GUEST_##seg##_LIMIT, 0xfffff);                                            \
	}                                                                                           \
	static void v8086_##seg##_rights(struct check_env *env, struct vmx_caps *caps)              \
	{                                                                                           \
		v8086(env, caps);                                                                   \
		edit(VMCS_GUEST_##seg##_AR, 0x93);                                                  \
	}
V8086_TWEAKS(ES)
V8086_TWEAKS(CS)
V8086_TWEAKS(SS)
V8086_TWEAKS(DS)
V8086_TWEAKS(FS)
V8086_TWEAKS(GS)

#define V8086_CASES(seg, name)                                                                      \
	{ "guest-" name "-base-v8086", { V8086 }, v8086_##seg##_base },                             \
	{ "guest-" name "-limit-v8086", { V8086 }, v8086_##seg##_limit },                           \
	{ "guest-" name "-rights-v8086", { V8086 }, v8086_##seg##_rights }

/* Present, no reserved bit, granularity fits: for a segment whose good limit is all ones with G set. */
#define COMMON_CASES(seg, name)                                                                     \
	{ "guest-" name "-present", { FLIP(GUEST_##seg##_AR, AR_P) }, NULL },                       \
	{ "guest-" name "-reserved", { FLIP(GUEST_##seg##_AR, BIT(8)) }, NULL },                    \
	{ "guest-" name "-reserved", { FLIP(GUEST_##seg##_AR, BIT(17)) }, NULL },                   \
	{ "guest-" name "-granularity", { FLIP(GUEST_##seg##_AR, AR_G), SET(GUEST_##seg##_LIMIT, 0x100000) }, NULL }, \
	{ "guest-" name "-s", { FLIP(GUEST_##seg##_AR, AR_S) }, NULL }

#define BIG_CASES(seg, name)                                                                        \
	{ "guest-" name "-granularity", { SET(GUEST_##seg##_LIMIT, 0xffffe) }, NULL }, COMMON_CASES(seg, name)

#define DATA_CASES(seg, name)                                                                       \
	{ "guest-" name "-type", { FLIP(GUEST_##seg##_AR, 1) }, NULL },                             \
	{ "guest-" name "-type", { SET(GUEST_##seg##_AR, 0xc099) }, NULL },                         \
	{ "guest-" name "-dpl", { RESTRICTED, SET(GUEST_##seg##_SEL, 0x13) }, NULL },               \
	BIG_CASES(seg, name), V8086_CASES(seg, name)

/* Small limits: G set needs bits 11:0 of the limit all ones, which 67h has not. */
#define SYSTEM_CASES(seg, name)                                                                     \
	{ "guest-" name "-present", { FLIP(GUEST_##seg##_AR, AR_P) }, NULL },                       \
	{ "guest-" name "-reserved", { FLIP(GUEST_##seg##_AR, BIT(11)) }, NULL },                   \
	{ "guest-" name "-granularity", { SET(GUEST_##seg##_LIMIT, 0x100000) }, NULL },             \
	{ "guest-" name "-granularity", { SET(GUEST_##seg##_LIMIT, 0x67), FLIP(GUEST_##seg##_AR, AR_G) }, NULL }, \
	{ "guest-" name "-s", { FLIP(GUEST_##seg##_AR, AR_S) }, NULL }

static const struct check_case cases[] = {
	{ "guest-tr-ti", { FLIP(GUEST_TR_SEL, 4) }, NULL },
	{ "guest-ldtr-ti", { FLIP(GUEST_LDTR_SEL, 4) }, NULL },
	{ "guest-ss-rpl", { RESTRICTED, SET(GUEST_CS_SEL, 0xb) }, NULL },
	{ "guest-tr-base", { SET(GUEST_TR_BASE, BAD_LINEAR) }, NULL },
	{ "guest-fs-base", { SET(GUEST_FS_BASE, BAD_LINEAR) }, NULL },
	{ "guest-gs-base", { SET(GUEST_GS_BASE, BAD_LINEAR) }, NULL },
	{ "guest-ldtr-base", { SET(GUEST_LDTR_BASE, BAD_LINEAR) }, NULL },
	{ "guest-cs-base", { SET(GUEST_CS_BASE, BIT(32)) }, NULL },
	{ "guest-ss-base", { SET(GUEST_SS_BASE, BIT(32)) }, NULL },
	{ "guest-ds-base", { SET(GUEST_DS_BASE, BIT(32)) }, NULL },
	{ "guest-es-base", { SET(GUEST_ES_BASE, BIT(32)) }, NULL },

	{ "guest-cs-type", { FLIP(GUEST_CS_AR, 1) }, NULL },
	{ "guest-cs-type", { RESTRICTED, SET(GUEST_CS_AR, 0xc093), SET(GUEST_RIP, 0) }, NULL },
	{ "guest-cs-dpl", { SET(GUEST_CS_AR, 0xa0fb) }, NULL },
	{ "guest-cs-dpl", { SET(GUEST_CS_AR, 0xa0ff) }, NULL },
	{ "guest-cs-dpl", { SET(GUEST_CS_AR, 0xc0f3), SET(GUEST_RIP, 0) }, NULL },
	{ "guest-cs-default", { FLIP(GUEST_CS_AR, AR_DB) }, NULL },
	BIG_CASES(CS, "cs"), V8086_CASES(CS, "cs"),

	{ "guest-ss-type", { FLIP(GUEST_SS_AR, 2) }, NULL },
	{ "guest-ss-type", { FLIP(GUEST_SS_AR, 1) }, NULL },
	{ "guest-ss-dpl", { RESTRICTED, SET(GUEST_CS_SEL, 0xb), SET(GUEST_SS_SEL, 0x13) }, NULL },
	{ "guest-ss-dpl-real", { SET(GUEST_CS_AR, 0xc093), SET(GUEST_SS_AR, 0xc0f3), SET(GUEST_RIP, 0) }, NULL },
	BIG_CASES(SS, "ss"), V8086_CASES(SS, "ss"),

	DATA_CASES(DS, "ds"), DATA_CASES(ES, "es"), DATA_CASES(FS, "fs"), DATA_CASES(GS, "gs"),

	{ "guest-tr-type", { SET(GUEST_TR_AR, 0x89) }, NULL },
	{ "guest-tr-type", { SET(GUEST_TR_AR, 0x83) }, NULL },
	{ "guest-tr-usable", { FLIP(GUEST_TR_AR, AR_UNUSABLE) }, NULL },
	SYSTEM_CASES(TR, "tr"),
	{ "guest-ldtr-type", { SET(GUEST_LDTR_AR, 0x83) }, NULL },
	SYSTEM_CASES(LDTR, "ldtr"),
};

int main(void) { return check_run_cases("guest segments", cases, ARRAY_LEN(cases), &check_guest_segs); }
