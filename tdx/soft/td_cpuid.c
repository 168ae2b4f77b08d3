/*
 * The CPUID profile of TDs. A bit that no row lets through is 0: VMX, SMX, MONITOR, DS, PDCM, TSX, MTRR (a
 * kernel that sees it turns caches off to set it up, which no TD can), SGX, RDT, performance monitoring, PT, LBR,
 * CET, PKS, LA57, WAITPKG, AMX, user interrupts. SDM volume 2A, "CPUID - CPU Identification".
 */
#include "tdx/soft/td_cpuid.h"

#include "hv/base/x86.h"

#define ANY TD_CPUID_NO_SUBLEAF
#define EXTENDED 0x80000000u
#define HYPERVISOR_FIRST 0x40000000u
#define HYPERVISOR_LAST 0x4fffffffu
#define MAX_BASIC 0x23u
#define MAX_EXTENDED 0x80000008u

#define XCR0_AVX BIT(2)
#define XCR0_AVX512 BITS(7, 5)
#define XCR0_PKRU BIT(9)
#define XCR0_LAST 19 /* the highest component that any profile could have */

#define LINEAR_BITS 48
#define CRYSTAL_HZ ((uint32_t)TDX_TSC_UNIT)
#define XSAVE_LEGACY_SIZE 576 /* legacy region and header */

#define B(n) (1u << (n))
#define NONE { 0, 0, 0, 0 }

/* Special leaves and values that depend on the moment. */
enum kind {
	PLAIN,
	VENDOR,
	VERSION,   /* OSXSAVE and the APIC id */
	CACHE,
	FEATURES,  /* OSPKE */
	XSTATE_0,  /* the current size */
	XSTATE_1,
	XSTATE_N,
	TSC,
	TDX,
	EXT_MAX,
	EXT_FEATURES, /* SYSCALL in 64-bit mode only */
	EXT_WIDTHS,
};

struct row {
	uint32_t leaf, subleaf; /* ANY: for every subleaf */
	enum kind kind;
	struct tdx_cpuid_values host;  /* bits that are as the host's */
	struct tdx_cpuid_values fixed; /* bits that are 1 */
};

#define ALL UINT32_MAX
#define ZERO(leaf) { leaf, ANY, PLAIN, NONE, NONE }
#define XSTATE(i) { 0xd, i, XSTATE_N, { ALL, ALL, ALL, ALL }, NONE }

static const struct row rows[] = {
	{ 0x0, ANY, VENDOR, { 0, ALL, ALL, ALL }, NONE },
	{ 0x1, ANY, VERSION,
	  { ALL, BITS(15, 0),
	    B(0) | B(1) | B(9) | B(12) | B(13) | B(17) | B(19) | B(20) | B(22) | B(23) | B(25) | B(26) | B(28) |
	    B(29) | B(30),
	    BITS(8, 0) | B(11) | BITS(16, 13) | B(19) | BITS(27, 23) },
	  { 0, 0, B(21) | B(24) | B(31), B(9) } }, /* x2APIC, TSC deadline, hypervisor; APIC */
	ZERO(0x3),
	{ 0x4, 0, CACHE, { BITS(13, 0), ALL, ALL, ALL }, NONE },
	{ 0x4, 1, CACHE, { BITS(13, 0), ALL, ALL, ALL }, NONE },
	{ 0x4, 2, CACHE, { BITS(13, 0), ALL, ALL, ALL }, NONE },
	{ 0x4, 3, CACHE, { BITS(13, 0), ALL, ALL, ALL }, NONE },
	{ 0x4, 4, PLAIN, NONE, NONE },
	ZERO(0x5),
	{ 0x7, 0, FEATURES,
	  { 0,
	    B(0) | B(3) | BITS(10, 5) | B(13) | BITS(21, 16) | B(23) | B(24) | BITS(31, 28),
	    BITS(3, 0) | B(6) | BITS(12, 8) | B(14) | B(22) | B(25) | B(27) | B(28),
	    BITS(4, 2) | B(8) | B(10) | B(14) | B(23) | BITS(29, 26) | B(31) },
	  { 2, 0, 0, B(29) } }, /* highest subleaf; ARCH_CAPABILITIES, which says that x2APIC mode is locked */
	{ 0x7, 1, PLAIN, { B(4) | B(5) | BITS(12, 10) | B(23), 0, 0, 0 }, NONE },
	{ 0x7, 2, PLAIN, { 0, 0, 0, BITS(5, 0) }, NONE },
	ZERO(0x8),
	ZERO(0xa),
	{ 0xd, 0, XSTATE_0, NONE, NONE },
	{ 0xd, 1, XSTATE_1, { BITS(3, 0), 0, 0, 0 }, NONE },
	XSTATE(2), XSTATE(3), XSTATE(4), XSTATE(5), XSTATE(6), XSTATE(7), XSTATE(8), XSTATE(9), XSTATE(10),
	XSTATE(11), XSTATE(12), XSTATE(13), XSTATE(14), XSTATE(15), XSTATE(16), XSTATE(17), XSTATE(18),
	XSTATE(XCR0_LAST),
	ZERO(0xe),
	ZERO(0x11),
	ZERO(0x12),
	ZERO(0x13),
	ZERO(0x14),
	{ 0x15, ANY, TSC, NONE, NONE },
	ZERO(0x19),
	ZERO(0x1a),
	ZERO(0x1c),
	ZERO(0x1d),
	ZERO(0x1e),
	ZERO(0x20),
	{ 0x21, 0, TDX, NONE, { 0, 0x65746e49, 0x20202020, 0x5844546c } }, /* "IntelTDX    " */
	ZERO(0x22),
	ZERO(0x23),
	{ EXTENDED, ANY, EXT_MAX, NONE, { MAX_EXTENDED, 0, 0, 0 } },
	{ EXTENDED + 1, ANY, EXT_FEATURES,
	  { 0, 0, B(0) | B(5) | B(8), B(11) | B(20) | B(26) | B(27) | B(29) }, NONE },
	{ EXTENDED + 6, ANY, PLAIN, { 0, 0, ALL, 0 }, NONE },
	{ EXTENDED + 7, ANY, PLAIN, NONE, { 0, 0, 0, B(8) } }, /* invariant TSC */
	{ EXTENDED + 8, ANY, EXT_WIDTHS, NONE, NONE },
};
_Static_assert(ARRAY_LEN(rows) <= TD_CPUID_MAX_ROWS, "TD_CPUID_MAX_ROWS");

/* Sharing of the caches, and the ids set aside for the package: how many vCPUs the host wants to show. */
static const struct td_cpuid_config configs[] = {
	{ 0x1, ANY, { 0, BITS(23, 16), 0, B(28) } },
	{ 0x4, 0, { BITS(31, 14), 0, 0, 0 } },
	{ 0x4, 1, { BITS(31, 14), 0, 0, 0 } },
	{ 0x4, 2, { BITS(31, 14), 0, 0, 0 } },
	{ 0x4, 3, { BITS(31, 14), 0, 0, 0 } },
};

/* Bits that a TD has only with these components in its XFAM. SDM volume 1, "Enabling the XSAVE Feature Set". */
static const struct {
	uint32_t leaf, subleaf;
	uint64_t xfam;
	struct tdx_cpuid_values bits;
} needs_xfam[] = {
	{ 0x1, ANY, XCR0_AVX, { 0, 0, B(12) | B(28) | B(29), 0 } },
	{ 0x7, 0, XCR0_AVX, { 0, B(5), B(9) | B(10), 0 } },
	{ 0x7, 1, XCR0_AVX, { B(4) | B(23), 0, 0, 0 } },
	{ 0x7, 0, XCR0_AVX512,
	  { 0, B(16) | B(17) | B(21) | B(28) | B(30) | B(31), B(1) | B(6) | B(11) | B(12) | B(14),
	    B(2) | B(3) | B(8) | B(23) } },
	{ 0x7, 1, XCR0_AVX512, { B(5), 0, 0, 0 } },
	{ 0x7, 0, XCR0_PKRU, { 0, 0, B(3), 0 } },
};

/* Bits that a TD has only with these secondary controls. */
static const struct {
	uint32_t leaf, subleaf, control;
	struct tdx_cpuid_values bits;
} needs_control[] = {
	{ 0x7, 0, SECONDARY_INVPCID, { 0, B(10), 0, 0 } },
	{ 0x7, 0, SECONDARY_RDTSCP, { 0, 0, B(22), 0 } },
	{ 0xd, 1, SECONDARY_XSAVES, { B(3), 0, 0, 0 } },
	{ EXTENDED + 1, ANY, SECONDARY_RDTSCP, { 0, 0, 0, B(27) } },
};

const struct td_cpuid_config *td_cpuid_config(uint32_t index)
{
	return index < ARRAY_LEN(configs) ? &configs[index] : NULL;
}

/* ---- computing the table ---- */

struct builder {
	struct soft *m;
	const struct soft_tdcs *tdcs;
	struct td_cpuid *out;
};

static struct tdx_cpuid_values and(struct tdx_cpuid_values a, struct tdx_cpuid_values b)
{
	return (struct tdx_cpuid_values){ a.eax & b.eax, a.ebx & b.ebx, a.ecx & b.ecx, a.edx & b.edx };
}

static struct tdx_cpuid_values or(struct tdx_cpuid_values a, struct tdx_cpuid_values b)
{
	return (struct tdx_cpuid_values){ a.eax | b.eax, a.ebx | b.ebx, a.ecx | b.ecx, a.edx | b.edx };
}

static struct tdx_cpuid_values without(struct tdx_cpuid_values a, struct tdx_cpuid_values b)
{
	return (struct tdx_cpuid_values){ a.eax & ~b.eax, a.ebx & ~b.ebx, a.ecx & ~b.ecx, a.edx & ~b.edx };
}

/* Zeros for a leaf that the host does not have, which CPUID itself would answer with another. */
static struct tdx_cpuid_values host(const struct builder *b, uint32_t leaf, uint32_t subleaf)
{
	const struct soft_platform *p = &b->m->platform;
	struct tdx_cpuid_values v;

	p->cpu.cpuid(p->ctx, leaf & EXTENDED, 0, &v);
	if (leaf > v.eax)
		return (struct tdx_cpuid_values){ 0 };
	p->cpu.cpuid(p->ctx, leaf, subleaf == ANY ? 0 : subleaf, &v);
	return v;
}

static struct tdx_cpuid_values configured(const struct builder *b, const struct row *r)
{
	for (uint32_t i = 0; i < ARRAY_LEN(configs); i++)
		if (configs[i].leaf == r->leaf && configs[i].subleaf == r->subleaf)
			return and(b->tdcs->cpuid_config[i], configs[i].mask);
	return (struct tdx_cpuid_values){ 0 };
}

static struct tdx_cpuid_values hidden(const struct builder *b, const struct row *r)
{
	uint32_t secondary = b->m->controls.word[CONTROL_SECONDARY];
	struct tdx_cpuid_values v = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(needs_xfam); i++)
		if (needs_xfam[i].leaf == r->leaf && needs_xfam[i].subleaf == r->subleaf &&
		    (b->tdcs->xfam & needs_xfam[i].xfam) != needs_xfam[i].xfam)
			v = or(v, needs_xfam[i].bits);
	for (size_t i = 0; i < ARRAY_LEN(needs_control); i++)
		if (needs_control[i].leaf == r->leaf && needs_control[i].subleaf == r->subleaf &&
		    !(secondary & needs_control[i].control))
			v = or(v, needs_control[i].bits);
	return v;
}

static unsigned find(uint32_t leaf, uint32_t subleaf)
{
	unsigned i;

	for (i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].leaf == leaf && (rows[i].subleaf == subleaf || rows[i].subleaf == ANY))
			break;
	return i;
}

/* Bytes of an XSAVE area for the components. Compacted: back to back, some aligned to 64. */
static uint32_t xsave_size(const struct td_cpuid *t, uint64_t components, bool compacted)
{
	const struct tdx_cpuid_values *v = &t->value[find(0xd, 0)];
	uint32_t size = XSAVE_LEGACY_SIZE;

	for (unsigned i = 2; i <= XCR0_LAST; i++) {
		if (!(components & BIT(i)))
			continue;
		if (!compacted)
			size = (uint32_t)max_u64(size, (uint64_t)v[i].ebx + v[i].eax);
		else
			size = (uint32_t)(v[i].ecx & 2 ? align_up(size, 64) : size) + v[i].eax;
	}
	return size;
}

static struct tdx_cpuid_values compute(const struct builder *b, const struct row *r)
{
	struct tdx_cpuid_values v = or(and(host(b, r->leaf, r->subleaf), r->host), r->fixed);
	const struct soft_tdcs *t = b->tdcs;

	v = or(without(v, hidden(b, r)), configured(b, r));
	switch (r->kind) {
	case VENDOR:
		v.eax = MAX_BASIC;
		break;
	case CACHE:
		if (!(v.eax & 0x1f)) /* no such cache */
			v = (struct tdx_cpuid_values){ 0 };
		break;
	case XSTATE_0:
		v = (struct tdx_cpuid_values){ .eax = (uint32_t)t->xfam, .edx = (uint32_t)(t->xfam >> 32) };
		break;
	case XSTATE_N:
		if (!(t->xfam & BIT(r->subleaf)))
			v = (struct tdx_cpuid_values){ 0 };
		break;
	case TSC:
		v = (struct tdx_cpuid_values){ 1, t->tsc_frequency, CRYSTAL_HZ, 0 };
		break;
	case EXT_WIDTHS:
		v.eax = LINEAR_BITS << 8 | t->gpa_bits;
		break;
	default:
		break;
	}
	return v;
}

void td_cpuid_build(struct soft *m, const struct soft_tdcs *tdcs, struct td_cpuid *out)
{
	struct builder b = { .m = m, .tdcs = tdcs, .out = out };

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		out->value[i] = compute(&b, &rows[i]);
	out->value[find(0xd, 0)].ecx = xsave_size(out, tdcs->xfam, false);
}

/* ---- answering ---- */

static void adjust(const struct td_cpuid *t, const struct row *r, const struct td_cpuid_now *now,
		   struct tdx_cpuid_values *v)
{
	switch (r->kind) {
	case VERSION:
		v->ebx |= (now->vcpu_index & 0xff) << 24;
		v->ecx |= now->cr4 & CR4_OSXSAVE ? B(27) : 0;
		break;
	case FEATURES:
		v->ecx |= now->cr4 & CR4_PKE ? B(4) : 0;
		break;
	case XSTATE_0:
		v->ebx = xsave_size(t, now->xcr0, false);
		break;
	case XSTATE_1:
		v->ebx = v->eax & (B(1) | B(3)) ? xsave_size(t, now->xcr0 | now->xss, true) : 0;
		break;
	case EXT_FEATURES:
		v->edx &= now->in_64bit ? ALL : ~B(11);
		break;
	default:
		break;
	}
}

bool td_cpuid_answer(const struct td_cpuid *t, uint32_t leaf, uint32_t subleaf, const struct td_cpuid_now *now,
		     struct tdx_cpuid_values *out)
{
	unsigned i;

	if (leaf >= HYPERVISOR_FIRST && leaf <= HYPERVISOR_LAST)
		return false;
	if (leaf > MAX_EXTENDED || (leaf > MAX_BASIC && leaf < EXTENDED))
		leaf = MAX_BASIC;
	if (leaf == 0xd && subleaf > XCR0_LAST) {
		*out = (struct tdx_cpuid_values){ 0 };
		return true;
	}
	i = find(leaf, subleaf);
	if (i == ARRAY_LEN(rows))
		return false;
	*out = t->value[i];
	adjust(t, &rows[i], now, out);
	return true;
}

bool td_cpuid_has(const struct td_cpuid *t, uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit)
{
	unsigned i = find(leaf, subleaf);
	const uint32_t *regs;

	if (i == ARRAY_LEN(rows))
		return false;
	regs = &t->value[i].eax;
	return regs[reg] & B(bit);
}
