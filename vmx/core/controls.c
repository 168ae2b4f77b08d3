/*
 * The table of VMX controls, and its reading against the capability MSRs.
 */
#include "vmx/core/controls.h"

#include <string.h>

#include "hv/base/format.h"

#define NO_FEATURE (-1)

enum need {
	MUST,       /* Gnomon cannot do without */
	MAY,        /* used where present */
	ON_EPT,     /* on for guests on EPT alone */
	OFF_EPT,    /* on for guests under shadow paging; off on EPT, where its exits would be useless */
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
	{ CONTROL_PRIMARY, PRIMARY_CR3_LOAD, OFF_EPT, FEATURE_EPT, "CR3-load exiting" },
	{ CONTROL_PRIMARY, PRIMARY_CR3_STORE, OFF_EPT, FEATURE_EPT, "CR3-store exiting" },
	{ CONTROL_PRIMARY, PRIMARY_INVLPG, OFF_EPT, FEATURE_EPT, "INVLPG exiting" },
	{ CONTROL_PRIMARY, PRIMARY_TPR_SHADOW, LATER, FEATURE_TPR_SHADOW, "use TPR shadow" },
	{ CONTROL_PRIMARY, PRIMARY_NMI_WINDOW, LATER, FEATURE_VIRTUAL_NMI, "NMI-window exiting" },
	{ CONTROL_PRIMARY, PRIMARY_IO, MUST, NO_FEATURE, "unconditional I/O exiting" },
	{ CONTROL_PRIMARY, PRIMARY_MSR_BITMAPS, MUST, NO_FEATURE, "use MSR bitmaps" },
	{ CONTROL_PRIMARY, PRIMARY_MONITOR, MUST, NO_FEATURE, "MONITOR exiting" },
	{ CONTROL_PRIMARY, PRIMARY_SECONDARY, MUST, NO_FEATURE, "secondary controls" },

	{ CONTROL_SECONDARY, SECONDARY_EPT, ON_EPT, FEATURE_EPT, "extended page tables (EPT)" },
	{ CONTROL_SECONDARY, SECONDARY_UNRESTRICTED, ON_EPT, FEATURE_UNRESTRICTED, "unrestricted guest" },
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
	{ CONTROL_SECONDARY, SECONDARY_EPT_VE, LATER, FEATURE_EPT_VE, "EPT-violation #VE" },
	{ CONTROL_SECONDARY, SECONDARY_TSC_SCALING, LATER, FEATURE_TSC_SCALING, "use TSC scaling" },
	{ CONTROL_SECONDARY, SECONDARY_XSAVES, MAY, FEATURE_XSAVES, "enable XSAVES/XRSTORS" },

	{ CONTROL_EXIT, EXIT_SAVE_DEBUG, MUST, NO_FEATURE, "save debug controls" },
	{ CONTROL_EXIT, EXIT_HOST_64, MUST, NO_FEATURE, "host address-space size (64-bit)" },
	{ CONTROL_EXIT, EXIT_LOAD_PERF_GLOBAL, MAY, NO_FEATURE, "load IA32_PERF_GLOBAL_CTRL on exit" },
	{ CONTROL_EXIT, EXIT_ACK_INTERRUPT, LATER, FEATURE_POSTED_INTERRUPTS,
	  "acknowledge interrupt on exit" },
	{ CONTROL_EXIT, EXIT_LOAD_PAT, ON_EPT, FEATURE_EPT, "load IA32_PAT on exit" },
	{ CONTROL_EXIT, EXIT_SAVE_EFER, ON_EPT, FEATURE_EPT, "save IA32_EFER" },
	{ CONTROL_EXIT, EXIT_LOAD_EFER, ON_EPT, FEATURE_EPT, "load IA32_EFER on exit" },
	{ CONTROL_EXIT, EXIT_CLEAR_BNDCFGS, MAY, NO_FEATURE, "clear IA32_BNDCFGS" },
	{ CONTROL_EXIT, EXIT_CLEAR_RTIT, MAY, NO_FEATURE, "clear IA32_RTIT_CTL" },

	{ CONTROL_ENTRY, ENTRY_LOAD_DEBUG, MUST, NO_FEATURE, "load debug controls" },
	{ CONTROL_ENTRY, ENTRY_IA32E, LATER, NO_FEATURE, "IA-32e mode guest (64-bit)" },
	{ CONTROL_ENTRY, ENTRY_LOAD_PERF_GLOBAL, MAY, NO_FEATURE, "load IA32_PERF_GLOBAL_CTRL on entry" },
	{ CONTROL_ENTRY, ENTRY_LOAD_PAT, ON_EPT, FEATURE_EPT, "load IA32_PAT on entry" },
	{ CONTROL_ENTRY, ENTRY_LOAD_EFER, ON_EPT, FEATURE_EPT, "load IA32_EFER on entry" },
	{ CONTROL_ENTRY, ENTRY_LOAD_RTIT, MAY, NO_FEATURE, "load IA32_RTIT_CTL on entry" },
};

/* What is told by IA32_VMX_EPT_VPID_CAP. SDM "VPID and EPT Capabilities". */
struct ept_row {
	uint64_t bits; /* all of them */
	enum feature feature;
	const char *name;
};

static const struct ept_row ept_rows[] = {
	{ EPT_CAP_WALK_4, FEATURE_EPT, "EPT with a page-walk length of 4" },
	{ EPT_CAP_WB, FEATURE_EPT, "EPT paging structures in write-back memory" },
	{ EPT_CAP_INVEPT | EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL, FEATURE_EPT, "INVEPT" },
	{ EPT_CAP_2M, FEATURE_EPT_2M, "EPT 2 MiB pages" },
	{ EPT_CAP_1G, FEATURE_EPT_1G, "EPT 1 GiB pages" },
	{ EPT_CAP_AD, FEATURE_EPT_AD, "EPT accessed and dirty flags" },
	{ EPT_CAP_INVVPID | EPT_CAP_INVVPID_SINGLE | EPT_CAP_INVVPID_ALL, FEATURE_VPID, "INVVPID" },
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
	/* Without it a guest on EPT would need page tables of the hypervisor's while its paging is off:
	 * such a CPU runs its guests under shadow paging. */
	{ FEATURE_EPT, FEATURE_UNRESTRICTED },
	{ FEATURE_UNRESTRICTED, FEATURE_EPT },
	{ FEATURE_EPT_AD, FEATURE_EPT },
	{ FEATURE_EPT_2M, FEATURE_EPT },
	{ FEATURE_EPT_1G, FEATURE_EPT },
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
	return r->need == OFF_EPT ? !must_be_1(caps, r) : may_be_1(caps, r);
}

feature_set_t vmx_controls_scope(void)
{
	feature_set_t set = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].feature != NO_FEATURE)
			set |= BIT(rows[i].feature);
	for (size_t i = 0; i < ARRAY_LEN(ept_rows); i++)
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
		if (!ept_offered(caps, &ept_rows[i]))
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

/* Adds to a list in words; what does not fit is left out. */
static void list_add(char *list, size_t size, const char *before, const char *name)
{
	size_t len = strlen(list);

	format(list + len, size - len, "%s%s%s", len ? ", " : "", before, name);
}

static void list_missing(const struct vmx_caps *caps, char *list, size_t size)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].need == MUST && !row_offered(caps, &rows[i]))
			list_add(list, size, "", rows[i].name);
}

void vmx_controls_lacking_ept(const struct vmx_caps *caps, char *out, size_t size)
{
	out[0] = 0;
	if (!(caps->secondary >> 32 & SECONDARY_EPT)) {
		list_add(out, size, "", "EPT");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct control_row *r = &rows[i];

		if (row_offered(caps, r))
			continue;
		if (r->need == ON_EPT || r->need == OFF_EPT)
			list_add(out, size, r->need == OFF_EPT ? "no " : "", r->name);
	}
	for (size_t i = 0; i < ARRAY_LEN(ept_rows); i++)
		if (ept_rows[i].feature == FEATURE_EPT && !ept_offered(caps, &ept_rows[i]))
			list_add(out, size, "", ept_rows[i].name);
}

static bool row_wanted(const struct vmx_caps *caps, const struct control_row *r, enum control_paging paging,
		       feature_set_t used)
{
	switch (r->need) {
	case MUST:
		return true;
	case ON_EPT:
		return paging == PAGING_EPT && feature_in(used, FEATURE_EPT);
	case OFF_EPT:
		return paging == PAGING_SHADOW;
	case MAY:
		return may_be_1(caps, r) &&
		       (r->feature == NO_FEATURE || feature_in(used, (enum feature)r->feature));
	case LATER:
		break;
	}
	return false;
}

/* The least the CPU allows, and on top of it what the table wants. */
static uint32_t word_value(const struct vmx_caps *caps, enum control_word word, enum control_paging paging,
			   feature_set_t used)
{
	uint32_t value = (uint32_t)word_caps(caps, word);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].word == word && row_wanted(caps, &rows[i], paging, used))
			value |= rows[i].bit;
	return value;
}

int vmx_controls_compute(const struct vmx_caps *caps, feature_set_t disabled, struct vmx_controls *out,
			 struct failure *f)
{
	char missing[180] = "";

	list_missing(caps, missing, sizeof missing);
	if (missing[0])
		return fail(f, -ENODEV, "this CPU's VMX lacks what Gnomon needs: %s", missing);
	out->present = features_present(caps);
	out->used = features_used(out->present, disabled);
	for (int p = 0; p < PAGING_KINDS; p++)
		for (int w = 0; w < CONTROL_WORDS; w++)
			out->word[p][w] = word_value(caps, (enum control_word)w, (enum control_paging)p,
						     out->used);
	return 0;
}

static bool words_fit(const struct vmx_caps *caps, const uint32_t *words)
{
	for (int w = 0; w < CONTROL_WORDS; w++) {
		uint64_t allowed = word_caps(caps, (enum control_word)w);

		if ((uint32_t)allowed & ~words[w] || words[w] & ~(uint32_t)(allowed >> 32))
			return false;
	}
	return true;
}

bool vmx_controls_fit(const struct vmx_caps *caps, const struct vmx_controls *c)
{
	bool ept = feature_in(c->used, FEATURE_EPT);

	return words_fit(caps, c->word[PAGING_SHADOW]) && (!ept || words_fit(caps, c->word[PAGING_EPT]));
}

bool vmx_controls_describe(const struct vmx_caps *caps, const struct vmx_controls *c, unsigned index,
			   const char **name, bool *offered, bool *on)
{
	const struct control_row *r;

	if (index >= ARRAY_LEN(rows))
		return false;
	r = &rows[index];
	*name = r->name;
	*offered = may_be_1(caps, r);
	*on = r->need == LATER ? r->feature != NO_FEATURE && feature_in(c->used, (enum feature)r->feature)
			       : ((c->word[PAGING_EPT][r->word] | c->word[PAGING_SHADOW][r->word]) & r->bit) != 0;
	return true;
}
