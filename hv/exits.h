/*
 * What a guest's exits mean, whatever back end they came through: CPUID, MSRs, ports, MMIO, HLT.
 * A VMX exit handler and a TDVMCALL end in the same functions.
 */
#ifndef HV_EXITS_H
#define HV_EXITS_H

#include "hv/base/x86.h"
#include "hv/vm.h"
#include "mmu/mmu.h"

/* Reads and writes v->gpr as the instruction does. Never fails. */
enum exit_result exit_cpuid(struct vcpu *v);

/* The answer for a guest that asks in other registers. */
struct cpuid_regs exit_cpuid_answer(struct vcpu *v, uint32_t leaf, uint32_t subleaf);

/* ECX, EDX:EAX in v->gpr. Injects #GP(0) itself where the policy says so. */
enum exit_result exit_rdmsr(struct vcpu *v);
enum exit_result exit_wrmsr(struct vcpu *v);
/* The same for a guest that asks in other registers. False: #GP(0), and nothing has changed. */
bool exit_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value);
bool exit_msr_write(struct vcpu *v, uint32_t msr, uint64_t value);

/* One IN or OUT on AL, AX or EAX; size 1, 2, 4. */
enum exit_result exit_in(struct vcpu *v, uint16_t port, unsigned size);
enum exit_result exit_out(struct vcpu *v, uint16_t port, unsigned size);
/* The same for a guest that asks in other registers: where nobody answers, all ones are read. */
uint32_t exit_port_read(struct vcpu *v, uint16_t port, unsigned size);
void exit_port_write(struct vcpu *v, uint16_t port, unsigned size, uint32_t value);

/* INS/OUTS, with the facts of the VM exit. */
struct string_exit {
	uint16_t port;
	uint8_t size;         /* 1, 2, 4 */
	bool in, rep;
	uint8_t address_bytes; /* 2, 4, 8 */
	uint8_t segment;      /* 0..5: ES CS SS DS FS GS, of OUTS; INS uses ES */
	uint8_t length;       /* of the instruction */
};
/* Sets RIP itself: EXIT_RESUME, or EXIT_YIELD when the guest had to be stopped. */
enum exit_result exit_string_io(struct vcpu *v, const struct string_exit *io);

/* An access to a guest physical address without RAM: fetches, decodes and carries out the
 * instruction at RIP, which it sets. exit_mmio_at when the CPU gave the linear address, gva; exit_mmio
 * when it did not, and perhaps not even said whether it is a write. */
enum exit_result exit_mmio(struct vcpu *v, gpa_t gpa, bool write);
enum exit_result exit_mmio_at(struct vcpu *v, gpa_t gpa, gva_t gva, bool write);

/* An access to RAM that the guest must not make itself, as a write to a read-only slot: the same, but
 * every address is looked up, and memory is read and written by the rules of mmu/gpa.h. Sets RIP. */
enum exit_result exit_memory(struct vcpu *v);
/* The instruction at RIP writes to RAM at gpa, where gva leads, and the CPU must not carry it out by
 * itself: does so. Sets RIP. Of a repeated string instruction at most that many iterations are done. */
enum exit_emulated {
	EMULATED,      /* or the fault it ends in is queued */
	EMULATED_PART, /* the rest is to be tried again: of a string's iterations there are more */
	NOT_EMULATED,  /* this instruction cannot be carried out so, f says why; nothing has changed */
};
enum exit_emulated exit_emulate(struct vcpu *v, gpa_t gpa, gva_t gva, unsigned iterations, struct failure *f);
/* Reads a 16-byte operand as an instruction does, in enum insn_segment. RSP is in v->gpr. False: a
 * fault is queued, or the guest's tables keep changing: enter again. */
bool exit_read_operand(struct vcpu *v, unsigned segment, uint64_t offset, uint64_t value[2]);
/* PKRU, while v is loaded on this CPU. CR4.PKE is the guest's. */
uint32_t exit_pkru(void);

/* Stops the guest for an access to gpa about which mmu/ cannot do anything: r is none of those that let it
 * go on or be emulated. */
void exit_fault_stop(struct vcpu *v, gpa_t gpa, enum fault_result r);

/* Advances; the run loop then finds state != VCPU_RUNNING unless something is pending. */
enum exit_result exit_hlt(struct vcpu *v);
/* ECX, EDX:EAX. Injects #GP(0) itself for what XCR0 cannot be. */
enum exit_result exit_xsetbv(struct vcpu *v);

/* The PIC behind LINT0: whether it has an interrupt that vCPU v may take, and taking it (INTA). */
bool exit_extint_pending(struct vcpu *v);
int exit_extint_vector(struct vcpu *v); /* -1: none after all */

/* CR4, XCR0 or the APIC's mode have changed: CPUID shows some of each. On v's CPU. */
void exits_cpuid_changed(struct vcpu *v);
/* The CPUID policy of one vCPU of vm. -EINVAL with a sentence. */
int exits_cpuid_policy(const struct vm *vm, uint32_t vcpu, uint32_t gpa_bits, struct cpuid_policy *p,
		       struct failure *f);
/* Fills v->cpuid and v->msr by the VM's policy. While the VM is built. */
int exits_init_vcpu(struct vcpu *v, struct failure *f);
/* Count rate of guests' local APIC timers before the divider: what CPUID 15h.ECX tells them. */
uint64_t exits_apic_timer_hz(void);

#endif
