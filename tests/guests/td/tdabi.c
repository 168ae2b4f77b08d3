/*
 * Proves what the module and the host do for a TD beside memory: VP.INFO, fields, #VE and its information,
 * the calls to the host for CPUID, MSRs, ports and MMIO, RTMRs in the report, refused operands.
 */
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/memory.h"
#include "tests/guests/lib/option.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/time.h"
#include "tests/guests/lib/trap.h"
#include "tdx/abi/fields.h"
#include "tdx/abi/params.h"
#include "tests/guests/td/lib/td.h"
#include "tdx/shim/params.h"

const char guest_name[] = "tdabi";

#define TIMER_VECTOR 0x40
#define WINDOW 0x10000000 /* gva of pages that are mapped shared */

/* TDREPORT: TDX Module 1.5 ABI, "TDREPORT_STRUCT". */
#define REPORT_TYPE 0
#define REPORT_DATA 128
#define REPORT_TDINFO 512
#define TDINFO_MRTD (REPORT_TDINFO + 16)
#define TDINFO_RTMR (REPORT_TDINFO + 208)
#define DIGEST 48

static void check_info(void)
{
	struct tdx_regs r = { 0 };

	report_equal("vp-info", td_leaf(TDG_VP_INFO, &r), TDX_SUCCESS);
	CHECK("gpaw", r.gpr[TDX_RCX] >= 33 && r.gpr[TDX_RCX] <= 52);
	CHECK("attributes", r.gpr[TDX_RDX] & TDX_ATTR_SEPT_VE_DISABLE);
	CHECK("no-debug", !(r.gpr[TDX_RDX] & TDX_ATTR_DEBUG));
	CHECK("vcpus", (uint32_t)r.gpr[TDX_R8] >= 1 && r.gpr[TDX_R8] >> 32 >= (uint32_t)r.gpr[TDX_R8]);
	report_equal("index", r.gpr[TDX_R9], 0);
	report_equal("r11", r.gpr[TDX_R11], 0);
}

static void check_refusals(void)
{
	static const uint64_t masks[] = { BIT(TDX_RAX), BIT(TDX_RCX), BIT(TDX_RSP), BIT(33) };

	report_equal("unknown-leaf", td_leaf3(200, 0, 0, 0), TDX_OPERAND_INVALID | TDX_RAX);
	report_equal("reserved-rax", td_leaf3(BIT(24) | TDG_VP_INFO, 0, 0, 0), TDX_OPERAND_INVALID | TDX_RAX);
	for (unsigned i = 0; i < ARRAY_LEN(masks); i++)
		report_equal("vmcall-mask", td_leaf3(TDG_VP_VMCALL, masks[i], 0, 0), TDX_OPERAND_INVALID | TDX_RCX);
	report_equal("veinfo-empty", td_leaf3(TDG_VP_VEINFO_GET, 0, 0, 0), TDX_NO_VALID_VE_INFO);
	report_vector("vmxon", TRY("vmxon (%0)", : : "r"(&masks) : "memory"), VEC_UD);
	report_vector("seamcall", TRY(".byte 0x66, 0x0f, 0x01, 0xcf", : : : "memory"), VEC_UD);
	report_vector("ud2", TRY("ud2", : : : "memory"), VEC_UD);
}

static void check_fields(void)
{
	struct tdx_regs r = { .gpr[TDX_RDX] = TDX_TD_ATTRIBUTES };

	report_equal("vm-rd", td_leaf(TDG_VM_RD, &r), TDX_SUCCESS);
	CHECK("vm-rd-attributes", r.gpr[TDX_R8] & TDX_ATTR_SEPT_VE_DISABLE);
	r = (struct tdx_regs){ .gpr[TDX_RDX] = TDX_TD_CONFIG_FLAGS };
	report_equal("vm-rd-config-flags", td_leaf(TDG_VM_RD, &r), TDX_SUCCESS);
	r = (struct tdx_regs){ .gpr = { [TDX_RDX] = TDX_TD_NOTIFY_ENABLES, [TDX_R9] = ~0ul } };
	report_equal("vm-wr-notify-enables", td_leaf(TDG_VM_WR, &r), TDX_SUCCESS);
	r = (struct tdx_regs){ .gpr = { [TDX_RCX] = 1, [TDX_RDX] = TDX_TD_ATTRIBUTES } };
	report_equal("vm-rd-rcx", td_leaf(TDG_VM_RD, &r), TDX_OPERAND_INVALID | TDX_RCX);
	r = (struct tdx_regs){ .gpr[TDX_RDX] = TDX_FIELD_FIRST };
	td_leaf(TDG_SYS_RD, &r);
	report_equal("sys-rd-first", r.gpr[TDX_RDX], TDX_SYS_VENDOR);
}

static void check_cpuid(void)
{
	struct cpuid_regs r = cpuid(0x21, 0);
	uint32_t before = td_ve_count[GHCI_CPUID];
	struct td_ve ve;

	CHECK("cpuid-0", cpuid(0, 0).eax >= 0x21);
	CHECK("cpuid-21", r.ebx == 0x65746e49 && r.edx == 0x5844546c && r.ecx == 0x20202020);
	CHECK("cpuid-hypervisor", cpuid(1, 0).ecx >> 31);
	report_equal("cpuid-apic-id", cpuid(1, 0).ebx >> 24, 0);
	CHECK("cpuid-tsc", cpuid(0x15, 0).eax == 1 && cpuid(0x15, 0).ecx == 25000000);
	report_equal("cpuid-without-ve", td_ve_count[GHCI_CPUID], before);
	r = cpuid(0x40000000, 0);
	ve = td_last_ve; /* before the report's own output */
	report_equal("cpuid-ve", td_ve_count[GHCI_CPUID], before + 1);
	report_equal("ve-length", ve.length, 2);
	CHECK("cpuid-by-host", r.eax >= 0x40000000 && r.ebx);
}

static void check_io(void)
{
	uint32_t before = td_ve_count[GHCI_IO];
	struct td_ve ve;
	uint8_t got;

	outb(GUEST_PORT_COM1 + 7, 0x5a); /* scratch register of the UART */
	report_equal("io-ve-write", td_ve_count[GHCI_IO], before + 1);
	got = inb(GUEST_PORT_COM1 + 7);
	ve = td_last_ve;
	report_equal("io-read-back", got, 0x5a);
	report_equal("ve-io-qualification", ve.qualification, (GUEST_PORT_COM1 + 7ul) << 16 | BIT(3));
	report_equal("io-width", inl(GUEST_PORT_PCI_ADDR) & 3, 0);
}

static void check_msrs(void)
{
	uint32_t before = td_ve_count[GHCI_RDMSR];

	CHECK("x2apic-from-power-on", apic_is_x2apic());
	report_equal("msr-ve", td_ve_count[GHCI_RDMSR], before + 1);
	report_equal("apic-id", apic_id(), 0);
	wrmsr(MSR_LSTAR, 0x1234567000);
	report_equal("msr-of-the-cpu", rdmsr(MSR_LSTAR), 0x1234567000);
	report_vector("msr-refused", TRY("rdmsr", : : "c"(0x12345678) : "eax", "edx"), VEC_VE);
}

/* The I/O APIC, where Linux has it too: at its address with the shared bit, by #VE and by asking outright. */
static void check_mmio(void)
{
	volatile uint32_t *ioapic = (volatile uint32_t *)WINDOW;
	uint64_t a[5] = { 0, 4, 0, GUEST_IOAPIC_BASE | td_shared_bit }, version;
	uint32_t got, before = td_ve_count[GHCI_MMIO];
	struct td_ve ve;

	td_map_shared(WINDOW, GUEST_IOAPIC_BASE);
	__asm__ volatile("movl %1, (%0)" : : "b"(ioapic), "a"(IOAPIC_VERSION) : "memory");
	ve = td_last_ve;
	report_equal("mmio-ve", td_ve_count[GHCI_MMIO], before + 1);
	report_equal("mmio-gpa", ve.gpa & ~0xffful, GUEST_IOAPIC_BASE | td_shared_bit);
	__asm__ volatile("movl (%1), %0" : "=a"(got) : "b"(ioapic + 4) : "memory");
	report_equal("ioapic-pins", (got >> 16 & 0xff) + 1, GUEST_IOAPIC_PINS);
	a[3] += 16;
	report_equal("mmio-vmcall", td_vmcall(GHCI_MMIO, a), GHCI_OK);
	version = a[0];
	report_equal("mmio-same", version, got);
}

static void check_host_calls(void)
{
	uint64_t a[5] = { 0 };

	report_equal("get-info", td_vmcall(GHCI_GET_TD_VMCALL_INFO, a), GHCI_OK);
	a[1] = td_shared_bit;
	CHECK("get-quote", td_vmcall(GHCI_GET_QUOTE, a) != GHCI_OK);
	CHECK("unknown-function", td_vmcall(0x12345, a) != GHCI_OK);
	a[1] = 1;
	report_equal("map-unaligned", td_map_gpa(MIB(4) + 1, PAGE_SIZE) >> 63, 1);
}

/* RTMR = SHA-384(RTMR || digest): of 48 zeros and 48 times 42h, by another program. */
static const uint8_t extended[DIGEST] = {
	0xe7, 0xa8, 0x9f, 0x77, 0xc6, 0xa2, 0x34, 0xd2, 0x1b, 0x92, 0x3a, 0xff,
	0x9f, 0x55, 0x2c, 0x05, 0xe3, 0x01, 0x3b, 0x65, 0xca, 0xee, 0x79, 0x58,
	0x18, 0x1f, 0xdb, 0x3e, 0x62, 0x5d, 0xfe, 0x67, 0xb7, 0x92, 0x85, 0xa5,
	0xf9, 0xb3, 0x53, 0xd7, 0x6a, 0x38, 0x6b, 0x2e, 0x52, 0x05, 0xc0, 0xa2,
};
static uint8_t digest[64] __attribute__((aligned(64)));
static uint8_t tdreport[1024] __attribute__((aligned(1024)));
static uint8_t reportdata[64] __attribute__((aligned(64)));

static void check_measurement(void)
{
	static const uint8_t zero[DIGEST];

	memset(digest, 0x42, DIGEST);
	for (unsigned i = 0; i < sizeof(reportdata); i++)
		reportdata[i] = (uint8_t)(i + 1);
	report_equal("rtmr-extend", td_leaf3(TDG_MR_RTMR_EXTEND, (uint64_t)digest, 3, 0), TDX_SUCCESS);
	report_equal("rtmr-4", td_leaf3(TDG_MR_RTMR_EXTEND, (uint64_t)digest, 4, 0), TDX_OPERAND_INVALID | TDX_RDX);
	report_equal("rtmr-unaligned", td_leaf3(TDG_MR_RTMR_EXTEND, (uint64_t)digest + 8, 3, 0),
		     TDX_OPERAND_INVALID | TDX_RCX);
	report_equal("report", td_leaf3(TDG_MR_REPORT, (uint64_t)tdreport, (uint64_t)reportdata, 0), TDX_SUCCESS);
	report_equal("report-type", tdreport[REPORT_TYPE], 0x81);
	CHECK("report-data", !memcmp(tdreport + REPORT_DATA, reportdata, sizeof(reportdata)));
	CHECK("report-rtmr3", !memcmp(tdreport + TDINFO_RTMR + 3 * DIGEST, extended, DIGEST));
	CHECK("report-rtmr0", !memcmp(tdreport + TDINFO_RTMR, zero, DIGEST));
	CHECK("report-kernel", memcmp(tdreport + TDINFO_RTMR + SHIM_RTMR * DIGEST, zero, DIGEST));
	CHECK("report-mrtd", memcmp(tdreport + TDINFO_MRTD, zero, DIGEST));
	report_equal("report-unaligned", td_leaf3(TDG_MR_REPORT, (uint64_t)tdreport + 64, (uint64_t)reportdata, 0),
		     TDX_OPERAND_INVALID | TDX_RCX);
}

/* Interrupts come by posting: one to itself, one from the timer into HLT. */
static void check_interrupts(void)
{
	apic_enable();
	trap_set(TIMER_VECTOR, trap_count_irq);
	trap_count[TIMER_VECTOR] = 0;
	sti();
	apic_send(0, ICR_ASSERT | TIMER_VECTOR);
	CHECK("self-ipi", wait_for(&trap_count[TIMER_VECTOR], 1, 100000));
	cli();
	apic_write(VLAPIC_TIMER_DIVIDE, APIC_DIVIDE_1);
	apic_write(VLAPIC_LVT_TIMER, TIMER_VECTOR);
	apic_write(VLAPIC_TIMER_INIT, 25000); /* a millisecond */
	while (trap_count[TIMER_VECTOR] < 2)
		__asm__ volatile("sti; hlt; cli" : : : "memory");
	report_equal("timer-into-hlt", trap_count[TIMER_VECTOR], 2);
	CHECK("hlt-ve", td_ve_count[GHCI_HLT] > 0);
}

void guest_main(void)
{
	check_info();
	check_refusals();
	check_fields();
	check_cpuid();
	check_io();
	check_msrs();
	check_mmio();
	check_host_calls();
	check_measurement();
	check_interrupts();
	CHECK("option", option_is("td", "yes"));
}
