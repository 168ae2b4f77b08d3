/*
 * A guest for tests of the emulator: 64 KiB of memory with linear addresses that are physical ones,
 * pages that may be absent or read-only, a device in one page, and counts of what was asked of it.
 */
#ifndef TESTS_UNIT_EMU_GUEST_H
#define TESTS_UNIT_EMU_GUEST_H

#include "hv/base/types.h"
#include "hv/emulate/emulate.h"
#include "hv/emulate/operand.h" /* the registers' numbers */

#define MEMORY KIB(64)
#define CODE 0x1000
#define DEVICE_PAGE 0xf

struct guest {
	uint8_t memory[MEMORY];
	bool absent[16], read_only[16];
	struct emu_segment segments[6];
	uint64_t gpr[16], before[16], xmm[16][2];
	struct decode_cache cache;
	struct emu_cpu cpu;
	unsigned fetches, walks, reads, writes, exchanges, device_reads, segment_calls;
	uint64_t device_value, device_written;
	bool exchange_fails, xmm_forbidden;
};

extern struct guest g;

/* cmocka's setup: flat segments, 64-bit mode, rip at CODE, nothing absent. */
int guest_setup(void **state);

/* Puts the bytes at rip and emulates them. */
enum emu_result guest_run(const uint8_t *bytes, size_t n);

#define RUN(...) guest_run((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

#endif
