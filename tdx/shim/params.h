/*
 * What the host and the TD shim agree on: where the shim and its parameters lie in a TD, and what the
 * parameters say. Both are measured before the TD runs. The TD's memory is private but for the staging
 * area, through which the host hands over the kernel's and the initrd's files.
 */
#ifndef TDX_SHIM_PARAMS_H
#define TDX_SHIM_PARAMS_H

#include "hv/base/failure.h"
#include "hv/base/types.h"
#include "hv/guest/td_image.h"

/* In the memory under the reset vector (hv/guest/td_image.h): the shim ends with it, the parameters lie before. */
#define SHIM_BASE 0xfffe8000ul
#define SHIM_PARAMS (SHIM_BASE - sizeof(struct shim_params))

#define SHIM_MAGIC "GNOMONTD"
#define SHIM_VERSION 1
#define SHIM_DIGEST_BYTES 48 /* SHA-384 */
#define SHIM_RTMR 1          /* the run-time register that the digests of kernel and initrd go to, in this order */

/* The staging area starts at a multiple of this, and is no larger than SHIM_STAGING_MAX. */
#define SHIM_STAGING_ALIGN MIB(2)
#define SHIM_STAGING_MAX GIB(1)

/* Of flags. */
#define SHIM_LAZY BIT(0) /* memory that nothing needs yet is left for the kernel to accept (tdx/shim/lazy.h) */

struct shim_file {
	uint64_t gpa;  /* of its first byte, in the staging area, without the shared bit */
	uint64_t size; /* bytes; 0: there is no such file */
	uint8_t digest[SHIM_DIGEST_BYTES];
};

struct shim_params {
	char magic[8];
	uint32_t version;
	uint32_t vcpus;
	uint64_t ram_size; /* bytes, as hv/guest/guest_mem.h has them */
	uint64_t flags;    /* SHIM_* */
	uint64_t rsdp;
	uint64_t staging;  /* the staging area: from here to the end of the RAM below 4 GiB */
	struct shim_file kernel, initrd;
	uint8_t unused[PAGE_SIZE - 48 - 2 * sizeof(struct shim_file)];
	char cmdline[PAGE_SIZE];
};
_Static_assert(sizeof(struct shim_params) == 2 * PAGE_SIZE, "the parameters are two pages");
_Static_assert(SHIM_PARAMS >= GUEST_TD_SHIM_BASE && SHIM_BASE < GUEST_TD_SHIM_BASE + GUEST_TD_SHIM_SIZE,
	       "there is memory for them");

/* -EINVAL with a sentence when p does not describe a TD that can start. Any content. */
MUST_CHECK int shim_params_check(const struct shim_params *p, struct failure *f);

#endif
