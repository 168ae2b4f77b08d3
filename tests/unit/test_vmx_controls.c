/* sources: vmx/core/controls.c vmx/core/feature_control.c hv/base/failure.c hv/base/format.c hv/base/features.c */
#include "vmx/core/controls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "vmx/core/msrs.h"
#include "vmx/core/vmxon.h"

#include <cmocka.h>

/* Default1 bits of the TRUE registers, and capabilities as the generations of Intel CPUs have them. */
#define PIN_1 0x16u
#define PRIMARY_1 0x04006172u
#define EXIT_1 0x36dfbu
#define ENTRY_1 0x11fbu

#define NEHALEM_SECONDARY (SECONDARY_APIC_ACCESS | SECONDARY_EPT | SECONDARY_DESCRIPTOR_TABLE | SECONDARY_RDTSCP | \
			   SECONDARY_X2APIC | SECONDARY_VPID | SECONDARY_WBINVD)
#define SANDY_SECONDARY (NEHALEM_SECONDARY | SECONDARY_UNRESTRICTED | SECONDARY_PAUSE_LOOP)
#define HASWELL_SECONDARY (SANDY_SECONDARY | SECONDARY_APIC_REGISTER | SECONDARY_VID | SECONDARY_RDRAND | \
			   SECONDARY_INVPCID | SECONDARY_VMFUNC | SECONDARY_VMCS_SHADOW | SECONDARY_EPT_VE)
#define SKYLAKE_SECONDARY (HASWELL_SECONDARY | SECONDARY_PML | SECONDARY_XSAVES | SECONDARY_TSC_SCALING | \
			   SECONDARY_RDSEED)
#define EPT_BASE (EPT_CAP_WALK_4 | EPT_CAP_UC | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_INVEPT | EPT_CAP_INVEPT_SINGLE | \
		  EPT_CAP_INVEPT_ALL | EPT_CAP_INVVPID | EPT_CAP_INVVPID_SINGLE | EPT_CAP_INVVPID_ALL)

static uint64_t caps(uint32_t must, uint64_t may) { return (uint64_t)(may | must) << 32 | must; }

static struct vmx_caps cpu(uint64_t pin_extra, uint64_t secondary, uint64_t ept)
{
	return (struct vmx_caps){
		.basic = VMX_BASIC_TRUE_CONTROLS | 0x10,
		.pin = caps(PIN_1, PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI | pin_extra),
		.primary = caps(PRIMARY_1 & ~(uint32_t)(PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE), 0xf3f99e8c),
		.secondary = caps(0, secondary),
		.exit = caps(EXIT_1 & ~4u, 0x7fffff),
		.entry = caps(ENTRY_1 & ~4u, 0xffff),
		.ept_vpid = ept,
	};
}

static struct vmx_caps sandy(void) { return cpu(PIN_PREEMPTION_TIMER, SANDY_SECONDARY, EPT_BASE); }

static struct vmx_caps haswell(void)
{
	return cpu(PIN_PREEMPTION_TIMER, HASWELL_SECONDARY, EPT_BASE | EPT_CAP_1G | EPT_CAP_AD);
}

static struct vmx_caps skylake(void)
{
	return cpu(PIN_PREEMPTION_TIMER | PIN_POSTED_INTERRUPTS, SKYLAKE_SECONDARY, EPT_BASE | EPT_CAP_1G | EPT_CAP_AD);
}

static int compute(struct vmx_caps c, feature_set_t disabled, struct vmx_controls *out, struct failure *f)
{
	memset(out, 0, sizeof *out);
	memset(f, 0, sizeof *f);
	return vmx_controls_compute(&c, disabled, out, f);
}

static void missing_features_are_named(void **state)
{
	struct vmx_caps lynnfield = cpu(0, NEHALEM_SECONDARY, EPT_BASE);
	struct vmx_controls c;
	struct failure f;

	(void)state;
	lynnfield.primary &= ~(uint64_t)PRIMARY_MSR_BITMAPS << 32;
	lynnfield.pin &= ~(uint64_t)PIN_NMI << 32;
	assert_int_equal(compute(lynnfield, 0, &c, &f), -ENODEV);
	assert_string_equal(f.text, "this CPU's VMX lacks what Gnomon needs: NMI exiting, use MSR bitmaps");
}

/* No EPT, no TRUE registers, so CR3 exits cannot be turned off; EFER and PAT are not in the VMCS. */
static struct vmx_caps penryn(void)
{
	struct vmx_caps c = cpu(0, SECONDARY_APIC_ACCESS | SECONDARY_WBINVD, 0);

	c.basic &= ~VMX_BASIC_TRUE_CONTROLS;
	c.primary = caps(0x0401e172, 0xf7f9fffe);
	c.exit = caps(0x36dff, 0x3ffff);
	c.entry = caps(0x11ff, 0x3fff);
	return c;
}

static void a_cpu_without_ept_runs_guests_under_shadow_paging(void **state)
{
	struct vmx_caps p = penryn(), lynnfield = cpu(0, NEHALEM_SECONDARY, EPT_BASE);
	char lacking[120];
	struct vmx_controls c;
	struct failure f;

	(void)state;
	assert_int_equal(compute(p, 0, &c, &f), 0);
	assert_false(feature_in(c.used, FEATURE_EPT));
	assert_true(vmx_controls_fit(&p, &c));
	vmx_controls_lacking_ept(&p, lacking, sizeof lacking);
	assert_string_equal(lacking, "EPT");

	assert_int_equal(compute(lynnfield, 0, &c, &f), 0);
	assert_true(feature_in(c.present, FEATURE_EPT));
	assert_false(feature_in(c.used, FEATURE_EPT) || feature_in(c.used, FEATURE_EPT_2M));
	assert_true(feature_in(c.used, FEATURE_VPID));
	vmx_controls_lacking_ept(&lynnfield, lacking, sizeof lacking);
	assert_string_equal(lacking, "unrestricted guest");
}

static void shadow_paging_has_controls_of_its_own(void **state)
{
	const uint32_t exits = PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE | PRIMARY_INVLPG;
	const uint32_t ept = SECONDARY_EPT | SECONDARY_UNRESTRICTED;
	struct vmx_controls c;
	struct failure f;
	char lacking[120];
	struct vmx_caps s = skylake();

	(void)state;
	assert_int_equal(compute(s, 0, &c, &f), 0);
	vmx_controls_lacking_ept(&s, lacking, sizeof lacking);
	assert_string_equal(lacking, "");
	assert_int_equal(c.word[PAGING_EPT][CONTROL_SECONDARY] & ept, ept);
	assert_int_equal(c.word[PAGING_EPT][CONTROL_PRIMARY] & exits, 0);
	assert_int_equal(c.word[PAGING_SHADOW][CONTROL_SECONDARY] & ept, 0);
	assert_int_equal(c.word[PAGING_SHADOW][CONTROL_PRIMARY] & exits, exits);
	assert_false(c.word[PAGING_SHADOW][CONTROL_ENTRY] & (ENTRY_LOAD_EFER | ENTRY_LOAD_PAT));
	assert_true(c.word[PAGING_SHADOW][CONTROL_SECONDARY] & SECONDARY_VPID);
	assert_int_equal(compute(s, BIT(FEATURE_EPT), &c, &f), 0);
	assert_false(feature_in(c.used, FEATURE_UNRESTRICTED) || feature_in(c.used, FEATURE_PML));
}

static void everything_missing_fits_the_sentence(void **state)
{
	struct vmx_caps none = { 0 };
	struct vmx_controls c;
	struct failure f;

	(void)state;
	assert_int_equal(compute(none, 0, &c, &f), -ENODEV);
	assert_true(strlen(f.text) < sizeof f.text);
}

static void words_stay_within_the_capabilities(void **state)
{
	struct vmx_caps all[] = { penryn(), sandy(), haswell(), skylake() };
	struct vmx_controls c;
	struct failure f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		for (int disabled = -1; disabled < FEATURE_COUNT; disabled++) {
			const uint64_t words[] = { all[i].pin, all[i].primary, all[i].secondary, all[i].exit,
						   all[i].entry };

			assert_int_equal(compute(all[i], disabled < 0 ? 0 : BIT(disabled), &c, &f), 0);
			for (int w = 0; w < PAGING_KINDS * CONTROL_WORDS; w++) {
				uint32_t word = c.word[w / CONTROL_WORDS][w % CONTROL_WORDS];
				uint64_t allowed = words[w % CONTROL_WORDS];

				assert_int_equal(word & (uint32_t)allowed, (uint32_t)allowed);
				assert_int_equal(word & ~(uint32_t)(allowed >> 32), 0);
			}
			assert_true(disabled < 0 || !feature_in(c.used, disabled));
		}
}

static void generations_differ_in_features(void **state)
{
	struct vmx_controls c;
	struct failure f;

	(void)state;
	assert_int_equal(compute(sandy(), 0, &c, &f), 0);
	assert_true(feature_in(c.used, FEATURE_PREEMPTION_TIMER));
	assert_false(feature_in(c.used, FEATURE_VID));
	assert_false(feature_in(c.used, FEATURE_EPT_1G));
	assert_int_equal(compute(haswell(), 0, &c, &f), 0);
	assert_true(feature_in(c.used, FEATURE_VID));
	assert_true(feature_in(c.used, FEATURE_EPT_AD));
	assert_false(feature_in(c.used, FEATURE_PML));
	assert_int_equal(compute(skylake(), 0, &c, &f), 0);
	assert_true(feature_in(c.used, FEATURE_PML));
	assert_true(feature_in(c.used, FEATURE_POSTED_INTERRUPTS));
	assert_true(c.word[PAGING_EPT][CONTROL_SECONDARY] & SECONDARY_XSAVES);
	/* What is switched per vCPU is not in the starting words. */
	assert_false(c.word[PAGING_EPT][CONTROL_SECONDARY] & (SECONDARY_VID | SECONDARY_APIC_ACCESS | SECONDARY_PML));
	assert_false(c.word[PAGING_EPT][CONTROL_PRIMARY] & (PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE | PRIMARY_INVLPG));
}

static void dependents_go_with_what_they_need(void **state)
{
	struct vmx_controls c;
	struct failure f;

	(void)state;
	assert_int_equal(compute(skylake(), BIT(FEATURE_TPR_SHADOW), &c, &f), 0);
	assert_false(feature_in(c.used, FEATURE_VID));
	assert_false(feature_in(c.used, FEATURE_APIC_REGISTER));
	assert_false(feature_in(c.used, FEATURE_POSTED_INTERRUPTS));
	assert_true(feature_in(c.present, FEATURE_VID));
	assert_int_equal(compute(skylake(), BIT(FEATURE_EPT_AD), &c, &f), 0);
	assert_false(feature_in(c.used, FEATURE_PML));
	assert_int_equal(compute(skylake(), BIT(FEATURE_VPID), &c, &f), 0);
	assert_false(c.word[PAGING_EPT][CONTROL_SECONDARY] & SECONDARY_VPID);
}

static void vpid_needs_its_instruction(void **state)
{
	struct vmx_caps s = skylake();
	struct vmx_controls c;
	struct failure f;

	(void)state;
	s.ept_vpid &= ~EPT_CAP_INVVPID_SINGLE;
	assert_int_equal(compute(s, 0, &c, &f), 0);
	assert_false(feature_in(c.used, FEATURE_VPID));
}

static void every_control_is_described(void **state)
{
	struct vmx_caps s = skylake();
	struct vmx_controls c;
	struct failure f;
	const char *name;
	bool offered, on;
	unsigned n = 0;

	(void)state;
	assert_int_equal(compute(s, 0, &c, &f), 0);
	while (vmx_controls_describe(&s, &c, n, &name, &offered, &on)) {
		assert_non_null(name);
		assert_true(offered || !on);
		n++;
	}
	assert_true(n > 40);
}

static void feature_control(void **state)
{
	uint64_t wanted;

	(void)state;
	assert_int_equal(vmx_feature_control(0, &wanted), FEATURE_CONTROL_SET);
	assert_int_equal(wanted, 5);
	assert_int_equal(vmx_feature_control(2, &wanted), FEATURE_CONTROL_SET);
	assert_int_equal(wanted, 7);
	assert_int_equal(vmx_feature_control(5, &wanted), FEATURE_CONTROL_READY);
	assert_int_equal(vmx_feature_control(1, &wanted), FEATURE_CONTROL_LOCKED_OFF);
	assert_int_equal(vmx_feature_control(3, &wanted), FEATURE_CONTROL_LOCKED_OFF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_features_are_named),
		cmocka_unit_test(a_cpu_without_ept_runs_guests_under_shadow_paging),
		cmocka_unit_test(shadow_paging_has_controls_of_its_own),
		cmocka_unit_test(everything_missing_fits_the_sentence),
		cmocka_unit_test(words_stay_within_the_capabilities),
		cmocka_unit_test(generations_differ_in_features),
		cmocka_unit_test(dependents_go_with_what_they_need),
		cmocka_unit_test(vpid_needs_its_instruction),
		cmocka_unit_test(every_control_is_described),
		cmocka_unit_test(feature_control),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
