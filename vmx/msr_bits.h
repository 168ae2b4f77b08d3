/*
 * The 4K MSR bitmap: one bit per access and MSR, 1 causes an exit. Pure. SDM "MSR-Bitmap Address".
 */
#ifndef VMX_MSR_BITS_H
#define VMX_MSR_BITS_H

#include <string.h>

#include "hv/base/types.h"
#include "hv/guest/msr.h"

struct msr_bits {
	uint8_t *page; /* read low, read high, write low, write high: 1 KiB each */
};

#define MSR_BITS_RANGE 0x2000u
#define MSR_BITS_HIGH 0xc0000000u

/* Byte offset of the MSR's part for reads, or -1 for an MSR that has no bit and always exits. */
static inline int msr_bits_part(uint32_t msr)
{
	if (msr < MSR_BITS_RANGE)
		return 0;
	return msr - MSR_BITS_HIGH < MSR_BITS_RANGE ? 1024 : -1;
}

static inline void msr_bits_close_all(struct msr_bits b) { memset(b.page, 0xff, PAGE_SIZE); }

static inline void msr_bits_clear(uint8_t *part, uint32_t msr)
{
	uint32_t index = msr & (MSR_BITS_RANGE - 1);

	part[index / 8] &= (uint8_t)~(1u << (index & 7));
}

/* pass: MSR_PASS_READ and MSR_PASS_WRITE. */
static inline void msr_bits_open(struct msr_bits b, uint32_t first, uint32_t last, uint8_t pass)
{
	for (uint32_t msr = first; msr <= last; msr++) {
		int part = msr_bits_part(msr);

		if (part < 0)
			continue;
		if (pass & MSR_PASS_READ)
			msr_bits_clear(b.page + part, msr);
		if (pass & MSR_PASS_WRITE)
			msr_bits_clear(b.page + 2048 + part, msr);
	}
}

#endif
