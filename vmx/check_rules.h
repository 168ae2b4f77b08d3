/*
 * The form of the entry checker's rules, and the predicates that many of them share.
 * Private to vmx/check*.c and their tests.
 */
#ifndef VMX_CHECK_RULES_H
#define VMX_CHECK_RULES_H

#include "hv/base/x86.h"
#include "vmx/check.h"
#include "vmx/core/fields.h"

enum check_section {
	SECTION_EXECUTION_CONTROLS, SECTION_EXIT_CONTROLS, SECTION_ENTRY_CONTROLS,
	SECTION_HOST_REGISTERS, SECTION_HOST_SEGMENTS, SECTION_HOST_SIZE,
	SECTION_GUEST_REGISTERS, SECTION_GUEST_SEGMENTS, SECTION_GUEST_TABLES, SECTION_GUEST_RIP,
	SECTION_NON_REGISTER, SECTION_PDPTES, SECTION_COUNT
};

/* Control words besides enum control_word. */
#define CONTROL_TERTIARY CONTROL_WORDS
#define CONTROL_EXIT2 (CONTROL_WORDS + 1)
#define CHECK_WORDS (CONTROL_WORDS + 2)

/* Control bits that Gnomon never sets, but which rules name. */
#define SECONDARY_PT_GUEST_PHYSICAL BIT(24)
#define SECONDARY_PASID BIT(21)
#define TERTIARY_HLAT BIT(1)
#define TERTIARY_PAGING_WRITE BIT(2)
#define TERTIARY_PAGING_VERIFICATION BIT(3)
#define TERTIARY_IPI_VIRTUALIZATION BIT(4)
#define EXIT_LOAD_CET BIT(28)
#define EXIT_LOAD_PKRS BIT(29)
#define EXIT_SECONDARY BIT(31)
#define ENTRY_TO_SMM BIT(10)
#define ENTRY_DEACTIVATE_DUAL_MONITOR BIT(11)
#define ENTRY_LOAD_UINV BIT(19)
#define ENTRY_LOAD_CET BIT(20)
#define ENTRY_LOAD_LBR BIT(21)
#define ENTRY_LOAD_PKRS BIT(22)

/* One or more bits of a control word, as one number; 0: always. */
#define CONTROL(word, bits) ((uint64_t)(word) << 32 | (uint32_t)(bits))
#define ALWAYS 0

/* The VM-entry interruption-information field. */
#define INTR_VALID BIT(31)
#define INTR_DELIVER_ERROR BIT(11)
#define INTR_VECTOR(info) ((unsigned)((info) & 0xff))
#define INTR_TYPE(info) ((unsigned)((info) >> 8 & 7))
enum intr_type {
	INTR_EXTERNAL, INTR_RESERVED, INTR_NMI, INTR_HARDWARE, INTR_SOFTWARE, INTR_PRIVILEGED, INTR_EXCEPTION,
	INTR_OTHER
};

enum activity { ACTIVITY_ACTIVE, ACTIVITY_HLT, ACTIVITY_SHUTDOWN, ACTIVITY_WAIT_SIPI };

#define BLOCKING_STI BIT(0)
#define BLOCKING_MOV_SS BIT(1)
#define BLOCKING_SMI BIT(2)
#define BLOCKING_NMI BIT(3)
#define BLOCKING_ENCLAVE BIT(4)

/* One VMCS under examination. */
struct check {
	const struct check_env *env;
	uint64_t word[CHECK_WORDS]; /* a control word that is not activated counts as 0 */
	uint64_t intr_info;         /* 0 unless valid */
};

struct check_rule {
	const char *id;
	enum check_section section;
	uint32_t field;   /* its name and value begin the sentence */
	uint64_t when;    /* CONTROL(): the rule applies only while these are set */
	bool (*ok)(const struct check *c, const struct check_rule *r);
	uint64_t arg;     /* for ok */
	const char *text; /* the rest of the sentence */
};

struct check_table {
	const struct check_rule *rules;
	unsigned count;
};

extern const struct check_table check_controls, check_host, check_guest_regs, check_guest_segs, check_nonreg;

/* All tables in the SDM's order. */
#define CHECK_TABLES 5
extern const struct check_table *const check_tables[CHECK_TABLES];

static inline uint64_t check_field(const struct check *c, uint32_t field)
{
	return c->env->read(c->env->ctx, field);
}

/* All the bits of CONTROL() are set. */
static inline bool check_control(const struct check *c, uint64_t control)
{
	uint32_t bits = (uint32_t)control;
	return (c->word[control >> 32] & bits) == bits;
}

static inline bool check_ia32e(const struct check *c)
{
	return check_control(c, CONTROL(CONTROL_ENTRY, ENTRY_IA32E));
}

static inline bool check_unrestricted(const struct check *c)
{
	return check_control(c, CONTROL(CONTROL_SECONDARY, SECONDARY_UNRESTRICTED));
}

/* An event of this type is to be injected. */
static inline bool check_injects(const struct check *c, enum intr_type type)
{
	return c->intr_info & INTR_VALID && INTR_TYPE(c->intr_info) == type;
}

bool check_is_canonical(const struct check *c, uint64_t address);
/* No bits beyond the physical-address width (32 where IA32_VMX_BASIC[48] says so). */
bool check_in_physical(const struct check *c, uint64_t address);
bool check_pat_valid(uint64_t pat);

/* Predicates of rules: about the rule's own field unless said otherwise. */
bool check_canonical(const struct check *c, const struct check_rule *r);
bool check_physical(const struct check *c, const struct check_rule *r); /* arg: bits that are 0 as well */
bool check_clear(const struct check *c, const struct check_rule *r);    /* arg: bits that are 0 */
bool check_non_zero(const struct check *c, const struct check_rule *r);
bool check_needs(const struct check *c, const struct check_rule *r);    /* arg: CONTROL() that is set */
bool check_excludes(const struct check *c, const struct check_rule *r); /* arg: CONTROL(), no bit of it set */
bool check_pat(const struct check *c, const struct check_rule *r);
bool check_perf_global(const struct check *c, const struct check_rule *r);
bool check_s_cet(const struct check *c, const struct check_rule *r);

#endif
