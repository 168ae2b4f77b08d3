/*
 * VMCSs that the entry checker judges, as data: valid ones, and for every rule at least one that
 * breaks that rule alone. The unit tests build them in memory; tests/boot/provoke builds them in a
 * real VMCS and tries to enter.
 */
#ifndef TESTS_ENTRY_RULES_RULES_H
#define TESTS_ENTRY_RULES_RULES_H

#include "vmx/check_rules.h"

#define MAX_EDITS 8

/* Pages that fields point to. */
enum rule_page {
	PAGE_ZERO,    /* all 0 */
	PAGE_VMCS,    /* the current VMCS: begins with the revision */
	PAGE_SHADOW,  /* begins with the revision and the shadow bit */
	PAGE_PDPTES,  /* begins with a PDPTE that is present and has a reserved bit set */
	PAGE_COUNT
};

enum edit_how {
	EDIT_NONE,       /* end of a case's edits */
	EDIT_SET,        /* the field becomes the value */
	EDIT_FLIP,       /* the field's bits of the value change */
	EDIT_BEYOND,     /* the first bit beyond the physical-address width is set */
	EDIT_SET_BEYOND, /* the first address beyond the physical-address width, plus the value */
	EDIT_PAGE,       /* page `value / PAGE_SIZE` of enum rule_page, plus the rest */
};

struct check_edit {
	enum edit_how how;
	uint32_t field;
	uint64_t value;
};

#define SET(name, v) { EDIT_SET, VMCS_##name, (v) }
#define FLIP(name, v) { EDIT_FLIP, VMCS_##name, (v) }
#define BEYOND(name) { EDIT_BEYOND, VMCS_##name, 0 }
#define SET_BEYOND(name, v) { EDIT_SET_BEYOND, VMCS_##name, (uint64_t)(v) }
#define PAGE(name, page, offset) { EDIT_PAGE, VMCS_##name, (uint64_t)(page) * PAGE_SIZE + (offset) }

/* What a case starts from. */
enum check_base {
	BASE_LONG,  /* 64-bit code, unrestricted, EPT */
	BASE_V8086, /* virtual-8086 mode */
	BASE_REAL,  /* real mode, as after a start-up IPI */
};

struct check_case {
	const char *id;                     /* of the rule that breaks, alone; of a valid case: its name */
	struct check_edit edits[MAX_EDITS];
	enum check_base base;
	/* Makes the CPU another one than the unit tests' own: such a case cannot be provoked. */
	void (*cpu)(struct check_env *env, struct vmx_caps *caps);
};

struct check_cases {
	const struct check_case *cases;
	unsigned count;
	const struct check_table *covers; /* NULL: valid cases */
	const char *name;
};

extern const struct check_cases cases_controls, cases_host, cases_guest, cases_segs, cases_nonreg, cases_valid;

/* A VMCS under construction. */
struct rule_target {
	uint64_t (*get)(uint32_t field);
	void (*set)(uint32_t field, uint64_t value);
	const struct vmx_caps *caps;
	unsigned physical_bits;
	hpa_t page[PAGE_COUNT];
};

/* Controls and guest state of the base; the host state is the caller's. */
void rule_base(const struct rule_target *t, enum check_base base);
void rule_edit(const struct rule_target *t, const struct check_edit *e);
/* Base and edits of a case. */
void rule_build(const struct rule_target *t, const struct check_case *c);

#endif
