/* sources: hv/net/address.c hv/net/ether.c hv/net/net.c hv/net/stream.c hv/net/stream_tcp.c drivers/lwip/port.c hv/base/digest.c hv/base/ip_address.c hv/base/config.c hv/base/config_key.c hv/base/config_net.c hv/base/config_serial.c hv/base/features.c hv/base/failure.c hv/base/format.c tests/unit/net_station.c tests/unit/net_dhcp_server.c */
#include "hv/net/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/lwip/port.h"
#include "hv/net/address.h"
#include "tests/unit/net_dhcp_server.h"
#include "tests/unit/net_station.h"
#include "tests/unit/support/support.h"

static uint32_t address(void)
{
	struct address_shown list[ADDRESS_MAX];

	return address_list(list) ? get32(list[0].address.bytes) : 0;
}

/* ---- Tests: one story, as there is one start ---- */

static void test_no_server(void **state)
{
	(void)state;
	dhcp_server.mute = true;
	station_other = dhcp_server_take;
	station_start("net = dhcp\n");
	station_run(30000);
	assert_in_range(dhcp_server.discovers, 2, 10);
	assert_false(net_up());
	assert_int_equal(station_services_started, 0);
}

static void test_address_that_is_taken(void **state)
{
	(void)state;
	dhcp_server.mute = false;
	dhcp_server.taken = true;
	dhcp_server.lease = 120;
	dhcp_server.address = 0xc0000221;
	station_run(60000);
	assert_in_range(dhcp_server.declines, 1, 10);
	assert_false(net_up());
}

static void test_refused(void **state)
{
	(void)state;
	dhcp_server.taken = false;
	dhcp_server.refuse = true;
	station_run(10100); /* lwIP waits for ten seconds after an address that was taken, then asks without a pause */
	assert_true(dhcp_server.requests > 1);
	assert_false(net_up());
}

static void test_address(void **state)
{
	struct ip_address gateway;

	(void)state;
	dhcp_server.refuse = false;
	dhcp_server.address = STATION_HOST_IP;
	station_run(60000);
	assert_true(net_up());
	assert_int_equal(station_services_started, 1);
	assert_int_equal(address(), STATION_HOST_IP);
	assert_string_equal(test_last_log, "net: the host has the address 192.0.2.7/24 (DHCP)");
	gateway = address_gateway();
	assert_int_equal(get32(gateway.bytes), STATION_IP);
}

static void test_renewal(void **state)
{
	unsigned before = dhcp_server.requests;

	(void)state;
	station_run(600000);
	assert_in_range(dhcp_server.requests - before, 3, 20);
	assert_int_equal(address(), STATION_HOST_IP);
}

static void test_other_network(void **state)
{
	(void)state;
	station_link(false);
	station_run(10000);
	assert_false(net_up());
	dhcp_server.address = STATION_HOST_IP + 1;
	dhcp_server.refuse = true; /* what the host had here is not known any more */
	station_link(true);
	station_run(1);
	dhcp_server.refuse = false;
	station_run(90000);
	assert_true(net_up());
	assert_int_equal(address(), STATION_HOST_IP + 1);
}

static void test_lease_runs_out(void **state)
{
	(void)state;
	dhcp_server.mute = true;
	station_run(240000);
	assert_int_equal(address(), 0);
	assert_string_equal(test_last_log, "net: the host no longer has the address 192.0.2.8/24 (DHCP)");
	dhcp_server.mute = false;
	station_run(120000);
	assert_true(net_up());
	assert_null(lwip_broken());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_server), cmocka_unit_test(test_address_that_is_taken),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_address), cmocka_unit_test(test_renewal),
		cmocka_unit_test(test_other_network), cmocka_unit_test(test_lease_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
