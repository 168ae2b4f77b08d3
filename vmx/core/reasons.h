/*
 * Basic exit reasons, and the layout of what an exit reports. SDM volume 3D, appendix "VMX Basic
 * Exit Reasons", and volume 3C "Basic VM-Exit Information".
 */
#ifndef VMX_CORE_REASONS_H
#define VMX_CORE_REASONS_H

#include "hv/base/types.h"

enum exit_reason {
	REASON_EXCEPTION_NMI = 0,
	REASON_EXTERNAL_INTERRUPT = 1,
	REASON_TRIPLE_FAULT = 2,
	REASON_INIT = 3,
	REASON_SIPI = 4,
	REASON_IO_SMI = 5,
	REASON_OTHER_SMI = 6,
	REASON_INTERRUPT_WINDOW = 7,
	REASON_NMI_WINDOW = 8,
	REASON_TASK_SWITCH = 9,
	REASON_CPUID = 10,
	REASON_GETSEC = 11,
	REASON_HLT = 12,
	REASON_INVD = 13,
	REASON_INVLPG = 14,
	REASON_RDPMC = 15,
	REASON_RDTSC = 16,
	REASON_RSM = 17,
	REASON_VMCALL = 18,
	REASON_VMCLEAR = 19,
	REASON_VMLAUNCH = 20,
	REASON_VMPTRLD = 21,
	REASON_VMPTRST = 22,
	REASON_VMREAD = 23,
	REASON_VMRESUME = 24,
	REASON_VMWRITE = 25,
	REASON_VMXOFF = 26,
	REASON_VMXON = 27,
	REASON_CR_ACCESS = 28,
	REASON_MOV_DR = 29,
	REASON_IO = 30,
	REASON_RDMSR = 31,
	REASON_WRMSR = 32,
	REASON_ENTRY_GUEST_STATE = 33,
	REASON_ENTRY_MSR_LOADING = 34,
	REASON_MWAIT = 36,
	REASON_MONITOR_TRAP = 37,
	REASON_MONITOR = 39,
	REASON_PAUSE = 40,
	REASON_ENTRY_MACHINE_CHECK = 41,
	REASON_TPR_BELOW_THRESHOLD = 43,
	REASON_APIC_ACCESS = 44,
	REASON_VIRTUAL_EOI = 45,
	REASON_GDTR_IDTR = 46,
	REASON_LDTR_TR = 47,
	REASON_EPT_VIOLATION = 48,
	REASON_EPT_MISCONFIG = 49,
	REASON_INVEPT = 50,
	REASON_RDTSCP = 51,
	REASON_PREEMPTION_TIMER = 52,
	REASON_INVVPID = 53,
	REASON_WBINVD = 54,
	REASON_XSETBV = 55,
	REASON_APIC_WRITE = 56,
	REASON_RDRAND = 57,
	REASON_INVPCID = 58,
	REASON_VMFUNC = 59,
	REASON_ENCLS = 60,
	REASON_RDSEED = 61,
	REASON_PML_FULL = 62,
	REASON_XSAVES = 63,
	REASON_XRSTORS = 64,
	REASON_PCONFIG = 65,
	REASON_SPP = 66,
	REASON_UMWAIT = 67,
	REASON_TPAUSE = 68,
	REASON_LOADIWKEY = 69,
	REASON_ENCLV = 70,
	REASON_ENQCMD_PASID = 72,
	REASON_ENQCMDS_PASID = 73,
	REASON_BUS_LOCK = 74,
	REASON_INSN_TIMEOUT = 75,
	REASON_SEAMCALL = 76,
	REASON_TDCALL = 77,
	REASON_RDMSRLIST = 78,
	REASON_WRMSRLIST = 79,
	REASON_COUNT = 80,
};

#define REASON_BASIC(reason) ((reason) & 0xffff)
#define REASON_ENTRY_FAILED BIT(31)

/* Interruption-information fields (exit, entry, IDT-vectoring). */
#define INTR_VECTOR(info) ((unsigned)((info) & 0xff))
#define INTR_TYPE(info) ((unsigned)((info) >> 8 & 7))
#define INTR_TYPE_BITS(type) ((uint32_t)(type) << 8)
#define INTR_ERROR_CODE 0x800u
#define INTR_NMI_UNBLOCK 0x1000u /* exit information only: IRET removed NMI blocking */
#define INTR_VALID 0x80000000u

#define INTR_EXTERNAL 0
#define INTR_NMI 2
#define INTR_HARD_EXCEPTION 3
#define INTR_SOFT_INTERRUPT 4
#define INTR_PRIV_SOFT_EXCEPTION 5 /* INT1 */
#define INTR_SOFT_EXCEPTION 6      /* INT3, INTO */
#define INTR_OTHER_EVENT 7

/* Interruptibility state. */
#define BLOCKING_STI BIT(0)
#define BLOCKING_MOV_SS BIT(1)
#define BLOCKING_SMI BIT(2)
#define BLOCKING_NMI BIT(3)

#define PENDING_DB_BS BIT(14)

#define ACTIVITY_ACTIVE 0
#define ACTIVITY_HLT 1
#define ACTIVITY_SHUTDOWN 2
#define ACTIVITY_WAIT_SIPI 3

/* Exit qualification of an EPT violation. */
#define EPT_VIOLATION_ACCESS 7u      /* read, write, fetch: as in mmu/mmu.h */
#define EPT_VIOLATION_LINEAR_VALID BIT(7)
#define EPT_VIOLATION_FINAL BIT(8)   /* of the page itself, not of the guest's page tables */
#define EPT_VIOLATION_NMI_UNBLOCK BIT(12)

/* Control-register accesses. */
enum cr_access_type { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW };
struct cr_access {
	uint8_t number;           /* 0, 3, 4, 8 */
	uint8_t gpr;              /* of MOV: by instruction encoding */
	enum cr_access_type type;
	uint16_t lmsw_source;
};

static inline struct cr_access cr_access_decode(uint64_t qualification)
{
	return (struct cr_access){
		.number = qualification & 0xf,
		.type = (enum cr_access_type)(qualification >> 4 & 3),
		.gpr = qualification >> 8 & 0xf,
		.lmsw_source = (uint16_t)(qualification >> 16),
	};
}

/* I/O instructions. */
struct io_access {
	uint16_t port;
	uint8_t size; /* 1, 2, 4 */
	bool in, string, rep;
};

#define IO_ACCESS_STRING BIT(4)

static inline struct io_access io_access_decode(uint64_t qualification)
{
	return (struct io_access){
		.port = (uint16_t)(qualification >> 16),
		.size = (uint8_t)((qualification & 7) + 1),
		.in = qualification & BIT(3),
		.string = qualification & IO_ACCESS_STRING,
		.rep = qualification & BIT(5),
	};
}

/* VM-exit instruction information of INS and OUTS. */
static inline uint8_t io_info_address_bytes(uint32_t info) { return (uint8_t)(2u << (info >> 7 & 3)); }
static inline uint8_t io_info_segment(uint32_t info) { return info >> 15 & 7; }

/* APIC accesses: bits 11:0 the offset, 15:12 the kind of access. */
#define APIC_ACCESS_OFFSET(q) ((uint32_t)((q) & 0xfff))
#define APIC_ACCESS_TYPE(q) ((unsigned)((q) >> 12 & 0xf))
#define APIC_ACCESS_READ 0
#define APIC_ACCESS_WRITE 1

#endif
