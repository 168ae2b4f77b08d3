/*
 * Rules of shadow paging that need no hardware.
 */
#include "vmx/shadow_rules.h"

#define PCID_MASK BITS(11, 0)

#define INVPCID_TYPES 4
enum { INVPCID_INDIVIDUAL, INVPCID_SINGLE, INVPCID_ALL, INVPCID_ALL_NON_GLOBAL };

/* Without the guest's paging all of its memory is the user's and the supervisor's alike. Protection
 * keys only work in 64-bit paging, but RDPKRU asks for their bit in any mode. */
uint64_t shadow_hardware_cr4(uint64_t cr4, uint64_t cr0)
{
	uint64_t kept = cr4 & (~SHADOW_CR4_MASK | CR4_PKE);

	if (cr0 & CR0_PG)
		kept |= cr4 & (CR4_SMEP | CR4_SMAP | CR4_LA57);
	return kept | CR4_PAE;
}

/* SDM table "Format of the VM-Exit Instruction-Information Field as Used for INVEPT, INVPCID, and INVVPID". */
struct invpcid_operands invpcid_decode(uint32_t info, uint64_t displacement, const uint64_t *gpr)
{
	struct invpcid_operands o = {
		.type_gpr = info >> 28,
		.segment = info >> 15 & 7,
		.address_bytes = 2u << (info >> 7 & 3),
		.offset = displacement,
	};

	if (!(info & BIT(27)))
		o.offset += gpr[info >> 23 & 0xf];
	if (!(info & BIT(22)))
		o.offset += gpr[info >> 18 & 0xf] << (info & 3);
	if (o.address_bytes < 8)
		o.offset &= BIT(8 * o.address_bytes) - 1;
	return o;
}

enum invpcid_scope invpcid_judge(uint64_t type, const uint64_t descriptor[2], uint64_t cr4)
{
	uint64_t pcid = descriptor[0];

	if (type >= INVPCID_TYPES || pcid & ~PCID_MASK)
		return INVPCID_FAULT;
	if (type >= INVPCID_ALL)
		return INVPCID_MORE;
	if (!(cr4 & CR4_PCIDE) && pcid != 0)
		return INVPCID_FAULT;
	if (type == INVPCID_SINGLE)
		return INVPCID_MORE;
	if (!is_canonical(descriptor[1], cr4 & CR4_LA57 ? 57 : 48))
		return INVPCID_FAULT;
	return INVPCID_ADDRESS;
}
