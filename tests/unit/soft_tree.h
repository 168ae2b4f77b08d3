/*
 * A TD's secure EPT in the software module's machine: the host's calls on it, and what a test expects of the
 * registers after one.
 */
#ifndef TESTS_UNIT_SOFT_TREE_H
#define TESTS_UNIT_SOFT_TREE_H

#include "tdx/soft/sept.h"
#include "tdx/soft/tdg.h"
#include "tests/unit/soft_world.h"

#define SUCCESS 0ul
/* RDX of details. */
#define AT(level, state) ((uint64_t)(state) << 8 | (level))
/* RCX of details: leaves as the host sees them. */
#define SEEN_MAPPED(hpa) (BIT(63) | (hpa) | 0xf7)
#define SEEN_NO_ACCESS(hpa) (BIT(63) | (hpa) | 0xf0)
#define SEEN_FREE BIT(63)
#define SEEN_TABLE 7ul
#define SEEN_BLOCKED_TABLE 0ul

/* A leaf on gpa | level; the last call's registers are in out. */
uint64_t mem(const struct world_td *td, enum tdh_leaf leaf, gpa_t gpa, uint32_t level, hpa_t r8);
/* That it returns status, with these in RCX and RDX. */
void mem_is(const struct world_td *td, enum tdh_leaf leaf, gpa_t gpa, uint32_t level, hpa_t r8, uint64_t status,
	uint64_t rcx, uint64_t rdx);
/* The same for a success that returns nothing there. */
void mem_ok(const struct world_td *td, enum tdh_leaf leaf, gpa_t gpa, uint32_t level, hpa_t r8);

/* Tables down to the one with entries of that level; those that are there stay. */
void tree_to(const struct world_td *td, gpa_t gpa, uint32_t level);
/* SEPT.RD says so. */
void tree_is(const struct world_td *td, gpa_t gpa, uint32_t level, uint64_t rcx, enum tdx_sept_state state);

/* AUG of a new page, with the tables for it. */
hpa_t tree_aug(const struct world_td *td, gpa_t gpa, uint32_t level);
/* PAGE.ADD of a new page with that byte all over it. The TD is not yet finalized. */
hpa_t tree_add(const struct world_td *td, gpa_t gpa, uint8_t byte);
typedef enum tdg_end (*guest_leaf_fn)(struct tdg_call *t);
/* A TDCALL of vCPU 0, for which it enters on LP 0 and leaves again; *t is how it ended. */
enum tdg_end guest_call(const struct world_td *td, guest_leaf_fn leaf, uint64_t rcx, uint64_t rdx, uint64_t r8,
	struct tdg_call *t);
/* ACCEPT that comes to an end: its status. */
uint64_t guest_accept(const struct world_td *td, gpa_t gpa, uint32_t level);
/* AUG and ACCEPT. */
hpa_t tree_map(const struct world_td *td, gpa_t gpa, uint32_t level);
void tree_block(const struct world_td *td, gpa_t gpa, uint32_t level);
void tree_track(const struct world_td *td);
void tree_block_and_track(const struct world_td *td, gpa_t gpa, uint32_t level);

/* What RDMD says the page is. */
enum tdx_page_type type_of(hpa_t page);

/*
 * What must hold after each call on a TD: each leaf has its REG page and each table its EPT page in the PAMT,
 * of that size and owner, and no page twice; the TD's count of pages is right.
 */
void tree_check(const struct world_td *td);

/* The TD's end, from whatever state its memory is in; no vCPU is inside. No page is anybody's afterwards. */
void tree_tear_down(const struct world_td *td);

/* ---- cmocka's set-ups and teardown of tests with one TD ---- */
extern struct world_td tree_td;
/* It is being built and has a vCPU. */
int tree_build(void **state);
/* It may run. */
int tree_run(void **state);
int tree_end(void **state);

#endif
