/*
 * Message digests by mbed TLS. Its functions return errors for bad parameters and for hardware that fails:
 * neither can be here, so an error is a broken invariant.
 */
#include "hv/base/digest.h"

#include <string.h>

#include "hv/base/panic.h"

#define MBEDTLS_CONFIG_FILE "hv/base/mbedtls_config.h"
#include <mbedtls/md.h>
#include <mbedtls/md_internal.h>
#include <mbedtls/sha256.h>
#include <mbedtls/sha512.h>

_Static_assert(sizeof(mbedtls_sha512_context) <= sizeof(struct sha384), "room for the library's context");
_Static_assert(_Alignof(mbedtls_sha512_context) <= _Alignof(struct sha384), "and aligned for it");

static mbedtls_sha512_context *context_of(struct sha384 *sha) { return (void *)sha; }

void sha384_start(struct sha384 *sha)
{
	mbedtls_sha512_init(context_of(sha));
	INVARIANT(mbedtls_sha512_starts_ret(context_of(sha), 1) == 0);
}

void sha384_add(struct sha384 *sha, const void *data, size_t bytes)
{
	INVARIANT(mbedtls_sha512_update_ret(context_of(sha), data, bytes) == 0);
}

void sha384_finish(struct sha384 *sha, uint8_t digest[SHA384_BYTES])
{
	uint8_t whole[64]; /* the library writes all of SHA-512's state */

	INVARIANT(mbedtls_sha512_finish_ret(context_of(sha), whole) == 0);
	memcpy(digest, whole, SHA384_BYTES);
}

void sha384_of(const void *data, size_t bytes, uint8_t digest[SHA384_BYTES])
{
	struct sha384 sha;

	sha384_start(&sha);
	sha384_add(&sha, data, bytes);
	sha384_finish(&sha, digest);
}

/* The library allocates an HMAC's inner context and pad; here they are on the stack. */
void hmac_sha256(const void *key, size_t key_bytes, const void *data, size_t bytes, uint8_t mac[SHA256_BYTES])
{
	mbedtls_sha256_context inner;
	uint8_t pads[2 * 64];
	mbedtls_md_context_t hmac = { .md_info = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), .md_ctx = &inner,
		.hmac_ctx = pads };

	mbedtls_sha256_init(&inner);
	INVARIANT(hmac.md_info && mbedtls_md_hmac_starts(&hmac, key, key_bytes) == 0 &&
		mbedtls_md_hmac_update(&hmac, data, bytes) == 0 && mbedtls_md_hmac_finish(&hmac, mac) == 0);
}
