/* sources: hv/base/config.c hv/base/config_key.c hv/base/config_net.c hv/base/config_serial.c hv/base/ip_address.c hv/base/failure.c hv/base/features.c hv/base/format.c */
#include "hv/base/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/fuzz/fuzz.h"

static const char seed[] =
	"# sample\nwhen_done = poweroff\nloglevel = debug\nserial = mmio:0xfe034000,4\nswitch_key = Ctrl-A\n"
	"watchdog = 0\ndisable = vid, vpid\n"
	"net_key = 0123456789abcdef\nmonitor_port = 2323\nhttp_port = 80\nsyslog = [2001:db8::1]:514\n"
	"net = 192.0.2.7/24\ngateway = 192.0.2.1\nipv6 = auto\nnic = 02:00.0\n"
	"[vm a]\nkernel = /guests/linux\ninitrd = /i\ncmdline = console=ttyS0\nmemory = 512M\nvcpus = 2\ncpu = 1\n"
	"mmu = ept\ntype = vm\nautostart = no\nstrict = yes\npremap = yes\nnx_huge = auto\n"
	"[vm b]\nkernel=b\r\n[vm c]\nmemory=2G\n";
static const char option_seed[] = "a.memory=512M";

static void check_text(const char *text, size_t size)
{
	assert_true(memchr(text, 0, size) != NULL);
}

static void parse(const uint8_t *data, size_t len)
{
	struct failure f = { "" };
	struct config c;
	int err;

	config_defaults(&c);
	err = config_parse(&c, (const char *)data, len, &f);
	assert_true((err != 0) == (f.text[0] != 0));
	assert_true(c.vm_count <= CONFIG_MAX_VMS);
	assert_true(c.monitor_port.number <= UINT16_MAX && c.http_port.number <= UINT16_MAX);
	assert_true(c.syslog.port <= UINT16_MAX);
	check_text(c.net_key, sizeof(c.net_key));
	for (uint32_t i = 0; i < c.vm_count; i++) {
		const struct vm_config *vm = &c.vms[i];

		check_text(vm->name, sizeof(vm->name));
		check_text(vm->kernel, sizeof(vm->kernel));
		check_text(vm->initrd, sizeof(vm->initrd));
		check_text(vm->cmdline, sizeof(vm->cmdline));
		assert_true(vm->memory >= MIB(2) && is_aligned(vm->memory, MIB(2)));
		assert_true(vm->nx_huge <= NX_HUGE_OFF);
		assert_true(vm->vcpus >= 1 && vm->vcpus <= 64);
	}
	config_check(&c, &f);
}

static void override(const uint8_t *data, size_t len)
{
	struct failure f = { "" };
	struct config c;
	char *option = malloc(len + 1);
	int err;

	memcpy(option, data, len);
	option[len] = 0;
	config_defaults(&c);
	assert_int_equal(config_parse(&c, seed, sizeof(seed) - 1, &f), 0);
	err = config_override(&c, option, &f);
	assert_true((err != 0) == (f.text[0] != 0));
	free(option);
}

static void test_parse(void **state)
{
	(void)state;
	fuzz_run(seed, sizeof(seed) - 1, 30000, parse);
}

static void test_override(void **state)
{
	(void)state;
	fuzz_run(option_seed, sizeof(option_seed) - 1, 10000, override);
	fuzz_run("start=a,b", 9, 10000, override);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_parse), cmocka_unit_test(test_override) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
