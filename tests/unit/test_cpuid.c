/* sources: hv/guest/cpuid.c hv/guest/cpuid_features.c hv/base/failure.c hv/base/format.c */
/*
 * CPUID policy on several hosts: what is hidden, what is promised, and that the leaves agree with
 * each other for every number of vCPUs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "hv/guest/cpuid.h"
#include "hv/guest/guest.h"

#include <cmocka.h>

#define EVERYTHING UINT32_MAX

/* A host: its leaves as a list; what is not listed is zero. */
struct host_leaf {
	uint32_t leaf, subleaf;
	struct cpuid_regs regs;
};

struct host {
	const char *name;
	uint32_t max_basic;
	uint64_t xcr0;
	const struct host_leaf *leaves;
	unsigned count;
};

static const struct host_leaf haswell_leaves[] = {
	{ 0x1, 0, { 0x306c3, 0x03100800, 0x7ffafbff, 0xbfebfbff } },
	{ 0x2, 0, { 0x76036301, 0xf0b5ff, 0, 0xc10000 } },
	{ 0x4, 0, { 0x1c004121, 0x1c0003f, 0x3f, 0 } },
	{ 0x4, 1, { 0x1c004122, 0x1c0003f, 0x3f, 0 } },
	{ 0x4, 2, { 0x1c004143, 0x1c0003f, 0x1ff, 0 } },
	{ 0x4, 3, { 0x1c03c163, 0x3c0003f, 0x1fff, 6 } },
	{ 0x5, 0, { 64, 64, 3, 0x42120 } },
	{ 0x6, 0, { 0x77, 2, 9, 0 } },
	{ 0x7, 0, { 0, 0x000027ab, 0, 0 } },
	{ 0xa, 0, { 0x07300403, 0, 0, 0x603 } },
	{ 0xd, 0, { 7, 832, 832, 0 } },
	{ 0xd, 1, { 1, 0, 0, 0 } },
	{ 0xd, 2, { 256, 576, 0, 0 } },
	{ 0x80000000, 0, { 0x80000008, 0, 0, 0 } },
	{ 0x80000001, 0, { 0, 0, 0x21, 0x2c100800 } },
	{ 0x80000002, 0, { 0x65746e49, 0x2952286c, 0x726f4320, 0x4d542865 } },
	{ 0x80000006, 0, { 0, 0, 0x1006040, 0 } },
	{ 0x80000007, 0, { 0, 0, 0, 0x100 } },
	{ 0x80000008, 0, { 0x3027, 0, 0, 0 } },
};

static const struct host_leaf skylake_leaves[] = {
	{ 0x1, 0, { 0x50654, 0x05200800, 0x7ffefbff, 0xbfebfbff } },
	{ 0x4, 0, { 0x3c004121, 0x1c0003f, 0x3f, 0 } },
	{ 0x4, 1, { 0x3c004122, 0x1c0003f, 0x3f, 0 } },
	{ 0x4, 2, { 0x3c004143, 0x3c0003f, 0x3ff, 0 } },
	{ 0x4, 3, { 0x3c07c163, 0x280003f, 0x4fff, 4 } },
	{ 0x6, 0, { 0x2ff7, 2, 9, 0 } },
	{ 0x7, 0, { 0, 0xd39ffffb, 0x18, 0xbc000600 } },
	{ 0xd, 0, { 0x2ff, 0xa88, 0xa88, 0 } },
	{ 0xd, 1, { 0xf, 0xa08, 0x100, 0 } },
	{ 0xd, 2, { 256, 576, 0, 0 } },
	{ 0xd, 3, { 64, 960, 0, 0 } },
	{ 0xd, 4, { 64, 1024, 0, 0 } },
	{ 0xd, 5, { 64, 1088, 0, 0 } },
	{ 0xd, 6, { 512, 1152, 0, 0 } },
	{ 0xd, 7, { 1024, 1664, 0, 0 } },
	{ 0xd, 8, { 128, 0, 1, 0 } },
	{ 0xd, 9, { 8, 2688, 0, 0 } },
	{ 0x14, 0, { 1, 0xf, 7, 0 } },
	{ 0x15, 0, { 2, 168, 0, 0 } },
	{ 0x16, 0, { 0x834, 0xe74, 0x64, 0 } },
	{ 0x80000000, 0, { 0x80000008, 0, 0, 0 } },
	{ 0x80000001, 0, { 0, 0, 0x121, 0x2c100800 } },
	{ 0x80000007, 0, { 0, 0, 0, 0x100 } },
	{ 0x80000008, 0, { 0x302e, 0, 0, 0 } },
};

/* A hybrid client with leaf 1Fh, CET, WAITPKG, AMX-like and LA57 bits set: all ones where features are. */
static const struct host_leaf hybrid_leaves[] = {
	{ 0x1, 0, { 0x90672, 0x10800800, EVERYTHING, EVERYTHING } },
	{ 0x4, 0, { 0x7c004121, 0x1c0003f, 0x3f, 0 } },
	{ 0x4, 1, { 0x7c004143, 0x4c0003f, 0x7ff, 0 } },
	{ 0x4, 2, { 0x7c1fc163, 0x240003f, 0x9fff, 4 } },
	{ 0x6, 0, { EVERYTHING, 2, EVERYTHING, EVERYTHING } },
	{ 0x7, 0, { 2, EVERYTHING, EVERYTHING, EVERYTHING } },
	{ 0x7, 1, { EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING } },
	{ 0x7, 2, { EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING } },
	{ 0xa, 0, { 0x07300605, 0, 7, 0x8603 } },
	{ 0xd, 0, { 0x207, 0xa88, 0xa88, 0 } },
	{ 0xd, 1, { EVERYTHING, 0x1a8, 0x19900, 0 } },
	{ 0xd, 2, { 256, 576, 0, 0 } },
	{ 0xd, 9, { 8, 2688, 0, 0 } },
	{ 0xd, 11, { 16, 0, 1, 0 } },
	{ 0x12, 0, { EVERYTHING, 0, 0, 0 } },
	{ 0x15, 0, { 2, 168, 38400000, 0 } },
	{ 0x18, 0, { 4, 0, 0, 0 } },
	{ 0x18, 1, { 0, 0x80007, 0x20, 0x4021 } },
	{ 0x1a, 0, { 0x40000001, 0, 0, 0 } },
	{ 0x1f, 0, { 1, 2, 0x100, 9 } },
	{ 0x80000000, 0, { 0x80000008, 0, 0, 0 } },
	{ 0x80000001, 0, { 0, 0, EVERYTHING, EVERYTHING } },
	{ 0x80000007, 0, { EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING } },
	{ 0x80000008, 0, { 0x392e, EVERYTHING, 0, 0 } },
};

static const struct host hosts[] = {
	{ "haswell", 0xd, 7, haswell_leaves, ARRAY_LEN(haswell_leaves) },
	{ "skylake", 0x16, 0x2e7, skylake_leaves, ARRAY_LEN(skylake_leaves) },
	{ "hybrid", 0x20, 0x207, hybrid_leaves, ARRAY_LEN(hybrid_leaves) },
};

static struct cpuid_policy policy;
static struct failure f;

static struct cpuid_regs host_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf)
{
	const struct host *h = ctx;

	if (leaf == 0)
		return (struct cpuid_regs){ h->max_basic, 0x756e6547, 0x6c65746e, 0x49656e69 };
	assert_true(leaf <= h->max_basic || (leaf >= 0x80000000 && leaf <= 0x80000008));
	for (unsigned i = 0; i < h->count; i++)
		if (h->leaves[i].leaf == leaf && h->leaves[i].subleaf == subleaf)
			return h->leaves[i].regs;
	return (struct cpuid_regs){ 0 };
}

static struct cpuid_inputs inputs(const struct host *h, uint32_t vcpus, uint32_t vcpu)
{
	return (struct cpuid_inputs){
		.host = host_cpuid,
		.ctx = (void *)(uintptr_t)h,
		.vcpus = vcpus,
		.vcpu = vcpu,
		.tsc_khz = 2893299,
		.gpa_bits = 40,
		.xcr0 = h->xcr0,
		.usable = ~(feature_set_t)0,
	};
}

static void build(const struct cpuid_inputs *in) { assert_int_equal(cpuid_policy_build(&policy, in, &f), 0); }

static void build_on(const struct host *h, uint32_t vcpus, uint32_t vcpu)
{
	struct cpuid_inputs in = inputs(h, vcpus, vcpu);

	build(&in);
}

static struct cpuid_regs get(uint32_t leaf, uint32_t subleaf) { return cpuid_lookup(&policy, leaf,
										    subleaf)->regs; }

static void assert_regs(struct cpuid_regs r, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	assert_int_equal(r.eax, eax);
	assert_int_equal(r.ebx, ebx);
	assert_int_equal(r.ecx, ecx);
	assert_int_equal(r.edx, edx);
}

/* What no guest sees, even on a host that has everything. */
static const struct cpuid_bit hidden[] = {
	{ 1, 0, CPUID_ECX, 2 }, { 1, 0, CPUID_ECX, 3 }, { 1, 0, CPUID_ECX, 5 }, { 1, 0, CPUID_ECX, 6 },
	{ 1, 0, CPUID_ECX, 7 }, { 1, 0, CPUID_ECX, 8 }, { 1, 0, CPUID_ECX, 15 }, { 1, 0, CPUID_ECX, 18 },
	{ 1, 0, CPUID_EDX, 18 }, { 1, 0, CPUID_EDX, 21 }, { 1, 0, CPUID_EDX, 22 }, { 1, 0, CPUID_EDX, 29 },
	{ 7, 0, CPUID_EBX, 2 }, { 7, 0, CPUID_EBX, 4 }, { 7, 0, CPUID_EBX, 11 }, { 7, 0, CPUID_EBX, 12 },
	{ 7, 0, CPUID_EBX, 14 }, { 7, 0, CPUID_EBX, 15 }, { 7, 0, CPUID_EBX, 25 }, { 7, 0, CPUID_ECX, 5 },
	{ 7, 0, CPUID_ECX, 7 }, { 7, 0, CPUID_ECX, 13 }, { 7, 0, CPUID_ECX, 16 }, { 7, 0, CPUID_ECX, 23 },
	{ 7, 0, CPUID_ECX, 24 }, { 7, 0, CPUID_ECX, 29 }, { 7, 0, CPUID_ECX, 30 }, { 7, 0, CPUID_ECX, 31 },
	{ 7, 0, CPUID_EDX, 5 }, { 7, 0, CPUID_EDX, 11 }, { 7, 0, CPUID_EDX, 15 }, { 7, 0, CPUID_EDX, 18 },
	{ 7, 0, CPUID_EDX, 19 }, { 7, 0, CPUID_EDX, 20 }, { 7, 0, CPUID_EDX, 22 }, { 7, 0, CPUID_EDX, 24 },
	{ 7, 0, CPUID_EDX, 25 }, { 7, 0, CPUID_EDX, 30 }, { 7, 1, CPUID_EAX, 22 }, { 7, 1, CPUID_EAX, 26 },
	{ 0xd, 1, CPUID_EAX, 4 }, { 6, 0, CPUID_EAX, 0 }, { 6, 0, CPUID_EAX, 7 }, { 6, 0, CPUID_ECX, 0 },
	{ 6, 0, CPUID_ECX, 3 },
};

static void dangerous_features_are_hidden(void **state)
{
	(void)state;
	for (size_t h = 0; h < ARRAY_LEN(hosts); h++) {
		build_on(&hosts[h], 2, 1);
		for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
			if (cpuid_has(&policy, hidden[i]))
				fail_msg("%s shows leaf %x.%u reg %u bit %u", hosts[h].name, hidden[i].leaf,
					 hidden[i].subleaf, hidden[i].reg, hidden[i].bit);
		for (uint32_t leaf = 0; leaf <= get(0, 0).eax; leaf++)
			if (leaf == 3 || leaf == 5 || (leaf >= 8 && leaf <= 0xa) || leaf == 0xc ||
			    (leaf >= 0xe && leaf <= 0x14) || leaf == 0x17 || (leaf >= 0x19 && leaf <= 0x1e))
				assert_regs(get(leaf, 0), 0, 0, 0, 0);
	}
}

/* Each row of the table: shown exactly when the host has it or Gnomon provides it. */
static void table_decides(void **state)
{
	(void)state;
	for (size_t h = 0; h < ARRAY_LEN(hosts); h++) {
		build_on(&hosts[h], 1, 0);
		for (unsigned i = 0; i < cpuid_feature_count; i++) {
			const struct cpuid_feature *x = &cpuid_features[i];
			struct cpuid_regs r = { 0 };
			uint32_t words[4];
			bool want;

			if (x->at.leaf < 0x80000000 ? x->at.leaf <= hosts[h].max_basic : true)
				r = host_cpuid((void *)(uintptr_t)&hosts[h], x->at.leaf, x->at.subleaf);
			memcpy(words, &r, sizeof(words));
			want = x->rule == CPUID_ALWAYS || (words[x->at.reg] >> x->at.bit & 1);
			want = want && (x->xcr0 & ~hosts[h].xcr0) == 0;
			if (x->at.leaf == 7 && x->at.subleaf > host_cpuid((void *)(uintptr_t)&hosts[h], 7,
									  0).eax)
				want = false;
			if (cpuid_has(&policy, x->at) != want)
				fail_msg("%s: %s should be %d", hosts[h].name, x->name, want);
		}
	}
}

static void switched_off_features_disappear(void **state)
{
	static const struct {
		enum feature feature;
		struct cpuid_bit bit;
	} cases[] = {
		{ FEATURE_RDRAND, { 1, 0, CPUID_ECX, 30 } },
		{ FEATURE_RDRAND, { 7, 0, CPUID_EBX, 18 } },
		{ FEATURE_RDTSCP, { 0x80000001, 0, CPUID_EDX, 27 } },
		{ FEATURE_RDTSCP, { 7, 0, CPUID_ECX, 22 } },
		{ FEATURE_INVPCID, { 7, 0, CPUID_EBX, 10 } },
		{ FEATURE_PCID, { 1, 0, CPUID_ECX, 17 } },
		{ FEATURE_XSAVES, { 0xd, 1, CPUID_EAX, 3 } },
		{ FEATURE_XSAVE, { 1, 0, CPUID_ECX, 26 } },
		{ FEATURE_XSAVE, { 1, 0, CPUID_ECX, 28 } },
		{ FEATURE_XSAVE, { 7, 0, CPUID_EBX, 5 } },
		{ FEATURE_XSAVE, { 7, 0, CPUID_ECX, 3 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cpuid_inputs in = inputs(&hosts[2], 1, 0);

		build(&in);
		assert_true(cpuid_has(&policy, cases[i].bit));
		in.usable &= ~BIT(cases[i].feature);
		build(&in);
		assert_false(cpuid_has(&policy, cases[i].bit));
	}
}

static void without_xsave_leaf_d_is_empty(void **state)
{
	struct cpuid_inputs in = inputs(&hosts[1], 1, 0);

	(void)state;
	in.xcr0 = 1;
	build(&in);
	for (unsigned i = 0; i < 64; i++)
		assert_regs(get(0xd, i), 0, 0, 0, 0);
	assert_false(cpuid_has(&policy, (struct cpuid_bit){ 1, 0, CPUID_ECX, 28 }));
}

static void topology_agrees(void **state)
{
	(void)state;
	for (uint32_t n = 1; n <= GUEST_MAX_VCPUS; n++) {
		for (uint32_t id = 0; id < n; id++) {
			struct cpuid_regs r1, smt, core;

			build_on(&hosts[2], n, id);
			r1 = get(1, 0);
			smt = get(0xb, 0);
			core = get(0xb, 1);
			assert_int_equal(r1.ebx >> 24, id);
			assert_true((r1.ebx >> 16 & 0xff) >= n);
			assert_int_equal(r1.edx >> 28 & 1, n > 1);
			assert_regs(smt, 0, 1, 0x100, id);
			assert_regs(core, __builtin_ctz(r1.ebx >> 16 & 0xff), n, 0x201, id);
			assert_int_equal(id >> core.eax, 0); /* one package */
			assert_int_equal((get(4, 0).eax >> 26) + 1, 1u << core.eax);
			assert_int_equal(get(4, 0).eax >> 14 & 0xfff, 0);
			assert_int_equal((get(4, 2).eax >> 14 & 0xfff) + 1, 1u << core.eax);
			assert_regs(get(0x1f, 1), core.eax, core.ebx, core.ecx, core.edx);
		}
	}
}

static void invalid_topology_levels_echo_the_subleaf(void **state)
{
	const struct cpuid_state now = { 0 };

	(void)state;
	build_on(&hosts[0], 4, 3);
	for (uint32_t sub = 2; sub < 300; sub += 33) {
		const struct cpuid_entry *e = cpuid_lookup(&policy, 0xb, sub);

		assert_int_equal(e->dynamic, CPUID_DYN_LEVEL);
		assert_regs(cpuid_adjust(&policy, e, sub, &now), 0, 0, sub & 0xff, 3);
	}
}

static void time_leaves_are_honest(void **state)
{
	static const uint64_t khz[] = { 1000, 50000, 100000, 2893299, 4294967, 4294968, 5000000, 9000001 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(khz); i++) {
		struct cpuid_inputs in = inputs(&hosts[0], 1, 0);
		struct cpuid_regs r;
		uint64_t tsc;

		in.tsc_khz = khz[i];
		build(&in);
		r = get(0x15, 0);
		tsc = (uint64_t)r.ecx * r.ebx / r.eax;
		assert_in_range(khz[i] * 1000 - tsc, 0, 2000); /* exact below 4.29 GHz */
		if (khz[i] <= 4294967)
			assert_int_equal(tsc, khz[i] * 1000);
		assert_int_equal(r.ecx, cpuid_crystal_hz(khz[i]));
		/* Linux: crystal kHz times EBX in 32 bits. */
		assert_true((uint64_t)(r.ecx / 1000) * r.ebx < BIT(32));
		assert_int_equal(get(0x16, 0).eax, (khz[i] + 500) / 1000);
	}
}

static void xsave_sizes_follow_the_state(void **state)
{
	struct cpuid_state now = { .cr4 = CR4_OSXSAVE, .xcr0 = 1 };
	const struct cpuid_entry *e;

	(void)state;
	build_on(&hosts[1], 1, 0);
	e = cpuid_lookup(&policy, 0xd, 0);
	assert_int_equal(e->regs.eax, 0x2e7);
	assert_int_equal(e->regs.ecx, 2696);
	assert_int_equal(cpuid_adjust(&policy, e, 0, &now).ebx, 576);
	now.xcr0 = 7;
	assert_int_equal(cpuid_adjust(&policy, e, 0, &now).ebx, 832);
	now.xcr0 = 0xe7;
	assert_int_equal(cpuid_adjust(&policy, e, 0, &now).ebx, 2688);
	e = cpuid_lookup(&policy, 0xd, 1);
	assert_int_equal(cpuid_adjust(&policy, e, 1, &now).ebx, 576 + 256 + 64 + 512 + 1024);
	now.xcr0 = 0x2e7;
	assert_int_equal(cpuid_adjust(&policy, e, 1, &now).ebx, 576 + 256 + 64 + 512 + 1024 + 8);
	assert_regs(get(0xd, 3), 0, 0, 0, 0); /* MPX is not permitted */
	assert_regs(get(0xd, 8), 0, 0, 0, 0); /* nor PT */
	assert_regs(get(0xd, 9), 8, 2688, 0, 0);
	assert_regs(get(0xd, 62), 0, 0, 0, 0);
}

static void dynamic_bits_follow_the_state(void **state)
{
	struct cpuid_state now = { .cr4 = CR4_OSXSAVE | CR4_PKE, .xcr0 = 1, .apic_enabled = true };
	const struct cpuid_state none = { .xcr0 = 1 };

	(void)state;
	build_on(&hosts[1], 1, 0);
	assert_true(cpuid_adjust(&policy, cpuid_lookup(&policy, 1, 0), 0, &now).ecx & 1u << 27);
	assert_true(cpuid_adjust(&policy, cpuid_lookup(&policy, 1, 0), 0, &now).edx & 1u << 9);
	assert_true(cpuid_adjust(&policy, cpuid_lookup(&policy, 7, 0), 0, &now).ecx & 1u << 4);
	assert_false(cpuid_adjust(&policy, cpuid_lookup(&policy, 1, 0), 0, &none).ecx & 1u << 27);
	assert_false(cpuid_adjust(&policy, cpuid_lookup(&policy, 1, 0), 0, &none).edx & 1u << 9);
	assert_false(cpuid_adjust(&policy, cpuid_lookup(&policy, 7, 0), 0, &none).ecx & 1u << 4);
}

static void leaves_out_of_range(void **state)
{
	static const uint32_t beyond[] = { 0x20, 0x7fffffff, 0x80000009, 0x8fffffff, 0xc0000000, 0xffffffff,
					   0x3fffffff, 0x50000000 };

	(void)state;
	for (size_t h = 0; h < ARRAY_LEN(hosts); h++) {
		uint32_t max;

		build_on(&hosts[h], 2, 1);
		max = get(0, 0).eax;
		assert_int_equal(max, hosts[h].max_basic > 0x1f ? 0x1f : 0x16);
		for (size_t i = 0; i < ARRAY_LEN(beyond); i++)
			assert_ptr_equal(cpuid_lookup(&policy, beyond[i], 1), cpuid_lookup(&policy, max, 1));
		for (uint32_t leaf = max; leaf < 0x20; leaf++)
			assert_ptr_equal(cpuid_lookup(&policy, leaf, 0), cpuid_lookup(&policy, max, 0));
		assert_int_equal(get(0x80000000, 0).eax, 0x80000008);
		assert_int_equal(get(0x80000008, 0).eax, 48 << 8 | 40);
	}
}

static void hypervisor_leaf_names_gnomon(void **state)
{
	struct cpuid_regs r;

	(void)state;
	build_on(&hosts[0], 1, 0);
	r = get(0x40000000, 0);
	assert_int_equal(r.eax, 0x40000000);
	assert_memory_equal(&r.ebx, "GnomonGnomon", 12);
	assert_true(get(1, 0).ecx >> 31);
	for (uint32_t leaf = 0x40000001; leaf < 0x40010000; leaf += 0xff)
		assert_regs(get(leaf, 0), 0, 0, 0, 0);
}

/* For a TD there is a second interface, without features; for others nobody's name stands there. */
static void tds_find_an_interface(void **state)
{
	struct cpuid_inputs in = inputs(&hosts[0], 1, 0);
	struct cpuid_regs r;

	(void)state;
	build_on(&hosts[0], 1, 0);
	assert_regs(get(0x40000100, 0), 0, 0, 0, 0);
	in.td = true;
	build(&in);
	r = get(0x40000100, 0);
	assert_int_equal(r.eax, 0x40000101);
	assert_memory_equal(&r.ebx, "KVMKVMKVM\0\0\0", 12);
	assert_regs(get(0x40000101, 0), 0, 0, 0, 0);
	assert_regs(get(0x40000102, 0), 0, 0, 0, 0);
	r = get(0x40000000, 0);
	assert_memory_equal(&r.ebx, "GnomonGnomon", 12);
}

static void subleaves_are_bounded(void **state)
{
	(void)state;
	build_on(&hosts[2], 2, 0);
	for (uint32_t leaf = 0; leaf < 0x20; leaf++)
		for (uint64_t sub = 0; sub <= UINT32_MAX; sub += 1 + sub * sub)
			assert_in_range(cpuid_lookup(&policy, leaf, sub) - policy.entries, 0,
					policy.entry_count - 1);
	assert_regs(get(7, 3), 0, 0, 0, 0);
	assert_regs(get(4, 3), 0, 0, 0, 0);
}

static void impossible_inputs_are_refused(void **state)
{
	struct cpuid_inputs in = inputs(&hosts[0], 0, 0);

	(void)state;
	assert_int_equal(cpuid_policy_build(&policy, &in, &f), -EINVAL);
	in = inputs(&hosts[0], 65, 0);
	assert_int_equal(cpuid_policy_build(&policy, &in, &f), -EINVAL);
	in = inputs(&hosts[0], 2, 2);
	assert_int_equal(cpuid_policy_build(&policy, &in, &f), -EINVAL);
	in = inputs(&hosts[0], 2, 0);
	in.tsc_khz = 0;
	assert_int_equal(cpuid_policy_build(&policy, &in, &f), -EINVAL);
	in = inputs(&hosts[0], 2, 0);
	in.gpa_bits = 53;
	assert_int_equal(cpuid_policy_build(&policy, &in, &f), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dangerous_features_are_hidden),
		cmocka_unit_test(table_decides),
		cmocka_unit_test(switched_off_features_disappear),
		cmocka_unit_test(without_xsave_leaf_d_is_empty),
		cmocka_unit_test(topology_agrees),
		cmocka_unit_test(invalid_topology_levels_echo_the_subleaf),
		cmocka_unit_test(time_leaves_are_honest),
		cmocka_unit_test(xsave_sizes_follow_the_state),
		cmocka_unit_test(dynamic_bits_follow_the_state),
		cmocka_unit_test(leaves_out_of_range),
		cmocka_unit_test(hypervisor_leaf_names_gnomon),
		cmocka_unit_test(tds_find_an_interface),
		cmocka_unit_test(subleaves_are_bounded),
		cmocka_unit_test(impossible_inputs_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
