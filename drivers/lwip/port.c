/* Owns lwIP's port: what it asks of the machine, and the end of it when an assertion breaks. */
#include "drivers/lwip/port.h"

#include <lwip/ip_addr.h>
#include <lwip/sys.h>
#include <setjmp.h>
#include <string.h>

#include "hv/base/clock.h"
#include "hv/base/digest.h"
#include "hv/base/format.h"
#include "hv/base/log.h"
#include "hv/base/panic.h"
#include "hv/base/random.h"

static jmp_buf way_out;
static bool guarded;
static char sentence[160]; /* empty while lwIP is well */

bool lwip_guard(void (*call)(void *arg), void *arg)
{
	INVARIANT(!guarded);
	if (sentence[0])
		return false;
	guarded = true;
	if (setjmp(way_out) == 0)
		call(arg);
	guarded = false;
	return !sentence[0];
}

const char *lwip_broken(void) { return sentence[0] ? sentence : NULL; }

void lwip_port_assert(const char *message, const char *file, int line)
{
	const char *name = strrchr(file, '/');

	format(sentence, sizeof(sentence), "%s (%s:%d)", message, name ? name + 1 : file, line);
	log_error("the network has stopped: lwIP found itself wrong: %s; the guests run on, restart the host for a"
	          " network", sentence);
	INVARIANT(guarded);
	longjmp(way_out, 1);
}

uint32_t lwip_port_random(void) { return random_u32(); }

u32_t sys_now(void) { return (u32_t)(tsc_to_ns(lwip_port_tsc()) / 1000000); }

uint32_t lwip_port_isn(const ip_addr_t *local, uint16_t local_port, const ip_addr_t *remote, uint16_t remote_port)
{
	static uint8_t secret[SHA256_BYTES];
	static bool drawn;
	struct {
		ip_addr_t local, remote;
		uint16_t local_port, remote_port;
	} ends;
	uint8_t mac[SHA256_BYTES];
	uint32_t offset;

	if (!drawn)
		random_bytes(secret, sizeof(secret));
	drawn = true;
	memset(&ends, 0, sizeof(ends));
	ip_addr_copy(ends.local, *local);
	ip_addr_copy(ends.remote, *remote);
	ends.local_port = local_port;
	ends.remote_port = remote_port;
	hmac_sha256(secret, sizeof(secret), &ends, sizeof(ends), mac);
	memcpy(&offset, mac, sizeof(offset));
	return offset + (uint32_t)(tsc_to_ns(lwip_port_tsc()) / 4000);
}
