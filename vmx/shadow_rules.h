/*
 * Shadow paging, the pure part: which control bits run a guest on tables of the hypervisor's, which
 * values of CR3 a CPU accepts, and what INVPCID is told. The hardware always pages, in PAE format or
 * with four levels. SDM volume 3A "Paging", volume 2 "INVPCID", volume 3C "Guest/Host Masks and Read
 * Shadows for CR0 and CR4".
 */
#ifndef VMX_SHADOW_RULES_H
#define VMX_SHADOW_RULES_H

#include "hv/base/types.h"
#include "hv/base/x86.h"

/* Bits that the guest does not own beside those it never does: what it writes there is kept apart. */
#define SHADOW_CR0_MASK (CR0_PG | CR0_PE | CR0_WP)
#define SHADOW_CR4_MASK (CR4_PAE | CR4_PSE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_LA57)

/* What the hardware's CR0 has in any case. */
#define SHADOW_CR0_ON (CR0_PG | CR0_PE | CR0_WP)

/* Whether a change of these bits makes another root necessary. CR4.PGE only flushes. */
static inline bool shadow_other_root(uint64_t cr0_changed, uint64_t cr4_changed)
{
	return (cr0_changed & (CR0_PG | CR0_WP)) || (cr4_changed & SHADOW_CR4_MASK & ~CR4_PGE);
}

/* The hardware's CR4 for what the guest has in CR4 (bits it may set) and CR0. */
uint64_t shadow_hardware_cr4(uint64_t cr4, uint64_t cr0);

#define CR3_NO_FLUSH BIT(63) /* with CR4.PCIDE */

/* What MOV to CR3 with value loads. PDPTEs are the caller's to check. */
struct cr3_load {
	bool valid;   /* else #GP(0) */
	bool flush;   /* the guest's translations go */
	uint64_t cr3; /* what the register holds then */
};
static inline struct cr3_load shadow_cr3_load(uint64_t value, uint64_t cr4, uint64_t efer, unsigned maxphyaddr)
{
	struct cr3_load load = { .valid = true, .flush = true, .cr3 = value };

	if (!(efer & EFER_LMA)) {
		load.cr3 = (uint32_t)value;
		return load;
	}
	if (cr4 & CR4_PCIDE) {
		load.flush = !(value & CR3_NO_FLUSH);
		load.cr3 = value & ~CR3_NO_FLUSH;
	}
	load.valid = load.cr3 >> maxphyaddr == 0;
	return load;
}

/* VM-exit instruction information of INVPCID. */
struct invpcid_operands {
	unsigned type_gpr;
	unsigned segment;      /* ES CS SS DS FS GS */
	unsigned address_bytes;
	uint64_t offset;       /* of the descriptor in the segment, truncated to the address size */
};
/* displacement: the exit qualification. gpr has all registers, RSP included. */
struct invpcid_operands invpcid_decode(uint32_t info, uint64_t displacement, const uint64_t *gpr);

enum invpcid_scope {
	INVPCID_FAULT,   /* #GP(0) */
	INVPCID_ADDRESS, /* one address, in whatever PCID */
	INVPCID_MORE,    /* all of one or of all PCIDs */
};
/* descriptor: PCID and address, 16 bytes. */
enum invpcid_scope invpcid_judge(uint64_t type, const uint64_t descriptor[2], uint64_t cr4);

#endif
