/* CPUs for TDs; see the header. */
#include "tests/unit/tdx_cpu.h"

#include <string.h>

#include "hv/base/phys.h"
#include "hv/base/x86.h"
#include "tdx/soft/vp.h"
#include "tests/unit/tdx_world.h"
#include "vmx/core/fields.h"
#include "vmx/core/reasons.h"
#include "vmx/core/vmcs.h"

#define VCPUS 4
#define TLB 32

#define ADDRESS 0x000ffffffffff000ul
#define RWX 7u
#define PAGE_SIZE_BIT BIT(7)
#define VIOLATION_WRITE BIT(1)

struct tdx_step (*tdx_cpu_script)(uint32_t vcpu, struct tdx_accepted last);
uint64_t tdx_cpu_tlb_hits;

static hpa_t sept_root;
static struct {
	struct {
		uint64_t gfn;
		hpa_t page; /* 0: none */
	} tlb[TLB];
	uint32_t next;
	bool accepting;
	uint64_t rip;
} cpu[VCPUS];

void tdx_cpu_root(hpa_t root) { sept_root = root; }

static hpa_t walk(gpa_t gpa)
{
	hpa_t table = sept_root;

	for (int shift = 39;; shift -= 9) {
		uint64_t *entries = phys_to_virt(table);
		uint64_t entry = __atomic_load_n(&entries[gpa >> shift & 511], __ATOMIC_ACQUIRE);

		if (!(entry & RWX))
			return 0;
		if (shift == 12 || (entry & PAGE_SIZE_BIT))
			return (entry & ADDRESS) + (gpa & (BIT(shift) - 1) & ~PAGE_MASK);
		table = entry & ADDRESS;
	}
}

void *tdx_cpu_reach(uint32_t vcpu, gpa_t gpa)
{
	uint64_t gfn = gpa >> PAGE_SHIFT;
	hpa_t page;

	for (uint32_t i = 0; i < TLB; i++)
		if (cpu[vcpu].tlb[i].page && cpu[vcpu].tlb[i].gfn == gfn) {
			__atomic_fetch_add(&tdx_cpu_tlb_hits, 1, __ATOMIC_RELAXED);
			return phys_to_virt(cpu[vcpu].tlb[i].page);
		}
	page = walk(gpa);
	if (!page)
		return NULL;
	cpu[vcpu].tlb[cpu[vcpu].next % TLB].gfn = gfn;
	cpu[vcpu].tlb[cpu[vcpu].next++ % TLB].page = page;
	return phys_to_virt(page);
}

static void flush_tlb(void *ctx, struct soft_vp *vp)
{
	(void)ctx;
	memset(cpu[vp->index].tlb, 0, sizeof(cpu[vp->index].tlb));
}

static void put(struct soft_vp *vp, uint32_t field, uint64_t value)
{
	tdx_world.soft->platform.vmcs_write(NULL, vp, field, value);
}

static uint64_t get(struct soft_vp *vp, uint32_t field) { return tdx_world.soft->platform.vmcs_read(NULL, vp, field); }

/* TDCALL is for 64-bit code. */
static void go_to_64bit(struct soft_vp *vp)
{
	put(vp, VMCS_GUEST_EFER, get(vp, VMCS_GUEST_EFER) | EFER_LMA);
	put(vp, VMCS_GUEST_CS_AR, 0xa09b);
	put(vp, VMCS_GUEST_SS_AR, 0xc093);
}

static void exits(struct soft_vp *vp, uint32_t reason, uint64_t qualification, uint32_t info)
{
	put(vp, VMCS_EXIT_REASON, reason);
	put(vp, VMCS_EXIT_QUALIFICATION, qualification);
	put(vp, VMCS_EXIT_INTR_INFO, info);
	put(vp, VMCS_EXIT_INSN_LENGTH, TDX_OPCODE_LENGTH);
	put(vp, VMCS_ENTRY_INTR_INFO, 0);
	put(vp, VMCS_IDT_VECTORING_INFO, 0);
}

static void accepts(struct soft_vp *vp, gpa_t gpa, uint32_t level)
{
	cpu[vp->index].accepting = true;
	cpu[vp->index].rip = get(vp, VMCS_GUEST_RIP);
	vp->gpr[TDX_RAX] = TDG_MEM_PAGE_ACCEPT;
	vp->gpr[TDX_RCX] = gpa | level;
	exits(vp, TDX_EXIT_TDCALL, 0, 0);
}

static void one_step(struct soft_vp *vp)
{
	bool accepted = cpu[vp->index].accepting && get(vp, VMCS_GUEST_RIP) != cpu[vp->index].rip;
	struct tdx_step s = tdx_cpu_script(vp->index, (struct tdx_accepted){ accepted, vp->gpr[TDX_RAX] });

	cpu[vp->index].accepting = false;
	go_to_64bit(vp);
	switch (s.kind) {
	case TDX_STEP_INTERRUPT: exits(vp, REASON_EXTERNAL_INTERRUPT, 0, INTR_VALID | 0x40); break;
	case TDX_STEP_TOUCH:
		put(vp, VMCS_GUEST_PHYSICAL, s.gpa);
		exits(vp, REASON_EPT_VIOLATION, VIOLATION_WRITE, 0);
		break;
	case TDX_STEP_ACCEPT: accepts(vp, s.gpa, s.level); break;
	}
}

void tdx_cpu_start(void)
{
	memset(cpu, 0, sizeof(cpu));
	tdx_cpu_tlb_hits = 0;
	tdx_world.soft->platform.flush_tlb = flush_tlb;
	tdx_world.guest = one_step;
}
