/*
 * The EPT root that CPUs walk for a TD. Real hardware has two roots and chooses by the shared bit; plain VMX
 * has one, so the module keeps one of its own: private entries are copies of the secure EPT's, shared ones of
 * the host's Shared EPTP. Where the shared bit lies inside a root entry, both halves meet one level lower.
 *
 * Copies are made when a vCPU enters, before it can translate anything in its epoch, and when an EPT violation
 * shows that one is old. A private entry that was blocked is thereby gone from the copy before TRACK and exits
 * of all vCPUs count as done.
 */
#ifndef TDX_SOFT_MERGED_H
#define TDX_SOFT_MERGED_H

#include "tdx/soft/td.h"

/* EPTP of the merged root: write-back, 4 levels, no accessed and dirty flags. */
uint64_t merged_eptp(const struct soft_td *td);

/* Brings the copies up to date with the secure EPT and with shared_eptp, the host's (0: none). Whether any
 * entry has changed. */
bool merged_refresh(struct soft *m, const struct soft_td *td, uint64_t shared_eptp);

/*
 * What the host's tables say of a shared gpa: the entry where the walk stops, with its level. False: a table
 * lies where there is no memory.
 */
bool merged_walk_shared(struct soft *m, uint64_t shared_eptp, gpa_t gpa, uint64_t *entry, uint32_t *level);

#endif
