/*
 * Computes a vCPU's CPUID answers from the host's and the feature table.
 */
#include "hv/guest/cpuid.h"

#include <string.h>

#include "hv/base/panic.h"
#include "hv/guest/guest.h"

#define LEAF_TSC 0x15
#define LEAF_FREQUENCY 0x16
#define HIGHEST_HOST_LEAF 0x1f /* the highest this table knows */
#define MAX_CACHES 8
#define MAX_TLBS 8
#define LINEAR_BITS 48 /* LA57 is hidden */
#define BUS_MHZ 100

#define XSAVE_LEGACY_SIZE 576 /* legacy region and XSAVE header */

#define TOPOLOGY_SMT 1
#define TOPOLOGY_CORE 2

struct builder {
	struct cpuid_policy *p;
	const struct cpuid_inputs *in;
	uint32_t host_max, host_max_extended;
};

/* ---- parts ---- */

/* The host's answer; zeros for a leaf it does not have, which CPUID itself would answer with another. */
static struct cpuid_regs host(const struct builder *b, uint32_t leaf, uint32_t subleaf)
{
	uint32_t max = leaf >= CPUID_EXTENDED_BASE ? b->host_max_extended : b->host_max;

	return leaf <= max ? b->in->host(b->in->ctx, leaf, subleaf) : (struct cpuid_regs){ 0 };
}

static uint32_t *reg_of(struct cpuid_regs *r, unsigned reg)
{
	switch (reg) {
	case CPUID_EAX: return &r->eax;
	case CPUID_EBX: return &r->ebx;
	case CPUID_ECX: return &r->ecx;
	default: return &r->edx;
	}
}

static bool usable(const struct cpuid_inputs *in, const struct cpuid_feature *x)
{
	return (x->feature < 0 || (in->usable & BIT(x->feature))) && (in->xcr0 & x->xcr0) == x->xcr0;
}

/* The feature bits of one subleaf that the table lets through. */
static struct cpuid_regs features(const struct builder *b, uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs have = host(b, leaf, subleaf), r = { 0 };

	for (unsigned i = 0; i < cpuid_feature_count; i++) {
		const struct cpuid_feature *x = &cpuid_features[i];
		uint32_t bit = 1u << x->at.bit;

		if (x->at.leaf != leaf || x->at.subleaf != subleaf || !usable(b->in, x))
			continue;
		if (x->rule == CPUID_ALWAYS || (*reg_of(&have, x->at.reg) & bit))
			*reg_of(&r, x->at.reg) |= bit;
	}
	return r;
}

static uint8_t add_entry(struct builder *b, struct cpuid_regs regs, uint32_t dynamic)
{
	INVARIANT(b->p->entry_count < CPUID_MAX_ENTRIES);
	b->p->entries[b->p->entry_count] = (struct cpuid_entry){ regs, regs, dynamic };
	return b->p->entry_count++;
}

/* A leaf that answers the same for every subleaf. */
static struct cpuid_slot single(struct builder *b, struct cpuid_regs regs, uint32_t dynamic)
{
	return (struct cpuid_slot){ .beyond = add_entry(b, regs, dynamic) };
}

/* log2 of the APIC ids set aside for the vCPUs: the topology leaves count in powers of two. */
static unsigned id_bits(const struct cpuid_inputs *in)
{
	unsigned bits = 0;

	while ((1u << bits) < in->vcpus)
		bits++;
	return bits;
}

/* ---- one function per leaf that is more than feature bits ---- */

static struct cpuid_slot leaf_vendor(struct builder *b)
{
	struct cpuid_regs r = host(b, 0, 0);

	r.eax = min_u64(max_u64(b->host_max, LEAF_FREQUENCY), HIGHEST_HOST_LEAF);
	return single(b, r, 0);
}

/* EBX: brand index and CLFLUSH size as the host's, ids in the package, this vCPU's APIC id. */
static struct cpuid_slot leaf_version(struct builder *b)
{
	struct cpuid_regs h = host(b, 1, 0), r = features(b, 1, 0);

	r.eax = h.eax;
	r.ebx = (h.ebx & 0xffff) | 1u << (16 + id_bits(b->in)) | b->in->vcpu << 24;
	if (b->in->vcpus > 1)
		r.edx |= 1u << 28; /* HTT: EBX[23:16] is valid */
	return single(b, r, CPUID_DYN_APIC | (r.ecx & (1u << 26) ? CPUID_DYN_OSXSAVE : 0));
}

static struct cpuid_slot leaf_host(struct builder *b, uint32_t leaf)
{
	return single(b, host(b, leaf, 0), 0);
}

static struct cpuid_slot leaf_descriptors(struct builder *b) { return leaf_host(b, 2); }

/* Each vCPU is a core with caches of its own up to level 2; level 3 is the package's. */
static struct cpuid_slot leaf_caches(struct builder *b)
{
	uint32_t package = (1u << id_bits(b->in)) - 1;
	struct cpuid_slot s = { .first = b->p->entry_count };

	for (; s.count < MAX_CACHES; s.count++) {
		struct cpuid_regs r = host(b, 4, s.count);
		uint32_t level = r.eax >> 5 & 7;

		if ((r.eax & 0x1f) == 0)
			break;
		r.eax = (r.eax & 0x3fff) | (level >= 3 ? package << 14 : 0) | package << 26;
		add_entry(b, r, 0);
	}
	return s;
}

static struct cpuid_slot leaf_power(struct builder *b) { return single(b, features(b, 6, 0), 0); }

static struct cpuid_slot leaf_extended_features(struct builder *b)
{
	struct cpuid_regs r = features(b, 7, 0);
	uint32_t highest = min_u64(host(b, 7, 0).eax, 2);
	struct cpuid_slot s = { .count = highest + 1 };

	r.eax = highest;
	s.first = add_entry(b, r, r.ecx & 1u << 3 ? CPUID_DYN_OSPKE : 0);
	for (uint32_t i = 1; i <= highest; i++)
		add_entry(b, features(b, 7, i), 0);
	return s;
}

/* One package of single-threaded cores. An invalid level still gives the APIC id. */
static struct cpuid_slot leaf_topology(struct builder *b)
{
	uint32_t id = b->in->vcpu;
	struct cpuid_slot s = { .count = 2 };

	s.first = add_entry(b, (struct cpuid_regs){ 0, 1, TOPOLOGY_SMT << 8, id }, 0);
	add_entry(b, (struct cpuid_regs){ id_bits(b->in), b->in->vcpus, 1 | TOPOLOGY_CORE << 8, id }, 0);
	s.beyond = add_entry(b, (struct cpuid_regs){ 0, 0, 0, id }, CPUID_DYN_LEVEL);
	return s;
}

static struct cpuid_slot leaf_topology_v2(struct builder *b)
{
	return b->host_max >= 0x1f ? leaf_topology(b) : (struct cpuid_slot){ 0 };
}

/* Bytes of an XSAVE area for the components. Compacted: back to back, some aligned to 64. */
static uint32_t xsave_size(const struct cpuid_policy *p, uint64_t components, bool compacted)
{
	const struct cpuid_slot *s = &p->basic[0xd];
	uint32_t size = XSAVE_LEGACY_SIZE;

	for (unsigned i = 2; i < s->count; i++) {
		const struct cpuid_regs *r = &p->entries[s->first + i].regs;

		if (!(components & BIT(i)))
			continue;
		if (!compacted)
			size = max_u64(size, (uint64_t)r->ebx + r->eax);
		else
			size = (r->ecx & 2 ? align_up(size, 64) : size) + r->eax;
	}
	return size;
}

/* SDM volume 1 "Enumeration of CPU Support for XSAVE Instructions and XSAVE-Supported Features". */
static struct cpuid_slot leaf_xsave(struct builder *b)
{
	uint64_t xcr0 = b->p->xcr0, xss = b->p->xss;
	struct cpuid_slot s = { .first = b->p->entry_count, .count = 2 };
	struct cpuid_regs none = { 0 };

	if (!xcr0)
		return (struct cpuid_slot){ 0 };
	add_entry(b, (struct cpuid_regs){ (uint32_t)xcr0, 0, 0, xcr0 >> 32 }, CPUID_DYN_XSAVE_SIZE);
	add_entry(b, none, CPUID_DYN_XSAVES_SIZE);
	for (; (xcr0 | xss) >> s.count; s.count++)
		add_entry(b, (xcr0 | xss) & BIT(s.count) ? host(b, 0xd, s.count) : none, 0);

	b->p->basic[0xd] = s;
	b->p->entries[s.first].regs.ecx = xsave_size(b->p, xcr0, false);
	b->p->entries[s.first + 1].regs = features(b, 0xd, 1);
	b->p->entries[s.first + 1].regs.ecx = (uint32_t)xss;
	b->p->entries[s.first + 1].regs.edx = xss >> 32;
	return s;
}

uint64_t cpuid_crystal_hz(uint64_t tsc_khz)
{
	/* The register holds 32 bits of Hz: a faster TSC is announced as a multiple. */
	return tsc_khz / (1 + tsc_khz * 1000 / BIT(32)) * 1000;
}

/* Linux multiplies crystal kHz by EBX in 32 bits, so the crystal is as near to the TSC as can be. */
static struct cpuid_slot leaf_tsc(struct builder *b)
{
	uint32_t ratio = 1 + b->in->tsc_khz * 1000 / BIT(32);

	return single(b, (struct cpuid_regs){ 1, ratio, cpuid_crystal_hz(b->in->tsc_khz), 0 }, 0);
}

static struct cpuid_slot leaf_frequency(struct builder *b)
{
	uint32_t mhz = (b->in->tsc_khz + 500) / 1000;

	return single(b, (struct cpuid_regs){ mhz, mhz, BUS_MHZ, 0 }, 0);
}

/* The TLBs are the host's; an answer of type 0 ends them. */
static struct cpuid_slot leaf_tlbs(struct builder *b)
{
	uint32_t highest = min_u64(host(b, 0x18, 0).eax, MAX_TLBS - 1);
	struct cpuid_slot s = { .first = b->p->entry_count, .count = b->host_max >= 0x18 ? highest + 1 : 0 };

	for (uint32_t i = 0; i < s.count; i++) {
		struct cpuid_regs r = host(b, 0x18, i);

		r.eax = i == 0 ? highest : 0;
		r.edx &= BITS(13, 0); /* bits 25:14, CPUs that share it, stay 0: none do */
		add_entry(b, r, 0);
	}
	return s;
}

static struct cpuid_slot extended_highest(struct builder *b)
{
	uint32_t max = min_u64(b->host_max_extended, CPUID_EXTENDED_BASE + CPUID_EXTENDED_LEAVES - 1);

	return single(b, (struct cpuid_regs){ .eax = max }, 0);
}

static struct cpuid_slot leaf_feature_bits(struct builder *b, uint32_t leaf)
{
	return single(b, features(b, leaf, 0), 0);
}

static struct cpuid_slot extended_features(struct builder *b) { return leaf_feature_bits(b, 0x80000001); }
static struct cpuid_slot extended_brand1(struct builder *b) { return leaf_host(b, 0x80000002); }
static struct cpuid_slot extended_brand2(struct builder *b) { return leaf_host(b, 0x80000003); }
static struct cpuid_slot extended_brand3(struct builder *b) { return leaf_host(b, 0x80000004); }
static struct cpuid_slot extended_cache(struct builder *b) { return leaf_host(b, 0x80000006); }
static struct cpuid_slot extended_power(struct builder *b) { return leaf_feature_bits(b, 0x80000007); }

static struct cpuid_slot extended_widths(struct builder *b)
{
	return single(b, (struct cpuid_regs){ .eax = LINEAR_BITS << 8 | b->in->gpa_bits }, 0);
}

/* Leaves without a function answer zeros. */
typedef struct cpuid_slot (*leaf_fn)(struct builder *b);

static const leaf_fn basic_leaves[CPUID_BASIC_LEAVES] = {
	[0x0] = leaf_vendor,
	[0x1] = leaf_version,
	[0x2] = leaf_descriptors,
	[0x4] = leaf_caches,
	[0x6] = leaf_power,
	[0x7] = leaf_extended_features,
	[0xb] = leaf_topology,
	[0xd] = leaf_xsave,
	[LEAF_TSC] = leaf_tsc,
	[LEAF_FREQUENCY] = leaf_frequency,
	[0x18] = leaf_tlbs,
	[0x1f] = leaf_topology_v2,
};

static const leaf_fn extended_leaves[CPUID_EXTENDED_LEAVES] = {
	[0x0] = extended_highest,
	[0x1] = extended_features,
	[0x2] = extended_brand1,
	[0x3] = extended_brand2,
	[0x4] = extended_brand3,
	[0x6] = extended_cache,
	[0x7] = extended_power,
	[0x8] = extended_widths,
};

/* ---- the whole ---- */

static int check_inputs(const struct cpuid_inputs *in, struct failure *f)
{
	if (in->vcpus == 0 || in->vcpus > GUEST_MAX_VCPUS || in->vcpu >= in->vcpus)
		return fail(f, -EINVAL, "vCPU %u of %u: vcpus = 1 to %u is possible", in->vcpu, in->vcpus,
			    GUEST_MAX_VCPUS);
	if (in->tsc_khz < 1000 || in->tsc_khz > 100000000)
		return fail(f, -EINVAL, "a TSC of %lu kHz cannot be told to a guest: 1 MHz to 100 GHz is "
			    "possible", in->tsc_khz);
	if (in->gpa_bits < 32 || in->gpa_bits > 52)
		return fail(f, -EINVAL, "guest physical addresses of %u bits: 32 to 52 are possible",
			    in->gpa_bits);
	return 0;
}

static void build_leaves(struct builder *b)
{
	struct cpuid_policy *p = b->p;
	unsigned max;

	for (unsigned i = 0; i < CPUID_BASIC_LEAVES; i++)
		if (basic_leaves[i])
			p->basic[i] = basic_leaves[i](b);
	max = p->entries[p->basic[0].beyond].regs.eax;
	for (unsigned i = max + 1; i < CPUID_BASIC_LEAVES; i++)
		p->basic[i] = p->basic[max];

	for (unsigned i = 0; i < CPUID_EXTENDED_LEAVES; i++)
		if (extended_leaves[i])
			p->extended[i] = extended_leaves[i](b);
	max = p->entries[p->extended[0].beyond].regs.eax - CPUID_EXTENDED_BASE;
	for (unsigned i = max + 1; i < CPUID_EXTENDED_LEAVES; i++)
		p->extended[i] = p->basic[CPUID_BASIC_LEAVES - 1];
}

int cpuid_policy_build(struct cpuid_policy *p, const struct cpuid_inputs *in, struct failure *f)
{
	struct builder b = { .p = p, .in = in };
	struct cpuid_regs name = { .eax = CPUID_HYPERVISOR_BASE };
	int err = check_inputs(in, f);

	if (err)
		return err;
	memset(p, 0, sizeof(*p));
	b.host_max = in->host(in->ctx, 0, 0).eax;
	b.host_max_extended = max_u64(in->host(in->ctx, CPUID_EXTENDED_BASE, 0).eax, CPUID_EXTENDED_BASE);
	add_entry(&b, (struct cpuid_regs){ 0 }, 0);
	if (features(&b, 1, 0).ecx & 1u << 26) {
		p->xcr0 = in->xcr0;
		p->xss = in->usable & BIT(FEATURE_XSAVES) ? in->xss : 0;
	}
	build_leaves(&b);
	memcpy(&name.ebx, "GnomonGnomon", 12);
	p->hypervisor = single(&b, name, 0);
	if (in->td)
		p->kvm[0] = single(&b, (struct cpuid_regs){ CPUID_KVM_BASE + CPUID_KVM_LEAVES - 1, 0x4b4d564b,
							    0x564b4d56, 0x4d }, 0); /* "KVMKVMKVM" */
	return 0;
}

const struct cpuid_slot *cpuid_high_slot(const struct cpuid_policy *p, uint32_t leaf)
{
	static const struct cpuid_slot nothing;

	if (leaf - CPUID_EXTENDED_BASE < CPUID_EXTENDED_LEAVES)
		return &p->extended[leaf - CPUID_EXTENDED_BASE];
	if (leaf == CPUID_HYPERVISOR_BASE)
		return &p->hypervisor;
	if (leaf - CPUID_KVM_BASE < CPUID_KVM_LEAVES)
		return &p->kvm[leaf - CPUID_KVM_BASE];
	/* Guests look for other hypervisors' names in this range: what none of them has is zero. */
	if (leaf >> 16 == CPUID_HYPERVISOR_BASE >> 16)
		return &nothing;
	return &p->basic[CPUID_BASIC_LEAVES - 1];
}

struct cpuid_regs cpuid_adjust(const struct cpuid_policy *p, const struct cpuid_entry *e, uint32_t subleaf,
			       const struct cpuid_state *now)
{
	struct cpuid_regs r = e->regs;

	if (e->dynamic & CPUID_DYN_OSXSAVE && now->cr4 & CR4_OSXSAVE)
		r.ecx |= 1u << 27;
	if (e->dynamic & CPUID_DYN_APIC && now->apic_enabled)
		r.edx |= 1u << 9;
	if (e->dynamic & CPUID_DYN_OSPKE && now->cr4 & CR4_PKE)
		r.ecx |= 1u << 4;
	if (e->dynamic & CPUID_DYN_XSAVE_SIZE)
		r.ebx = xsave_size(p, now->xcr0, false);
	if (e->dynamic & CPUID_DYN_XSAVES_SIZE && r.eax & 0xa)
		r.ebx = xsave_size(p, now->xcr0 | now->xss, true);
	if (e->dynamic & CPUID_DYN_LEVEL)
		r.ecx = subleaf & 0xff;
	return r;
}

void cpuid_refresh(struct cpuid_policy *p, const struct cpuid_state *state)
{
	for (unsigned i = 0; i < p->entry_count; i++)
		p->entries[i].now = cpuid_adjust(p, &p->entries[i], 0, state);
}

bool cpuid_has(const struct cpuid_policy *p, struct cpuid_bit at)
{
	struct cpuid_regs r = cpuid_lookup(p, at.leaf, at.subleaf)->regs;

	return *reg_of(&r, at.reg) & 1u << at.bit;
}
