/*
 * INS and OUTS, which a VM exit describes instead of leaving them to be decoded: the transfer between
 * a port and guest memory, in bounded batches.
 */
#ifndef HV_EMULATE_STRING_IO_H
#define HV_EMULATE_STRING_IO_H

#include "hv/base/types.h"
#include "hv/emulate/emulate.h"

/* From the exit qualification and the VM-exit instruction information (SDM volume 3C, "Information for
 * VM Exits Due to Instruction Execution"). The CPU has checked the I/O permission already. */
struct string_io {
	uint16_t port;
	uint8_t size;      /* 1, 2 or 4 */
	uint8_t addr_size; /* 2, 4 or 8 */
	uint8_t segment;   /* enum insn_segment of the source of OUTS; INS always uses ES */
	uint8_t length;    /* of the instruction, bytes */
	bool in;           /* INS */
	bool repeat;
	/* The port's other side; a device cannot refuse. */
	uint32_t (*port_read)(struct emu_cpu *cpu, uint16_t port, unsigned size);
	void (*port_write)(struct emu_cpu *cpu, uint16_t port, unsigned size, uint32_t value);
};

/*
 * At most EMU_MAX_ITERATIONS transfers. EMU_RETRY: more are left, enter the guest again. EMU_FAULT:
 * the transfers before the fault are done and counted in rCX and rSI or rDI, and a port is not read
 * for a byte that cannot be stored. Of cpu needs ops, ctx, gpr, rip, rflags, mode and la_bits.
 */
enum emu_result emulate_string_io(struct emu_cpu *cpu, const struct string_io *io);

#endif
