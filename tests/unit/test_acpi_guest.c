/* sources: hv/guest/acpi.c hv/guest/guest_mem.c hv/base/failure.c hv/base/format.c */
/*
 * The ACPI tables as a guest finds them: by the RSDP, with right checksums, and with the addresses of
 * hv/guest/guest.h. iasl must be able to take every table apart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hv/devices/vrtc.h"
#include "hv/guest/acpi.h"
#include "hv/guest/guest.h"
#include "hv/guest/wakeup.h"
#include "tests/unit/support/guest_ram.h"

#include <cmocka.h>

static struct guest_mem mem;
static struct failure f;
static gpa_t rsdp;

static int setup(void **state)
{
	(void)state;
	mem = test_guest_ram(MIB(16), true);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_guest_ram_free(&mem);
	return 0;
}

static uint64_t field(gpa_t at, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, test_guest_at(&mem, at, size), size);
	return v;
}

static uint8_t sum(gpa_t at, uint64_t len)
{
	uint8_t s = 0;

	while (len--)
		s += field(at++, 1);
	return s;
}

/* The table of that signature, by RSDP and XSDT, with its checksum checked. */
static gpa_t table(const char *signature)
{
	gpa_t xsdt = field(rsdp + 24, 8);

	for (gpa_t at = xsdt + 36; at < xsdt + field(xsdt + 4, 4); at += 8) {
		gpa_t t = field(at, 8);

		if (!memcmp(test_guest_at(&mem, t, 4), signature, 4)) {
			assert_int_equal(sum(t, field(t + 4, 4)), 0);
			return t;
		}
	}
	fail_msg("no %s", signature);
	return 0;
}

static void build(unsigned vcpus) { assert_int_equal(acpi_build(&mem, vcpus, GUEST_PC, &rsdp, &f), 0); }

static void root_leads_to_all(void **state)
{
	gpa_t xsdt;

	(void)state;
	build(2);
	assert_int_equal(rsdp % 16, 0);
	assert_in_range(rsdp, 0xe0000, 0xfffff); /* where a BIOS search looks, too */
	assert_memory_equal(test_guest_at(&mem, rsdp, 8), "RSD PTR ", 8);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	xsdt = field(rsdp + 24, 8);
	assert_memory_equal(test_guest_at(&mem, xsdt, 4), "XSDT", 4);
	assert_int_equal(sum(xsdt, field(xsdt + 4, 4)), 0);
	table("FACP");
	table("APIC");
}

static void fadt_tells_the_hardware(void **state)
{
	gpa_t t, dsdt;

	(void)state;
	build(1);
	t = table("FACP");
	assert_int_equal(field(t + 4, 4), 276);
	assert_int_equal(field(t + 8, 1), 6);
	assert_int_equal(field(t + 46, 2), GUEST_IRQ_SCI);
	assert_int_equal(field(t + 48, 4), 0);
	assert_int_equal(field(t + 56, 4), GUEST_PORT_PM1_EVT);
	assert_int_equal(field(t + 64, 4), GUEST_PORT_PM1_CNT);
	assert_int_equal(field(t + 76, 4), GUEST_PORT_PM_TMR);
	assert_int_equal(field(t + 88, 4), 4 | 2 << 8 | 4u << 24);
	assert_int_equal(field(t + 108, 1), VRTC_CENTURY);
	assert_int_equal(field(t + 109, 2), 1 | 4); /* legacy devices; no VGA, no 8042 */
	assert_int_equal(field(t + 112, 4) & BIT(10), BIT(10));
	assert_int_equal(field(t + 112, 4) & BIT(20), 0); /* not hardware-reduced */
	assert_int_equal(field(t + 116, 4), 0x01000801);
	assert_int_equal(field(t + 120, 8), GUEST_PORT_RESET);
	assert_int_equal(field(t + 128, 1), 6);
	assert_int_equal(field(t + 148, 4), 0x02002001);
	assert_int_equal(field(t + 152, 8), GUEST_PORT_PM1_EVT);
	assert_int_equal(field(t + 176, 8), GUEST_PORT_PM1_CNT);
	assert_int_equal(field(t + 212, 8), GUEST_PORT_PM_TMR);
	dsdt = field(t + 140, 8);
	assert_int_equal(dsdt, field(t + 40, 4));
	assert_memory_equal(test_guest_at(&mem, dsdt, 4), "DSDT", 4);
	assert_int_equal(sum(dsdt, field(dsdt + 4, 4)), 0);
	assert_memory_equal(test_guest_at(&mem, field(t + 36, 4), 4), "FACS", 4);
	assert_int_equal(field(t + 36, 4) % 64, 0);
}

static void madt_lists_every_cpu(void **state)
{
	(void)state;
	for (unsigned vcpus = 1; vcpus <= GUEST_MAX_VCPUS; vcpus++) {
		unsigned cpus = 0, others[16] = { 0 };
		gpa_t t, at;

		build(vcpus);
		t = table("APIC");
		assert_int_equal(field(t + 36, 4), GUEST_LAPIC_BASE);
		assert_int_equal(field(t + 40, 4), 1);
		for (at = t + 44; at < t + field(t + 4, 4); at += field(at + 1, 1)) {
			unsigned type = field(at, 1);

			if (type == 0) {
				assert_int_equal(field(at + 2, 1), cpus);
				assert_int_equal(field(at + 3, 1), cpus++);
				assert_int_equal(field(at + 4, 4), 1);
			} else if (type == 1) {
				assert_int_equal(field(at + 2, 1), GUEST_IOAPIC_ID(vcpus));
				assert_int_equal(field(at + 4, 8), GUEST_IOAPIC_BASE);
			}
			assert_in_range(type, 0, 4);
			others[type]++;
		}
		assert_int_equal(at, t + field(t + 4, 4));
		assert_int_equal(cpus, vcpus);
		assert_int_equal(others[1], 1);
		assert_int_equal(others[2], 2);
		assert_int_equal(others[4], 1);
	}
}

/* It is the last entry, and the others are as without it. */
static void madt_names_the_mailbox(void **state)
{
	(void)state;
	for (unsigned vcpus = 1; vcpus <= GUEST_MAX_VCPUS; vcpus++) {
		uint64_t without;
		gpa_t t, at;

		build(vcpus);
		without = field(table("APIC") + 4, 4);
		assert_int_equal(acpi_build(&mem, vcpus, GUEST_PC_MAILBOX, &rsdp, &f), 0);
		t = table("APIC");
		assert_int_equal(field(t + 4, 4), without + 24);
		at = t + without;
		assert_int_equal(field(at, 2), 16 | 24 << 8);
		assert_int_equal(field(at + 2, 2), 1);
		assert_int_equal(field(at + 4, 4), 0);
		assert_int_equal(field(at + 8, 8), WAKEUP_MAILBOX);
		assert_int_equal(field(at + 16, 8), WAKEUP_CODE);
		assert_int_equal(field(at - 8, 4), 0 | 8 << 8 | (vcpus - 1) << 16 | (vcpus - 1) << 24);
	}
}

/* No PIC, a mailbox, and every interrupt by edge. */
static void madt_of_a_td(void **state)
{
	gpa_t t, at;

	(void)state;
	assert_int_equal(acpi_build(&mem, 2, GUEST_TD, &rsdp, &f), 0);
	t = table("APIC");
	assert_int_equal(field(t + 40, 4), 0); /* PCAT_COMPAT */
	at = t + 44 + 12;
	assert_int_equal(field(at + 8, 2), 5);
	assert_int_equal(field(at + 10 + 3, 1), GUEST_IRQ_SCI);
	assert_int_equal(field(at + 10 + 8, 2), 5); /* edge, active high */
	at = t + field(t + 4, 4) - 24;
	assert_int_equal(field(at, 2), 16 | 24 << 8);
	assert_int_equal(field(at + 8, 8), WAKEUP_MAILBOX);
}

static void madt_overrides(void **state)
{
	gpa_t t, at;

	(void)state;
	build(1);
	t = table("APIC");
	at = t + 44 + 12;
	assert_int_equal(field(at, 4), 2 | 10 << 8 | 0 << 16 | (unsigned)GUEST_IRQ_PIT << 24);
	assert_int_equal(field(at + 4, 4), 2);
	assert_int_equal(field(at + 10 + 3, 1), GUEST_IRQ_SCI);
	assert_int_equal(field(at + 10 + 4, 4), GUEST_IRQ_SCI);
	assert_int_equal(field(at + 10 + 8, 2), 0xd); /* level, active high */
	assert_int_equal(field(at + 20, 3), 4 | 6 << 8 | 0xff << 16);
	assert_int_equal(field(at + 25, 1), 1); /* LINT1 */
}

static void refusals(void **state)
{
	struct guest_mem small = test_guest_ram(KIB(512), false);

	(void)state;
	assert_int_equal(acpi_build(&mem, 0, GUEST_PC, &rsdp, &f), -EINVAL);
	assert_int_equal(acpi_build(&mem, GUEST_MAX_VCPUS + 1, GUEST_PC, &rsdp, &f), -EINVAL);
	assert_int_equal(acpi_build(&small, 1, GUEST_PC, &rsdp, &f), -ENOMEM);
	test_guest_ram_free(&small);
}

/* iasl disassembles the table at t without a complaint. */
static void disassemble(gpa_t t, const char *dir, const char *name)
{
	char path[300], command[700], line[400];
	FILE *file, *out;

	snprintf(path, sizeof(path), "%s/%s.dat", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	for (uint64_t i = 0; i < field(t + 4, 4); i++)
		fputc((int)field(t + i, 1), file);
	fclose(file);
	snprintf(command, sizeof(command), "iasl -d -p %s/%s %s 2>&1", dir, name, path);
	out = popen(command, "r");
	assert_non_null(out);
	while (fgets(line, sizeof(line), out))
		if (strstr(line, "Error") || strstr(line, "Warning") || strstr(line, "Incorrect"))
			fail_msg("%s: %s", name, line);
	assert_int_equal(pclose(out), 0);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%s.dsl", dir, name);
	assert_int_equal(unlink(path), 0);
}

static void iasl_takes_them_apart(void **state)
{
	char dir[] = "/tmp/gnomon-acpi-XXXXXX";

	(void)state;
	build(3);
	assert_non_null(mkdtemp(dir));
	disassemble(table("FACP"), dir, "facp");
	disassemble(table("APIC"), dir, "apic");
	disassemble(field(rsdp + 24, 8), dir, "xsdt");
	disassemble(field(table("FACP") + 40, 4), dir, "dsdt");
	assert_int_equal(acpi_build(&mem, 3, GUEST_TD, &rsdp, &f), 0);
	disassemble(table("APIC"), dir, "apic");
	disassemble(field(table("FACP") + 40, 4), dir, "dsdt");
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(root_leads_to_all, setup, teardown),
		cmocka_unit_test_setup_teardown(fadt_tells_the_hardware, setup, teardown),
		cmocka_unit_test_setup_teardown(madt_lists_every_cpu, setup, teardown),
		cmocka_unit_test_setup_teardown(madt_names_the_mailbox, setup, teardown),
		cmocka_unit_test_setup_teardown(madt_overrides, setup, teardown),
		cmocka_unit_test_setup_teardown(madt_of_a_td, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(iasl_takes_them_apart, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
