/*
 * Between the files of the module's start-up: the part that is about memory. tdx/module.h has the rest.
 */
#ifndef TDX_MODULE_MEMORY_H
#define TDX_MODULE_MEMORY_H

#include "hv/base/failure.h"
#include "hv/base/types.h"

/* TDMRs and PAMTs, and SYS.CONFIG. On an error the module has nothing of the memory. */
int module_memory_give(struct failure *f);
/* SYS.TDMR.INIT until all of it can be used. */
int module_memory_init(struct failure *f);

/* SYS.RD of one field. */
int module_read_field(uint64_t field, uint64_t *value, struct failure *f);

#endif
