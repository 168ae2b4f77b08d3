/*
 * Remembering device accesses, and carrying out the remembered ones.
 */
#include "hv/mmio_memo.h"

#include "hv/emulate/operand.h"
#include "hv/mmio_device.h"
#include "mmu/gpa.h"

#define PTE_USER BIT(2)

/* The code is compared by two words, which both lie in RIP's page. */
#define CODE_WORDS 16

/* An instruction is remembered in this place, or in its neighbour once another one wanted the place. */
static inline unsigned place_of(gva_t rip) { return (rip ^ rip >> 4) % MMIO_MEMOS; }

static inline bool code_unchanged(const struct mmio_memo *m)
{
	uint64_t word[2];

	__builtin_memcpy(word, m->code.host + (m->rip & PAGE_MASK), sizeof word);
	return (word[0] & m->insn.mask[0]) == m->insn.bytes[0] && (word[1] & m->insn.mask[1]) == m->insn.bytes[1];
}

/* Another process runs, whose kernel is the same as a rule: the memo becomes one of that CR3, if its walks begin there
 * with the entries that they began with. Inside the lock, and the slots are those of the memo. */
static NOINLINE bool memo_moves(struct mmu_vcpu *mv, struct mmio_memo *m, uint64_t cr3)
{
	bool has_data = m->insn.insn.form != FORM_LOAD;
	const uint64_t *code = walk_line_top_under(mv, &m->code, cr3), *data = NULL;

	if (has_data)
		data = walk_line_top_under(mv, &m->data, cr3);
	if (!code || (has_data && !data))
		return false;
	m->code.where[0] = code;
	m->data.where[0] = data;
	m->code.cr3 = m->data.cr3 = cr3;
	return true;
}

/* Whether all that the memo depends on is as it was; not the walk of a write's data, if that has just been made.
 * Between mmu_enter() and mmu_leave(). */
static inline bool memo_holds(struct mmu_vcpu *mv, struct mmio_memo *m, const struct guest_paging *g, bool walked)
{
	const struct walk_line *c = &m->code;

	if (UNLIKELY((c->modes ^ walk_modes(g)) | (c->rights ^ walk_rights(g, WALK_FETCH)) |
		     (c->generation ^ slot_set_of(mv->mmu)->generation)))
		return false;
	if (UNLIKELY(c->cr3 != g->cr3) && !memo_moves(mv, m, g->cr3))
		return false;
	if (UNLIKELY(!walk_line_unchanged(c) || !code_unchanged(m)))
		return false;
	return walked || m->insn.insn.form == FORM_LOAD || LIKELY(walk_line_unchanged(&m->data));
}

static ALWAYS_INLINE const struct mmio_memo *memo_find(struct vcpu *v, gva_t rip, uint32_t cs_ar,
						const struct guest_paging *g, bool walked)
{
	struct mmio_memo *m = &v->memos->memo[place_of(rip)];
	bool holds;

	if (UNLIKELY(m->rip != rip))
		m = &v->memos->memo[place_of(rip) ^ 1];
	if (UNLIKELY(m->rip != rip || m->cs_ar != cs_ar))
		return NULL;
	mmu_enter(v->mmu);
	holds = memo_holds(v->mmu, m, g, walked);
	mmu_leave(v->mmu);
	return LIKELY(holds) ? m : NULL;
}

/* Whether the operand is the access of the exit and within its page. A write must be to the page whose
 * walk is remembered; a read needs only the same place in the page, as in emu_place_checked(). */
static inline bool is_operand(const struct mmio_memo *m, gva_t la, gpa_t gpa)
{
	if (UNLIKELY((la ^ gpa) & PAGE_MASK || (gpa & PAGE_MASK) + m->insn.insn.size > PAGE_SIZE))
		return false;
	return m->insn.insn.form == FORM_LOAD ||
	       LIKELY(la >> PAGE_SHIFT == m->data.page && (gpa & ~PAGE_MASK) == m->data.frame);
}

static inline uint64_t written_value(const struct insn *in, const uint64_t *gpr)
{
	uint64_t value = in->form == FORM_STORE ? gpr[in->reg] >> in->reg_shift : in->imm;

	return in->size == 4 ? (uint32_t)value : truncate_to(value, in->size);
}

static inline void carry_out(struct vcpu *v, const struct insn *in, gpa_t gpa)
{
	uint64_t *gpr = &v->gpr[in->reg], value;

	if (in->form != FORM_LOAD) {
		mmio_device_write(v, gpa, in->size, written_value(in, v->gpr));
		return;
	}
	value = mmio_device_read(v, gpa, in->size);
	if (UNLIKELY(in->reg_shift))
		*gpr = (*gpr & ~0xff00ul) | (value & 0xff) << 8;
	else
		emu_gpr_set(gpr, in->size, value);
}

bool mmio_memo_repeat(struct vcpu *v, gpa_t gpa)
{
	const struct backend *b = v->vm->backend;
	const struct mmio_memo *m;
	struct guest_paging g;
	uint32_t cs_ar;
	gva_t rip;

	rip = b->get_code_state(v, &g, &cs_ar);
	g.pkru = 0; /* of no effect on what is remembered */
	m = memo_find(v, rip, cs_ar, &g, false);
	if (UNLIKELY(!m || !is_operand(m, insn_offset(&m->insn.insn, v->gpr, m->rip), gpa)))
		return false;
	carry_out(v, &m->insn.insn, gpa);
	b->instruction_done(v, rip + m->insn.insn.length);
	return true;
}

bool mmio_memo_write(struct vcpu *v, gva_t gva, gpa_t gpa)
{
	const struct backend *b = v->vm->backend;
	const struct mmio_memo *m;
	const struct insn *in;
	struct guest_paging g;
	uint64_t value;
	uint32_t cs_ar;
	gva_t rip;

	rip = b->get_code_state(v, &g, &cs_ar);
	g.pkru = 0; /* of no effect on the fetch */
	m = memo_find(v, rip, cs_ar, &g, true);
	if (!m)
		return false;
	in = &m->insn.insn;
	if (in->form == FORM_LOAD || insn_offset(in, v->gpr, rip) != gva || (gva & PAGE_MASK) + in->size > PAGE_SIZE)
		return false;
	value = written_value(in, v->gpr);
	if (gpa_write(v->mmu, gpa, &value, in->size))
		return false;
	b->instruction_done(v, rip + in->length);
	return true;
}

/* ---- remembering ---- */

/* RSP is the back end's to keep. A base that a load has overwritten is no matter: only a write's address
 * is asked for. */
static bool is_eligible(const struct insn *in, gva_t rip)
{
	return in->op == OP_MOV && in->form <= FORM_IMM && in->segment < SEG_FS && in->addr_size == 8 &&
	       in->base != GPR_RSP && in->reg != GPR_RSP && (rip & PAGE_MASK) <= PAGE_SIZE - CODE_WORDS;
}

/* Walks, unless that was just done, and copies the line. False: it cannot be remembered. */
static bool copy_line(struct vcpu *v, const struct guest_paging *g, gva_t gva, uint32_t access,
		      struct walk_line *to)
{
	const struct walk_line *l;
	struct walk_result r;
	gpa_t gpa;

	if (guest_walk_cached(v->mmu, v->walks, g, gva, access, &gpa, &r) != WALK_OK)
		return false;
	mmu_enter(v->mmu);
	l = walk_line_find(v->mmu, v->walks, g, gva, access);
	if (l)
		*to = *l;
	mmu_leave(v->mmu);
	return l != NULL;
}

/* Protection keys are of user pages, and not asked at a fetch. SDM volume 3A "Protection Keys". */
static bool obeys_keys(const struct walk_line *l, const struct guest_paging *g)
{
	uint64_t all = PTE_USER;

	for (int i = 0; i < WALK_MAX_LEVELS; i++)
		if (l->where[i] != &walk_line_unused)
			all &= l->entry[i];
	return all && (g->cr4 & CR4_PKE);
}

static bool copy_data(struct vcpu *v, struct mmio_memo *m, const struct guest_paging *g)
{
	return copy_line(v, g, insn_offset(&m->insn.insn, v->gpr, m->rip), WALK_WRITE, &m->data) &&
	       !obeys_keys(&m->data, g);
}

void mmio_memo_keep(struct vcpu *v, const struct guest_paging *paging, uint32_t cs_ar, gva_t rip)
{
	struct guest_paging g = *paging;
	const struct decode_slot *slot = decode_slot_of(v->decoded, rip);
	struct mmio_memo *m = &v->memos->memo[place_of(rip)];

	if (slot->mode != CPU_MODE_64 || !is_eligible(&slot->insn, rip))
		return;
	g.pkru = 0;
	if (m->rip != rip)
		v->memos->memo[place_of(rip) ^ 1] = *m;
	m->code.generation = 0; /* until all is there */
	m->rip = rip;
	m->cs_ar = cs_ar;
	m->insn = *slot;
	if (slot->insn.form != FORM_LOAD && !copy_data(v, m, &g))
		return;
	if (!copy_line(v, &g, rip, WALK_FETCH, &m->code) || !m->code.host)
		m->code.generation = 0;
}
