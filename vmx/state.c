/*
 * Guest state at power-on, INIT and SIPI, and at the start of a kernel. SDM volume 3A table "IA-32
 * and Intel 64 Processor States Following Power-up, Reset, or INIT"; volume 3C "Guest-State Area".
 */
#include "vmx/vmx.h"

#include "hv/base/x86.h"
#include "hv/guest/loader.h"
#include "vmx/core/vmcs.h"
#include "vmx/debug.h"
#include "vmx/guard.h"

#define AR_CODE_16 0x9bu   /* present, readable, accessed */
#define AR_DATA_16 0x93u
#define AR_CODE_32 0xc09bu
#define AR_CODE_64 0xa09bu
#define AR_DATA_32 0xc093u
#define AR_LDT 0x82u
#define AR_TSS 0x8bu       /* busy, 32 or 64 bits */

#define CPUID_FAMILY_AT_RESET GPR_RDX

struct segment {
	uint16_t selector;
	uint32_t rights;
	uint32_t limit;
	uint64_t base;
};

/* index: the SDM's order of fields: ES CS SS DS FS GS LDTR TR. */
enum segment_index { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR };

static void put_segment(enum segment_index i, struct segment s)
{
	vmwrite(VMCS_GUEST_ES_SEL + 2u * i, s.selector);
	vmwrite(VMCS_GUEST_ES_BASE + 2u * i, s.base);
	vmwrite(VMCS_GUEST_ES_LIMIT + 2u * i, s.limit);
	vmwrite(VMCS_GUEST_ES_AR + 2u * i, s.rights);
}

static void reset_segments(void)
{
	static const enum segment_index data[] = { SEG_ES, SEG_SS, SEG_DS, SEG_FS, SEG_GS };

	for (size_t i = 0; i < ARRAY_LEN(data); i++)
		put_segment(data[i], (struct segment){ 0, AR_DATA_16, 0xffff, 0 });
	put_segment(SEG_CS, (struct segment){ 0xf000, AR_CODE_16, 0xffff, 0xffff0000 });
	put_segment(SEG_LDTR, (struct segment){ 0, AR_LDT, 0xffff, 0 });
	put_segment(SEG_TR, (struct segment){ 0, AR_TSS, 0xffff, 0 });
	vmwrite(VMCS_GUEST_GDTR_BASE, 0);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, 0xffff);
	vmwrite(VMCS_GUEST_IDTR_BASE, 0);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, 0xffff);
}

static void put_pat(struct vmx_vcpu *x, uint64_t value)
{
	if (x->shadow)
		x->pat = value;
	else
		vmwrite(VMCS_GUEST_PAT, value);
}

static void reset_control(struct vmx_vcpu *x)
{
	if (x->shadow)
		vmx_shadow_reset(x);
	else
		vmwrite(VMCS_GUEST_EFER, 0);
	vmx_put_cr0(x, CR0_CD | CR0_NW | CR0_ET);
	vmx_put_cr4(x, 0);
	vmwrite(VMCS_GUEST_CR3, 0);
	vmwrite(VMCS_GUEST_DR7, 0x400);
	vmwrite(VMCS_GUEST_DEBUGCTL, 0);
	put_pat(x, 0x0007040600070406);
	vmwrite(VMCS_GUEST_SYSENTER_CS, 0);
	vmwrite(VMCS_GUEST_SYSENTER_ESP, 0);
	vmwrite(VMCS_GUEST_SYSENTER_EIP, 0);
	if (x->words[CONTROL_ENTRY] & ENTRY_LOAD_PERF_GLOBAL)
		vmwrite(VMCS_GUEST_PERF_GLOBAL, 0);
	if (x->words[CONTROL_ENTRY] & ENTRY_LOAD_RTIT)
		vmwrite(VMCS_GUEST_RTIT_CTL, 0);
	for (uint32_t f = VMCS_GUEST_PDPTE0; !x->shadow && f <= VMCS_GUEST_PDPTE3; f += 2)
		vmwrite(f, 0);
}

static void reset_registers(struct vcpu *v)
{
	for (unsigned i = 0; i < GPR_COUNT; i++)
		v->gpr[i] = 0;
	v->gpr[CPUID_FAMILY_AT_RESET] = cpuid(1, 0).eax;
	vmwrite(VMCS_GUEST_RSP, 0);
	vmwrite(VMCS_GUEST_RIP, 0xfff0);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED1);
	write_dr0(0);
	write_dr1(0);
	write_dr2(0);
	write_dr3(0);
	write_dr6(0xffff0ff0);
	write_cr2(0);
}

static void reset_activity(struct vmx_vcpu *x)
{
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	vmwrite(VMCS_GUEST_PENDING_DB, 0);
	x->nmi_masked = false;
	x->event = (struct vmx_event){ 0 };
	x->attention = ATTENTION_EXTINT; /* look at the PIC once */
	if (!vmx_uses(FEATURE_PREEMPTION_TIMER))
		x->attention |= ATTENTION_NO_TIMER;
	if (guard_entries(x->v.cpu->vmx))
		x->attention |= ATTENTION_GUARD;
	vmx_set_primary(x, x->primary & ~(PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW));
}

/* The state the loader asks for: flat segments and no paging, or long mode on its page tables. */
static void start_kernel(struct vmx_vcpu *x, const struct guest_entry *e)
{
	static const enum segment_index data[] = { SEG_ES, SEG_SS, SEG_DS, SEG_FS, SEG_GS };
	bool wide = e->mode == ENTRY_LONG;

	for (size_t i = 0; i < ARRAY_LEN(data); i++)
		put_segment(data[i], (struct segment){ e->ds, AR_DATA_32, 0xffffffff, 0 });
	put_segment(SEG_CS, (struct segment){ e->cs, wide ? AR_CODE_64 : AR_CODE_32, 0xffffffff, 0 });
	vmwrite(VMCS_GUEST_GDTR_BASE, e->gdt_base);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, e->gdt_limit);
	if (x->shadow)
		x->paging.cr3 = e->cr3;
	else
		vmwrite(VMCS_GUEST_CR3, e->cr3);
	vmx_put_efer(x, wide ? EFER_LME : 0);
	vmx_put_cr4(x, wide ? CR4_PAE : 0);
	vmx_put_cr0(x, CR0_PE | CR0_ET | CR0_NE | (wide ? CR0_PG : 0));
	if (x->shadow)
		vmx_shadow_load(x, true);
	vmwrite(VMCS_GUEST_RIP, e->rip);
	vmwrite(VMCS_GUEST_RSP, e->rsp);
	x->v.gpr[GPR_RAX] = e->rax;
	x->v.gpr[GPR_RBX] = e->rbx;
	x->v.gpr[GPR_RSI] = e->rsi;
	x->v.gpr[GPR_RDX] = 0;
}

void vmx_vcpu_reset(struct vcpu *v, const struct guest_entry *entry)
{
	struct vmx_vcpu *x = to_vmx(v);

	vmx_setup_vmcs(x);
	reset_segments();
	reset_control(x);
	reset_registers(v);
	reset_activity(x);
	vmx_msrs_load(x);
	vmx_apic_changed(v);
	vmx_debug_reset(x);
	if (entry)
		start_kernel(x, entry);
}

/* SDM volume 3A "MP Initialization Protocol": execution begins at vector * 4096 in real mode. */
void vmx_vcpu_sipi(struct vcpu *v, uint8_t vector)
{
	struct segment cs = { (uint16_t)(vector << 8), AR_CODE_16, 0xffff, (uint64_t)vector << 12 };

	if (to_vmx(v)->shadow) {
		vmx_shadow_no_real_mode(v, "it was sent a start-up IPI");
		return;
	}
	put_segment(SEG_CS, cs);
	vmwrite(VMCS_GUEST_RIP, 0);
}
