/*
 * Carrying out one guest instruction that touches a device or a write-protected page: fetch, decode,
 * execute, through the caller's view of the guest's memory. Knows neither VMX nor page tables.
 * No locks of its own; one struct emu_cpu belongs to one vCPU on one host CPU.
 */
#ifndef HV_EMULATE_EMULATE_H
#define HV_EMULATE_EMULATE_H

#include "hv/base/failure.h"
#include "hv/base/types.h"
#include "hv/emulate/decode.h"

enum emu_result {
	EMU_DONE,        /* rip, rflags and gpr are those after the instruction */
	EMU_FAULT,       /* fault is to be injected; a string's finished iterations are in gpr */
	EMU_RETRY,       /* enter the guest again at rip: more iterations, or memory changed meanwhile */
	EMU_UNSUPPORTED, /* reason says why: stop the guest */
};

struct emu_fault {
	uint8_t vector;
	bool has_error_code;
	uint32_t error_code;
	uint64_t cr2; /* of a page fault */
};

/* A descriptor as the VMCS has it: limit in bytes, access rights with bit 16 for unusable. */
struct emu_segment {
	uint64_t base;
	uint32_t limit;
	uint32_t rights;
};

#define GPA_UNKNOWN (~(gpa_t)0)

/* Where an access goes. gpa is GPA_UNKNOWN when the guest's tables must be walked for la (and may
 * have to be walked twice: then the access may cross a page); known, it lies within one page. */
struct emu_addr {
	gva_t la;
	gpa_t gpa;
};

struct emu_cpu;

/*
 * The caller's side. Each returns EMU_DONE, or another result to end the instruction with: EMU_FAULT
 * with cpu->fault set, EMU_UNSUPPORTED with cpu->reason set. size is 1, 2, 4 or 8, of a probe 16 too;
 * values are zero-extended. Addresses are canonical, and below 4 GiB outside 64-bit mode.
 */
struct emu_ops {
	/* Up to max bytes of code at la, ending at the page's end at the latest; *got is at least 1. */
	enum emu_result (*fetch)(struct emu_cpu *cpu, gva_t la, uint8_t *bytes, unsigned max, unsigned *got);
	enum emu_result (*read)(struct emu_cpu *cpu, struct emu_addr at, unsigned size, uint64_t *value);
	enum emu_result (*write)(struct emu_cpu *cpu, struct emu_addr at, unsigned size, uint64_t value);
	/* Whether write would fault, with nothing changed. Only for addresses with gpa unknown; may
	 * fill it in when the access lies within one page. */
	enum emu_result (*probe_write)(struct emu_cpu *cpu, struct emu_addr *at, unsigned size);
	/* Atomic on RAM: writes new_value if memory still has old, else EMU_RETRY. On a device: a write.
	 * size may be 16 too, aligned: then old and new_value have two elements. */
	enum emu_result (*compare_exchange)(struct emu_cpu *cpu, struct emu_addr at, unsigned size,
					    const uint64_t *old, const uint64_t *new_value);
	/* The vCPU's XMM register reg, 0..15. Reading it also says whether the guest may use it: EMU_FAULT
	 * with #UD or #NM as its CR0 and CR4 demand. Written only after it was read. */
	enum emu_result (*xmm_read)(struct emu_cpu *cpu, unsigned reg, uint64_t value[2]);
	void (*xmm_write)(struct emu_cpu *cpu, unsigned reg, const uint64_t value[2]);
	/* Not called in 64-bit mode but for the bases of FS and GS. */
	void (*segment)(struct emu_cpu *cpu, enum insn_segment segment, struct emu_segment *out);
};

/* What the caller fills in before emulate_instruction(). */
struct emu_cpu {
	const struct emu_ops *ops;
	void *ctx;                  /* the caller's own */
	struct decode_cache *cache; /* the vCPU's */
	uint64_t *gpr;              /* 16, in encoding order: rax rcx rdx rbx rsp rbp rsi rdi r8.. */
	uint64_t rip, rflags;
	enum cpu_mode mode;
	unsigned la_bits;           /* width of linear addresses in 64-bit mode: 48 or 57 */

	/* The access that caused the exit: its gpa spares the walk of the operand that matches.
	 * exit_gpa is GPA_UNKNOWN when there is none. An EPT misconfiguration reports no linear address:
	 * then exit_la_valid is false, and instructions with two memory operands are walked. */
	gpa_t exit_gpa;
	gva_t exit_la;
	bool exit_la_valid, exit_write;
	unsigned max_iterations;    /* of a repeated string instruction, at most EMU_MAX_ITERATIONS */

	/* Results besides gpr, rip and rflags. */
	struct emu_fault fault;
	const char *reason;
	uint8_t bytes[16]; /* the instruction's, byte_count of them fetched */
	unsigned byte_count;
};

/* Iterations of a repeated string instruction in one exit, after which others get their turn. */
#define EMU_MAX_ITERATIONS 64

/*
 * Carries out the instruction at rip. Nothing is changed unless all of it can be; a repeated string
 * instruction counts by iteration. After EMU_DONE the caller ends interrupt shadows and, when
 * RFLAGS.TF was set, leaves a single-step trap pending, as after any instruction.
 */
enum emu_result emulate_instruction(struct emu_cpu *cpu);

/* The same for an instruction decoded before. */
enum emu_result emulate_decoded(struct emu_cpu *cpu, const struct insn *in);

enum emu_access { ACCESS_READ, ACCESS_WRITE };

/* segment:offset for size bytes: checks limit and type, or canonical form; *la is the linear address. */
enum emu_result emu_linear(struct emu_cpu *cpu, enum insn_segment segment, uint64_t offset, unsigned size,
			   enum emu_access access, gva_t *la);

/* The sentence for a guest stopped by EMU_UNSUPPORTED: where, what bytes, why. */
void emulate_explain(const struct emu_cpu *cpu, struct failure *f);

#endif
