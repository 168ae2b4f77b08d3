/*
 * Addresses and pages that the host names, and the module's way to them: checks 1 and 2 of every leaf.
 * TDX Module 1.5 base specification, "Physical Memory Management" and "Explicit Operand Checks".
 */
#ifndef TDX_SOFT_HPA_H
#define TDX_SOFT_HPA_H

#include "tdx/soft/module.h"

/* Levels of pages and tables, as operands have them: those of mmu/ count from 1. */
enum soft_level { SOFT_4K, SOFT_2M, SOFT_1G, SOFT_512G, SOFT_256T };

static inline uint64_t level_size(uint32_t level) { return PAGE_SIZE << (9 * level); }

/*
 * A page that the module owns, and so inside a CMR, until the call ends; or until hpa_release() with what hpa_mark()
 * gave before. What may be repeated any number of times in one call releases what it maps. hpa_map_large(): 2M, until
 * any hpa_release() or the next of these.
 */
void *hpa_map(struct soft *m, hpa_t page);
void *hpa_map_large(struct soft *m, hpa_t page);
static inline uint32_t hpa_mark(struct soft *m) { return m->platform.map_mark(m->platform.ctx); }
static inline void hpa_release(struct soft *m, uint32_t mark) { m->platform.map_release(m->platform.ctx, mark); }

/* 0, or OPERAND_INVALID with the operand's id: aligned, no key id, below MAXPHYADDR. */
uint64_t hpa_check_private(const struct soft *m, hpa_t hpa, uint64_t align, uint32_t operand) MUST_CHECK;

/*
 * The host's buffer of size bytes, which does not cross a page as size (a power of two, at most 4096) is
 * its alignment too. OPERAND_INVALID with the operand's id: not aligned, a private key id, no memory, or a
 * page that the module has (on real hardware such an access ends in a machine check).
 */
uint64_t hpa_map_shared(struct soft_call *c, hpa_t hpa, uint64_t size, uint32_t operand, void **out) MUST_CHECK;

#endif
