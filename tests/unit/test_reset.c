/* sources: hv/reset.c */
/*
 * The ends of the machine, each means in its turn as the one before has no effect.
 */
#include "hv/reset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/uart.h"
#include "hv/base/acpi_host.h"
#include "hv/base/frame.h"
#include "hv/base/log.h"
#include "hv/base/map.h"
#include "hv/base/smp.h"
#include "tests/unit/support/machine.h"
#include "tests/unit/support/support.h"

#define IDENTITY_ROOT 0x5000
#define RUNTIME_RESET 0x7f001000
#define ARENA 0x100000

static char story[2000]; /* what happened, in order */
static struct acpi_host acpi;
static uint8_t device_page[64];
static bool firmware_returns, root_missing;
static unsigned keyboard_busy;
static uint32_t silent_cpus;

bool reset_call_firmware(uint64_t fn, uint64_t type, hpa_t root, uint64_t stack_top);

static void tell(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void tell(const char *fmt, ...)
{
	size_t used = strlen(story);
	va_list args;

	va_start(args, fmt);
	vsnprintf(story + used, sizeof(story) - used, fmt, args);
	va_end(args);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char text[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	tell("%s%s\n", level == LOG_WARN ? "warning: " : "", text);
}

void uart_flush(void) {}
const struct acpi_host *acpi_host(void) { return &acpi; }
void *map_device(hpa_t pa, uint64_t len, enum map_cache cache)
{
	(void)len, (void)cache;
	return device_page + (pa & 63);
}

hpa_t map_build_identity(const struct boot_info *bi)
{
	(void)bi;
	return root_missing ? HPA_NONE : IDENTITY_ROOT;
}

uint32_t cpus_stop_others(void (*on_each)(void))
{
	on_each();
	return silent_cpus;
}

bool reset_call_firmware(uint64_t fn, uint64_t type, hpa_t root, uint64_t stack_top)
{
	assert_int_equal(fn, RUNTIME_RESET);
	assert_int_equal(root, IDENTITY_ROOT);
	assert_true(stack_top > ARENA && stack_top % 16 == 0);
	tell("firmware type %lu\n", type);
	return firmware_returns;
}

static void on_out(uint16_t port, unsigned size, uint32_t value) { tell("out%u %x %x\n", size, port, value); }

static uint32_t on_in(uint16_t port, unsigned size)
{
	assert_int_equal(port, 0x64);
	assert_int_equal(size, 1);
	return keyboard_busy && keyboard_busy-- ? 0x02 : 0;
}

static void hook(void) { tell("hook\n"); }

static int start(void **state)
{
	(void)state;
	test_phys_init(ARENA, 256 * PAGE_SIZE);
	test_frames_left = 256;
	acpi = (struct acpi_host){ 0 };
	memset(device_page, 0, sizeof(device_page));
	firmware_returns = true;
	root_missing = false;
	keyboard_busy = 0;
	silent_cpus = 0;
	story[0] = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	test_phys_end();
	return 0;
}

static void init(uint64_t runtime_reset)
{
	static struct boot_info bi;

	test_machine_start(&(struct test_machine){ .in = on_in, .out = on_out });
	bi.efi_runtime_reset = runtime_reset;
	reset_init(&bi);
}

static void hooks_run_on_every_cpu(void **state)
{
	(void)state;
	reset_add_hook(hook);
	init(0);
	silent_cpus = 2;
	assert_int_equal(UNTIL_MACHINE_ENDS(host_reset(RESET_POWER_OFF)), 'h');
	assert_string_equal(story, "reset: the machine powers off\nhook\n"
				   "warning: reset: 2 CPUs did not stop; going on\nhook\n"
				   "reset: the firmware cannot power this machine off: it may be switched off now\n");
}

#define BEGIN "reset: the machine restarts\nhook\nhook\n"
#define FIRMWARE                                                                                    \
	"reset: calling the firmware's ResetSystem\nfirmware type 0\n"                              \
	"reset: ResetSystem came back without effect\n"
#define BLUNT                                                                                       \
	"reset: writing port CF9h\nout1 cf9 2\nout1 cf9 6\n"                                        \
	"reset: asking the keyboard controller\nout1 64 fe\nreset: by triple fault\n"

static void all_means_in_turn(void **state)
{
	(void)state;
	acpi.reset = (struct acpi_register){ .space = ACPI_SPACE_IO, .address = 0xb2 };
	acpi.reset_value = 0x5a;
	keyboard_busy = 3;
	init(RUNTIME_RESET);
	assert_int_equal(UNTIL_MACHINE_ENDS(host_reset(RESET_RESTART)), 'l');
	assert_string_equal(story, BEGIN FIRMWARE "reset: writing the ACPI reset register\nout1 b2 5a\n" BLUNT);
}

static void a_keyboard_controller_that_stays_busy(void **state)
{
	(void)state;
	keyboard_busy = UINT32_MAX;
	init(0);
	assert_int_equal(UNTIL_MACHINE_ENDS(host_reset(RESET_RESTART)), 'l');
	assert_string_equal(story + strlen(story) - strlen("by triple fault\n"), "by triple fault\n");
}

static void acpi_register_in_memory(void **state)
{
	(void)state;
	acpi.reset = (struct acpi_register){ .space = ACPI_SPACE_MEMORY, .address = 0xfed00004 };
	acpi.reset_value = 0x77;
	init(RUNTIME_RESET);
	assert_int_equal(UNTIL_MACHINE_ENDS(host_reset(RESET_RESTART)), 'l');
	assert_int_equal(device_page[4], 0x77);
	assert_string_equal(story, BEGIN FIRMWARE "reset: writing the ACPI reset register\n" BLUNT);
}

/* ACPI: device in bits 47:32, function in 31:16, offset in 15:0; bus 0. */
static void acpi_register_in_pci_space(void **state)
{
	(void)state;
	acpi.reset = (struct acpi_register){ .space = ACPI_SPACE_PCI, .address = 0x1full << 32 | 3 << 16 | 0x6d };
	acpi.reset_value = 0x11;
	init(0);
	assert_int_equal(UNTIL_MACHINE_ENDS(host_reset(RESET_RESTART)), 'l');
	assert_string_equal(story, BEGIN "reset: writing the ACPI reset register\n"
					 "out4 cf8 8000fb6c\nout1 cfd 11\n" BLUNT);
}

static void no_memory_to_call_firmware(void **state)
{
	(void)state;
	root_missing = true;
	init(RUNTIME_RESET);
	assert_string_equal(story, "warning: reset: no memory to call the firmware's ResetSystem: other means will "
				   "be used\n");
	story[0] = 0;
	assert_int_equal(UNTIL_MACHINE_ENDS(host_reset(RESET_RESTART)), 'l');
	assert_string_equal(story, BEGIN BLUNT);
}

static void firmware_that_faults(void **state)
{
	(void)state;
	firmware_returns = false;
	init(RUNTIME_RESET);
	assert_int_equal(UNTIL_MACHINE_ENDS(host_reset(RESET_POWER_OFF)), 'h');
	assert_string_equal(story, "reset: the machine powers off\nhook\nhook\n"
				   "reset: calling the firmware's ResetSystem\nfirmware type 2\n"
				   "reset: ResetSystem ended in an exception\n"
				   "reset: the firmware cannot power this machine off: it may be switched off now\n");
}

int main(void)
{
	/* What reset_init found stays found: first without firmware, last with a register in memory. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(hooks_run_on_every_cpu, start, end),
		cmocka_unit_test_setup_teardown(no_memory_to_call_firmware, start, end),
		cmocka_unit_test_setup_teardown(a_keyboard_controller_that_stays_busy, start, end),
		cmocka_unit_test_setup_teardown(acpi_register_in_pci_space, start, end),
		cmocka_unit_test_setup_teardown(all_means_in_turn, start, end),
		cmocka_unit_test_setup_teardown(firmware_that_faults, start, end),
		cmocka_unit_test_setup_teardown(acpi_register_in_memory, start, end),
	};
	return cmocka_run_group_tests_name("reset of the host", tests, NULL, NULL);
}
