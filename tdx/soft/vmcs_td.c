/*
 * The VMCS of a TD's vCPU and the state in which it starts. The host's part of the VMCS is the platform's.
 * TDX Module 1.5 base specification, "TD VMCS" and "Initial State of TD VCPUs"; SDM volume 3C, chapter
 * "Virtual Machine Control Structures".
 */
#include "tdx/soft/merged.h"
#include "tdx/soft/run.h"
#include "tdx/soft/td_cpuid.h"

#include <string.h>

/* Those that exits.c looks at. */
#define EXCEPTIONS (BIT(VEC_MC) | BIT(VEC_UD) | BIT(VEC_DB) | BIT(VEC_AC))

#define AR_CODE_32 0xc09bu
#define AR_DATA_32 0xc093u
#define AR_LDT 0x82u
#define AR_TSS 0x8bu /* busy, 32 bits */
#define RESET_RIP 0xfffffff0u
#define RESET_PAT 0x0007040600070406ul
#define RESET_EFER (EFER_LME | EFER_NXE | EFER_SCE)
#define RESET_DR7 0x400u
#define RESET_DR6 0xffff0ff0u
#define RESET_FCW 0x37fu
#define RESET_MXCSR 0x1f80u
#define FXSAVE_MXCSR 24

/* PE and NE are 1 for ever, caches are on, and what has no name is 0. */
#define CR0_FIXED (CR0_PE | CR0_NE | CR0_ET)
#define CR0_GUEST (CR0_MP | CR0_EM | CR0_TS | CR0_WP | CR0_AM | CR0_PG)
/* The guest sees MCE; VMXE is VMX operation's. */
#define CR4_FIXED (CR4_MCE | CR4_VMXE)
#define CR4_ALWAYS_GUEST (CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE | \
			  CR4_OSFXSR | CR4_OSXMMEXCPT)

/* CR4 bits that the guest may set where CPUID shows the feature: leaf, EBX to EDX as 1 to 3. */
static const struct {
	uint64_t cr4;
	uint8_t leaf, reg, bit;
} cr4_features[] = {
	{ CR4_PCIDE, 1, 2, 17 }, { CR4_OSXSAVE, 1, 2, 26 }, { CR4_FSGSBASE, 7, 1, 0 }, { CR4_SMEP, 7, 1, 7 },
	{ CR4_SMAP, 7, 1, 20 },  { CR4_UMIP, 7, 2, 2 },     { CR4_PKE, 7, 2, 3 },
};

static uint64_t cr4_guest(struct run *r)
{
	const struct td_cpuid *t = td_page(r->m, &r->v->td, TDCS_CPUID);
	uint64_t bits = CR4_ALWAYS_GUEST;

	for (size_t i = 0; i < ARRAY_LEN(cr4_features); i++)
		if (td_cpuid_has(t, cr4_features[i].leaf, 0, cr4_features[i].reg, cr4_features[i].bit))
			bits |= cr4_features[i].cr4;
	return bits;
}

static void write_controls(struct run *r)
{
	const uint32_t *word = r->m->controls.word;

	r->vp->primary_controls = word[CONTROL_PRIMARY];
	run_write(r, VMCS_PIN_CONTROLS, word[CONTROL_PIN]);
	run_write(r, VMCS_PRIMARY_CONTROLS, word[CONTROL_PRIMARY]);
	run_write(r, VMCS_SECONDARY_CONTROLS, word[CONTROL_SECONDARY]);
	run_write(r, VMCS_EXIT_CONTROLS, word[CONTROL_EXIT]);
	run_write(r, VMCS_ENTRY_CONTROLS, word[CONTROL_ENTRY]);
	run_write(r, VMCS_EXCEPTION_BITMAP, EXCEPTIONS);
	run_write(r, VMCS_PF_ERROR_MASK, 0);
	run_write(r, VMCS_PF_ERROR_MATCH, 0);
	run_write(r, VMCS_CR3_TARGET_COUNT, 0);
	run_write(r, VMCS_EXIT_MSR_STORE_COUNT, 0);
	run_write(r, VMCS_EXIT_MSR_LOAD_COUNT, 0);
	run_write(r, VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	run_write(r, VMCS_ENTRY_INTR_INFO, 0);
	run_write(r, VMCS_TPR_THRESHOLD, 0);
	run_write(r, VMCS_VMCS_LINK, UINT64_MAX);
}

/* vCPUs of one TD share their EPT, so the CPU tells their translations apart by the VPID. */
static void write_addresses(struct run *r)
{
	const struct soft_controls *c = &r->m->controls;

	run_write(r, VMCS_EPTP, merged_eptp(&r->v->td));
	run_write(r, VMCS_MSR_BITMAP, r->v->td.tdr->tdcx[TDCS_MSR_BITMAP]);
	run_write(r, VMCS_VIRTUAL_APIC, r->vp->page[TDVPS_VAPIC]);
	if (c->vpid)
		run_write(r, VMCS_VPID, 1 + r->vp->index % UINT16_MAX);
	if (c->hardware_ve)
		run_write(r, VMCS_VE_INFO, r->vp->page[TDVPS_VE_INFO]);
	if (c->xsaves)
		run_write(r, VMCS_XSS_EXITING, 0);
	if (c->word[CONTROL_SECONDARY] & SECONDARY_ENCLS)
		run_write(r, VMCS_ENCLS_EXITING, UINT64_MAX);
	if (c->word[CONTROL_SECONDARY] & SOFT_SECONDARY_PCONFIG)
		run_write(r, VMCS_PCONFIG_EXITING, UINT64_MAX);
}

/* Every EOI is the CPU's: a TD's interrupts are edges to its host. */
static void write_interrupts(struct run *r)
{
	if (!r->m->controls.vid)
		return;
	run_write(r, VMCS_GUEST_INTR_STATUS, 0);
	for (uint32_t i = 0; i < 4; i++)
		run_write(r, VMCS_EOI_EXIT_0 + 2 * i, 0);
}

/* The TD's TSC is 0 at MNG.INIT, which is when the host's was -tsc_offset. */
static void write_tsc(struct run *r)
{
	struct soft_tsc tsc = soft_td_tsc(&r->m->platform.cpu, &r->m->controls, r->tdcs->tsc_frequency,
					  -r->tdcs->tsc_offset);

	if (r->m->controls.tsc_scaling)
		run_write(r, VMCS_TSC_MULTIPLIER, tsc.multiplier);
	run_write(r, VMCS_TSC_OFFSET, tsc.offset);
}

/* By the SDM's order of fields: ES CS SS DS FS GS LDTR TR. */
enum segment { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEGMENTS };

static void write_segments(struct run *r)
{
	static const uint32_t rights[SEGMENTS] = {
		[SEG_ES] = AR_DATA_32, [SEG_CS] = AR_CODE_32, [SEG_SS] = AR_DATA_32, [SEG_DS] = AR_DATA_32,
		[SEG_FS] = AR_DATA_32, [SEG_GS] = AR_DATA_32, [SEG_LDTR] = AR_LDT, [SEG_TR] = AR_TSS,
	};

	for (uint32_t i = 0; i < SEGMENTS; i++) {
		run_write(r, VMCS_GUEST_ES_SEL + 2 * i, 0);
		run_write(r, VMCS_GUEST_ES_BASE + 2 * i, 0);
		run_write(r, VMCS_GUEST_ES_LIMIT + 2 * i, i < SEG_LDTR ? UINT32_MAX : 0xffff);
		run_write(r, VMCS_GUEST_ES_AR + 2 * i, rights[i]);
	}
	run_write(r, VMCS_GUEST_GDTR_BASE, 0);
	run_write(r, VMCS_GUEST_GDTR_LIMIT, 0xffff);
	run_write(r, VMCS_GUEST_IDTR_BASE, 0);
	run_write(r, VMCS_GUEST_IDTR_LIMIT, 0xffff);
}

static void write_control_registers(struct run *r)
{
	run_write(r, VMCS_CR0_MASK, ~CR0_GUEST);
	run_write(r, VMCS_CR0_SHADOW, CR0_FIXED);
	run_write(r, VMCS_GUEST_CR0, CR0_FIXED);
	run_write(r, VMCS_GUEST_CR3, 0);
	run_write(r, VMCS_CR4_MASK, ~cr4_guest(r));
	run_write(r, VMCS_CR4_SHADOW, CR4_MCE);
	run_write(r, VMCS_GUEST_CR4, CR4_FIXED);
	run_write(r, VMCS_GUEST_EFER, RESET_EFER);
	run_write(r, VMCS_GUEST_PAT, RESET_PAT);
	run_write(r, VMCS_GUEST_DR7, RESET_DR7);
	run_write(r, VMCS_GUEST_DEBUGCTL, 0);
	for (uint32_t i = 0; i < 4; i++)
		run_write(r, VMCS_GUEST_PDPTE0 + 2 * i, 0);
}

static void write_rest(struct run *r)
{
	uint32_t entry = r->m->controls.word[CONTROL_ENTRY];

	run_write(r, VMCS_GUEST_RIP, RESET_RIP);
	run_write(r, VMCS_GUEST_RSP, 0);
	run_write(r, VMCS_GUEST_RFLAGS, RFLAGS_FIXED1);
	run_write(r, VMCS_GUEST_SYSENTER_CS, 0);
	run_write(r, VMCS_GUEST_SYSENTER_ESP, 0);
	run_write(r, VMCS_GUEST_SYSENTER_EIP, 0);
	run_write(r, VMCS_GUEST_INTERRUPTIBILITY, 0);
	run_write(r, VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	run_write(r, VMCS_GUEST_PENDING_DB, 0);
	if (entry & ENTRY_LOAD_PERF_GLOBAL)
		run_write(r, VMCS_GUEST_PERF_GLOBAL, 0);
	if (entry & ENTRY_LOAD_RTIT)
		run_write(r, VMCS_GUEST_RTIT_CTL, 0);
}

/* SDM volume 1, "XRSTOR": with XSTATE_BV 0 all is in its initial state, but MXCSR comes from memory. */
static void reset_xsave(struct run *r)
{
	uint8_t *area = vp_page(r->m, r->vp, TDVPS_XSAVE);
	uint32_t mxcsr = RESET_MXCSR;
	uint16_t fcw = RESET_FCW;

	memcpy(area, &fcw, sizeof fcw);
	memcpy(area + FXSAVE_MXCSR, &mxcsr, sizeof mxcsr);
}

static void reset_registers(struct run *r)
{
	struct soft_vp *vp = r->vp;
	struct td_cpuid *t = td_page(r->m, &r->v->td, TDCS_CPUID);
	struct tdx_cpuid_values v = { 0 };

	td_cpuid_answer(t, 1, 0, &(struct td_cpuid_now){ 0 }, &v);
	vp->gpr[TDX_RBX] = r->tdcs->gpa_bits;
	vp->gpr[TDX_RCX] = vp->gpr[TDX_R8] = vp->initial_rcx;
	vp->gpr[TDX_RDX] = v.eax;
	vp->gpr[TDX_RSI] = vp->index;
	vp->dr6 = RESET_DR6;
	vp->xcr0 = 1;
}

void vp_reset(struct soft_call *c, struct soft_vcpu *v)
{
	struct run r = { .c = c, .m = c->m, .v = v, .vp = v->vp, .tdcs = v->td.tdcs };

	c->m->platform.vmcs_create(c->m->platform.ctx, v->vp);
	write_controls(&r);
	write_addresses(&r);
	write_interrupts(&r);
	write_tsc(&r);
	write_segments(&r);
	write_control_registers(&r);
	write_rest(&r);
	reset_xsave(&r);
	reset_registers(&r);
}
