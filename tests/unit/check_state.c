/*
 * The VMCS and the CPU of the entry checker's tests.
 */
#include "tests/unit/check_state.h"

#include <string.h>

#define FIELDS 0x8000
#define REVISION 0x13u
#define PHYSICAL_BITS 40
#define PAGE_AT(page) (0x1000ul * (1 + (page)))
#define PDPTE_BAD 0x13 /* present, bit 1 is reserved */

/* What is 1 on every CPU with the TRUE registers. SDM "VM-Execution Control Fields" and others. */
#define PIN_MUST 0x16ul
#define PRIMARY_MUST 0x04006172ul
#define EXIT_MUST 0x36dfbul
#define ENTRY_MUST 0x11fbul

static uint64_t fields[FIELDS];
static uint64_t memory[(PAGE_COUNT + 1) * PAGE_SIZE / 8];

static uint64_t get(uint32_t field) { return fields[field]; }
static void set(uint32_t field, uint64_t value) { fields[field] = value; }

static uint64_t read_field(void *ctx, uint32_t field)
{
	(void)ctx;
	return fields[field];
}

static bool read_memory(void *ctx, uint64_t pa, uint64_t *value)
{
	(void)ctx;
	if (pa + 8 > sizeof(memory))
		return false;
	*value = memory[pa / 8];
	return true;
}

static void set_host(void)
{
	fields[VMCS_HOST_CR0] = CR0_PG | CR0_WP | CR0_NE | CR0_PE;
	fields[VMCS_HOST_CR3] = 0x6000;
	fields[VMCS_HOST_CR4] = CR4_VMXE | CR4_PAE;
	fields[VMCS_HOST_EFER] = EFER_LME | EFER_LMA | EFER_NXE;
	fields[VMCS_HOST_PAT] = 0x0007040600070406;
	fields[VMCS_HOST_CS_SEL] = 8;
	fields[VMCS_HOST_TR_SEL] = 0x18;
	fields[VMCS_HOST_RIP] = 0xffffffff80001000;
	fields[VMCS_HOST_RSP] = 0xffffc00000001000;
	fields[VMCS_HOST_GS_BASE] = 0xffff800000123000;
}

static void set_memory(void)
{
	memory[PAGE_AT(PAGE_VMCS) / 8] = REVISION;
	memory[PAGE_AT(PAGE_SHADOW) / 8] = REVISION | BIT(31);
	memory[PAGE_AT(PAGE_PDPTES) / 8] = PDPTE_BAD;
}

void check_state_init(enum check_base base, struct check_env *env, struct vmx_caps *caps, struct rule_target *t)
{
	memset(fields, 0, sizeof(fields));
	memset(memory, 0, sizeof(memory));
	set_memory();
	*caps = (struct vmx_caps){
		.basic = REVISION,
		.pin = BITS(7, 0) << 32 | PIN_MUST,
		.primary = BITS(31, 1) << 32 | PRIMARY_MUST,
		.secondary = (BITS(31, 0) & ~BIT(29)) << 32,
		.exit = BITS(31, 0) << 32 | EXIT_MUST,
		.entry = BITS(23, 0) << 32 | ENTRY_MUST,
		.misc = 4 << 16 | 7 << 6 | 5,
		.ept_vpid = EPT_CAP_WALK_4 | EPT_CAP_UC | EPT_CAP_WB | EPT_CAP_AD,
		.cr0_fixed0 = CR0_PG | CR0_NE | CR0_PE, .cr0_fixed1 = 0xffffffff,
		.cr4_fixed0 = CR4_VMXE, .cr4_fixed1 = BITS(24, 0) & ~BIT(19),
	};
	*env = (struct check_env){
		.read = read_field, .read_phys = read_memory, .read_guest = read_memory,
		.caps = caps,
		.tertiary_allowed = BITS(7, 0), .vmfunc_allowed = 1,
		.perf_global_valid = 0xf, .rtit_ctl_valid = 0xff, .lbr_ctl_valid = 0xf,
		.vmcs = PAGE_AT(PAGE_VMCS),
		.physical_bits = PHYSICAL_BITS,
		.long_mode = true,
	};
	*t = (struct rule_target){ .get = get, .set = set, .caps = caps, .physical_bits = PHYSICAL_BITS };
	for (unsigned i = 0; i < PAGE_COUNT; i++)
		t->page[i] = PAGE_AT(i);
	rule_base(t, base);
	set_host();
}
