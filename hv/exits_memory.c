/*
 * MMIO and string I/O: the instruction emulator's view of a vCPU. Linear addresses go through the
 * guest's own tables; what is RAM is read and written there, the local APIC's page belongs to the
 * vCPU, everything else is the bus.
 */
#include <string.h>

#include "hv/base/log.h"
#include "hv/base/x86.h"
#include "hv/emulate/emulate.h"
#include "hv/emulate/string_io.h"
#include "hv/exits.h"
#include "hv/fpu.h"
#include "hv/mmio_device.h"
#include "hv/mmio_memo.h"
#include "mmu/gpa.h"

#define CS_AR_L BIT(13)
#define CS_AR_DB BIT(14)
#define CPL_USER 3
#define USER_REFUSALS_TOLD 4

/* One instruction's work: what the emulator gets, and the registers that decide about paging. */
struct access {
	struct emu_cpu cpu;
	struct vcpu *v;
	uint64_t rsp; /* before the instruction */
	gpa_t device; /* the access that caused the exit is to a device, there; else GPA_UNKNOWN */
	uint32_t cs_ar;
	bool paging_complete; /* PKRU and PDPTEs are there, or not needed */
	struct guest_paging paging;
};

static uint64_t reg(struct vcpu *v, enum guest_reg r) { return v->vm->backend->get_reg(v, r); }

/* PKRU is in the CPU as the guest left it; RDPKRU needs CR4.PKE of whoever executes it. */
uint32_t exit_pkru(void)
{
	uint64_t cr4 = read_cr4();
	uint32_t pkru;

	write_cr4(cr4 | CR4_PKE);
	__asm__ volatile("rdpkru" : "=a"(pkru) : "c"(0) : "rdx");
	write_cr4(cr4);
	return pkru;
}

static bool uses_pae(const struct guest_paging *g)
{
	return (g->cr0 & CR0_PG) && (g->cr4 & CR4_PAE) && !(g->efer & EFER_LMA);
}

/* The rarely used rest of the paging registers. */
static const struct guest_paging *paging(struct access *a)
{
	struct guest_paging *g = &a->paging;

	if (LIKELY(a->paging_complete))
		return g;
	a->paging_complete = true;
	if (g->cr4 & CR4_PKE)
		g->pkru = exit_pkru();
	for (unsigned i = 0; uses_pae(g) && i < 4; i++)
		g->pdpte[i] = reg(a->v, REG_PDPTE0 + i);
	return g;
}

static enum emu_result page_fault(struct access *a, const struct walk_result *r)
{
	a->cpu.fault = (struct emu_fault){
		.vector = VEC_PF, .has_error_code = true, .error_code = r->error_code, .cr2 = r->gva };
	return EMU_FAULT;
}

static enum emu_result translate(struct access *a, gva_t la, uint32_t kind, gpa_t *gpa)
{
	struct walk_result r;

	switch (guest_walk_cached(a->v->mmu, a->v->walks, paging(a), la, kind, gpa, &r)) {
	case WALK_OK:
		return EMU_DONE;
	case WALK_PAGE_FAULT:
		return page_fault(a, &r);
	case WALK_RETRY:
		return EMU_RETRY;
	default:
		a->cpu.fault = (struct emu_fault){ .vector = VEC_GP, .has_error_code = true };
		return EMU_FAULT;
	}
}

/* ---- fetch ---- */

static enum emu_result fetch(struct emu_cpu *cpu, gva_t la, uint8_t *bytes, unsigned max, unsigned *got)
{
	struct access *a = CONTAINER_OF(cpu, struct access, cpu);
	enum emu_result r;
	gpa_t gpa;

	*got = (unsigned)min_u64(max, PAGE_SIZE - (la & PAGE_MASK));
	r = translate(a, la, WALK_FETCH, &gpa);
	if (r != EMU_DONE)
		return r;
	if (gpa_read(a->v->mmu, gpa, bytes, *got) == 0)
		return EMU_DONE;
	a->cpu.reason = "the guest executes outside its memory";
	return EMU_UNSUPPORTED;
}

/* ---- data ---- */

static void read_gpa(struct access *a, gpa_t gpa, unsigned size, uint64_t *value)
{
	*value = 0;
	if (gpa == a->device || gpa_read(a->v->mmu, gpa, value, size))
		*value = mmio_device_read(a->v, gpa, size);
}

/* A write to read-only memory is dropped, as ROM drops it. */
static void write_gpa(struct access *a, gpa_t gpa, unsigned size, uint64_t value)
{
	if (gpa == a->device || gpa_write(a->v->mmu, gpa, &value, size) == -EFAULT)
		mmio_device_write(a->v, gpa, size, value);
}

static uint64_t low_bytes(uint64_t value, unsigned size)
{
	return size == 8 ? value : value & (BIT(8 * size) - 1);
}

/* The gpa of an access and, when it crosses a page, of its second part; first counts the bytes of
 * the first part. Both are translated before anything is touched. */
static enum emu_result place(struct access *a, struct emu_addr at, unsigned size, uint32_t kind, gpa_t gpa[2],
			     unsigned *first)
{
	unsigned in_page = (unsigned)(PAGE_SIZE - (at.la & PAGE_MASK));
	enum emu_result r = EMU_DONE;

	*first = size;
	gpa[0] = at.gpa;
	if (LIKELY(at.gpa != GPA_UNKNOWN))
		return EMU_DONE;
	r = translate(a, at.la, kind, &gpa[0]);
	if (r == EMU_DONE && in_page < size) {
		*first = in_page;
		r = translate(a, at.la + in_page, kind, &gpa[1]);
	}
	return r;
}

static enum emu_result read_ram_too(struct access *a, struct emu_addr at, unsigned size, uint64_t *value)
{
	enum emu_result r;
	unsigned first;
	uint64_t part;
	gpa_t gpa[2];

	r = place(a, at, size, WALK_READ, gpa, &first);
	if (r != EMU_DONE)
		return r;
	if (LIKELY(first == size)) {
		read_gpa(a, gpa[0], size, value);
		*value = low_bytes(*value, size);
		return EMU_DONE;
	}
	*value = 0;
	for (unsigned i = 0; i < size; i++) {
		read_gpa(a, i < first ? gpa[0] + i : gpa[1] + (i - first), 1, &part);
		*value |= (part & 0xff) << (8 * i);
	}
	return EMU_DONE;
}

/* The access that caused the exit is most often a device's; others may be to RAM. */
static enum emu_result mem_read(struct emu_cpu *cpu, struct emu_addr at, unsigned size, uint64_t *value)
{
	struct access *a = CONTAINER_OF(cpu, struct access, cpu);

	if (UNLIKELY(at.gpa != a->device || at.gpa == GPA_UNKNOWN))
		return read_ram_too(a, at, size, value);
	*value = low_bytes(mmio_device_read(a->v, at.gpa, size), size);
	return EMU_DONE;
}

static enum emu_result mem_write(struct emu_cpu *cpu, struct emu_addr at, unsigned size, uint64_t value)
{
	struct access *a = CONTAINER_OF(cpu, struct access, cpu);
	enum emu_result r;
	unsigned first;
	gpa_t gpa[2];

	r = place(a, at, size, WALK_WRITE, gpa, &first);
	if (r != EMU_DONE)
		return r;
	if (LIKELY(first == size)) {
		write_gpa(a, gpa[0], size, value);
		return EMU_DONE;
	}
	for (unsigned i = 0; i < size; i++)
		write_gpa(a, i < first ? gpa[0] + i : gpa[1] + (i - first), 1, value >> (8 * i));
	return EMU_DONE;
}

static enum emu_result probe_write(struct emu_cpu *cpu, struct emu_addr *at, unsigned size)
{
	struct access *a = CONTAINER_OF(cpu, struct access, cpu);
	enum emu_result r;
	unsigned first;
	gpa_t gpa[2];

	r = place(a, *at, size, WALK_WRITE, gpa, &first);
	if (LIKELY(r == EMU_DONE && first == size))
		at->gpa = gpa[0];
	return r;
}

static enum emu_result compare_exchange(struct emu_cpu *cpu, struct emu_addr at, unsigned size,
					const uint64_t *old, const uint64_t *new_value)
{
	struct access *a = CONTAINER_OF(cpu, struct access, cpu);
	enum emu_result r;
	unsigned first;
	gpa_t gpa[2];
	int err;

	r = place(a, at, size, WALK_WRITE, gpa, &first);
	if (r != EMU_DONE)
		return r;
	if (first != size) /* two host pages: no instruction locks both */
		return mem_write(cpu, at, size, *new_value);
	/* The APIC-access page lies under the device as RAM that nobody reads. */
	err = gpa[0] == a->device ? -EFAULT : gpa_exchange(a->v->mmu, gpa[0], old, new_value, size);
	for (unsigned i = 0; err == -EFAULT && i < size; i += 8)
		mmio_device_write(a->v, gpa[0] + i, (unsigned)min_u64(size, 8), new_value[i / 8]);
	return err == -EAGAIN ? EMU_RETRY : EMU_DONE;
}

/* SDM volume 3A, "Emulation of FPU and SSE": what the CPU checks before it looks at memory. */
static enum emu_result xmm_read(struct emu_cpu *cpu, unsigned xmm, uint64_t value[2])
{
	const struct guest_paging *g = &CONTAINER_OF(cpu, struct access, cpu)->paging;
	bool undefined = (g->cr0 & CR0_EM) || !(g->cr4 & CR4_OSFXSR);

	if (undefined || (g->cr0 & CR0_TS)) {
		cpu->fault = (struct emu_fault){ .vector = undefined ? VEC_UD : VEC_NM };
		return EMU_FAULT;
	}
	fpu_xmm_read(xmm, value);
	return EMU_DONE;
}

static void xmm_write(struct emu_cpu *cpu, unsigned xmm, const uint64_t value[2])
{
	(void)cpu;
	fpu_xmm_write(xmm, value);
}

static void segment(struct emu_cpu *cpu, enum insn_segment s, struct emu_segment *out)
{
	struct vcpu *v = CONTAINER_OF(cpu, struct access, cpu)->v;

	out->base = reg(v, REG_ES_BASE + s);
	out->limit = (uint32_t)reg(v, REG_ES_LIMIT + s);
	out->rights = (uint32_t)reg(v, REG_ES_AR + s);
}

static const struct emu_ops emu_ops = {
	.fetch = fetch,
	.read = mem_read,
	.write = mem_write,
	.probe_write = probe_write,
	.compare_exchange = compare_exchange,
	.xmm_read = xmm_read,
	.xmm_write = xmm_write,
	.segment = segment,
};

/* ---- the exits ---- */

static inline enum cpu_mode mode_of(uint64_t efer, uint32_t cs_ar)
{
	if (LIKELY((cs_ar & CS_AR_L) && (efer & EFER_LMA)))
		return CPU_MODE_64;
	return cs_ar & CS_AR_DB ? CPU_MODE_32 : CPU_MODE_16;
}

static void begin(struct access *a, struct vcpu *v)
{
	struct guest_paging *g = &a->paging;

	a->v = v;
	a->cpu.rip = v->vm->backend->get_code_state(v, g, &a->cs_ar);
	a->rsp = reg(v, REG_RSP);
	v->gpr[GPR_RSP] = a->rsp;
	g->pkru = 0;
	g->maxphyaddr = v->vm->mmu->config.gpa_bits;
	g->page_1g = v->page_1g;
	a->paging_complete = LIKELY(!(g->cr4 & CR4_PKE) && (g->efer & EFER_LMA));
	a->cpu.ops = &emu_ops;
	a->cpu.cache = v->decoded;
	a->cpu.gpr = v->gpr;
	a->cpu.rflags = g->rflags;
	a->cpu.mode = mode_of(g->efer, a->cs_ar);
	a->cpu.la_bits = 48;
	a->device = GPA_UNKNOWN;
	a->cpu.exit_gpa = GPA_UNKNOWN;
	a->cpu.exit_la_valid = false;
	a->cpu.exit_write = false;
	a->cpu.max_iterations = EMU_MAX_ITERATIONS;
}

static void inject_fault(struct vcpu *v, const struct emu_fault *fault)
{
	if (fault->vector == VEC_PF)
		write_cr2(fault->cr2);
	v->vm->backend->inject(v, fault->vector, fault->has_error_code ? (int64_t)fault->error_code : -1);
}

/* Another vCPU may have changed the code since this one executed it: it is let try again once, and
 * comes back only if what is there now makes such an access too. */
static bool refused_first(struct access *a)
{
	bool first = a->v->refused_rip != a->cpu.rip;

	a->v->refused_rip = a->cpu.rip;
	return first;
}

/* A kernel has ended with that. A program in user mode, to which its kernel has given a device's memory, ends
 * alone: it gets an #UD, and the log has the first few. */
static enum exit_result refuse(struct access *a)
{
	struct vcpu *v = a->v;
	struct failure f;

	if (refused_first(a))
		return EXIT_RESUME;
	emulate_explain(&a->cpu, &f);
	if (a->paging.cpl != CPL_USER) {
		vm_stop(v->vm, "%s", f.text);
		return EXIT_YIELD;
	}
	if (v->user_refusals++ < USER_REFUSALS_TOLD)
		log_warn("guest %s: #UD in user mode: %s", v->vm->config->name, f.text);
	v->vm->backend->inject(v, VEC_UD, -1);
	return EXIT_RESUME;
}

static enum exit_result finish(struct access *a, enum emu_result r)
{
	struct vcpu *v = a->v;
	const struct backend *b = v->vm->backend;

	if (r == EMU_UNSUPPORTED)
		return refuse(a);
	if (UNLIKELY(v->gpr[GPR_RSP] != a->rsp))
		b->set_reg(v, REG_RSP, v->gpr[GPR_RSP]);
	if (UNLIKELY(a->cpu.rflags != a->paging.rflags))
		b->set_reg(v, REG_RFLAGS, a->cpu.rflags);
	if (LIKELY(r == EMU_DONE))
		b->instruction_done(v, a->cpu.rip);
	else if (r == EMU_FAULT)
		inject_fault(v, &a->cpu.fault);
	return EXIT_RESUME;
}

static NOINLINE enum exit_result emulate_mmio(struct vcpu *v, gpa_t gpa, gva_t gva, bool gva_valid, bool write)
{
	enum exit_result result;
	enum emu_result r;
	struct access a;
	gva_t rip;

	begin(&a, v);
	a.device = gpa;
	rip = a.cpu.rip;
	a.cpu.exit_gpa = gpa;
	a.cpu.exit_la = gva;
	a.cpu.exit_la_valid = gva_valid;
	a.cpu.exit_write = write;
	r = emulate_instruction(&a.cpu);
	result = finish(&a, r);
	if (r == EMU_DONE)
		mmio_memo_keep(v, &a.paging, a.cs_ar, rip);
	return result;
}

enum exit_result exit_mmio(struct vcpu *v, gpa_t gpa, bool write)
{
	return LIKELY(mmio_memo_repeat(v, gpa)) ? EXIT_RESUME : emulate_mmio(v, gpa, 0, false, write);
}

enum exit_result exit_mmio_at(struct vcpu *v, gpa_t gpa, gva_t gva, bool write)
{
	return LIKELY(mmio_memo_repeat(v, gpa)) ? EXIT_RESUME : emulate_mmio(v, gpa, gva, true, write);
}

enum exit_result exit_memory(struct vcpu *v)
{
	struct access a;

	begin(&a, v);
	return finish(&a, emulate_instruction(&a.cpu));
}

enum exit_emulated exit_emulate(struct vcpu *v, gpa_t gpa, gva_t gva, unsigned iterations, struct failure *f)
{
	struct access a;
	enum emu_result r;
	gva_t rip;

	if (LIKELY(mmio_memo_write(v, gva, gpa)))
		return EMULATED;
	begin(&a, v);
	rip = a.cpu.rip;
	a.cpu.exit_gpa = gpa;
	a.cpu.exit_la = gva;
	a.cpu.exit_la_valid = true;
	a.cpu.exit_write = true;
	a.cpu.max_iterations = iterations;
	r = emulate_instruction(&a.cpu);
	if (r == EMU_UNSUPPORTED) {
		emulate_explain(&a.cpu, f);
		return NOT_EMULATED;
	}
	finish(&a, r);
	if (r == EMU_DONE)
		mmio_memo_keep(v, &a.paging, a.cs_ar, rip);
	return r == EMU_RETRY ? EMULATED_PART : EMULATED;
}

bool exit_read_operand(struct vcpu *v, unsigned segment, uint64_t offset, uint64_t value[2])
{
	struct emu_addr at = { .gpa = GPA_UNKNOWN };
	enum emu_result r;
	struct access a;

	begin(&a, v);
	r = emu_linear(&a.cpu, (enum insn_segment)segment, offset, 16, ACCESS_READ, &at.la);
	for (unsigned i = 0; i < 2 && r == EMU_DONE; i++, at.la += 8)
		r = mem_read(&a.cpu, at, 8, &value[i]);
	if (r != EMU_DONE)
		finish(&a, r);
	return r == EMU_DONE;
}

static uint32_t string_port_read(struct emu_cpu *cpu, uint16_t port, unsigned size)
{
	return exit_port_read(CONTAINER_OF(cpu, struct access, cpu)->v, port, size);
}

static void string_port_write(struct emu_cpu *cpu, uint16_t port, unsigned size, uint32_t value)
{
	exit_port_write(CONTAINER_OF(cpu, struct access, cpu)->v, port, size, value);
}

enum exit_result exit_string_io(struct vcpu *v, const struct string_exit *io)
{
	struct string_io s = {
		.port = io->port,
		.size = io->size,
		.addr_size = io->address_bytes,
		.segment = io->segment,
		.length = io->length,
		.in = io->in,
		.repeat = io->rep,
		.port_read = string_port_read,
		.port_write = string_port_write,
	};
	struct access a;

	begin(&a, v);
	return finish(&a, emulate_string_io(&a.cpu, &s));
}
