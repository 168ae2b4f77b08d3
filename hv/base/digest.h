/*
 * Message digests: SHA-384, and HMAC with SHA-256, by mbed TLS (boot/debian_source.sh fetches it). No
 * function allocates or fails; none takes a lock: a context belongs to whoever calls.
 */
#ifndef HV_BASE_DIGEST_H
#define HV_BASE_DIGEST_H

#include "hv/base/types.h"

#define SHA384_BYTES 48
#define SHA256_BYTES 32

/* A digest under way. Plain data: it may be copied, and kept in memory that others own meanwhile. */
struct sha384 {
	uint64_t opaque[28];
};

void sha384_start(struct sha384 *sha);
void sha384_add(struct sha384 *sha, const void *data, size_t bytes);
/* The context may not be added to afterwards. */
void sha384_finish(struct sha384 *sha, uint8_t digest[SHA384_BYTES]);

/* The digest of one run of bytes. */
void sha384_of(const void *data, size_t bytes, uint8_t digest[SHA384_BYTES]);

/* RFC 2104 with SHA-256. Keys of any length; those over 64 bytes are digested first. */
void hmac_sha256(const void *key, size_t key_bytes, const void *data, size_t bytes, uint8_t mac[SHA256_BYTES]);

#endif
