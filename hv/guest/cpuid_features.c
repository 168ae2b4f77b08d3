/*
 * The features a guest may see, one row each. A bit without a row is hidden: VMX, SMX, MONITOR, DS,
 * PDCM, TSX (HLE, RTM), MPX, SGX, RDT, PMU, PT, LBR, CET, PKS, LA57, LAM, WAITPKG, AMX, key locker,
 * user interrupts, hardware feedback, thermal and power management, SMM and debug interfaces.
 * Bit names: SDM volume 2A "CPUID - CPU Identification".
 */
#include "hv/guest/cpuid.h"

#define XCR0_SSE 0x3u
#define XCR0_AVX 0x7u
#define XCR0_AVX512 0xe7u
#define XCR0_PKRU 0x200u

#define ROW(leaf, sub, reg, bit, name, rule, feature, xcr0) \
	{ { leaf, sub, CPUID_##reg, bit }, name, rule, feature, xcr0 }
#define HOST(leaf, sub, reg, bit, name) ROW(leaf, sub, reg, bit, name, CPUID_AS_HOST, -1, 0)
#define ALWAYS(leaf, sub, reg, bit, name) ROW(leaf, sub, reg, bit, name, CPUID_ALWAYS, -1, 0)
#define FEAT(leaf, sub, reg, bit, name, feature) \
	ROW(leaf, sub, reg, bit, name, CPUID_AS_HOST, FEATURE_##feature, 0)
#define XSTATE(leaf, sub, reg, bit, name, xcr0) \
	ROW(leaf, sub, reg, bit, name, CPUID_AS_HOST, FEATURE_XSAVE, xcr0)

const struct cpuid_feature cpuid_features[] = {
	HOST(0x1, 0, ECX, 0, "sse3"),
	HOST(0x1, 0, ECX, 1, "pclmulqdq"),
	HOST(0x1, 0, ECX, 9, "ssse3"),
	XSTATE(0x1, 0, ECX, 12, "fma", XCR0_AVX),
	HOST(0x1, 0, ECX, 13, "cx16"),
	FEAT(0x1, 0, ECX, 17, "pcid", PCID),
	HOST(0x1, 0, ECX, 19, "sse4.1"),
	HOST(0x1, 0, ECX, 20, "sse4.2"),
	ALWAYS(0x1, 0, ECX, 21, "x2apic"),
	HOST(0x1, 0, ECX, 22, "movbe"),
	HOST(0x1, 0, ECX, 23, "popcnt"),
	ALWAYS(0x1, 0, ECX, 24, "tsc-deadline"),
	HOST(0x1, 0, ECX, 25, "aes"),
	XSTATE(0x1, 0, ECX, 26, "xsave", XCR0_SSE),
	XSTATE(0x1, 0, ECX, 28, "avx", XCR0_AVX),
	XSTATE(0x1, 0, ECX, 29, "f16c", XCR0_AVX),
	FEAT(0x1, 0, ECX, 30, "rdrand", RDRAND),
	ALWAYS(0x1, 0, ECX, 31, "hypervisor"),

	HOST(0x1, 0, EDX, 0, "fpu"),
	HOST(0x1, 0, EDX, 1, "vme"),
	HOST(0x1, 0, EDX, 2, "de"),
	HOST(0x1, 0, EDX, 3, "pse"),
	HOST(0x1, 0, EDX, 4, "tsc"),
	HOST(0x1, 0, EDX, 5, "msr"),
	HOST(0x1, 0, EDX, 6, "pae"),
	HOST(0x1, 0, EDX, 7, "mce"),
	HOST(0x1, 0, EDX, 8, "cx8"),
	HOST(0x1, 0, EDX, 11, "sep"),
	ALWAYS(0x1, 0, EDX, 12, "mtrr"),
	HOST(0x1, 0, EDX, 13, "pge"),
	ALWAYS(0x1, 0, EDX, 14, "mca"),
	HOST(0x1, 0, EDX, 15, "cmov"),
	HOST(0x1, 0, EDX, 16, "pat"),
	HOST(0x1, 0, EDX, 17, "pse36"),
	HOST(0x1, 0, EDX, 19, "clflush"),
	HOST(0x1, 0, EDX, 23, "mmx"),
	HOST(0x1, 0, EDX, 24, "fxsr"),
	HOST(0x1, 0, EDX, 25, "sse"),
	HOST(0x1, 0, EDX, 26, "sse2"),
	HOST(0x1, 0, EDX, 27, "self-snoop"),

	ALWAYS(0x6, 0, EAX, 2, "arat"),

	HOST(0x7, 0, EBX, 0, "fsgsbase"),
	ALWAYS(0x7, 0, EBX, 1, "tsc-adjust"),
	HOST(0x7, 0, EBX, 3, "bmi1"),
	XSTATE(0x7, 0, EBX, 5, "avx2", XCR0_AVX),
	HOST(0x7, 0, EBX, 6, "fdp-excptn-only"),
	HOST(0x7, 0, EBX, 7, "smep"),
	HOST(0x7, 0, EBX, 8, "bmi2"),
	HOST(0x7, 0, EBX, 9, "erms"),
	FEAT(0x7, 0, EBX, 10, "invpcid", INVPCID),
	HOST(0x7, 0, EBX, 13, "no-fcs-fds"),
	XSTATE(0x7, 0, EBX, 16, "avx512f", XCR0_AVX512),
	XSTATE(0x7, 0, EBX, 17, "avx512dq", XCR0_AVX512),
	FEAT(0x7, 0, EBX, 18, "rdseed", RDRAND),
	HOST(0x7, 0, EBX, 19, "adx"),
	HOST(0x7, 0, EBX, 20, "smap"),
	XSTATE(0x7, 0, EBX, 21, "avx512ifma", XCR0_AVX512),
	HOST(0x7, 0, EBX, 23, "clflushopt"),
	HOST(0x7, 0, EBX, 24, "clwb"),
	XSTATE(0x7, 0, EBX, 28, "avx512cd", XCR0_AVX512),
	HOST(0x7, 0, EBX, 29, "sha"),
	XSTATE(0x7, 0, EBX, 30, "avx512bw", XCR0_AVX512),
	XSTATE(0x7, 0, EBX, 31, "avx512vl", XCR0_AVX512),

	HOST(0x7, 0, ECX, 0, "prefetchwt1"),
	XSTATE(0x7, 0, ECX, 1, "avx512vbmi", XCR0_AVX512),
	HOST(0x7, 0, ECX, 2, "umip"),
	XSTATE(0x7, 0, ECX, 3, "pku", XCR0_PKRU),
	XSTATE(0x7, 0, ECX, 6, "avx512vbmi2", XCR0_AVX512),
	HOST(0x7, 0, ECX, 8, "gfni"),
	XSTATE(0x7, 0, ECX, 9, "vaes", XCR0_AVX),
	XSTATE(0x7, 0, ECX, 10, "vpclmulqdq", XCR0_AVX),
	XSTATE(0x7, 0, ECX, 11, "avx512vnni", XCR0_AVX512),
	XSTATE(0x7, 0, ECX, 12, "avx512bitalg", XCR0_AVX512),
	XSTATE(0x7, 0, ECX, 14, "avx512vpopcntdq", XCR0_AVX512),
	FEAT(0x7, 0, ECX, 22, "rdpid", RDTSCP),
	HOST(0x7, 0, ECX, 25, "cldemote"),
	HOST(0x7, 0, ECX, 27, "movdiri"),
	HOST(0x7, 0, ECX, 28, "movdir64b"),

	XSTATE(0x7, 0, EDX, 2, "avx512-4vnniw", XCR0_AVX512),
	XSTATE(0x7, 0, EDX, 3, "avx512-4fmaps", XCR0_AVX512),
	HOST(0x7, 0, EDX, 4, "fsrm"),
	XSTATE(0x7, 0, EDX, 8, "avx512-vp2intersect", XCR0_AVX512),
	HOST(0x7, 0, EDX, 10, "md-clear"),
	HOST(0x7, 0, EDX, 14, "serialize"),
	XSTATE(0x7, 0, EDX, 23, "avx512fp16", XCR0_AVX512),
	FEAT(0x7, 0, EDX, 26, "ibrs-ibpb", SPEC_CTRL),
	FEAT(0x7, 0, EDX, 27, "stibp", SPEC_CTRL),
	HOST(0x7, 0, EDX, 28, "l1d-flush"),
	HOST(0x7, 0, EDX, 29, "arch-capabilities"),
	FEAT(0x7, 0, EDX, 31, "ssbd", SPEC_CTRL),

	XSTATE(0x7, 1, EAX, 4, "avx-vnni", XCR0_AVX),
	XSTATE(0x7, 1, EAX, 5, "avx512-bf16", XCR0_AVX512),
	HOST(0x7, 1, EAX, 10, "fzrm"),
	HOST(0x7, 1, EAX, 11, "fsrs"),
	HOST(0x7, 1, EAX, 12, "fsrcs"),
	XSTATE(0x7, 1, EAX, 23, "avx-ifma", XCR0_AVX),

	HOST(0x7, 2, EDX, 0, "psfd"),
	HOST(0x7, 2, EDX, 1, "ipred-ctrl"),
	HOST(0x7, 2, EDX, 2, "rrsba-ctrl"),
	HOST(0x7, 2, EDX, 3, "ddpd-u"),
	HOST(0x7, 2, EDX, 4, "bhi-ctrl"),
	HOST(0x7, 2, EDX, 5, "mcdt-no"),

	XSTATE(0xd, 1, EAX, 0, "xsaveopt", XCR0_SSE),
	XSTATE(0xd, 1, EAX, 1, "xsavec", XCR0_SSE),
	XSTATE(0xd, 1, EAX, 2, "xgetbv1", XCR0_SSE),
	ROW(0xd, 1, EAX, 3, "xsaves", CPUID_AS_HOST, FEATURE_XSAVES, XCR0_SSE),

	HOST(0x80000001, 0, ECX, 0, "lahf64"),
	HOST(0x80000001, 0, ECX, 5, "lzcnt"),
	HOST(0x80000001, 0, ECX, 8, "prefetchw"),
	HOST(0x80000001, 0, EDX, 11, "syscall"),
	HOST(0x80000001, 0, EDX, 20, "nx"),
	HOST(0x80000001, 0, EDX, 26, "1g-pages"),
	FEAT(0x80000001, 0, EDX, 27, "rdtscp", RDTSCP),
	HOST(0x80000001, 0, EDX, 29, "long-mode"),

	HOST(0x80000007, 0, EDX, 8, "invariant-tsc"),
};

const unsigned cpuid_feature_count = ARRAY_LEN(cpuid_features);
