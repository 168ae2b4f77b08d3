/* sources: drivers/lapic.c */
/*
 * The host's local APIC: which mode it is left or put in, and how CPUs are named in each, ids above
 * 255 included.
 */
#include "drivers/lapic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hv/base/log.h"
#include "hv/base/machine.h"
#include "hv/base/map.h"
#include "hv/base/trap.h"
#include "hv/base/vectors.h"
#include "tests/unit/support/machine.h"

#include <cmocka.h>

#define MSRS 64
#define BASE_BSP_ON (0xfee00000ul | BIT(8) | BIT(11))
#define EXTD BIT(10)
#define X2(reg) (MSR_X2APIC + ((reg) >> 4))
#define XAPIC_DISABLE_STATUS 0xbd

static struct { uint32_t msr; uint64_t value; } msrs[MSRS];
static unsigned msr_count;
static uint32_t window[PAGE_SIZE / 4];
static feature_set_t disabled;
static char log_text[2000];

static uint64_t *find(uint32_t msr)
{
	for (unsigned i = 0; i < msr_count; i++)
		if (msrs[i].msr == msr)
			return &msrs[i].value;
	return NULL;
}

static uint64_t get(uint32_t msr)
{
	uint64_t *value = find(msr);

	return value ? *value : 0;
}

static void set(uint32_t msr, uint64_t value)
{
	uint64_t *at = find(msr);

	if (!at) {
		assert_true(msr_count < MSRS);
		msrs[msr_count].msr = msr;
		at = &msrs[msr_count++].value;
	}
	*at = value;
}

int rdmsr_safe(uint32_t msr, uint64_t *value)
{
	if (!find(msr))
		return -1;
	*value = get(msr);
	return 0;
}

bool machine_feature_enabled(enum feature f) { return !(disabled >> f & 1); }
void trap_set_irq(uint8_t vector, void (*handler)(void)) { (void)vector, (void)handler; }
void *map_device(hpa_t pa, uint64_t len, enum map_cache cache)
{
	assert_int_equal(pa, 0xfee00000);
	assert_int_equal(len, PAGE_SIZE);
	assert_int_equal(cache, MAP_UNCACHED);
	return window;
}

void machine_give_up(const char *fmt, ...)
{
	fail_msg("%s", fmt);
	__builtin_unreachable();
}

void log_line(enum log_level level, const char *fmt, ...)
{
	size_t used = strlen(log_text);
	va_list args;

	(void)level;
	va_start(args, fmt);
	vsnprintf(log_text + used, sizeof(log_text) - used, fmt, args);
	va_end(args);
}

static void begin(uint64_t base, uint64_t id, feature_set_t off)
{
	static const struct test_machine machine = { .rdmsr = get, .wrmsr = set };

	msr_count = 0;
	memset(window, 0, sizeof(window));
	log_text[0] = 0;
	disabled = off;
	lapic_x2apic = false;
	set(MSR_APIC_BASE, base);
	set(X2(0x20), id);
	set(X2(0x30), 0x60015); /* last LVT entry 6 */
	window[0x20 / 4] = (uint32_t)id << 24;
	window[0x30 / 4] = 0x60015;
	test_machine_start(&machine);
	lapic_init();
}

/* Firmware with more than 255 CPUs leaves x2APIC mode on: `disable` cannot lead out of it. */
static void x2apic_stays_on(void **state)
{
	(void)state;
	begin(BASE_BSP_ON | EXTD, 0x12345, BIT(FEATURE_X2APIC));
	assert_true(lapic_x2apic);
	assert_int_equal(get(MSR_APIC_BASE), BASE_BSP_ON | EXTD);
	assert_int_equal(lapic_id(), 0x12345);
	assert_non_null(strstr(log_text, "firmware left x2APIC mode on: it stays on"));
	assert_null(strstr(log_text, "locked"));
	assert_int_equal(get(X2(0xf0)), 0x100 | HOST_VECTOR_SPURIOUS);
}

static void x2apic_locked(void **state)
{
	(void)state;
	begin(BASE_BSP_ON, 0, BIT(FEATURE_X2APIC));
	assert_false(lapic_x2apic);
	set(MSR_ARCH_CAPABILITIES, BIT(21));
	set(XAPIC_DISABLE_STATUS, 1);
	set(MSR_APIC_BASE, BASE_BSP_ON | EXTD);
	log_text[0] = 0;
	lapic_init();
	assert_true(lapic_x2apic);
	assert_non_null(strstr(log_text, "firmware left x2APIC mode on and locked: it stays on"));
}

/* Another CPU that firmware left disabled: xAPIC mode first, then x2APIC mode. */
static void disabled_cpu_follows(void **state)
{
	(void)state;
	begin(BASE_BSP_ON | EXTD, 7, 0);
	set(MSR_APIC_BASE, 0xfee00000);
	lapic_init_cpu();
	assert_int_equal(get(MSR_APIC_BASE), 0xfee00000 | BIT(11) | EXTD);
}

static void x2apic_names_any_id(void **state)
{
	(void)state;
	begin(BASE_BSP_ON | EXTD, 0, 0);
	lapic_send_ipi(0x89abcdef, HOST_VECTOR_KICK);
	assert_int_equal(get(X2(0x300)), 0x89abcdeful << 32 | 0x4000 | HOST_VECTOR_KICK);
	lapic_send_init(256);
	assert_int_equal(get(X2(0x300)), 256ul << 32 | 0x4500);
	lapic_send_sipi(256, 0x9a);
	assert_int_equal(get(X2(0x300)), 256ul << 32 | 0x469a);
	lapic_send_nmi(300);
	assert_int_equal(get(X2(0x300)), 300ul << 32 | 0x4400);
}

static void xapic_by_its_page(void **state)
{
	(void)state;
	begin(BASE_BSP_ON, 0xfe, BIT(FEATURE_X2APIC));
	assert_false(lapic_x2apic);
	assert_int_equal(lapic_id(), 0xfe);
	lapic_send_ipi(0xfd, HOST_VECTOR_POSTED);
	assert_int_equal(window[0x310 / 4], 0xfd000000);
	assert_int_equal(window[0x300 / 4], 0x4000 | HOST_VECTOR_POSTED);
	assert_int_equal(window[0x350 / 4], BIT(16));         /* LINT0 masked: the PIC is not used */
	assert_int_equal(window[0x360 / 4], 4 << 8);          /* LINT1 is the NMI pin */
	assert_int_equal(window[0x330 / 4], BIT(16));         /* what firmware may have left */
	assert_int_equal(window[0x2f0 / 4], BIT(16));
}

/* A destination that stays busy is given up on, not waited for without end. */
static void stuck_icr(void **state)
{
	(void)state;
	begin(BASE_BSP_ON, 0, BIT(FEATURE_X2APIC));
	window[0x300 / 4] = BIT(12);
	lapic_send_ipi(1, HOST_VECTOR_KICK);
	assert_int_equal(window[0x300 / 4], 0x4000 | HOST_VECTOR_KICK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(x2apic_stays_on),
		cmocka_unit_test(x2apic_locked),
		cmocka_unit_test(disabled_cpu_follows),
		cmocka_unit_test(x2apic_names_any_id),
		cmocka_unit_test(xapic_by_its_page),
		cmocka_unit_test(stuck_icr),
	};
	return cmocka_run_group_tests_name("the host's local APIC", tests, NULL, NULL);
}
