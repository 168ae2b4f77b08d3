/*
 * MSRs of a TD. Those of features that the CPUID profile hides are #GP, whatever the CPU has.
 */
#include "tdx/soft/td_msr.h"

#include "hv/base/msr.h"
#include "vmx/core/msrs.h"

#include <string.h>

#define MSR_MISC_ENABLE 0x1a0
#define MSR_DEBUGCTL 0x1d9
#define MSR_PERF_CAPABILITIES 0x345
#define MSR_X2APIC_LAST 0x8ff
#define MSR_XSS 0xda0

/* Fast strings; no branch trace storage, no PEBS, no performance monitoring, no MONITOR. */
#define MISC_ENABLE (BIT(0) | BIT(11) | BIT(12))
/* What IA32_ARCH_CAPABILITIES may say: immunities, and no MSR that the profile hides. */
#define ARCH_CAPABILITIES \
	(BITS(6, 0) | BIT(8) | BITS(15, 13) | BIT(17) | BIT(19) | BIT(20) | BIT(24) | BIT(26) | BIT(27))
/* The local APIC is in x2APIC mode for good. SDM volume 4, IA32_XAPIC_DISABLE_STATUS. */
#define ARCH_CAPABILITIES_XAPIC_DISABLE BIT(21)
#define MSR_XAPIC_DISABLE_STATUS 0xbd
#define LEGACY_XAPIC_DISABLED BIT(0)
#define DEBUGCTL_WRITABLE (BIT(0) | BIT(1)) /* LBR, BTF */
#define DEBUGCTL_IGNORED BIT(13)            /* uncore PMI */
/* Components of IA32_XSS: PT, PASID, CET, HDC, UINTR, LBR, HWP. */
#define XSS_COMPONENTS (BIT(8) | BITS(16, 10))

const uint32_t td_switched_msrs[TD_SWITCHED_MSRS] = {
	0xc0000081, /* STAR */
	0xc0000082, /* LSTAR */
	0xc0000084, /* FMASK */
	0xc0000102, /* KERNEL_GS_BASE */
	0xc0000103, /* TSC_AUX */
	0x48,       /* SPEC_CTRL */
};

enum action {
	VE,      /* as all that are not in the table */
	GP,
	PASS,    /* no exit */
	APIC,    /* no exit where the CPU virtualises it, else the module does */
	SPECIAL, /* the module answers */
};

struct row {
	uint32_t first, last;
	uint8_t read, write; /* enum action */
};

/* Ascending. */
static const struct row rows[] = {
	{ 0x10, 0x10, PASS, VE },         /* TIME_STAMP_COUNTER */
	{ 0x48, 0x49, PASS, PASS },       /* SPEC_CTRL, PRED_CMD */
	{ 0x8c, 0x8f, GP, GP },           /* SGXLEPUBKEYHASH */
	{ 0x98, 0x9b, GP, GP },           /* WBINVDP, WBNOINVDP, INTR_PENDING, SMM_MONITOR_CTL */
	{ 0x9e, 0x9e, GP, GP },           /* SMBASE */
	{ 0xbc, 0xbc, GP, GP },           /* MISC_PACKAGE_CTLS */
	{ MSR_XAPIC_DISABLE_STATUS, MSR_XAPIC_DISABLE_STATUS, SPECIAL, GP },
	{ 0xc1, 0xc8, GP, GP },           /* PMC */
	{ 0xe1, 0xe1, GP, GP },           /* UMWAIT_CONTROL */
	{ MSR_ARCH_CAPABILITIES, MSR_ARCH_CAPABILITIES, SPECIAL, GP },
	{ 0x10b, 0x10b, PASS, PASS },     /* FLUSH_CMD */
	{ 0x122, 0x122, GP, GP },         /* TSX_CTRL */
	{ 0x174, 0x176, PASS, PASS },     /* SYSENTER_CS, ESP, EIP */
	{ 0x186, 0x18d, GP, GP },         /* PERFEVTSEL */
	{ 0x195, 0x195, GP, GP },         /* OVERCLOCKING_STATUS */
	{ MSR_MISC_ENABLE, MSR_MISC_ENABLE, SPECIAL, VE },
	{ 0x1a6, 0x1a7, GP, GP },         /* OFFCORE_RSP */
	{ 0x1c4, 0x1c5, GP, GP },         /* XFD, XFD_ERR */
	{ MSR_DEBUGCTL, MSR_DEBUGCTL, SPECIAL, SPECIAL },
	{ 0x276, 0x276, GP, GP },         /* SLAM_ENABLE */
	{ MSR_PAT, MSR_PAT, PASS, PASS },
	{ 0x309, 0x310, GP, GP },         /* FIXED_CTR */
	{ 0x329, 0x329, GP, GP },         /* PERF_METRICS */
	{ MSR_PERF_CAPABILITIES, MSR_PERF_CAPABILITIES, SPECIAL, GP },
	{ 0x38d, 0x392, GP, GP },         /* FIXED_CTR_CTRL, PERF_GLOBAL_* */
	{ 0x3f1, 0x3f2, GP, GP },         /* PEBS_ENABLE, PEBS_MATRIX_VECT */
	{ 0x3f6, 0x3f7, GP, GP },         /* PEBS_LD_LATENCY, PEBS_FRONTEND */
	{ 0x480, 0x492, GP, GP },         /* VMX capabilities: CPUID shows no VMX */
	{ 0x4c1, 0x4c8, GP, GP },         /* A_PMC */
	{ 0x500, 0x500, GP, GP },         /* SGX_SVN_STATUS */
	{ 0x560, 0x561, GP, GP },         /* RTIT_OUTPUT_* */
	{ 0x570, 0x572, GP, GP },         /* RTIT_CTL, STATUS, CR3_MATCH */
	{ 0x580, 0x587, GP, GP },         /* RTIT_ADDR* */
	{ 0x600, 0x600, GP, GP },         /* DS_AREA */
	{ 0x6a0, 0x6a0, GP, GP },         /* U_CET */
	{ 0x6a2, 0x6a2, GP, GP },         /* S_CET */
	{ 0x6a4, 0x6a8, GP, GP },         /* PL*_SSP, INTERRUPT_SSP_TABLE */
	{ 0x6e1, 0x6e1, GP, GP },         /* PKRS */
	{ 0x800, 0x801, GP, GP },
	{ 0x804, 0x807, GP, GP },
	{ 0x808, 0x808, PASS, PASS },     /* TPR */
	{ 0x809, 0x809, GP, GP },
	{ 0x80a, 0x80a, APIC, GP },       /* PPR */
	{ 0x80b, 0x80b, GP, APIC },       /* EOI */
	{ 0x80c, 0x80c, GP, GP },
	{ 0x80e, 0x80e, GP, GP },
	{ 0x810, 0x827, APIC, GP },       /* ISR, TMR, IRR */
	{ 0x829, 0x82e, GP, GP },
	{ 0x831, 0x831, GP, GP },
	{ 0x83f, 0x83f, GP, APIC },       /* SELF IPI */
	{ 0x840, MSR_X2APIC_LAST, GP, GP },
	{ 0x985, 0x98a, GP, GP },         /* UINTR_* */
	{ 0xc80, 0xc80, GP, GP },         /* DEBUG_INTERFACE */
	{ 0xd90, 0xd90, GP, GP },         /* BNDCFGS */
	{ 0xd93, 0xd93, GP, GP },         /* PASID */
	{ MSR_XSS, MSR_XSS, SPECIAL, SPECIAL },
	{ 0x1200, 0x12ff, GP, GP },       /* LBR_INFO */
	{ 0x14ce, 0x14cf, GP, GP },       /* LBR_CTL, LBR_DEPTH */
	{ 0x1500, 0x16ff, GP, GP },       /* LBR_FROM_IP, LBR_TO_IP */
	{ 0x1b01, 0x1b01, GP, GP },       /* UARCH_MISC_CTL */
	{ MSR_EFER, MSR_EFER, PASS, SPECIAL },
	{ 0xc0000081, 0xc0000082, PASS, PASS }, /* STAR, LSTAR */
	{ 0xc0000084, 0xc0000084, PASS, PASS }, /* FMASK */
	{ MSR_FS_BASE, 0xc0000103, PASS, PASS }, /* FS, GS and kernel GS base, TSC_AUX */
};

static const struct row *find(uint32_t msr)
{
	for (size_t i = 0; i < ARRAY_LEN(rows) && rows[i].first <= msr; i++)
		if (msr <= rows[i].last)
			return &rows[i];
	return NULL;
}

/* ---- the bitmap ---- */

#define BITMAP_RANGE 0x2000u
#define BITMAP_HIGH 0xc0000000u

static void open(uint8_t *page, uint32_t msr, unsigned part)
{
	if (msr >= BITMAP_HIGH)
		part += 1024;
	page[part + (msr & (BITMAP_RANGE - 1)) / 8] &= (uint8_t)~(1u << (msr & 7));
}

static bool passes(const struct soft_controls *c, uint8_t action)
{
	return action == PASS || (action == APIC && c->vid);
}

void td_msr_bitmap(const struct soft_controls *c, uint8_t *page)
{
	memset(page, 0xff, PAGE_SIZE);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (uint32_t msr = rows[i].first; msr <= rows[i].last; msr++) {
			if (passes(c, rows[i].read))
				open(page, msr, 0);
			if (passes(c, rows[i].write))
				open(page, msr, 2048);
		}
}

/* ---- exits ---- */

static uint64_t read_special(struct run *r, uint32_t msr)
{
	switch (msr) {
	case MSR_ARCH_CAPABILITIES:
		return (r->m->platform.cpu.arch_capabilities & ARCH_CAPABILITIES) | ARCH_CAPABILITIES_XAPIC_DISABLE;
	case MSR_XAPIC_DISABLE_STATUS:
		return LEGACY_XAPIC_DISABLED;
	case MSR_MISC_ENABLE:
		return MISC_ENABLE;
	case MSR_DEBUGCTL:
		return run_read(r, VMCS_GUEST_DEBUGCTL);
	case MSR_XSS:
		return r->vp->xss;
	default: /* MSR_PERF_CAPABILITIES */
		return 0;
	}
}

static enum action write_debugctl(struct run *r, uint64_t value)
{
	if (value & ~(DEBUGCTL_WRITABLE | DEBUGCTL_IGNORED))
		return GP;
	run_write(r, VMCS_GUEST_DEBUGCTL, value & DEBUGCTL_WRITABLE);
	return SPECIAL;
}

/* Only SCE is the guest's; LMA follows CR0 and a write of it has no effect. */
static enum action write_efer(struct run *r, uint64_t value)
{
	uint64_t old = run_read(r, VMCS_GUEST_EFER);

	if ((old ^ value) & ~(EFER_SCE | EFER_LMA))
		return VE;
	run_write(r, VMCS_GUEST_EFER, (old & ~EFER_SCE) | (value & EFER_SCE));
	return SPECIAL;
}

static enum action write_xss(struct run *r, uint64_t value)
{
	if (value & ~(r->tdcs->xfam & XSS_COMPONENTS))
		return GP;
	r->vp->xss = value;
	return SPECIAL;
}

/* SPECIAL: it was done. */
static enum action write_special(struct run *r, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_DEBUGCTL:
		return write_debugctl(r, value);
	case MSR_EFER:
		return write_efer(r, value);
	default:
		return write_xss(r, value);
	}
}

/* An action that was chosen by number: #GP, #VE, or the instruction is complete. */
static bool finish(struct run *r, enum action a, uint32_t reason)
{
	if (a == VE)
		event_ve(r, reason, 0, 0, 0);
	else if (a == SPECIAL)
		run_skip_instruction(r);
	else
		event_exception(r, VEC_GP, 0);
	return true;
}

bool td_msr_exit_read(struct run *r)
{
	uint32_t msr = (uint32_t)r->vp->gpr[TDX_RCX];
	const struct row *row = find(msr);
	enum action a = row ? row->read : VE;
	uint64_t value;

	if (a == SPECIAL || a == APIC) {
		value = a == APIC ? apic_read(r, msr) : read_special(r, msr);
		r->vp->gpr[TDX_RAX] = (uint32_t)value;
		r->vp->gpr[TDX_RDX] = value >> 32;
		a = SPECIAL;
	}
	return finish(r, a, REASON_RDMSR);
}

bool td_msr_exit_write(struct run *r)
{
	uint32_t msr = (uint32_t)r->vp->gpr[TDX_RCX];
	uint64_t value = r->vp->gpr[TDX_RDX] << 32 | (uint32_t)r->vp->gpr[TDX_RAX];
	const struct row *row = find(msr);
	enum action a = row ? row->write : VE;

	if (a == APIC)
		a = apic_write(r, msr, value) ? SPECIAL : GP;
	else if (a == SPECIAL)
		a = write_special(r, msr, value);
	return finish(r, a, REASON_WRMSR);
}
