/*
 * IPv4 and IPv6 addresses as values, and their text forms. Pure; compiled into boot/ and the hypervisor.
 */
#ifndef HV_BASE_IP_ADDRESS_H
#define HV_BASE_IP_ADDRESS_H

#include "hv/base/types.h"

#define IP_ADDRESS_TEXT 48 /* the longest text with its NUL */

enum ip_version { IP_NONE, IP_V4 = 4, IP_V6 = 6 };

struct ip_address {
	enum ip_version version;
	uint8_t bytes[16]; /* in the order they are sent; IPv4: the first four */
};

/* Reads a whole text of len characters: 192.0.2.1, or 2001:db8::1 without zone. False: it is no address. */
bool ip_address_parse(struct ip_address *a, const char *text, size_t len);
/* Writes it as text (RFC 5952 for IPv6) and returns its length. IP_NONE is "none". */
size_t ip_address_text(const struct ip_address *a, char text[IP_ADDRESS_TEXT]);
bool ip_address_equal(const struct ip_address *a, const struct ip_address *b);

#endif
