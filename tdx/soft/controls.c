/*
 * The controls that the VMCS of a TD has and may have, as a table. SDM volume 3C, "VM-Execution Control
 * Fields" and the sections after it; TDX Module 1.5 base specification, "TD VMCS".
 */
#include "tdx/soft/cpu.h"

#include "hv/base/format.h"

#include <string.h>

enum need {
	MUST,  /* the CPU offers it and it is on */
	OFF,   /* the CPU can do without it */
	LATER, /* the CPU offers it; it comes and goes */
	MAY,   /* on where the CPU offers it */
};

struct row {
	uint8_t word; /* enum control_word */
	uint8_t need;
	uint32_t bit;
	const char *name;
};

static const struct row rows[] = {
	{ CONTROL_PIN, MUST, PIN_EXTERNAL_INTERRUPT, "external-interrupt exiting" },
	{ CONTROL_PIN, MUST, PIN_NMI, "NMI exiting" },
	{ CONTROL_PIN, MUST, PIN_VIRTUAL_NMI, "virtual NMIs" },

	{ CONTROL_PRIMARY, LATER, PRIMARY_INTERRUPT_WINDOW, "interrupt-window exiting" },
	{ CONTROL_PRIMARY, LATER, PRIMARY_NMI_WINDOW, "NMI-window exiting" },
	{ CONTROL_PRIMARY, MUST, PRIMARY_TSC_OFFSET, "use TSC offsetting" },
	{ CONTROL_PRIMARY, MUST, PRIMARY_HLT, "HLT exiting" },
	{ CONTROL_PRIMARY, MUST, PRIMARY_MWAIT, "MWAIT exiting" },
	{ CONTROL_PRIMARY, MUST, PRIMARY_MONITOR, "MONITOR exiting" },
	{ CONTROL_PRIMARY, MUST, PRIMARY_RDPMC, "RDPMC exiting" },
	{ CONTROL_PRIMARY, MUST, PRIMARY_TPR_SHADOW, "use TPR shadow" },
	{ CONTROL_PRIMARY, MUST, PRIMARY_IO, "unconditional I/O exiting" },
	{ CONTROL_PRIMARY, MUST, PRIMARY_MSR_BITMAPS, "use MSR bitmaps" },
	{ CONTROL_PRIMARY, MUST, PRIMARY_SECONDARY, "activate secondary controls" },
	{ CONTROL_PRIMARY, OFF, PRIMARY_CR3_LOAD, "CR3-load exiting turned off" },
	{ CONTROL_PRIMARY, OFF, PRIMARY_CR3_STORE, "CR3-store exiting turned off" },

	{ CONTROL_SECONDARY, MUST, SECONDARY_EPT, "enable EPT" },
	{ CONTROL_SECONDARY, MUST, SECONDARY_UNRESTRICTED, "unrestricted guest" },
	{ CONTROL_SECONDARY, MUST, SECONDARY_X2APIC, "virtualize x2APIC mode" },
	{ CONTROL_SECONDARY, MUST, SECONDARY_WBINVD, "WBINVD exiting" },
	{ CONTROL_SECONDARY, MAY, SECONDARY_RDTSCP, "enable RDTSCP" },
	{ CONTROL_SECONDARY, MAY, SECONDARY_VPID, "enable VPID" },
	{ CONTROL_SECONDARY, MAY, SECONDARY_APIC_REGISTER, "APIC-register virtualization" },
	{ CONTROL_SECONDARY, MAY, SECONDARY_VID, "virtual-interrupt delivery" },
	{ CONTROL_SECONDARY, MAY, SECONDARY_INVPCID, "enable INVPCID" },
	{ CONTROL_SECONDARY, MAY, SECONDARY_ENCLS, "enable ENCLS exiting" },
	{ CONTROL_SECONDARY, MAY, SECONDARY_EPT_VE, "EPT-violation #VE" },
	{ CONTROL_SECONDARY, MAY, SECONDARY_XSAVES, "enable XSAVES/XRSTORS" },
	{ CONTROL_SECONDARY, MAY, SECONDARY_TSC_SCALING, "use TSC scaling" },
	{ CONTROL_SECONDARY, MAY, SOFT_SECONDARY_PCONFIG, "enable PCONFIG" },

	{ CONTROL_EXIT, MUST, EXIT_SAVE_DEBUG, "save debug controls" },
	{ CONTROL_EXIT, MUST, EXIT_HOST_64, "host address-space size (64-bit)" },
	{ CONTROL_EXIT, MUST, EXIT_ACK_INTERRUPT, "acknowledge interrupt on exit" },
	{ CONTROL_EXIT, MUST, EXIT_SAVE_PAT, "save IA32_PAT" },
	{ CONTROL_EXIT, MUST, EXIT_LOAD_PAT, "load IA32_PAT on exit" },
	{ CONTROL_EXIT, MUST, EXIT_SAVE_EFER, "save IA32_EFER" },
	{ CONTROL_EXIT, MUST, EXIT_LOAD_EFER, "load IA32_EFER on exit" },
	{ CONTROL_EXIT, MAY, EXIT_LOAD_PERF_GLOBAL, "load IA32_PERF_GLOBAL_CTRL on exit" },
	{ CONTROL_EXIT, MAY, EXIT_CLEAR_BNDCFGS, "clear IA32_BNDCFGS" },
	{ CONTROL_EXIT, MAY, EXIT_CLEAR_RTIT, "clear IA32_RTIT_CTL" },

	{ CONTROL_ENTRY, MUST, ENTRY_LOAD_DEBUG, "load debug controls" },
	{ CONTROL_ENTRY, MUST, ENTRY_LOAD_PAT, "load IA32_PAT on entry" },
	{ CONTROL_ENTRY, MUST, ENTRY_LOAD_EFER, "load IA32_EFER on entry" },
	{ CONTROL_ENTRY, MAY, ENTRY_LOAD_PERF_GLOBAL, "load IA32_PERF_GLOBAL_CTRL on entry" },
	{ CONTROL_ENTRY, MAY, ENTRY_LOAD_RTIT, "load IA32_RTIT_CTL on entry" },
};

/* Of IA32_VMX_EPT_VPID_CAP. S-EPT entries are live EPT entries: 4 levels, write-back, 2M leaves. */
static const struct {
	uint64_t bits;
	const char *name;
} ept_rows[] = {
	{ EPT_CAP_WALK_4, "EPT with a page-walk length of 4" },
	{ EPT_CAP_WB, "EPT paging structures in write-back memory" },
	{ EPT_CAP_2M, "EPT 2 MiB pages" },
	{ EPT_CAP_INVEPT | EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL, "INVEPT" },
};

static uint64_t word_caps(const struct vmx_caps *caps, unsigned word)
{
	const uint64_t words[CONTROL_WORDS] = {
		caps->pin, caps->primary, caps->secondary, caps->exit, caps->entry,
	};
	return words[word];
}

static bool offered(const struct vmx_caps *caps, const struct row *r)
{
	uint64_t c = word_caps(caps, r->word);

	return r->need == OFF ? !(c & r->bit) : (c >> 32 & r->bit) != 0;
}

static void list_add(char *list, size_t size, const char *name)
{
	size_t len = strlen(list);

	format(list + len, size - len, "%s%s", len ? ", " : "", name);
}

static void list_missing(const struct vmx_caps *caps, char *list, size_t size)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].need != MAY && !offered(caps, &rows[i]))
			list_add(list, size, rows[i].name);
	for (size_t i = 0; i < ARRAY_LEN(ept_rows); i++)
		if ((caps->ept_vpid & ept_rows[i].bits) != ept_rows[i].bits)
			list_add(list, size, ept_rows[i].name);
}

/* Of what the CPU offers, what is of no use alone. */
static uint32_t secondary_unused(const struct vmx_caps *caps)
{
	uint32_t may = (uint32_t)(caps->secondary >> 32), drop = 0;

	/* Interrupts delivered without an exit are of use only where EOI and the APIC's reads are. */
	if (!(may & SECONDARY_VID) || !(may & SECONDARY_APIC_REGISTER))
		drop |= SECONDARY_VID | SECONDARY_APIC_REGISTER;
	if (!(caps->ept_vpid & EPT_CAP_INVVPID))
		drop |= SECONDARY_VPID;
	return drop;
}

static uint32_t word_value(const struct vmx_caps *caps, unsigned word)
{
	uint32_t value = (uint32_t)word_caps(caps, word);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].word == word && (rows[i].need == MUST || rows[i].need == MAY) &&
		    offered(caps, &rows[i]))
			value |= rows[i].bit;
	return value;
}

int soft_controls_compute(const struct vmx_caps *caps, struct soft_controls *out, struct failure *f)
{
	char missing[180] = "";
	uint32_t secondary;

	list_missing(caps, missing, sizeof missing);
	if (missing[0])
		return fail(f, -ENODEV, "this CPU's VMX lacks what the software TDX module needs: %s", missing);
	for (unsigned w = 0; w < CONTROL_WORDS; w++)
		out->word[w] = word_value(caps, w);
	secondary = out->word[CONTROL_SECONDARY] & ~secondary_unused(caps);
	out->word[CONTROL_SECONDARY] = secondary;
	out->vid = secondary & SECONDARY_VID;
	out->vpid = secondary & SECONDARY_VPID;
	out->hardware_ve = secondary & SECONDARY_EPT_VE;
	out->tsc_scaling = secondary & SECONDARY_TSC_SCALING;
	out->xsaves = secondary & SECONDARY_XSAVES;
	return 0;
}

bool soft_controls_fit(const struct vmx_caps *caps, const struct soft_controls *c)
{
	for (unsigned w = 0; w < CONTROL_WORDS; w++) {
		uint64_t allowed = word_caps(caps, w);

		if ((uint32_t)allowed & ~c->word[w] || c->word[w] & ~(uint32_t)(allowed >> 32))
			return false;
	}
	return true;
}

bool soft_tsc_multiplier(const struct soft_cpu *cpu, const struct soft_controls *c, uint32_t units,
			 uint64_t *multiplier)
{
	uint64_t want = units * TDX_TSC_UNIT, have = cpu->tsc_hz;
	uint64_t off = want > have ? want - have : have - want;

	*multiplier = SOFT_TSC_ONE;
	if (c->tsc_scaling) {
		if (have >> 40 || have < want >> 15) /* the quotient must fit */
			return false;
		*multiplier = mul_div(want, SOFT_TSC_ONE, have);
		return true;
	}
	return off <= have / 1000;
}

/* Bits 111:48 of the product. */
uint64_t soft_tsc_scale(uint64_t tsc, uint64_t multiplier)
{
	uint64_t low = (tsc & 0xffffffff) * (multiplier & 0xffffffff);
	uint64_t a = (tsc >> 32) * (multiplier & 0xffffffff), b = (tsc & 0xffffffff) * (multiplier >> 32);
	uint64_t middle = (low >> 32) + (a & 0xffffffff) + (b & 0xffffffff);
	uint64_t high = (tsc >> 32) * (multiplier >> 32) + (a >> 32) + (b >> 32) + (middle >> 32);

	return high << 16 | (middle & 0xffffffff) >> 16;
}

struct soft_tsc soft_td_tsc(const struct soft_cpu *cpu, const struct soft_controls *c, uint32_t units, uint64_t start)
{
	struct soft_tsc t = { .multiplier = SOFT_TSC_ONE };

	(void)soft_tsc_multiplier(cpu, c, units, &t.multiplier);
	t.offset = -soft_tsc_scale(start, t.multiplier);
	return t;
}
