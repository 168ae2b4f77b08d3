/*
 * The table of VMX controls, and its reading against the capability MSRs.
 */
#include "vmx/core/controls.h"

#include "hv/base/format.h"

#define NO_FEATURE (-1)

enum need {
	MUST,       /* Gnomon cannot do without */
	MAY,        /* used where present */
	MUST_CLEAR, /* the CPU must allow 0: the exits it brings would be useless */
	LATER,      /* has to be offered for a feature; switched on per vCPU or while it is wanted */
};

struct control_row {
	enum control_word word;
	uint32_t bit;
	enum need need;
	int feature; /* what `disable` and `caps` call it, or NO_FEATURE */
	const char *name;
};

/* SDM "VM-Execution Control Fields", "VM-Exit Control Fields", "VM-Entry Control Fields": their names. */
static const struct control_row rows[] = {
	{ CONTROL_PIN, PIN_EXTERNAL_INTERRUPT, MUST, NO_FEATURE, "external-interrupt exiting" },
	{ CONTROL_PIN, PIN_NMI, MUST, NO_FEATURE, "NMI exiting" },
	{ CONTROL_PIN, PIN_VIRTUAL_NMI, MAY, FEATURE_VIRTUAL_NMI, "virtual NMIs" },
	{ CONTROL_PIN, PIN_PREEMPTION_TIMER, MAY, FEATURE_PREEMPTION_TIMER, "VMX-preemption timer" },
	{ CONTROL_PIN, PIN_POSTED_INTERRUPTS, LATER, FEATURE_POSTED_INTERRUPTS, "process posted interrupts" },

	{ CONTROL_PRIMARY, PRIMARY_INTERRUPT_WINDOW, LATER, NO_FEATURE, "interrupt-window exiting" },
	{ CONTROL_PRIMARY, PRIMARY_TSC_OFFSET, MUST, NO_FEATURE, "use TSC offsetting" },
	{ CONTROL_PRIMARY, PRIMARY_HLT, MUST, NO_FEATURE, "HLT exiting" },
	{ CONTROL_PRIMARY, PRIMARY_MWAIT, MUST, NO_FEATURE, "MWAIT exiting" },
	{ CONTROL_PRIMARY, PRIMARY_RDPMC, MUST, NO_FEATURE, "RDPMC exiting" },
	{ CONTROL_PRIMARY, PRIMARY_CR3_LOAD, MUST_CLEAR, NO_FEATURE, "no CR3-load exiting" },
	{ CONTROL_PRIMARY, PRIMARY_CR3_STORE, MUST_CLEAR, NO_FEATURE, "no CR3-store exiting" },
	{ CONTROL_PRIMARY, PRIMARY_INVLPG, MUST_CLEAR, NO_FEATURE, "no INVLPG exiting" },
	{ CONTROL_PRIMARY, PRIMARY_TPR_SHADOW, LATER, FEATURE_TPR_SHADOW, "use TPR shadow" },
	{ CONTROL_PRIMARY, PRIMARY_NMI_WINDOW, LATER, FEATURE_VIRTUAL_NMI, "NMI-window exiting" },
	{ CONTROL_PRIMARY, PRIMARY_IO, MUST, NO_FEATURE, "unconditional I/O exiting" },
	{ CONTROL_PRIMARY, PRIMARY_MSR_BITMAPS, MUST, NO_FEATURE, "use MSR bitmaps" },
	{ CONTROL_PRIMARY, PRIMARY_MONITOR, MUST, NO_FEATURE, "MONITOR exiting" },
	{ CONTROL_PRIMARY, PRIMARY_SECONDARY, MUST, NO_FEATURE, "secondary controls" },

	{ CONTROL_SECONDARY, SECONDARY_EPT, MUST, NO_FEATURE, "extended page tables (EPT)" },
	{ CONTROL_SECONDARY, SECONDARY_UNRESTRICTED, MUST, NO_FEATURE, "unrestricted guest" },
	{ CONTROL_SECONDARY, SECONDARY_APIC_ACCESS, LATER, FEATURE_VIRT_APIC_ACCESS,
	  "virtualize APIC accesses" },
	{ CONTROL_SECONDARY, SECONDARY_RDTSCP, MAY, FEATURE_RDTSCP, "enable RDTSCP" },
	{ CONTROL_SECONDARY, SECONDARY_X2APIC, LATER, FEATURE_VIRT_X2APIC, "virtualize x2APIC mode" },
	{ CONTROL_SECONDARY, SECONDARY_VPID, MAY, FEATURE_VPID, "enable VPID" },
	{ CONTROL_SECONDARY, SECONDARY_WBINVD, MAY, NO_FEATURE, "WBINVD exiting" },
	{ CONTROL_SECONDARY, SECONDARY_APIC_REGISTER, LATER, FEATURE_APIC_REGISTER,
	  "APIC-register virtualization" },
	{ CONTROL_SECONDARY, SECONDARY_VID, LATER, FEATURE_VID, "virtual-interrupt delivery" },
	{ CONTROL_SECONDARY, SECONDARY_INVPCID, MAY, FEATURE_INVPCID, "enable INVPCID" },
	{ CONTROL_SECONDARY, SECONDARY_RDRAND, LATER, NO_FEATURE, "RDRAND exiting" },
	{ CONTROL_SECONDARY, SECONDARY_RDSEED, LATER, NO_FEATURE, "RDSEED exiting" },
	{ CONTROL_SECONDARY, SECONDARY_ENCLS, MAY, NO_FEATURE, "enable ENCLS exiting" },
	{ CONTROL_SECONDARY, SECONDARY_PML, LATER, FEATURE_PML, "enable PML" },
	{ CONTROL_SECONDARY, SECONDARY_XSAVES, MAY, FEATURE_XSAVES, "enable XSAVES/XRSTORS" },
	{ CONTROL_SECONDARY, SECONDARY_TSC_SCALING, LATER, FEATURE_TSC_SCALING, "use TSC scaling" },

	{ CONTROL_EXIT, EXIT_SAVE_DEBUG, MUST, NO_FEATURE, "save debug controls" },
	{ CONTROL_EXIT, EXIT_HOST_64, MUST, NO_FEATURE, "host address-space size (64-bit)" },
	{ CONTROL_EXIT, EXIT_LOAD_PERF_GLOBAL, MAY, NO_FEATURE, "load IA32_PERF_GLOBAL_CTRL on exit" },
	{ CONTROL_EXIT, EXIT_ACK_INTERRUPT, LATER, FEATURE_POSTED_INTERRUPTS,
	  "acknowledge interrupt on exit" },
	{ CONTROL_EXIT, EXIT_LOAD_PAT, MUST, NO_FEATURE, "load IA32_PAT on exit" },
	{ CONTROL_EXIT, EXIT_SAVE_EFER, MUST, NO_FEATURE, "save IA32_EFER" },
	{ CONTROL_EXIT, EXIT_LOAD_EFER, MUST, NO_FEATURE, "load IA32_EFER on exit" },
	{ CONTROL_EXIT, EXIT_CLEAR_BNDCFGS, MAY, NO_FEATURE, "clear IA32_BNDCFGS" },
	{ CONTROL_EXIT, EXIT_CLEAR_RTIT, MAY, NO_FEATURE, "clear IA32_RTIT_CTL" },

	{ CONTROL_ENTRY, ENTRY_LOAD_DEBUG, MUST, NO_FEATURE, "load debug controls" },
	{ CONTROL_ENTRY, ENTRY_IA32E, LATER, NO_FEATURE, "IA-32e mode guest (64-bit)" },
	{ CONTROL_ENTRY, ENTRY_LOAD_PERF_GLOBAL, MAY, NO_FEATURE, "load IA32_PERF_GLOBAL_CTRL on entry" },
	{ CONTROL_ENTRY, ENTRY_LOAD_PAT, MUST, NO_FEATURE, "load IA32_PAT on entry" },
	{ CONTROL_ENTRY, ENTRY_LOAD_EFER, MUST, NO_FEATURE, "load IA32_EFER on entry" },
	{ CONTROL_ENTRY, ENTRY_LOAD_RTIT, MAY, NO_FEATURE, "load IA32_RTIT_CTL on entry" },
};

/* What is told by IA32_VMX_EPT_VPID_CAP. SDM "VPID and EPT Capabilities". */
struct ept_row {
	uint64_t bits; /* all of them */
	enum need need;
	int feature;
	const char *name;
};

static const struct ept_row ept_rows[] = {
	{ EPT_CAP_WALK_4, MUST, NO_FEATURE, "EPT with a page-walk length of 4" },
	{ EPT_CAP_WB, MUST, NO_FEATURE, "EPT paging structures in write-back memory" },
	{ EPT_CAP_INVEPT | EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL, MUST, NO_FEATURE, "INVEPT" },
	{ EPT_CAP_2M, MAY, FEATURE_EPT_2M, "EPT 2 MiB pages" },
	{ EPT_CAP_1G, MAY, FEATURE_EPT_1G, "EPT 1 GiB pages" },
	{ EPT_CAP_AD, MAY, FEATURE_EPT_AD, "EPT accessed and dirty flags" },
	{ EPT_CAP_INVVPID | EPT_CAP_INVVPID_SINGLE | EPT_CAP_INVVPID_ALL, MAY, FEATURE_VPID, "INVVPID" },
};

/* SDM "Checks on VM-Execution Control Fields": which feature cannot be on without which. */
static const struct {
	uint8_t feature, needs;
} dependencies[] = {
	{ FEATURE_VIRT_APIC_ACCESS, FEATURE_TPR_SHADOW },
	{ FEATURE_APIC_REGISTER, FEATURE_TPR_SHADOW },
	{ FEATURE_VIRT_X2APIC, FEATURE_TPR_SHADOW },
	{ FEATURE_VID, FEATURE_TPR_SHADOW },
	/* Interrupts delivered without an exit are of use only where the EOI is, too. */
	{ FEATURE_VID, FEATURE_APIC_REGISTER },
	{ FEATURE_POSTED_INTERRUPTS, FEATURE_VID },
	{ FEATURE_PML, FEATURE_EPT_AD },
};

static uint64_t word_caps(const struct vmx_caps *caps, enum control_word word)
{
	const uint64_t words[CONTROL_WORDS] = {
		caps->pin, caps->primary, caps->secondary, caps->exit, caps->entry,
	};
	return words[word];
}

static bool may_be_1(const struct vmx_caps *caps, const struct control_row *r)
{
	return word_caps(caps, r->word) >> 32 & r->bit;
}

static bool must_be_1(const struct vmx_caps *caps, const struct control_row *r)
{
	return (uint32_t)word_caps(caps, r->word) & r->bit;
}

static bool row_offered(const struct vmx_caps *caps, const struct control_row *r)
{
	return r->need == MUST_CLEAR ? !must_be_1(caps, r) : may_be_1(caps, r);
}

feature_set_t vmx_controls_scope(void)
{
	feature_set_t set = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].feature != NO_FEATURE)
			set |= BIT(rows[i].feature);
	for (size_t i = 0; i < ARRAY_LEN(ept_rows); i++)
		if (ept_rows[i].feature != NO_FEATURE)
			set |= BIT(ept_rows[i].feature);
	return set;
}

static bool ept_offered(const struct vmx_caps *caps, const struct ept_row *r)
{
	return (caps->ept_vpid & r->bits) == r->bits;
}

/* A feature is present when every row that carries it is offered. */
static feature_set_t features_present(const struct vmx_caps *caps)
{
	feature_set_t set = vmx_controls_scope();

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].feature != NO_FEATURE && !row_offered(caps, &rows[i]))
			set &= ~BIT(rows[i].feature);
	for (size_t i = 0; i < ARRAY_LEN(ept_rows); i++)
		if (ept_rows[i].feature != NO_FEATURE && !ept_offered(caps, &ept_rows[i]))
			set &= ~BIT(ept_rows[i].feature);
	return set;
}

static feature_set_t features_used(feature_set_t present, feature_set_t disabled)
{
	feature_set_t used = present & ~disabled, before;

	do {
		before = used;
		for (size_t i = 0; i < ARRAY_LEN(dependencies); i++)
			if (!feature_in(used, (enum feature)dependencies[i].needs))
				used &= ~BIT(dependencies[i].feature);
	} while (used != before);
	return used;
}

struct missing {
	char text[180];
	size_t len;
};

static void missing_add(struct missing *m, const char *name)
{
	int n = format(m->text + m->len, sizeof m->text - m->len, "%s%s", m->len ? ", " : "", name);

	m->len += (size_t)n < sizeof m->text - m->len ? (size_t)n : sizeof m->text - m->len - 1;
}

static void list_missing(const struct vmx_caps *caps, struct missing *m)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if ((rows[i].need == MUST || rows[i].need == MUST_CLEAR) && !row_offered(caps, &rows[i]))
			missing_add(m, rows[i].name);
	for (size_t i = 0; i < ARRAY_LEN(ept_rows); i++)
		if (ept_rows[i].need == MUST && !ept_offered(caps, &ept_rows[i]))
			missing_add(m, ept_rows[i].name);
}

/* The least the CPU allows, and on top of it what the table wants. */
static uint32_t word_value(const struct vmx_caps *caps, enum control_word word, feature_set_t used)
{
	uint32_t value = (uint32_t)word_caps(caps, word);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct control_row *r = &rows[i];
		bool wanted = r->need == MUST ||
			      (r->need == MAY && may_be_1(caps, r) &&
			       (r->feature == NO_FEATURE || feature_in(used, (enum feature)r->feature)));
		if (r->word == word && wanted)
			value |= r->bit;
	}
	return value;
}

int vmx_controls_compute(const struct vmx_caps *caps, feature_set_t disabled, struct vmx_controls *out,
			 struct failure *f)
{
	struct missing m = { .len = 0 };

	list_missing(caps, &m);
	if (m.len)
		return fail(f, -ENODEV, "this CPU's VMX lacks what Gnomon needs: %s", m.text);
	out->present = features_present(caps);
	out->used = features_used(out->present, disabled);
	for (int w = 0; w < CONTROL_WORDS; w++)
		out->word[w] = word_value(caps, (enum control_word)w, out->used);
	return 0;
}

bool vmx_controls_fit(const struct vmx_caps *caps, const struct vmx_controls *c)
{
	for (int w = 0; w < CONTROL_WORDS; w++) {
		uint64_t allowed = word_caps(caps, (enum control_word)w);

		if ((uint32_t)allowed & ~c->word[w] || c->word[w] & ~(uint32_t)(allowed >> 32))
			return false;
	}
	return true;
}

bool vmx_controls_describe(const struct vmx_caps *caps, const struct vmx_controls *c, unsigned index,
			   const char **name, bool *offered, bool *on)
{
	const struct control_row *r;

	if (index >= ARRAY_LEN(rows))
		return false;
	r = &rows[index];
	*name = r->name;
	*offered = row_offered(caps, r);
	*on = r->need == LATER ? r->feature != NO_FEATURE && feature_in(c->used, (enum feature)r->feature)
	      : r->need == MUST_CLEAR ? *offered : (c->word[r->word] & r->bit) != 0;
	return true;
}
