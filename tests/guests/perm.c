/*
 * Proves what page tables permit: reads, writes and fetches of either privilege under combinations of
 * P, W, U, NX and protection keys at every level, of CR0.WP, SMEP, SMAP with RFLAGS.AC, NXE and PKE. Each
 * must end as the SDM says (volume 3A, "Access Rights" and "Page-Fault Exceptions"), error code included,
 * and set accessed and dirty flags. The guest's own pages are the supervisor's. Bochs applies keys to the
 * user's accesses alone; with the option keys=all the supervisor's are tried as well.
 */
#include "hv/base/x86.h"
#include "tests/guests/lib/memory.h"
#include "tests/guests/lib/option.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "perm";

#define TARGET (200ul << 39)
#define STUBS (201ul << 39)
#define PKEY_SHIFT 59
#define ADDRESS BITS(51, 12)
#define SAMPLES 48
#define SHOWN 4 /* wrong outcomes that are printed, for each setting */

#define ERR_P 1u
#define ERR_W 2u
#define ERR_U 4u
#define ERR_RSVD 8u
#define ERR_I 16u
#define ERR_PK 32u

enum setting { WP = 1, NXE = 2, SMEP = 4, SMAP = 8, PKE = 16, SETTINGS = 32 };
enum access { READ, WRITE, FETCH, USER_READ, USER_WRITE, USER_FETCH, READ_AC, WRITE_AC, ACCESSES };

struct combo {
	uint64_t flags[5]; /* of the entry at each level; [0] unused */
	unsigned leaf;     /* 1: 4K page, 2: 2M page */
	uint32_t pkru;
};

struct outcome {
	uint32_t error;    /* of a page fault; NO_ERROR: the access goes through */
	bool pk_may_differ; /* a key and the ordinary rights both forbid it */
};
#define NO_ERROR UINT32_MAX

extern uint64_t boot_pml4[512];

/* mov (%rdi),%al; ud2 - mov %al,(%rdi); ud2 - jmp *%rdi. UD2 is also what every target page holds. */
static const uint8_t stubs[3][4] = { { 0x8a, 0x07, 0x0f, 0x0b }, { 0x88, 0x07, 0x0f, 0x0b }, { 0xff, 0xe7 } };

static uint64_t pdpt[512] __attribute__((aligned(4096)));
static uint64_t pd[512] __attribute__((aligned(4096)));
static uint64_t pt[512] __attribute__((aligned(4096)));
static uint64_t target; /* physical, 2 MiB aligned */
static uint64_t user_stack;
static unsigned wrong;

static bool is_user(enum access a) { return a >= USER_READ && a <= USER_FETCH; }
static bool is_write(enum access a) { return a == WRITE || a == USER_WRITE || a == WRITE_AC; }
static bool is_fetch(enum access a) { return a == FETCH || a == USER_FETCH; }

static bool key_forbids(const struct combo *c, unsigned s, enum access a)
{
	unsigned key = c->flags[c->leaf] >> PKEY_SHIFT & 15;
	unsigned rights = c->pkru >> 2 * key & 3;

	if (!(s & PKE) || is_fetch(a))
		return false;
	return rights & 1 || (rights & 2 && is_write(a) && (is_user(a) || s & WP));
}

/* u, w, nx: what all levels say together. */
static bool rights_forbid(unsigned s, enum access a, bool u, bool w, bool nx)
{
	if (is_user(a))
		return !u || (is_write(a) && !w) || (is_fetch(a) && nx);
	if (is_fetch(a))
		return nx || (u && s & SMEP);
	if (u && s & SMAP && a != READ_AC && a != WRITE_AC)
		return true;
	return is_write(a) && !w && s & WP;
}

static struct outcome expect(const struct combo *c, unsigned s, enum access a)
{
	uint32_t base = (is_write(a) ? ERR_W : 0) | (is_user(a) ? ERR_U : 0) |
			(is_fetch(a) && s & (NXE | SMEP) ? ERR_I : 0);
	bool u = true, w = true, nx = false, bad, key;

	for (unsigned level = 4; level >= c->leaf; level--) {
		uint64_t e = c->flags[level];

		if (!(e & PTE_P))
			return (struct outcome){ base, false };
		if (e & PTE_NX && !(s & NXE))
			return (struct outcome){ base | ERR_P | ERR_RSVD, false };
		u &= (e & PTE_U) != 0;
		w &= (e & PTE_W) != 0;
		nx |= (e & PTE_NX) != 0;
	}
	bad = rights_forbid(s, a, u, w, nx);
	key = u && key_forbids(c, s, a);
	if (!bad && !key)
		return (struct outcome){ NO_ERROR, false };
	return (struct outcome){ base | ERR_P | (key ? ERR_PK : 0), bad && key };
}

/* ---- carrying out ---- */

static uint64_t *entry(unsigned level)
{
	return level == 4 ? &boot_pml4[200] : level == 3 ? pdpt : level == 2 ? pd : pt;
}

static void put(const struct combo *c)
{
	boot_pml4[200] = (uint64_t)pdpt | c->flags[4];
	pdpt[0] = (uint64_t)pd | c->flags[3];
	pd[0] = (c->leaf == 2 ? target | PTE_PS : (uint64_t)pt) | c->flags[2];
	pt[0] = target | c->flags[1];
	invlpg((void *)TARGET);
}

static int run_user(unsigned stub)
{
	return TRY("pushq %[ss]\n\tpushq %[sp]\n\tpushq $2\n\tpushq %[cs]\n\tpushq %[ip]\n\tiretq", : :
		   [ss] "i"(SEL_USER_DATA), [sp] "r"(user_stack), [cs] "i"(SEL_USER_CODE),
		   [ip] "r"(STUBS + stub * 16), "D"(TARGET), "a"(0x0f) : "memory", "cc");
}

static int run_with_ac(bool write)
{
	int vector;

	__asm__ volatile("pushfq\n\torq %0, (%%rsp)\n\tpopfq" : : "i"(RFLAGS_AC) : "memory", "cc");
	vector = write ? TRY("movb $0x0f, (%0)", : : "r"(TARGET) : "memory")
		       : TRY("movb (%0), %%al", : : "r"(TARGET) : "rax", "memory");
	__asm__ volatile("pushfq\n\tandq %0, (%%rsp)\n\tpopfq" : : "i"(~(uint32_t)RFLAGS_AC) : "memory", "cc");
	return vector;
}

static int run(enum access a)
{
	switch (a) {
	case READ:
		return TRY("movb (%0), %%al", : : "r"(TARGET) : "rax", "memory");
	case WRITE:
		return TRY("movb $0x0f, (%0)", : : "r"(TARGET) : "memory");
	case FETCH:
		return TRY("jmp *%0", : : "r"(TARGET) : "memory");
	case READ_AC:
	case WRITE_AC:
		return run_with_ac(a == WRITE_AC);
	default:
		return run_user(a - USER_READ);
	}
}

/* What a completed access ends in: the UD2 behind it, in the target itself for a fetch. */
static int completed(enum access a) { return is_user(a) || a == FETCH ? VEC_UD : NO_FAULT; }

static bool flags_right(const struct combo *c, enum access a)
{
	bool accessed = true;

	for (unsigned level = 4; level >= c->leaf; level--)
		accessed &= (*entry(level) & PTE_A) != 0;
	return accessed && !(*entry(c->leaf) & PTE_D) == !is_write(a);
}

static bool as_expected(const struct combo *c, enum access a, struct outcome want, int vector)
{
	if (want.error == NO_ERROR)
		return vector == completed(a) && (!is_fetch(a) || fault.rip == TARGET) && flags_right(c, a);
	return vector == VEC_PF && fault.cr2 == TARGET && !(*entry(c->leaf) & PTE_D) &&
	       ((fault.error ^ want.error) & ~(want.pk_may_differ ? ERR_PK : 0ul)) == 0;
}

static void try_one(const struct combo *c, unsigned s, enum access a)
{
	struct outcome want = expect(c, s, a);
	int vector;

	put(c);
	vector = run(a);
	if (as_expected(c, a, want, vector) || wrong++ >= SHOWN)
		return;
	print("  setting %x access %u flags %lx %lx %lx %lx pkru %x: vector %d error %lx cr2 %lx, want error %x\n", s,
	      a, *entry(4), *entry(3), *entry(2), *entry(1), c->pkru, vector, fault.error, fault.cr2, want.error);
}

static void try_all(const struct combo *c, unsigned s)
{
	for (enum access a = 0; a < ACCESSES; a++)
		if (s & SMAP || (a != READ_AC && a != WRITE_AC))
			try_one(c, s, a);
}

/* ---- which combinations ---- */

/* bits: P W U NX. */
static uint64_t flags_of(unsigned bits)
{
	return (bits & 1 ? PTE_P : 0) | (bits & 2 ? PTE_W : 0) | (bits & 4 ? PTE_U : 0) | (bits & 8 ? PTE_NX : 0);
}

static uint32_t next_random(void)
{
	static uint64_t state = 1;

	state = state * 6364136223846793005ul + 1442695040888963407ul;
	return (uint32_t)(state >> 33);
}

static struct combo all_permitted(unsigned leaf)
{
	struct combo c = { .leaf = leaf };

	for (unsigned level = 1; level <= 4; level++)
		c.flags[level] = PTE_P | PTE_W | PTE_U;
	return c;
}

/* Each level by itself through all sixteen. */
static void walk_levels(unsigned s, unsigned leaf)
{
	for (unsigned level = leaf; level <= 4; level++)
		for (unsigned bits = 0; bits < 16; bits++) {
			struct combo c = all_permitted(leaf);

			c.flags[level] = flags_of(bits);
			try_all(&c, s);
		}
}

/* W, U and NX of the last two levels against each other. */
static void walk_pairs(unsigned s)
{
	for (unsigned bits = 0; bits < 64; bits++) {
		struct combo c = all_permitted(1);

		c.flags[1] = flags_of(1 | (bits & 7) << 1);
		c.flags[2] = flags_of(1 | bits >> 3 << 1);
		try_all(&c, s);
	}
}

/* Anything with anything, mostly present. */
static void walk_samples(unsigned s)
{
	for (unsigned i = 0; i < SAMPLES; i++) {
		struct combo c = { .leaf = 1 + i % 2 };

		for (unsigned level = 1; level <= 4; level++) {
			uint32_t r = next_random();

			c.flags[level] = flags_of((r & 15) != 0 ? 1 | (r >> 4 & r >> 8 & 2 ? 0 : 2) |
						  (r >> 12 & r >> 16 & 4 ? 0 : 4) | (r >> 20 & r >> 24 & 8) : 14);
		}
		try_all(&c, s);
	}
}

/* Each key with each of its rights, the others' being the opposite, on pages of both sizes. Key 0 is what
 * the guest's own pages have (Bochs asks for their sake, too): it permits everything. */
static void walk_keys(unsigned s)
{
	enum access first = option_is("keys", "all") ? READ : USER_READ, last = USER_FETCH;

	for (unsigned i = 16; i < 16 * 4 * 4; i++) {
		unsigned key = i >> 4, rights = i >> 2 & 3;
		struct combo c = all_permitted(1 + i % 2);

		c.flags[c.leaf] = flags_of(i & 2 ? 7 : 5) | (uint64_t)key << PKEY_SHIFT;
		c.pkru = (rights ? 0 : ~(3u << 2 * key | 3u)) | rights << 2 * key;
		__asm__ volatile("wrpkru" : : "a"(c.pkru), "c"(0), "d"(0) : "memory");
		for (enum access a = first; a <= last; a++)
			try_one(&c, s, a);
	}
	__asm__ volatile("wrpkru" : : "a"(0), "c"(0), "d"(0) : "memory");
}

static unsigned settings_offered(void)
{
	struct cpuid_regs r = cpuid(7, 0);

	return WP | NXE | (r.ebx & BIT(7) ? SMEP : 0) | (r.ebx & BIT(20) ? SMAP : 0) | (r.ecx & BIT(3) ? PKE : 0);
}

static void set(unsigned s)
{
	uint64_t cr4 = read_cr4() & ~(CR4_SMEP | CR4_SMAP | CR4_PKE), cr0 = read_cr0() & ~CR0_WP;

	write_cr0(cr0 | (s & WP ? CR0_WP : 0));
	write_cr4(cr4 | (s & SMEP ? CR4_SMEP : 0) | (s & SMAP ? CR4_SMAP : 0) | (s & PKE ? CR4_PKE : 0));
	wrmsr(MSR_EFER, (rdmsr(MSR_EFER) & ~EFER_NXE) | (s & NXE ? EFER_NXE : 0));
}

/* Takes U from every entry of the guest's own map, of 2 MiB pages. */
static void make_supervisor(uint64_t *table, unsigned level)
{
	for (unsigned i = 0; i < 512; i++) {
		if (level > 2 && table[i] & PTE_P)
			make_supervisor((uint64_t *)(table[i] & ADDRESS), level - 1);
		table[i] &= ~PTE_U;
	}
}

static void prepare(void)
{
	uint8_t *code = (uint8_t *)fresh_memory();

	make_supervisor(boot_pml4, 4);
	write_cr3(read_cr3());
	for (unsigned i = 0; i < 3; i++)
		memcpy(code + i * 16, stubs[i], sizeof(stubs[i]));
	page_map(STUBS, (uint64_t)code, PTE_P | PTE_U);
	target = fresh_memory();
	for (unsigned i = 0; i < PAGE_SIZE; i += 2)
		memcpy((void *)(target + i), "\x0f\x0b", 2);
	user_stack = STUBS + PAGE_SIZE; /* never used */
	trap_tss.rsp[0] = fresh_memory() + PAGE_SIZE;
}

void guest_main(void)
{
	unsigned offered = settings_offered();

	prepare();
	for (unsigned s = 0; s < SETTINGS; s++) {
		if (s & ~offered)
			continue;
		set(s);
		wrong = 0;
		if (s & PKE) {
			walk_keys(s);
		} else {
			walk_levels(s, 1);
			walk_levels(s, 2);
			walk_pairs(s);
			walk_samples(s);
		}
		set(WP | NXE);
		print("  wp %u nxe %u smep %u smap %u pke %u\n", !!(s & WP), !!(s & NXE), !!(s & SMEP), !!(s & SMAP),
		      !!(s & PKE));
		report_equal("as-the-sdm-says", wrong, 0);
	}
}
