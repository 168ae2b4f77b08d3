/*
 * From a TD that has been measured to a kernel that can be entered: accepts the memory, takes the files out
 * of the staging area, lays the kernel out and makes the staging area private. Works on any memory that a
 * struct guest_mem describes, as the loaders of hv/guest do.
 */
#ifndef TDX_SHIM_BOOT_H
#define TDX_SHIM_BOOT_H

#include "hv/base/failure.h"
#include "hv/guest/guest_mem.h"
#include "hv/guest/loader.h"
#include "tdx/shim/accept.h"
#include "tdx/shim/lazy.h"
#include "tdx/shim/params.h"

struct shim {
	const struct shim_params *params; /* checked */
	struct guest_mem mem;             /* the TD's RAM */
	const uint8_t *staging;           /* the staging area, mapped shared: the host may change it at any time */
	struct accept_counts accepted;
	struct lazy lazy;
};

/* Accepts all RAM but the staging area, or with SHIM_LAZY what cannot be left to the kernel. -EIO. */
MUST_CHECK int shim_accept_memory(struct shim *s, struct failure *f);

/* Copies kernel and initrd to where they belong, with all that the kernel's boot protocol wants; what was copied
 * had the right digest, and was extended to the RTMR. -EACCES: another digest; else as guest_load(). */
MUST_CHECK int shim_load(struct shim *s, struct guest_entry *entry, struct failure *f);

/* Makes the staging area private and accepts it; it may not be looked at any more. Then, with SHIM_LAZY, tells
 * the kernel what it has to accept. -EIO; -ENOMEM: the first MiB is no RAM. */
MUST_CHECK int shim_finish(struct shim *s, const struct guest_entry *entry, struct failure *f);

#endif
