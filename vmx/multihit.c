/*
 * The list of CPUs with the erratum.
 */
#include "vmx/multihit.h"

#define IF_PSCHANGE_MC_NO BIT(6) /* of IA32_ARCH_CAPABILITIES: cured */

/* Models of family 6: client and server cores from Nehalem on until the cure, the small cores not. */
static const uint8_t affected[] = {
	0x1a, 0x1e, 0x1f, 0x2e, /* Nehalem */
	0x25, 0x2c, 0x2f,       /* Westmere */
	0x2a, 0x2d,             /* Sandy Bridge */
	0x3a, 0x3e,             /* Ivy Bridge */
	0x3c, 0x3f, 0x45, 0x46, /* Haswell */
	0x3d, 0x47, 0x4f, 0x56, /* Broadwell */
	0x4e, 0x5e, 0x55,       /* Skylake; the server's also as Cascade and Cooper Lake */
	0x8e, 0x9e,             /* Kaby, Amber, Coffee, Whiskey Lake */
	0x66,                   /* Cannon Lake */
	0xa5, 0xa6,             /* Comet Lake */
};

/* SDM volume 2A "CPUID", version information. */
static uint32_t family(uint32_t signature) { return signature >> 8 & 15; }
static uint32_t model(uint32_t signature) { return (signature >> 4 & 15) | (signature >> 12 & 0xf0); }

bool multihit_affects(const struct multihit_facts *f)
{
	if (f->hypervisor || (f->arch_capabilities & IF_PSCHANGE_MC_NO) || family(f->signature) != 6)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(affected); i++)
		if (affected[i] == model(f->signature))
			return true;
	return false;
}
