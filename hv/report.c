/*
 * The report of a guest that stopped, in the log: registers, the code it executed, and how the
 * addresses that matter are mapped by the guest and by Gnomon.
 */
#include "hv/report.h"

#include "hv/base/format.h"
#include "hv/base/log.h"
#include "hv/base/panic.h"
#include "hv/base/x86.h"
#include "hv/trace.h"
#include "hv/vm_life.h"
#include "mmu/inspect.h"
#include "mmu/walk.h"

#define CODE_BEFORE 8
#define CODE_BYTES 24

static uint64_t reg(struct vcpu *v, enum guest_reg r) { return v->vm->backend->get_reg(v, r); }

static void print_registers(struct vcpu *v)
{
	const uint64_t *g = v->gpr;

	log_info("  rip %04lx:%lx rflags %lx cpl %lu, cr0 %lx cr2 %lx cr3 %lx cr4 %lx efer %lx", reg(v, REG_CS_SEL),
		 reg(v, REG_RIP), reg(v, REG_RFLAGS), reg(v, REG_CPL), reg(v, REG_CR0), read_cr2(),
		 reg(v, REG_CR3), reg(v, REG_CR4), reg(v, REG_EFER));
	log_info("  rax %lx rbx %lx rcx %lx rdx %lx rsi %lx rdi %lx rbp %lx rsp %lx", g[GPR_RAX], g[GPR_RBX],
		 g[GPR_RCX], g[GPR_RDX], g[GPR_RSI], g[GPR_RDI], g[GPR_RBP], reg(v, REG_RSP));
	log_info("  r8 %lx r9 %lx r10 %lx r11 %lx r12 %lx r13 %lx r14 %lx r15 %lx", g[GPR_R8], g[GPR_R9],
		 g[GPR_R10], g[GPR_R11], g[GPR_R12], g[GPR_R13], g[GPR_R14], g[GPR_R15]);
	log_info("  gdt %lx:%lx idt %lx:%lx tr %lx fs %lx gs %lx", reg(v, REG_GDTR_BASE), reg(v, REG_GDTR_LIMIT),
		 reg(v, REG_IDTR_BASE), reg(v, REG_IDTR_LIMIT), reg(v, REG_TR_SEL), reg(v, REG_FS_BASE),
		 reg(v, REG_GS_BASE));
}

static void read_paging(struct vcpu *v, struct guest_paging *g)
{
	*g = (struct guest_paging){
		.cr0 = reg(v, REG_CR0),
		.cr3 = reg(v, REG_CR3),
		.cr4 = reg(v, REG_CR4) & ~(CR4_PKE | CR4_SMAP), /* a report looks through both */
		.efer = reg(v, REG_EFER),
		.rflags = reg(v, REG_RFLAGS),
		.maxphyaddr = v->vm->mmu->config.gpa_bits,
		.page_1g = v->page_1g,
	};
	for (unsigned i = 0; i < 4; i++)
		g->pdpte[i] = reg(v, REG_PDPTE0 + i);
}

static void print_ept(struct vm *vm, gpa_t gpa)
{
	struct mmu_step steps[ROOT_LEVEL];
	char text[200];
	size_t at = 0;
	int n = mmu_walk_gpa(vm->mmu, gpa, steps);

	if (vm->mmu->config.kind == MMU_SHADOW) { /* there is no EPT to show */
		if (!vm_ram_at(vm, gpa, 1))
			log_info("    no memory at gpa %lx", gpa);
		return;
	}
	text[0] = 0;
	for (int i = 0; i < n && at < sizeof text; i++)
		at += (size_t)format(text + at, sizeof text - at, " L%d %lx", steps[i].level, steps[i].spte);
	log_info("    EPT of gpa %lx:%s%s", gpa, n ? text : " beyond its width",
		 vm_ram_at(vm, gpa, 1) ? "" : "; no memory there");
}

static void print_walk(struct vcpu *v, const struct guest_paging *g, const char *what, gva_t gva)
{
	struct walk_result r = { 0 };
	enum walk_status s = guest_walk(v->mmu, g, gva, WALK_READ | WALK_PEEK, &r);
	char text[200];
	size_t at = 0;

	text[0] = 0;
	for (int level = r.top; level > 0 && level >= r.leaf && at < sizeof text; level--)
		at += (size_t)format(text + at, sizeof text - at, " L%d %lx", level, r.entry[level]);
	if (s != WALK_OK) {
		log_info("  %s %lx is not mapped by the guest:%s", what, gva,
			 s == WALK_NON_CANONICAL ? " not canonical" : text);
		return;
	}
	log_info("  %s %lx is gpa %lx%s%s%s", what, gva, r.gpa, text[0] ? ", guest tables" : ", no paging", text,
		 r.writable ? "" : ", read-only");
	print_ept(v->vm, r.gpa);
}

/* Bytes around RIP, the one at RIP in brackets; stops where the guest maps nothing. */
static void print_code(struct vcpu *v, const struct guest_paging *g, gva_t rip)
{
	char text[CODE_BYTES * 5 + 1];
	size_t at = 0;

	for (unsigned i = 0; i < CODE_BYTES; i++) {
		gva_t la = rip - CODE_BEFORE + i;
		struct walk_result r;
		const uint8_t *byte = NULL;

		if (guest_walk(v->mmu, g, la, WALK_READ | WALK_PEEK, &r) == WALK_OK)
			byte = vm_ram_at(v->vm, r.gpa, 1);
		if (byte)
			at += (size_t)format(text + at, sizeof text - at, la == rip ? " <%02x>" : " %02x", *byte);
		else
			at += (size_t)format(text + at, sizeof text - at, " ??");
	}
	log_info("  code%s", text);
}

void report_stopped_vcpu(struct vcpu *v)
{
	const char *exit_name = v->vm->backend->reason_name(v->last_reason);
	struct guest_paging g;
	gva_t rip = reg(v, REG_RIP);

	log_info("guest %s stops on vCPU %u: %s", v->vm->config->name, v->index, v->vm->stop_reason);
	log_info("  last exit: %s", exit_name ? exit_name : "none");
	if (v->vm->backend->hides_state) {
		log_info("  its registers, code and page tables are not shown: a %s guest keeps them from its host",
			 v->vm->backend->name);
		return;
	}
	print_registers(v);
	read_paging(v, &g);
	if (!(g.efer & EFER_LMA))
		rip = (uint32_t)(rip + reg(v, REG_CS_BASE));
	print_code(v, &g, rip);
	print_walk(v, &g, "rip", rip);
	if (read_cr2())
		print_walk(v, &g, "cr2", read_cr2());
}

#define EXITS_SHOWN 8

static void last_exits_of(const struct vcpu *v)
{
	const struct exit_ring *r = &v->ring;

	for (uint32_t i = 0; i < EXITS_SHOWN && i < r->next; i++) {
		uint32_t at = (r->next - 1 - i) % EXIT_RING;
		const char *name = v->vm->backend->reason_name(r->reason[at]);

		panic_line("    exit at TSC %lx: %s", r->tsc[at], name ? name : "unknown");
	}
}

void report_last_exits(void)
{
	bool traced = trace_panic();

	for (uint32_t n = 0; n < vms_count(); n++) {
		const struct vm *vm = vm_at(n);

		panic_line("guest %s is %s", vm->config->name, vm_state_names[vm->state]);
		for (uint32_t i = 0; i < vm->vcpu_count; i++) {
			panic_line("  vCPU %u on CPU %u", i, vm->vcpus[i]->cpu->index);
			if (!traced)
				last_exits_of(vm->vcpus[i]);
		}
	}
}
