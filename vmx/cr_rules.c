/*
 * The rules of writes to CR0 and CR4.
 */
#include "vmx/cr_rules.h"

#include "hv/base/x86.h"

/* Bits whose change loads the PDPTEs under PAE paging, and those that drop cached translations. */
#define CR0_PDPTE (CR0_PG | CR0_CD | CR0_NW)
#define CR4_PDPTE (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP)
#define CR4_FLUSH (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP | CR4_PCIDE | CR4_LA57)

static bool long_mode(const struct cr_state *s) { return (s->efer & EFER_LME) && (s->cr0 & CR0_PG); }

static bool pae_paging(const struct cr_state *s)
{
	return (s->cr0 & CR0_PG) && (s->cr4 & CR4_PAE) && !(s->efer & EFER_LME);
}

static bool cr0_valid(const struct cr_state *from, const struct cr_state *to)
{
	bool starts = (to->cr0 & ~from->cr0) & CR0_PG, ends = (from->cr0 & ~to->cr0) & CR0_PG;

	if (to->cr0 >> 32)
		return false;
	if ((to->cr0 & CR0_PG) && !(to->cr0 & CR0_PE))
		return false;
	if ((to->cr0 & CR0_NW) && !(to->cr0 & CR0_CD))
		return false;
	if (starts && (to->efer & EFER_LME) && (!(to->cr4 & CR4_PAE) || to->cs_long))
		return false;
	return !(ends && ((to->cr4 & CR4_PCIDE) || (long_mode(from) && to->cs_long)));
}

static bool cr4_valid(const struct cr_state *from, const struct cr_state *to)
{
	uint64_t changed = from->cr4 ^ to->cr4;

	if (to->cr4 & ~to->cr4_allowed)
		return false;
	if (!long_mode(to))
		return !(changed & to->cr4 & CR4_PCIDE);
	if (!(to->cr4 & CR4_PAE) || (changed & CR4_LA57))
		return false;
	return !(changed & to->cr4 & CR4_PCIDE) || !(to->cr3 & 0xfff);
}

bool cr_change_valid(const struct cr_state *from, const struct cr_state *to)
{
	return (from->cr0 == to->cr0 || cr0_valid(from, to)) && (from->cr4 == to->cr4 || cr4_valid(from, to));
}

bool cr_change_loads_pdptes(const struct cr_state *from, const struct cr_state *to)
{
	return pae_paging(to) && (((from->cr0 ^ to->cr0) & CR0_PDPTE) || ((from->cr4 ^ to->cr4) & CR4_PDPTE));
}

bool cr_change_flushes(const struct cr_state *from, const struct cr_state *to)
{
	return ((from->cr0 ^ to->cr0) & (CR0_PG | CR0_PE | CR0_WP)) || ((from->cr4 ^ to->cr4) & CR4_FLUSH);
}
