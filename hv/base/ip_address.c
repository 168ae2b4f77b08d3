/* Owns the text forms of IP addresses: RFC 4291 section 2.2 in, RFC 5952 out. */
#include "hv/base/ip_address.h"

#include <string.h>

#include "hv/base/format.h"

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return 99;
}

/* Takes up to max digits off the front; false when there is none. */
static bool take_number(const char **at, const char *end, int base, size_t max, uint32_t *value)
{
	const char *from = *at;

	for (*value = 0; *at < end && (size_t)(*at - from) < max && digit(**at) < base; ++*at)
		*value = *value * (uint32_t)base + (uint32_t)digit(**at);
	return *at != from;
}

/* Exactly to the end: four numbers below 256, none with a zero in front, which some read as octal. */
static bool parse_v4(uint8_t bytes[4], const char *at, const char *end)
{
	for (unsigned i = 0; i < 4; i++) {
		const char *from = at;
		uint32_t n;

		if (!take_number(&at, end, 10, 3, &n) || n > 255 || (*from == '0' && at - from > 1))
			return false;
		bytes[i] = (uint8_t)n;
		if (i < 3 && (at == end || *at++ != '.'))
			return false;
	}
	return at == end;
}

/* The text of an IPv6 address while it is read. */
struct v6_reader {
	const char *at, *end;
	uint8_t bytes[16];
	size_t len;  /* bytes so far */
	size_t gap;  /* where :: stood */
	bool gapped;
};

static bool v6_gap(struct v6_reader *r)
{
	if (r->end - r->at < 2 || r->at[0] != ':' || r->at[1] != ':')
		return true;
	if (r->gapped)
		return false;
	r->gapped = true;
	r->gap = r->len;
	r->at += 2;
	return true;
}

/* One group, or the IPv4 address that may stand for the last two. */
static bool v6_group(struct v6_reader *r)
{
	const char *from = r->at;
	uint32_t n;

	if (r->len > 14 || !take_number(&r->at, r->end, 16, 4, &n))
		return false;
	if (r->at < r->end && *r->at == '.') {
		if (r->len > 12 || !parse_v4(r->bytes + r->len, from, r->end))
			return false;
		r->len += 4;
		r->at = r->end;
		return true;
	}
	r->bytes[r->len++] = (uint8_t)(n >> 8);
	r->bytes[r->len++] = (uint8_t)n;
	return true;
}

static bool parse_v6(uint8_t bytes[16], const char *text, const char *end)
{
	struct v6_reader r = { .at = text, .end = end };
	size_t behind;

	if (!v6_gap(&r))
		return false;
	while (r.at < r.end) {
		bool gapped = r.gapped;

		if (!v6_group(&r) || !v6_gap(&r))
			return false;
		if (r.at < r.end && r.gapped == gapped && *r.at++ != ':')
			return false;
		if (r.at == r.end && r.at[-1] == ':' && r.gapped == gapped)
			return false;
	}
	if (r.gapped ? r.len > 14 : r.len != 16)
		return false;
	behind = r.gapped ? r.len - r.gap : 0;
	memset(bytes, 0, 16);
	memcpy(bytes, r.bytes, r.len - behind);
	memcpy(bytes + 16 - behind, r.bytes + r.len - behind, behind);
	return true;
}

bool ip_address_parse(struct ip_address *a, const char *text, size_t len)
{
	struct ip_address read = { .version = IP_NONE };

	if (len == 0 || len >= IP_ADDRESS_TEXT)
		return false;
	if (parse_v4(read.bytes, text, text + len)) {
		read.version = IP_V4;
	} else {
		memset(&read, 0, sizeof(read));
		if (!parse_v6(read.bytes, text, text + len))
			return false;
		read.version = IP_V6;
	}
	*a = read;
	return true;
}

static uint32_t group(const struct ip_address *a, unsigned i)
{
	return (uint32_t)a->bytes[2 * i] << 8 | a->bytes[2 * i + 1];
}

/* The longest run of two zero groups and more, the first of equals. */
static unsigned longest_zeros(const struct ip_address *a, unsigned *length)
{
	unsigned best = 8;

	*length = 0;
	for (unsigned i = 0, run = 0; i < 8; i++) {
		run = group(a, i) ? 0 : run + 1;
		if (run > 1 && run > *length) {
			*length = run;
			best = i + 1 - run;
		}
	}
	return best;
}

static size_t text_v6(const struct ip_address *a, char text[IP_ADDRESS_TEXT])
{
	unsigned zeros, from = longest_zeros(a, &zeros);
	size_t used = 0;

	for (unsigned i = 0; i < 8; i++) {
		if (i == from) {
			used += (size_t)format(text + used, IP_ADDRESS_TEXT - used, "::");
			i += zeros - 1;
			continue;
		}
		used += (size_t)format(text + used, IP_ADDRESS_TEXT - used, "%s%x", i && i != from + zeros ? ":" : "",
		                       group(a, i));
	}
	return used;
}

size_t ip_address_text(const struct ip_address *a, char text[IP_ADDRESS_TEXT])
{
	const uint8_t *b = a->bytes;

	if (a->version == IP_V6)
		return text_v6(a, text);
	if (a->version == IP_V4)
		return (size_t)format(text, IP_ADDRESS_TEXT, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
	return (size_t)format(text, IP_ADDRESS_TEXT, "none");
}

bool ip_address_equal(const struct ip_address *a, const struct ip_address *b)
{
	if (a->version != b->version)
		return false;
	return memcmp(a->bytes, b->bytes, a->version == IP_V6 ? 16 : a->version == IP_V4 ? 4 : 0) == 0;
}
