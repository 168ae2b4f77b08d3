/*
 * What a TDX module answers, in words and in classes: the class decides what the host does about it.
 * TDX Module 1.5 ABI, "Function Completion Status Codes".
 */
#ifndef TDX_STATUS_H
#define TDX_STATUS_H

#include "hv/base/failure.h"
#include "hv/base/types.h"
#include "tdx/abi/leaf.h"
#include "tdx/abi/status.h"

enum tdx_class {
	TDX_CLASS_SUCCESS,
	TDX_CLASS_INFORMATIONAL, /* it was so already, or there was nothing to do */
	TDX_CLASS_BUSY,          /* nothing was changed; it may work when tried again */
	TDX_CLASS_RESUMABLE,     /* interrupted; to be called again */
	TDX_CLASS_FATAL,         /* the TD, or the vCPU, runs no more */
	TDX_CLASS_BUG,           /* what no correct host is told; nothing was changed */
	TDX_CLASSES
};

extern const char *const tdx_class_names[TDX_CLASSES];

enum tdx_class tdx_status_class(uint64_t status);
/* Its name, "unknown status" for one that is in no specification we know. */
const char *tdx_status_name(uint64_t status);
/* The same as a sentence without its end. */
const char *tdx_status_text(uint64_t status);
/* The name of the operand or lock in bits 31:0; NULL for a number that names none. */
const char *tdx_operand_name(uint32_t id);
/* "TDH.MNG.CREATE" */
const char *tdx_leaf_name(uint32_t leaf);

/* 0 for success and informational, -EBUSY, -EINTR for resumable, -EIO. */
int tdx_errno(uint64_t status);

/* As nearly every call ends. */
static inline bool tdx_is_success(uint64_t status) { return LIKELY(status >> 32 == 0); }

static inline bool tdx_is_done(uint64_t status)
{
	return tdx_is_success(status) || tdx_status_class(status) == TDX_CLASS_INFORMATIONAL;
}

/* Stores "WHAT: LEAF said NAME (number), SENTENCE", and returns tdx_errno(), -EIO when that is 0. */
int tdx_fail(struct failure *f, const char *what, enum tdh_leaf leaf, uint64_t status);

#endif
