/* Processors for tests; see the header. */
#include "tests/unit/soft_cpu.h"

#include "vmx/core/msrs.h"

/* Default1 bits of the TRUE registers. */
#define PIN_1 0x16u
#define PRIMARY_1 (0x04006172u & ~(uint32_t)(PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE))
#define EXIT_1 (0x36dfbu & ~4u)
#define ENTRY_1 (0x11fbu & ~4u)

#define PLAIN (SECONDARY_APIC_ACCESS | SECONDARY_EPT | SECONDARY_DESCRIPTOR_TABLE | SECONDARY_RDTSCP | \
	       SECONDARY_X2APIC | SECONDARY_VPID | SECONDARY_WBINVD | SECONDARY_UNRESTRICTED)
#define FULL (PLAIN | SECONDARY_APIC_REGISTER | SECONDARY_VID | SECONDARY_INVPCID | SECONDARY_VMFUNC | \
	      SECONDARY_ENCLS | SECONDARY_EPT_VE | SECONDARY_XSAVES | SECONDARY_TSC_SCALING)

static uint64_t caps(uint32_t must, uint64_t may) { return (uint64_t)(may | must) << 32 | must; }

static uint64_t secondary_of(enum soft_cpu_kind kind)
{
	if (kind == SOFT_CPU_OLD)
		return PLAIN & ~SECONDARY_UNRESTRICTED;
	return kind == SOFT_CPU_FULL ? FULL : PLAIN;
}

/* Of a client CPU with AVX-512 and PKU: what the profile looks at, and bits that it must not let through. */
static void fake_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf, struct tdx_cpuid_values *out)
{
	static const struct {
		uint32_t leaf, subleaf;
		struct tdx_cpuid_values v;
	} rows[] = {
		{ 0x0, 0, { 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69 } },
		{ 0x1, 0, { 0x000706e5, 0x07100800, 0x7ffafbff, 0xbfebfbff } },
		{ 0x4, 0, { 0x1c004121, 0x02c0003f, 0x3f, 0 } },
		{ 0x4, 1, { 0x1c004122, 0x01c0003f, 0x3f, 0 } },
		{ 0x4, 2, { 0x1c004143, 0x01c0003f, 0x3ff, 0 } },
		{ 0x4, 3, { 0x1c03c163, 0x03c0003f, 0x1fff, 6 } },
		{ 0x7, 0, { 1, 0xf2bf67eb, 0x40415f4e, 0xbc000510 } },
		{ 0xd, 0, { 0x2e7, 0xa88, 0xa88, 0 } },
		{ 0xd, 1, { 0xf, 0xa88, 0x100, 0 } },
		{ 0xd, 2, { 256, 576, 0, 0 } },
		{ 0xd, 5, { 64, 1088, 0, 0 } },
		{ 0xd, 6, { 512, 1152, 0, 0 } },
		{ 0xd, 7, { 1024, 1664, 0, 0 } },
		{ 0xd, 9, { 8, 2688, 0, 0 } },
		{ 0x80000000, 0, { 0x80000008, 0, 0, 0 } },
		{ 0x80000001, 0, { 0, 0, 0x121, 0x2c100800 } },
		{ 0x80000006, 0, { 0, 0, 0x02006040, 0 } },
		{ 0x80000007, 0, { 0, 0, 0, 0x100 } },
		{ 0x80000008, 0, { 0x3027, 0, 0, 0 } },
	};

	(void)ctx;
	*out = (struct tdx_cpuid_values){ 0 };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].leaf == leaf && rows[i].subleaf == subleaf)
			*out = rows[i].v;
}

struct soft_cpu soft_cpu_fake(enum soft_cpu_kind kind)
{
	return (struct soft_cpu){
		.caps = {
			.basic = VMX_BASIC_TRUE_CONTROLS | 0x10,
			.pin = caps(PIN_1, PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI),
			.primary = caps(PRIMARY_1, 0xf3f99e8c),
			.secondary = caps(0, secondary_of(kind)),
			.exit = caps(EXIT_1, 0x7fffff),
			.entry = caps(ENTRY_1, 0xffff),
			.misc = MISC_STORES_LMA,
			.ept_vpid = EPT_CAP_WALK_4 | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_1G | EPT_CAP_INVEPT |
				    EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL | EPT_CAP_INVVPID,
			.cr0_fixed0 = 0x80000021, .cr0_fixed1 = 0xffffffff,
			.cr4_fixed0 = 0x2000, .cr4_fixed1 = 0x3767ff,
		},
		.tsc_hz = 2000000000,
		.arch_capabilities = 0xeb,
		.xfam = 0x2e7,
		.cpuid = fake_cpuid,
	};
}
