/*
 * The valid VMCS of the entry checker's tests, and the loop over their cases.
 */
#include "tests/unit/check_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define FIELDS 0x8000
#define MAX_CASES 256
#define MAX_BROKEN 16

#define AR_CODE64 0xa09b
#define AR_DATA 0xc093
#define AR_TSS 0x8b
#define AR_LDT 0x82

static uint64_t fields[FIELDS];
static uint64_t memory[0x10000 / 8];

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

static void set_segment(uint32_t index, uint64_t sel, uint64_t limit, uint64_t ar)
{
	fields[VMCS_GUEST_ES_SEL + 2 * index] = sel;
	fields[VMCS_GUEST_ES_LIMIT + 2 * index] = limit;
	fields[VMCS_GUEST_ES_AR + 2 * index] = ar;
}

static void set_controls(void)
{
	fields[VMCS_PIN_CONTROLS] = PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI;
	fields[VMCS_PRIMARY_CONTROLS] = PRIMARY_HLT | PRIMARY_TPR_SHADOW | PRIMARY_IO_BITMAPS | PRIMARY_MSR_BITMAPS |
					PRIMARY_SECONDARY;
	fields[VMCS_SECONDARY_CONTROLS] = SECONDARY_EPT | SECONDARY_VPID | SECONDARY_UNRESTRICTED;
	fields[VMCS_EXIT_CONTROLS] = EXIT_HOST_64 | EXIT_LOAD_EFER | EXIT_LOAD_PAT | EXIT_ACK_INTERRUPT;
	fields[VMCS_ENTRY_CONTROLS] = ENTRY_IA32E | ENTRY_LOAD_EFER | ENTRY_LOAD_PAT | ENTRY_LOAD_DEBUG;
	fields[VMCS_VPID] = 1;
	fields[VMCS_IO_BITMAP_A] = 0x1000;
	fields[VMCS_IO_BITMAP_B] = 0x2000;
	fields[VMCS_MSR_BITMAP] = 0x3000;
	fields[VMCS_VIRTUAL_APIC] = 0x4000;
	fields[VMCS_EPTP] = 0x5000 | 3 << 3 | 6;
	fields[VMCS_TSC_MULTIPLIER] = 1ul << 48;
	fields[VMCS_VMCS_LINK] = ~0ul;
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

static void set_guest(void)
{
	fields[VMCS_GUEST_CR0] = CR0_PG | CR0_WP | CR0_NE | CR0_PE;
	fields[VMCS_GUEST_CR3] = 0x100000;
	fields[VMCS_GUEST_CR4] = CR4_VMXE | CR4_PAE;
	fields[VMCS_GUEST_EFER] = EFER_LME | EFER_LMA;
	fields[VMCS_GUEST_PAT] = 0x0007040600070406;
	fields[VMCS_GUEST_DR7] = 0x400;
	fields[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED1;
	fields[VMCS_GUEST_RIP] = 0xffffffff81000000;
	for (uint32_t seg = 0; seg < 6; seg++)
		set_segment(seg, 0x10, 0xffffffff, AR_DATA);
	set_segment(1, 0x8, 0xffffffff, AR_CODE64);
	set_segment(6, 0x20, 0xfff, AR_LDT);
	set_segment(7, 0x28, 0x67, AR_TSS);
	fields[VMCS_GUEST_GDTR_LIMIT] = 0x7f;
	fields[VMCS_GUEST_IDTR_LIMIT] = 0xfff;
}

void check_state_init(struct check_env *env, struct vmx_caps *caps)
{
	memset(fields, 0, sizeof(fields));
	memset(memory, 0, sizeof(memory));
	set_controls();
	set_host();
	set_guest();
	memory[TEST_SHADOW_VMCS / 8] = TEST_REVISION | BIT(31);
	memory[TEST_VMCS / 8] = TEST_REVISION;
	*caps = (struct vmx_caps){
		.basic = TEST_REVISION,
		.pin = ~0ul << 32, .primary = ~0ul << 32, .secondary = ~0ul << 32, .exit = ~0ul << 32,
		.entry = ~0ul << 32,
		.misc = 4 << 16 | 7 << 6 | 5,
		.ept_vpid = EPT_CAP_WALK_4 | EPT_CAP_UC | EPT_CAP_WB | EPT_CAP_AD,
		.cr0_fixed0 = CR0_PG | CR0_NE | CR0_PE, .cr0_fixed1 = 0xffffffff,
		.cr4_fixed0 = CR4_VMXE, .cr4_fixed1 = BITS(24, 0) & ~BIT(19),
	};
	*env = (struct check_env){
		.read = read_field, .read_phys = read_memory, .read_guest = read_memory,
		.caps = caps,
		.tertiary_allowed = ~0ul, .exit2_allowed = ~0ul, .vmfunc_allowed = 1,
		.perf_global_valid = 0xf, .rtit_ctl_valid = 0xff, .lbr_ctl_valid = 0xf,
		.vmcs = TEST_VMCS,
		.physical_bits = TEST_PHYSICAL_BITS,
		.long_mode = true,
	};
}

void check_state_edit(const struct check_edit *e)
{
	fields[e->field] = e->flip ? fields[e->field] ^ e->value : e->value;
}

struct broken {
	const char *ids[MAX_BROKEN];
	char text[360];
	unsigned count;
};

static void note_broken(void *ctx, const struct check_result *r)
{
	struct broken *b = ctx;

	if (b->count < MAX_BROKEN)
		b->ids[b->count] = r->id;
	if (!b->count++)
		memcpy(b->text, r->text, sizeof(b->text));
}

static void one_case(void **state)
{
	const struct check_case *c = *state;
	struct broken broken = { .count = 0 };
	struct vmx_caps caps;
	struct check_env env;
	int count;

	check_state_init(&env, &caps);
	for (unsigned i = 0; i < MAX_EDITS && (i == 0 || c->edits[i].field); i++)
		if (c->edits[i].field || c->edits[i].value || c->edits[i].flip || !c->tweak)
			check_state_edit(&c->edits[i]);
	if (c->tweak)
		c->tweak(&env, &caps);
	count = vmx_check_each(&env, note_broken, &broken);
	for (unsigned i = 1; i < broken.count && i < MAX_BROKEN; i++)
		print_message("also broken: %s\n", broken.ids[i]);
	assert_int_equal(count, 1);
	assert_string_equal(broken.ids[0], c->id);
	assert_memory_equal(broken.text, "VM entry refused: ", 18);
	assert_non_null(strstr(broken.text, "; SDM '"));
	assert_int_equal(broken.text[strlen(broken.text) - 1], '\'');
}

static const struct check_table *covered_table;
static const struct check_case *all_cases;
static unsigned all_count;

static void every_rule_has_a_case(void **state)
{
	(void)state;
	for (unsigned i = 0; i < covered_table->count; i++) {
		bool found = false;

		for (unsigned j = 0; j < all_count; j++)
			found |= !strcmp(covered_table->rules[i].id, all_cases[j].id);
		if (!found)
			fail_msg("no case breaks %s", covered_table->rules[i].id);
	}
}

int check_run_cases(const char *name, const struct check_case *cases, unsigned count, const struct check_table *covers)
{
	static struct CMUnitTest tests[MAX_CASES];

	covered_table = covers;
	all_cases = cases;
	all_count = count;
	tests[0] = (struct CMUnitTest)cmocka_unit_test(every_rule_has_a_case);
	for (unsigned i = 0; i < count; i++)
		tests[i + 1] = (struct CMUnitTest){
			.name = cases[i].id, .test_func = one_case, .initial_state = (void *)(uintptr_t)&cases[i]
		};
	return _cmocka_run_group_tests(name, tests, count + 1, NULL, NULL);
}
