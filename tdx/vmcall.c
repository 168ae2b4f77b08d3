/*
 * TDG.VP.VMCALL: what a TD asks of its host. Functions that stand for an instruction end where the exit of that
 * instruction ends for other guests (hv/exits.h); no register of the guest is looked at but those it passes.
 * Guest-Host-Communication Interface for TDX 1.5, "TDG.VP.VMCALL Interface".
 *
 * The guest chooses which registers it passes and takes back; what it does not pass is 0 here. Any value must
 * do: a refusal is an answer in R10.
 */
#include "hv/base/clock.h"
#include "hv/base/x86.h"
#include "hv/exits.h"
#include "hv/guest/msr.h"
#include "hv/mmio_device.h"
#include "hv/vm_life.h"
#include "mmu/mirror.h"
#include "tdx/abi/ghci.h"
#include "tdx/vp.h"
#include "vmx/core/reasons.h"

/* A vCPU that halts with interrupts off can only wait for a change of memory, as a parked one does that looks at
 * its mailbox: so it looks this often. */
#define DEAF_HALT_MS 1

static inline uint64_t in(const struct tdx_vcpu *x, enum tdx_reg r) { return x->regs.gpr[r]; }
static inline void out(struct tdx_vcpu *x, enum tdx_reg r, uint64_t value) { x->answer.gpr[r] = value; }

static enum exit_result answer(struct tdx_vcpu *x, uint64_t status)
{
	out(x, TDX_R10, status);
	return EXIT_RESUME;
}

static enum exit_result refuse(struct tdx_vcpu *x) { return answer(x, GHCI_INVALID_OPERAND); }
static enum exit_result unsupported(struct tdx_vcpu *x) { return answer(x, GHCI_SUBFUNC_UNSUPPORTED); }

static uint64_t low_bytes(uint64_t value, uint64_t size) { return size == 8 ? value : value & (BIT(8 * size) - 1); }

/* ---- instructions ---- */

static enum exit_result call_cpuid(struct tdx_vcpu *x)
{
	struct cpuid_regs r = exit_cpuid_answer(&x->v, (uint32_t)in(x, TDX_R12), (uint32_t)in(x, TDX_R13));

	out(x, TDX_R12, r.eax);
	out(x, TDX_R13, r.ebx);
	out(x, TDX_R14, r.ecx);
	out(x, TDX_R15, r.edx);
	return answer(x, GHCI_OK);
}

static enum exit_result call_hlt(struct tdx_vcpu *x)
{
	x->interrupts_off = in(x, TDX_R12) != 0;
	answer(x, GHCI_OK);
	if (x->interrupts_off)
		sched_block(rdtsc() + tsc_khz * DEAF_HALT_MS);
	else
		exit_hlt(&x->v);
	return EXIT_RESUME;
}

static bool is_direction(uint64_t value) { return value <= 1; }

static enum exit_result call_io(struct tdx_vcpu *x)
{
	uint64_t size = in(x, TDX_R12), write = in(x, TDX_R13), port = in(x, TDX_R14);

	if ((size != 1 && size != 2 && size != 4) || !is_direction(write) || port > 0xffff)
		return refuse(x);
	if (write)
		exit_port_write(&x->v, (uint16_t)port, (unsigned)size, (uint32_t)low_bytes(in(x, TDX_R15), size));
	else
		out(x, TDX_R11, low_bytes(exit_port_read(&x->v, (uint16_t)port, (unsigned)size), size));
	return answer(x, GHCI_OK);
}

static bool is_x2apic(uint64_t msr) { return msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST; }

static enum exit_result call_rdmsr(struct tdx_vcpu *x)
{
	uint64_t msr = in(x, TDX_R12), value;
	bool ok = msr <= UINT32_MAX;

	if (is_x2apic(msr))
		ok = vlapic_remote_msr_read(&x->v.lapic, (uint32_t)msr, &value);
	else if (ok)
		ok = exit_msr_read(&x->v, (uint32_t)msr, &value);
	if (!ok)
		return refuse(x);
	out(x, TDX_R11, value);
	return answer(x, GHCI_OK);
}

static enum exit_result call_wrmsr(struct tdx_vcpu *x)
{
	uint64_t msr = in(x, TDX_R12), value = in(x, TDX_R13);
	bool ok = msr <= UINT32_MAX;

	if (is_x2apic(msr))
		ok = vlapic_remote_msr_write(&x->v.lapic, (uint32_t)msr, value);
	else if (ok)
		ok = exit_msr_write(&x->v, (uint32_t)msr, value);
	return ok ? answer(x, GHCI_OK) : refuse(x);
}

/* Devices are in shared memory only, and RAM is not for the host to read: *gpa loses the shared bit. */
static bool is_device(const struct tdx_vcpu *x, gpa_t *gpa, uint64_t size)
{
	struct mmu *mmu = x->v.vm->mmu;

	if (mirror_is_meant(mmu, *gpa) || (*gpa & ~BIT(mmu->config.shared_bit)) >> mmu->config.gpa_bits)
		return false;
	*gpa &= ~BIT(mmu->config.shared_bit);
	return (*gpa & PAGE_MASK) + size <= PAGE_SIZE && !vm_ram_at(x->v.vm, *gpa, 1);
}

static enum exit_result call_mmio(struct tdx_vcpu *x)
{
	uint64_t size = in(x, TDX_R12), write = in(x, TDX_R13);
	gpa_t gpa = in(x, TDX_R14);

	if ((size != 1 && size != 2 && size != 4 && size != 8) || !is_direction(write) || !is_device(x, &gpa, size))
		return refuse(x);
	if (write)
		mmio_device_write(&x->v, gpa, (unsigned)size, low_bytes(in(x, TDX_R15), size));
	else
		out(x, TDX_R11, low_bytes(mmio_device_read(&x->v, gpa, (unsigned)size), size));
	return answer(x, GHCI_OK);
}

/* ---- the rest ---- */

/* R12 = 0 asks for what every host must have; 1 for what it may have: nothing of that is here. */
static enum exit_result call_info(struct tdx_vcpu *x)
{
	if (in(x, TDX_R12) > 1)
		return refuse(x);
	out(x, TDX_R11, 0);
	out(x, TDX_R12, 0);
	out(x, TDX_R13, 0);
	out(x, TDX_R14, 0);
	return answer(x, GHCI_OK);
}

struct call_row {
	uint64_t function;
	uint32_t reason; /* that it is counted as */
	enum exit_result (*handle)(struct tdx_vcpu *x);
};

/* Quotes need a quoting enclave, event notification somebody who would notify: neither is here. */
static const struct call_row calls[] = {
	{ GHCI_HLT, REASON_HLT, call_hlt },
	{ GHCI_WRMSR, REASON_WRMSR, call_wrmsr },
	{ GHCI_IO, REASON_IO, call_io },
	{ GHCI_RDMSR, REASON_RDMSR, call_rdmsr },
	{ GHCI_MMIO, TDX_REASON_MMIO, call_mmio },
	{ GHCI_CPUID, REASON_CPUID, call_cpuid },
	{ GHCI_MAP_GPA, TDX_REASON_MAP_GPA, tdx_vmcall_map_gpa },
	{ GHCI_GET_TD_VMCALL_INFO, TDX_REASON_VMCALL, call_info },
	{ GHCI_REPORT_FATAL_ERROR, TDX_REASON_VMCALL, tdx_vmcall_fatal },
	{ GHCI_GET_QUOTE, TDX_REASON_VMCALL, unsupported },
	{ GHCI_SETUP_EVENT_NOTIFY, TDX_REASON_VMCALL, unsupported },
	{ GHCI_SERVICE, TDX_REASON_VMCALL, unsupported },
};

static const struct call_row *find(const struct tdx_regs *r)
{
	if (r->gpr[TDX_R10])
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		if (calls[i].function == r->gpr[TDX_R11])
			return &calls[i];
	return NULL;
}

uint32_t tdx_vmcall_reason(const struct tdx_regs *r)
{
	const struct call_row *c = find(r);

	return c ? c->reason : TDX_REASON_VMCALL;
}

/* R10 other than 0 on entry is what other hosts define for themselves. */
enum exit_result tdx_vmcall(struct tdx_vcpu *x)
{
	const struct call_row *c = find(&x->regs);

	x->answer = x->regs; /* what the answer says nothing about comes back as it was */
	if (UNLIKELY(in(x, TDX_R10)))
		return refuse(x);
	return c ? c->handle(x) : unsupported(x);
}
