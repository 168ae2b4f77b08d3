/* sources: hv/base/config.c hv/base/config_key.c hv/base/config_net.c hv/base/config_serial.c hv/base/ip_address.c hv/base/failure.c hv/base/features.c hv/base/format.c */
#include "hv/base/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/log.h"

static struct config config;
static struct failure failure;

static int parse(const char *text)
{
	config_defaults(&config);
	failure.text[0] = 0;
	return config_parse(&config, text, strlen(text), &failure);
}

static void refused(const char *text, const char *sentence)
{
	assert_int_equal(parse(text), -EINVAL);
	assert_string_equal(failure.text, sentence);
}

static void refused_option(const char *option, const char *sentence)
{
	assert_int_equal(config_override(&config, option, &failure), -EINVAL);
	assert_string_equal(failure.text, sentence);
}

static void test_defaults(void **state)
{
	(void)state;
	assert_int_equal(parse("[vm a]\nkernel=/k\n"), 0);
	assert_int_equal(config.when_done, WHEN_DONE_MONITOR);
	assert_int_equal(config.loglevel, LOG_INFO);
	assert_int_equal(config.serial.kind, SERIAL_AUTO);
	assert_int_equal(config.switch_key, 0x1d);
	assert_int_equal(config.watchdog, 10);
	assert_true(config.disabled == 0);
	assert_int_equal(config.vm_count, 1);
	assert_true(config.vms[0].memory == MIB(512));
	assert_int_equal(config.vms[0].vcpus, 1);
	assert_true(config.vms[0].autostart);
	assert_true(config.vms[0].strict);
	assert_false(config.vms[0].premap);
	assert_int_equal(config.vms[0].nx_huge, NX_HUGE_AUTO);
	assert_int_equal(config.vms[0].line, 1);
	assert_int_equal(config_check(&config, &failure), 0);
}

static void test_every_key(void **state)
{
	(void)state;
	assert_int_equal(parse("\xef\xbb\xbf# a comment\r\n"
	                       "when_done = reboot # what happens at the end\r\n"
	                       "loglevel=debug\r\nserial = 0x2f8\r\nswitch_key = Ctrl-a\r\nwatchdog = 3\n"
	                       "disable = vid, vpid ept-1g\r\n"
	                       "[ vm one ]\r\n\tkernel = /guests/linux\r\n\tinitrd = /guests/initrd\r\n"
	                       "cmdline = console=ttyS0  a#b # tail\r\nmemory = 2G\r\nvcpus = 4\r\ncpu = 2\r\n"
	                       "mmu = ept\r\nwakeup = mailbox\r\ntype = vm\r\n"
	                       "autostart = no\r\nstrict = no\r\npremap = yes\r\nnx_huge = on\r\n"
	                       "[vm two]\nkernel = b\nnx_huge = off"), 0);
	assert_int_equal(config.when_done, WHEN_DONE_REBOOT);
	assert_int_equal(config.loglevel, LOG_DEBUG);
	assert_int_equal(config.serial.kind, SERIAL_PORT);
	assert_int_equal(config.serial.address, 0x2f8);
	assert_int_equal(config.switch_key, 1);
	assert_int_equal(config.watchdog, 3);
	assert_true(config.disabled == (BIT(FEATURE_VID) | BIT(FEATURE_VPID) | BIT(FEATURE_EPT_1G)));
	assert_int_equal(config.vm_count, 2);
	assert_string_equal(config.vms[0].name, "one");
	assert_string_equal(config.vms[0].kernel, "/guests/linux");
	assert_string_equal(config.vms[0].initrd, "/guests/initrd");
	assert_string_equal(config.vms[0].cmdline, "console=ttyS0  a#b");
	assert_true(config.vms[0].memory == GIB(2));
	assert_int_equal(config.vms[0].vcpus, 4);
	assert_int_equal(config.vms[0].first_cpu, 2);
	assert_false(config.vms[0].autostart);
	assert_false(config.vms[0].strict);
	assert_true(config.vms[0].premap);
	assert_int_equal(config.vms[0].nx_huge, NX_HUGE_ON);
	assert_int_equal(config.vms[1].nx_huge, NX_HUGE_OFF);
	assert_string_equal(config.vms[1].kernel, "b");
}

static void test_grammar_errors(void **state)
{
	(void)state;
	refused("\n\nhello\n", "gnomon.conf:3: \"hello\" is neither [vm NAME] nor key = value");
	refused("[disk]\n", "gnomon.conf:1: [disk] is no section; write [vm NAME]");
	refused("[vmx a]\n", "gnomon.conf:1: [vmx a] is no section; write [vm NAME]");
	refused("[vm a b]\n", "gnomon.conf:1: \"a b\" is no name for a vm; take up to 31 letters, digits, - or _");
	refused("[vm ]\n", "gnomon.conf:1: \"\" is no name for a vm; take up to 31 letters, digits, - or _");
	refused("[vm none]\n",
	        "gnomon.conf:1: a vm cannot be called none, which start=none means; take another name");
	refused("[vm a]\n[vm b]\n[vm a]\n",
	        "gnomon.conf:3: vm a is already described in line 1; give each vm a name of its own");
	refused("[vm a]\nmemory=512M\nmemory=1G\n", "gnomon.conf:3: memory is given twice; keep one of the lines");
	refused("loglevel=in\001fo\n", "gnomon.conf:1: a control character (01h); gnomon.conf is plain text");
	refused("[vm a]\nloglevel=info\n",
	        "gnomon.conf:2: loglevel is a global key; write it before the first [vm NAME]");
	refused("memory=1G\n", "gnomon.conf:1: memory belongs to a vm; write it below a line [vm NAME]");
	refused("colour=red\n", "gnomon.conf:1: there is no key colour; global keys are when_done, loglevel, serial,"
	        " switch_key, watchdog, disable, trace, net, gateway, ipv6, nic, net_key, monitor_port, http_port,"
	        " syslog");
	refused("[vm a]\nmemroy=1G\n", "gnomon.conf:2: there is no key memroy; a vm has kernel, initrd, cmdline,"
	        " memory, vcpus, cpu, mmu, wakeup, type, autostart, strict, premap, lazy_accept, nx_huge");
}

static void test_serial(void **state)
{
	static const struct { const char *text; struct serial_config want; } good[] = {
		{ "auto", { SERIAL_AUTO, 0, 0 } }, { "acpi", { SERIAL_ACPI, 0, 0 } }, { "none", { SERIAL_NONE, 0, 0 } },
		{ "com4", { SERIAL_PORT, 0, 0x2e8 } }, { "0xfff8", { SERIAL_PORT, 0, 0xfff8 } },
		{ "mmio:0xfe034000", { SERIAL_MEMORY, 1, 0xfe034000 } },
		{ "mmio:0xFFFFFFFFC0,8", { SERIAL_MEMORY, 8, 0xffffffffc0 } }, { "pci:2:1f.7", { SERIAL_PCI, 0, 0x2ff } },
	};
	static const char *const bad[] = {
		"com5", "0x", "0xff", "0xfff9", "3f8", "", "none ,", "mmio:", "mmio:0x", "mmio:0x0", "mmio:1000",
		"mmio:0x1000,", "mmio:0x1000,3", "mmio:0x1000,0", "mmio:0x1000,4,4", "mmio:0xfffffffffffffff8,4",
		"mmio:0x10000000000000000", "ACPI", "pci:", "pci:00:20.0", "pci:100:00.0", "pci:00:00.8", "pci:0:3",
	};
	char line[80], sentence[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		snprintf(line, sizeof line, "serial = %s\n", good[i].text);
		assert_int_equal(parse(line), 0);
		assert_int_equal(config.serial.kind, good[i].want.kind);
		assert_int_equal(config.serial.stride, good[i].want.stride);
		assert_int_equal(config.serial.address, good[i].want.address);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(line, sizeof line, "serial=%s\n", bad[i]);
		snprintf(sentence, sizeof sentence, "gnomon.conf:1: serial = %s is no serial port; write auto, com1 to"
			 " com4, an I/O port like 0x3f8, mmio:0xfe034000 or mmio:0xfe034000,4, pci:02:00.0,"
			 " acpi, or none", bad[i]);
		refused(line, sentence);
	}
}

static void test_value_errors(void **state)
{
	(void)state;
	refused("[vm a]\nmemory=lots\n", "gnomon.conf:2: memory = lots is not a size; write it like 512M or 2G");
	refused("[vm a]\nmemory=\n", "gnomon.conf:2: memory =  is not a size; write it like 512M or 2G");
	refused("[vm a]\nmemory=99999999999999999999G\n",
	        "gnomon.conf:2: memory = 99999999999999999999G is not a size; write it like 512M or 2G");
	refused("[vm a]\nmemory=3M\n",
	        "gnomon.conf:2: memory = 3M must be a multiple of 2M, from 2M to 1048576M, like 512M");
	refused("[vm a]\nmemory=0\n",
	        "gnomon.conf:2: memory = 0 must be a multiple of 2M, from 2M to 1048576M, like 512M");
	refused("[vm a]\nmemory=1025G\n",
	        "gnomon.conf:2: memory = 1025G must be a multiple of 2M, from 2M to 1048576M, like 512M");
	refused("[vm a]\nvcpus=0\n", "gnomon.conf:2: vcpus = 0 is not a number from 1 to 64");
	refused("[vm a]\nvcpus=65\n", "gnomon.conf:2: vcpus = 65 is not a number from 1 to 64");
	refused("[vm a]\nvcpus=-1\n", "gnomon.conf:2: vcpus = -1 is not a number from 1 to 64");
	refused("[vm a]\ntype=sev\n", "gnomon.conf:2: type = sev is not known; write vm or td");
	refused("[vm a]\nmmu=npt\n", "gnomon.conf:2: mmu = npt is not known; write ept or shadow");
	refused("when_done=sleep\n",
	        "gnomon.conf:1: when_done = sleep is not known; write monitor or poweroff or reboot");
	refused("[vm a]\nnx_huge=yes\n", "gnomon.conf:2: nx_huge = yes is not known; write auto or on or off");
	refused("[vm a]\nautostart=maybe\n", "gnomon.conf:2: autostart = maybe is neither yes nor no");
	refused("watchdog=3601\n", "gnomon.conf:1: watchdog = 3601 is not a number from 0 to 3600");
	refused("switch_key=F1\n", "gnomon.conf:1: switch_key = F1 is no control key; write it like Ctrl-]");
	refused("switch_key=Ctrl-M\n", "gnomon.conf:1: switch_key = Ctrl-M cannot be told from another key; take"
	        " Ctrl-] or a letter but I, J, M");
	refused("disable=vid,warp\n", "gnomon.conf:1: disable: there is no optional feature warp; `caps` in the"
	        " monitor lists them (such as vpid, ept-ad, vid)");
	refused("[vm a]\nkernel=\n", "gnomon.conf:2: kernel names no file; write kernel = PATH, from the stick's root");
	refused("[vm a]\nkernel=a*b\n",
	        "gnomon.conf:2: kernel holds '*', which no file name on the stick can; rename it");
}

#define SECRET "0123456789abcdef"

/* What opens the host to the network is off unless asked for, and never without a key. */
static void test_network(void **state)
{
	(void)state;
	assert_int_equal(parse("when_done = monitor\n"), 0);
	assert_int_equal(config.monitor_port.number | config.http_port.number, 0);
	assert_string_equal(config.net_key, "");
	assert_int_equal(parse("net = dhcp\nnet_key = " SECRET "\nmonitor_port = 2323\nhttp_port = 65535\n"), 0);
	assert_string_equal(config.net_key, SECRET);
	assert_int_equal(config.monitor_port.number, 2323);
	assert_int_equal(config.http_port.number, 65535);
	assert_int_equal(config_check(&config, &failure), 0);
	assert_int_equal(config_override(&config, "monitor_port=off", &failure), 0);
	assert_int_equal(config.monitor_port.number, 0);
	for (const char *const *bad = (const char *const[]){ "0", "65536", "", "http", "-1", "80 81", NULL }; *bad; bad++) {
		char text[40], wanted[100];

		sprintf(text, "\nhttp_port=%s\n", *bad);
		sprintf(wanted, "gnomon.conf:2: http_port = %s is no port; write a number from 1 to 65535, or off", *bad);
		refused(text, wanted);
	}
	assert_int_equal(parse("http_port=80\n\nmonitor_port=80\n"), 0);
	assert_int_equal(config_check(&config, &failure), -EINVAL);
	assert_string_equal(failure.text, "gnomon.conf:3: monitor_port opens the monitor to whoever has net_key, and there"
	                    " is none; add a line net_key = SECRET, or leave monitor_port out");
	assert_int_equal(config_override(&config, "net_key=" SECRET, &failure), 0);
	assert_int_equal(config_check(&config, &failure), -EINVAL);
	assert_string_equal(failure.text, "gnomon.conf:1: http_port and monitor_port are both 80; take two ports");
	assert_int_equal(parse("\nhttp_port=80\n"), 0);
	assert_int_equal(config_check(&config, &failure), -EINVAL);
	assert_string_equal(failure.text, "gnomon.conf:2: http_port needs the host's own network; add a line net = dhcp or"
	                    " net = ADDRESS/BITS, or leave http_port out");
	assert_int_equal(config_override(&config, "ipv6=auto", &failure), 0);
	assert_int_equal(config_check(&config, &failure), 0);
}

static void expect_syslog(const char *value, enum ip_version version, unsigned port)
{
	char text[100];

	sprintf(text, "net=dhcp\nsyslog=%s\n", value);
	assert_int_equal(parse(text), 0);
	assert_int_equal(config.syslog.address.version, version);
	assert_int_equal(config.syslog.port, port);
	assert_int_equal(config_check(&config, &failure), 0);
}

static void test_syslog(void **state)
{
	static const char *const bad[] = { "", "loghost", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:x",
		"[192.0.2.1", "[2001:db8::1]x", "[2001:db8::1]:", "[]:514", "2001:db8::1:x", ":514", "[2001:db8::1]:514 " "x" };

	(void)state;
	expect_syslog("192.0.2.1", IP_V4, 514);
	expect_syslog("192.0.2.1:1514", IP_V4, 1514);
	expect_syslog("2001:db8::1", IP_V6, 514);
	expect_syslog("[2001:db8::1]", IP_V6, 514);
	expect_syslog("[2001:db8::1]:65535", IP_V6, 65535);
	expect_syslog("off", IP_NONE, 514);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char text[100], wanted[200];

		sprintf(text, "syslog=%s\n", bad[i]);
		sprintf(wanted, "gnomon.conf:1: syslog = %s is not known; write an address like 192.0.2.1, 192.0.2.1:514 or"
		        " [2001:db8::1]:514, or off", bad[i]);
		refused(text, wanted);
	}
	assert_int_equal(parse("syslog=192.0.2.1\n"), 0);
	assert_int_equal(config_check(&config, &failure), -EINVAL);
}

/* A key that does not do is not repeated: errors go to screens that others see. */
static void test_secrets(void **state)
{
	static const char sentence[] = "gnomon.conf:1: net_key takes 16 to 64 letters, digits and signs without blanks;"
		" `openssl rand -hex 16` makes a good one";

	(void)state;
	refused("net_key=\n", sentence);
	refused("net_key=0123456789abcde\n", sentence);
	refused("net_key=" SECRET " " SECRET "\n", sentence);
	refused("net_key=" SECRET "\xc3\xa4\n", sentence);
	refused("net_key=" SECRET SECRET SECRET SECRET "x\n", sentence);
	assert_int_equal(parse("net_key=" SECRET SECRET SECRET SECRET "\n"), 0);
	assert_int_equal(strlen(config.net_key), 64);
}

static void test_address(void **state)
{
	(void)state;
	assert_int_equal(parse(""), 0);
	assert_false(net_config_on(&config.net));
	assert_int_equal(config.net.nic, CONFIG_NIC_ANY);
	assert_int_equal(parse("net = dhcp\nipv6 = auto\nnic = 02:1f.7\n"), 0);
	assert_int_equal(config.net.mode, NET_DHCP);
	assert_true(config.net.ipv6);
	assert_int_equal(config.net.nic, 0x2ff);
	assert_int_equal(config_check(&config, &failure), 0);
	assert_int_equal(parse("net = 192.0.2.7/24\ngateway = 192.0.2.1\nnic = any\n"), 0);
	assert_int_equal(config.net.mode, NET_STATIC);
	assert_int_equal(config.net.prefix, 24);
	assert_memory_equal(config.net.address.bytes, "\xc0\0\2\7", 4);
	assert_memory_equal(config.net.gateway.bytes, "\xc0\0\2\1", 4);
	assert_int_equal(config_check(&config, &failure), 0);
	assert_int_equal(config_override(&config, "net=off", &failure), 0);
	assert_int_equal(config_check(&config, &failure), -EINVAL);
	assert_string_equal(failure.text,
	                    "gnomon.conf: gateway goes with net = ADDRESS/BITS only; leave it out");
	assert_int_equal(parse("net = 192.0.2.7/24\ngateway = 192.0.3.1\n"), 0);
	assert_int_equal(config_check(&config, &failure), -EINVAL);
	assert_string_equal(failure.text, "gnomon.conf: gateway is not in the network of net = ADDRESS/24; correct one"
	                    " of them");
}

static void test_address_errors(void **state)
{
	static const char *const bad[] = { "192.0.2.0/24", "192.0.2.255/24", "127.0.0.1/8", "0.0.0.1/8", "224.0.0.1/4" };
	char text[64], sentence[120];

	(void)state;
	refused("net=on\n", "gnomon.conf:1: net = on is not known; write off, dhcp, or an address with the bits of its"
	        " network, like 192.0.2.7/24");
	refused("net=fe80::1/64\n", "gnomon.conf:1: net = fe80::1/64 is not known; write off, dhcp, or an address with"
	        " the bits of its network, like 192.0.2.7/24");
	refused("net=192.0.2.7/31\n", "gnomon.conf:1: net = 192.0.2.7/31: a network has 1 to 30 bits");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(text, sizeof(text), "net=%s\n", bad[i]);
		snprintf(sentence, sizeof(sentence), "gnomon.conf:1: net = %s is no address that a host can have", bad[i]);
		refused(text, sentence);
	}
	refused("gateway=router\n", "gnomon.conf:1: gateway = router is no IPv4 address");
	refused("ipv6=on\n", "gnomon.conf:1: ipv6 = on is neither off nor auto");
	refused("nic=02:20.0\n",
	        "gnomon.conf:1: nic = 02:20.0 is no PCI address; write any, or the address like 02:00.0");
}

static void test_lengths(void **state)
{
	char text[2000] = "[vm a]\ncmdline=";
	size_t head = strlen(text);

	(void)state;
	memset(text + head, 'x', CONFIG_CMDLINE_MAX - 1);
	assert_int_equal(parse(text), 0);
	assert_int_equal(strlen(config.vms[0].cmdline), CONFIG_CMDLINE_MAX - 1);
	memset(text + head, 'x', CONFIG_CMDLINE_MAX);
	refused(text, "gnomon.conf:2: cmdline is longer than 1023 characters; shorten it");
}

static void test_too_many_vms(void **state)
{
	char text[2000] = "";

	(void)state;
	for (int i = 0; i <= CONFIG_MAX_VMS; i++)
		sprintf(text + strlen(text), "[vm v%d]\n", i);
	refused(text, "gnomon.conf:17: more than 16 vms; leave some out");
}

static void test_options(void **state)
{
	(void)state;
	assert_int_equal(parse("[vm a]\nkernel=k\nmemory=64M\n[vm b]\nkernel=k\nautostart=no\n[vm c]\nkernel=k\n"), 0);
	assert_int_equal(config_override(&config, "loglevel=debug", &failure), 0);
	assert_int_equal(config.loglevel, LOG_DEBUG);
	assert_int_equal(config_override(&config, "a.memory=128M", &failure), 0);
	assert_true(config.vms[0].memory == MIB(128));
	assert_int_equal(config_override(&config, "a.cmdline=console=ttyS0 x.y=z", &failure), 0);
	assert_string_equal(config.vms[0].cmdline, "console=ttyS0 x.y=z");
	assert_int_equal(config_override(&config, "disable=none", &failure), 0);

	assert_int_equal(config_override(&config, "start=b,c", &failure), 0);
	assert_false(config.vms[0].autostart);
	assert_true(config.vms[1].autostart);
	assert_true(config.vms[2].autostart);
	assert_int_equal(config_override(&config, "start=none", &failure), 0);
	assert_false(config.vms[1].autostart || config.vms[2].autostart);

	refused_option("start=b,x", "option: start: gnomon.conf has no vm \"x\"; name its vms, or none");
	assert_false(config.vms[1].autostart);
	refused_option("start=", "option: start: gnomon.conf has no vm \"\"; name its vms, or none");
	refused_option("x.memory=1G", "option: gnomon.conf has no vm \"x\"");
	refused_option("quiet", "option: \"quiet\" is not key=value, VM.key=value or start=VM");
	assert_int_equal(config_override(&config, "a.type=td", &failure), 0);
	assert_int_equal(config.vms[0].type, VM_TYPE_TD);
	refused_option("a.type=tdx", "option: type = tdx is not known; write vm or td");
	refused_option("\033[A=", "option: a control character (1bh); gnomon.conf is plain text");
}

/* Secondary vCPUs start as `wakeup` says, else as the MMU's kind lets them; a single vCPU has none. */
static void test_wakeup(void **state)
{
	static const struct {
		const char *text;
		bool mailbox;
	} cases[] = {
		{ "vcpus=2", false }, { "vcpus=2\nwakeup=mailbox", true }, { "vcpus=2\nmmu=shadow", true },
		{ "vcpus=2\ntype=td", false }, { "vcpus=2\ntype=td\nwakeup=mailbox", false },
		{ "vcpus=2\nmmu=shadow\nwakeup=sipi", false }, { "mmu=shadow", false }, { "wakeup=mailbox", false },
	};
	char text[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text), "[vm a]\nkernel=k\n%s\n", cases[i].text);
		assert_int_equal(parse(text), 0);
		assert_int_equal(vm_config_mailbox(&config.vms[0], config.vms[0].mmu), cases[i].mailbox);
	}
	refused("[vm a]\nwakeup=init\n", "gnomon.conf:2: wakeup = init is not known; write sipi or mailbox");
}

/* What a TD cannot have; all else is looked at when it is started. */
static void test_td(void **state)
{
	static const char *const refusals[][2] = {
		{ "mmu=shadow", "gnomon.conf:1: vm a: type = td and mmu = shadow exclude each other, a TD has tables of"
				" its own; leave mmu out" },
		{ "wakeup=sipi", "gnomon.conf:1: vm a: a TD knows no start-up IPI; leave wakeup = sipi out" },
		{ "premap=yes", "gnomon.conf:1: vm a: a TD accepts its memory itself; leave premap = yes out" },
	};
	char text[100];

	(void)state;
	assert_int_equal(parse("[vm a]\nkernel=k\ntype=td\nmmu=ept\nvcpus=4\nwakeup=mailbox\nlazy_accept=yes\n"), 0);
	assert_int_equal(config_check(&config, &failure), 0);
	assert_true(config.vms[0].lazy_accept);
	assert_int_equal(parse("[vm a]\nkernel=k\nlazy_accept=yes\n"), 0);
	assert_int_equal(config_check(&config, &failure), -EINVAL);
	assert_string_equal(failure.text, "gnomon.conf:1: vm a: lazy_accept = yes is for type = td; leave it out");
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		snprintf(text, sizeof(text), "[vm a]\nkernel=k\ntype=td\n%s\n", refusals[i][0]);
		assert_int_equal(parse(text), 0);
		assert_int_equal(config_check(&config, &failure), -EINVAL);
		assert_string_equal(failure.text, refusals[i][1]);
	}
}

static void test_check(void **state)
{
	(void)state;
	assert_int_equal(parse(""), 0);
	assert_int_equal(config_check(&config, &failure), 0);
	assert_int_equal(parse("when_done=poweroff"), 0);
	assert_int_equal(config_check(&config, &failure), -EINVAL);
	assert_int_equal(parse("\n[vm a]\nmemory=64M\n"), 0);
	assert_int_equal(config_check(&config, &failure), -EINVAL);
	assert_string_equal(failure.text, "gnomon.conf:2: vm a has no kernel; add a line kernel = PATH");
}

static void test_feature_names(void **state)
{
	(void)state;
	for (int i = 0; i < FEATURE_COUNT; i++)
		assert_int_equal(feature_by_name(feature_names[i], strlen(feature_names[i])), i);
	assert_int_equal(feature_by_name("vpi", 3), -1);
	assert_int_equal(feature_by_name("", 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_grammar_errors), cmocka_unit_test(test_serial), cmocka_unit_test(test_value_errors),
		cmocka_unit_test(test_network), cmocka_unit_test(test_secrets), cmocka_unit_test(test_syslog),
		cmocka_unit_test(test_address), cmocka_unit_test(test_address_errors),
		cmocka_unit_test(test_lengths), cmocka_unit_test(test_too_many_vms),
		cmocka_unit_test(test_options), cmocka_unit_test(test_wakeup), cmocka_unit_test(test_td),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_feature_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
