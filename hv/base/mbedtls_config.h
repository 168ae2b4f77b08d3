/*
 * What of mbed TLS is built: the two digests and HMAC over them. Nothing is allocated: contexts are the
 * caller's, so mbedtls_md_setup(), which allocates them, always fails.
 */
#ifndef HV_BASE_MBEDTLS_CONFIG_H
#define HV_BASE_MBEDTLS_CONFIG_H

#define MBEDTLS_SHA256_C
#define MBEDTLS_SHA512_C
#define MBEDTLS_MD_C
#define MBEDTLS_PLATFORM_C
#define MBEDTLS_PLATFORM_MEMORY
#define MBEDTLS_PLATFORM_CALLOC_MACRO(count, size) NULL
#define MBEDTLS_PLATFORM_FREE_MACRO(memory) ((void)(memory))
#define MBEDTLS_PLATFORM_NO_STD_FUNCTIONS

#endif
