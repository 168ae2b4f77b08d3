/*
 * SDM volume 3A, "Access Rights" and "Page-Fault Exceptions", for the walks of 32-bit and PAE paging.
 */
#include "tests/guests/lib/walk32.h"

#include "hv/base/x86.h"
#include "tests/guests/lib/paging.h"

#define ERR_P 1u
#define ERR_W 2u
#define ERR_U 4u
#define ERR_RSVD 8u
#define ERR_I 16u

static bool forbidden(const struct walk32 *w, bool user, bool write, bool fetch)
{
	uint64_t all = w->large ? w->directory : w->directory & w->table;
	uint64_t any = w->large ? w->directory : w->directory | w->table;

	if (user && !(all & PTE_U))
		return true;
	if (write && !(all & PTE_W) && (user || w->wp))
		return true;
	return fetch && any & PTE_NX;
}

uint32_t walk32_expect(const struct walk32 *w)
{
	bool user = w->access >= OP_USER_LOAD;
	bool write = w->access == OP_STORE || w->access == OP_USER_STORE;
	bool fetch = w->access == OP_CALL || w->access == OP_USER_CALL;
	uint32_t fault = VEC_PF << 8 | (write ? ERR_W : 0) | (user ? ERR_U : 0) | (fetch && w->nxe ? ERR_I : 0);

	if (!(w->directory & PTE_P))
		return fault;
	if (w->directory & PTE_NX && !w->nxe)
		return fault | ERR_P | ERR_RSVD;
	if (!w->large && !(w->table & PTE_P))
		return fault;
	if ((!w->large && w->table & PTE_NX && !w->nxe) || w->reserved)
		return fault | ERR_P | ERR_RSVD;
	return forbidden(w, user, write, fetch) ? fault | ERR_P : 0;
}

bool walk32_right(const struct walk32 *w, const struct op32 *op, uint32_t target)
{
	uint32_t want = walk32_expect(w), leaf = w->large ? op[1].value : op[2].value;
	bool write = w->access == OP_STORE || w->access == OP_USER_STORE;

	if (op32_fault(op) != want || (want && op->cr2 != target))
		return false;
	if (want)
		return !(leaf & PTE_D);
	return op[1].value & PTE_A && leaf & PTE_A && !(leaf & PTE_D) == !write;
}
