/* sources: vmx/core/inject.c vmx/cr_rules.c hv/guest/msr.c hv/guest/msr_table.c hv/guest/cpuid.c hv/guest/cpuid_features.c hv/base/failure.c hv/base/format.c */
#include "vmx/core/inject.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "hv/base/x86.h"
#include "vmx/core/fields.h"
#include "vmx/core/reasons.h"
#include "vmx/cr_rules.h"
#include "vmx/msr_bits.h"

#include <cmocka.h>

static struct vmx_event event(unsigned type, unsigned vector)
{
	return (struct vmx_event){ .info = INTR_VALID | INTR_TYPE_BITS(type) | vector };
}

static unsigned combined(unsigned first, unsigned second)
{
	bool shutdown;
	struct vmx_event e = inject_combine(event(INTR_HARD_EXCEPTION, first), inject_exception(second, 0), &shutdown);

	return shutdown ? 255 : INTR_VECTOR(e.info);
}

/* SDM table "Conditions for Generating a Double Fault", and the triple fault. */
static void double_faults(void **state)
{
	static const unsigned contributory[] = { VEC_DE, VEC_TS, VEC_NP, VEC_SS, VEC_GP };
	static const unsigned benign[] = { VEC_DB, VEC_UD, VEC_NM, VEC_MF, VEC_AC, VEC_XM };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(contributory); i++) {
		for (size_t k = 0; k < ARRAY_LEN(contributory); k++)
			assert_int_equal(combined(contributory[i], contributory[k]), VEC_DF);
		assert_int_equal(combined(contributory[i], VEC_PF), VEC_PF);
		assert_int_equal(combined(VEC_PF, contributory[i]), VEC_DF);
		assert_int_equal(combined(VEC_DF, contributory[i]), 255);
		for (size_t k = 0; k < ARRAY_LEN(benign); k++) {
			assert_int_equal(combined(contributory[i], benign[k]), benign[k]);
			assert_int_equal(combined(benign[k], contributory[i]), contributory[i]);
		}
	}
	assert_int_equal(combined(VEC_PF, VEC_PF), VEC_DF);
	assert_int_equal(combined(VEC_DF, VEC_PF), 255);
	assert_int_equal(combined(VEC_DF, VEC_UD), VEC_UD);
}

static void interrupts_are_benign(void **state)
{
	bool shutdown;
	struct vmx_event e;

	(void)state;
	e = inject_combine(event(INTR_EXTERNAL, VEC_GP), inject_exception(VEC_PF, 2), &shutdown);
	assert_int_equal(INTR_VECTOR(e.info), VEC_PF);
	assert_int_equal(e.error, 2);
	assert_false(shutdown);
	e = inject_combine(event(INTR_SOFT_INTERRUPT, VEC_DF), inject_exception(VEC_GP, 0), &shutdown);
	assert_int_equal(INTR_VECTOR(e.info), VEC_GP);
	e = inject_combine((struct vmx_event){ 0 }, inject_exception(VEC_UD, -1), &shutdown);
	assert_int_equal(e.info, INTR_VALID | INTR_TYPE_BITS(INTR_HARD_EXCEPTION) | VEC_UD);
	e = inject_combine(event(INTR_HARD_EXCEPTION, VEC_PF), inject_exception(VEC_PF, 7), &shutdown);
	assert_true(e.info & INTR_ERROR_CODE);
	assert_int_equal(e.error, 0);
}

static void cut_short_deliveries_come_again(void **state)
{
	struct vmx_event e;

	(void)state;
	assert_int_equal(inject_cut_short(0x30, 0, 0).info, 0);
	e = inject_cut_short(INTR_VALID | INTR_NMI_UNBLOCK | INTR_ERROR_CODE | INTR_TYPE_BITS(INTR_HARD_EXCEPTION) |
			     VEC_PF, 6, 3);
	assert_int_equal(e.info, INTR_VALID | INTR_ERROR_CODE | INTR_TYPE_BITS(INTR_HARD_EXCEPTION) | VEC_PF);
	assert_int_equal(e.error, 6);
	assert_int_equal(e.length, 0);
	e = inject_cut_short(INTR_VALID | INTR_TYPE_BITS(INTR_SOFT_INTERRUPT) | 0x80, 0, 2);
	assert_int_equal(e.length, 2);
}

/* All states: nothing is delivered against the rules, and nothing waits without a window. */
static void decisions(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 256; bits++) {
		struct inject_state s = {
			.event = bits & 1, .nmi_pending = bits & 2, .nmi_blocked = bits & 4, .interrupt = bits & 8,
			.interrupts_on = bits & 16, .sti_shadow = bits & 32, .mov_ss_shadow = bits & 64,
			.virtual_nmi = bits & 128,
		};
		struct inject_decision d = inject_decide(&s);
		bool shadow = s.sti_shadow || s.mov_ss_shadow;

		assert_int_equal(d.choice == INJECT_EVENT, s.event);
		if (d.choice == INJECT_NMI)
			assert_true(s.nmi_pending && !s.nmi_blocked && !shadow);
		if (d.choice == INJECT_INTERRUPT)
			assert_true(s.interrupt && s.interrupts_on && !shadow);
		if (s.nmi_pending && d.choice != INJECT_NMI)
			assert_true(s.virtual_nmi ? d.nmi_window : d.interrupt_window);
		if (s.interrupt && d.choice != INJECT_INTERRUPT)
			assert_true(d.interrupt_window);
		if (!s.nmi_pending && !s.interrupt)
			assert_false(d.nmi_window || d.interrupt_window);
	}
}

static void qualifications(void **state)
{
	struct cr_access cr = cr_access_decode(0x0000000000000f08);
	struct io_access io = io_access_decode(0x03f80039);

	(void)state;
	assert_int_equal(cr.number, 8);
	assert_int_equal(cr.type, CR_MOV_TO);
	assert_int_equal(cr.gpr, 15);
	cr = cr_access_decode(0xabcd0030);
	assert_int_equal(cr.type, CR_LMSW);
	assert_int_equal(cr.lmsw_source, 0xabcd);
	assert_int_equal(io.port, 0x3f8);
	assert_int_equal(io.size, 2);
	assert_true(io.in && io.string && io.rep);
	io = io_access_decode(0x00610000);
	assert_int_equal(io.size, 1);
	assert_false(io.in || io.string || io.rep);
	assert_int_equal(io_info_address_bytes(0), 2);
	assert_int_equal(io_info_address_bytes(2u << 7), 8);
	assert_int_equal(io_info_segment(3u << 15), 3);
}

static void field_widths(void **state)
{
	(void)state;
	assert_int_equal(vmcs_field_bits(VMCS_GUEST_CS_SEL), 16);
	assert_int_equal(vmcs_field_bits(VMCS_EPTP), 64);
	assert_int_equal(vmcs_field_bits(VMCS_EXIT_REASON), 32);
	assert_int_equal(vmcs_field_width(VMCS_GUEST_RIP), VMCS_WIDTH_NATURAL);
}

static struct cr_state long_mode_state(void)
{
	return (struct cr_state){ .cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET, .cr4 = CR4_PAE,
				  .efer = EFER_LME | EFER_LMA, .cr4_allowed = CR4_PAE | CR4_PGE | CR4_PCIDE, .cs_long = true };
}

static void control_register_rules(void **state)
{
	struct cr_state a = long_mode_state(), b = a;

	(void)state;
	b.cr0 = a.cr0 & ~CR0_PG; /* from 64-bit code */
	assert_false(cr_change_valid(&a, &b));
	b.cs_long = a.cs_long = false;
	assert_true(cr_change_valid(&a, &b));
	assert_false(cr_change_valid(&b, &(struct cr_state){ .cr0 = CR0_PG, .efer = 0 }));
	b = a;
	b.cr0 |= CR0_NW;
	assert_false(cr_change_valid(&a, &b));
	b.cr0 |= CR0_CD;
	assert_true(cr_change_valid(&a, &b));
	b = a;
	b.cr4 |= CR4_SMEP; /* hidden from this guest */
	assert_false(cr_change_valid(&a, &b));
	b.cr4 = a.cr4 | CR4_PCIDE;
	assert_true(cr_change_valid(&a, &b));
	b.cr3 = a.cr3 = 1;
	assert_false(cr_change_valid(&a, &b));
	b.cr4 = 0;
	assert_false(cr_change_valid(&a, &b));
}

static void pdptes(void **state)
{
	struct cr_state off = { .cr0 = CR0_PE, .cr4 = CR4_PAE }, on = { .cr0 = CR0_PE | CR0_PG, .cr4 = CR4_PAE };

	(void)state;
	assert_true(cr_change_loads_pdptes(&off, &on));
	assert_false(cr_change_loads_pdptes(&on, &off));
	assert_false(cr_change_loads_pdptes(&on, &on));
	on.efer = EFER_LME;
	assert_false(cr_change_loads_pdptes(&off, &on));
}

static bool closed(const uint8_t *page, unsigned part, uint32_t msr)
{
	uint32_t i = msr & 0x1fff;

	return page[part * 1024 + i / 8] >> (i & 7) & 1;
}

/* Only what the policy table passes is open, and open in the right quarter of the page. */
static void msr_bitmap_follows_the_policy(void **state)
{
	static uint8_t page[4096];
	struct msr_bits b = { page };

	(void)state;
	msr_bits_close_all(b);
	for (unsigned i = 0; i < msr_table_count; i++)
		msr_bits_open(b, msr_table[i].first, msr_table[i].last, msr_table[i].pass & MSR_PASS_BOTH);
	for (unsigned high = 0; high < 2; high++)
		for (uint32_t i = 0; i < 0x2000; i++) {
			uint32_t msr = i + (high ? 0xc0000000u : 0);
			const struct msr_entry *e = msr_find(msr);
			uint8_t pass = e ? e->pass : 0;

			assert_int_equal(closed(page, high, msr), !(pass & MSR_PASS_READ));
			assert_int_equal(closed(page, 2 + high, msr), !(pass & MSR_PASS_WRITE));
		}
	msr_bits_open(b, 0x40000000, 0x40000001, MSR_PASS_BOTH); /* no bit: always exits */
	assert_true(closed(page, 0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(double_faults),
		cmocka_unit_test(interrupts_are_benign),
		cmocka_unit_test(cut_short_deliveries_come_again),
		cmocka_unit_test(decisions),
		cmocka_unit_test(qualifications),
		cmocka_unit_test(field_widths),
		cmocka_unit_test(control_register_rules),
		cmocka_unit_test(pdptes),
		cmocka_unit_test(msr_bitmap_follows_the_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
