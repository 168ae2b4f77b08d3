/* Owns UDP: one socket, from which all services send. */
#include "hv/net/datagram.h"

#include <errno.h>
#include <lwip/udp.h>

#include "drivers/lwip/port.h"
#include "hv/net/address.h"
#include "hv/net/net.h"

struct request {
	const struct ip_address *to;
	const void *data;
	uint16_t port, len;
	int err;
};

static struct udp_pcb *socket;

static int errno_of(err_t err)
{
	switch (err) {
	case ERR_OK:
		return 0;
	case ERR_MEM:
	case ERR_BUF:
		return -EAGAIN;
	default:
		return -ENETDOWN;
	}
}

/* Inside lwip_guard(). */
static void send(void *arg)
{
	struct request *r = arg;
	ip_addr_t to;
	struct pbuf *p;

	r->err = -EAGAIN;
	if (!socket)
		socket = udp_new_ip_type(IPADDR_TYPE_ANY);
	p = socket ? pbuf_alloc(PBUF_TRANSPORT, r->len, PBUF_RAM) : NULL;
	if (!p)
		return;
	pbuf_take(p, r->data, r->len);
	address_to_lwip(&to, r->to);
	r->err = errno_of(udp_sendto(socket, p, &to, r->port));
	pbuf_free(p);
}

int datagram_send(const struct ip_address *to, uint16_t port, const void *data, size_t n)
{
	struct request r = { .to = to, .data = data, .port = port, .len = (uint16_t)n };

	if (n > DATAGRAM_MAX)
		return -EMSGSIZE;
	if (!net_up() || to->version == IP_NONE)
		return -ENETDOWN;
	return lwip_guard(send, &r) ? r.err : -ENETDOWN;
}
