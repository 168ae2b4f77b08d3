/*
 * What a TD was built from, as SHA-384 digests: MRTD of the initial pages, and the run-time registers. TDX Module
 * 1.5 base specification, "TD Measurement". Nobody else may be at the fields: build-time calls have the TD
 * alone, the guest's have the lock of the registers.
 */
#ifndef TDX_SOFT_MEASURE_H
#define TDX_SOFT_MEASURE_H

#include "tdx/soft/td.h"

#define MEASURE_CHUNK 256 /* bytes that one TDH.MR.EXTEND takes in */

/* MNG.INIT: the measurement begins, the run-time registers are 0. */
void measure_start(struct soft_tdcs *tdcs);
/* A page was added at gpa. What is in it counts only as far as measure_extend() is told. */
void measure_page(struct soft_tdcs *tdcs, gpa_t gpa);
void measure_extend(struct soft_tdcs *tdcs, gpa_t gpa, const uint8_t data[MEASURE_CHUNK]);
/* MR.FINALIZE: MRTD is what it will be for the TD's life. */
void measure_finish(struct soft_tdcs *tdcs);
/* A run-time register becomes the digest of itself and the digest. */
void measure_rtmr(struct soft_tdcs *tdcs, uint32_t index, const uint8_t digest[TD_DIGEST]);

#endif
