/*
 * What a guest's exits mean, whatever back end they came through: CPUID, MSRs, ports, MMIO, HLT.
 * A VMX exit handler and a TDVMCALL end in the same functions.
 */
#ifndef HV_EXITS_H
#define HV_EXITS_H

#include "hv/vm.h"

/* Reads and writes v->gpr as the instruction does. Never fails. */
enum exit_result exit_cpuid(struct vcpu *v);

/* ECX, EDX:EAX in v->gpr. Injects #GP(0) itself where the policy says so. */
enum exit_result exit_rdmsr(struct vcpu *v);
enum exit_result exit_wrmsr(struct vcpu *v);

/* One IN or OUT on AL, AX or EAX; size 1, 2, 4. */
enum exit_result exit_in(struct vcpu *v, uint16_t port, unsigned size);
enum exit_result exit_out(struct vcpu *v, uint16_t port, unsigned size);

/* INS/OUTS, with the facts of the VM-exit instruction information. */
struct string_io {
	uint16_t port;
	uint8_t size;         /* 1, 2, 4 */
	bool in, rep;
	uint8_t address_bytes; /* 2, 4, 8 */
	uint8_t segment;      /* 0..5: ES CS SS DS FS GS, of OUTS; INS uses ES */
};
enum exit_result exit_string_io(struct vcpu *v, const struct string_io *io);

/* An access to a guest physical address without RAM: fetches, decodes and carries out the
 * instruction at RIP. gva is the linear address when the CPU gave it, valid says so. */
enum exit_result exit_mmio(struct vcpu *v, gpa_t gpa, gva_t gva, bool gva_valid, bool write);

enum exit_result exit_hlt(struct vcpu *v);
enum exit_result exit_xsetbv(struct vcpu *v);

#endif
