/*
 * The table of statuses.
 */
#include "tdx/status.h"

#define SUCCESS TDX_CLASS_SUCCESS
#define INFO TDX_CLASS_INFORMATIONAL
#define BUSY TDX_CLASS_BUSY
#define RESUME TDX_CLASS_RESUMABLE
#define FATAL TDX_CLASS_FATAL
#define BUG TDX_CLASS_BUG

const char *const tdx_class_names[TDX_CLASSES] = {
	[SUCCESS] = "success", [INFO] = "informational", [BUSY] = "busy",
	[RESUME] = "resumable", [FATAL] = "fatal", [BUG] = "bug",
};

/* X(name, class, sentence); the numbers are in tdx/abi/status.h. */
#define MEANINGS(X) \
	X(SUCCESS, SUCCESS, "done") \
	X(NON_RECOVERABLE_VCPU, FATAL, "the vCPU has shut down, as after a triple fault") \
	X(INTERRUPTED_RESUMABLE, RESUME, "an interrupt came in between, and it goes on from there") \
	X(INTERRUPTED_RESTARTABLE, RESUME, "an interrupt came in between, and nothing was done") \
	X(NON_RECOVERABLE_TD, FATAL, "the TD can run no more") \
	X(NON_RECOVERABLE_TD_NON_ACCESSIBLE, FATAL, "the TD can neither run nor be looked at any more") \
	X(INVALID_RESUMPTION, BUG, "what was to be resumed had not been interrupted") \
	X(NR_TD_WRONG_APIC_MODE, FATAL, "the host's local APIC is not in x2APIC mode") \
	X(CROSS_TD_FAULT, BUG, "another TD is at fault") \
	X(NR_TD_CORRUPTED_MD, FATAL, "the module found its record of the TD damaged") \
	X(OPERAND_INVALID, BUG, "an operand has a value it must not have") \
	X(OPERAND_ADDR_RANGE_ERROR, BUG, "an address lies outside the memory that the module was given") \
	X(OPERAND_BUSY, BUSY, "another CPU holds what it needs") \
	X(PREVIOUS_TLB_EPOCH_BUSY, BUSY, "a vCPU has not left the guest since the last TLB tracking") \
	X(SYS_BUSY, BUSY, "another CPU is at the module's start-up") \
	X(RND_NO_ENTROPY, BUSY, "the CPU's random number generator gave nothing") \
	X(OPERAND_BUSY_HOST_PRIORITY, BUSY, "the host goes first at what it needs") \
	X(HOST_PRIORITY_BUSY_TIMEOUT, BUSY, "the guest waited too long for what the host had asked for first") \
	X(PAGE_METADATA_INCORRECT, BUG, "the page is used for something else") \
	X(PAGE_ALREADY_FREE, INFO, "the page was free already") \
	X(PAGE_NOT_OWNED_BY_TD, BUG, "the page is not this TD's") \
	X(PAGE_NOT_FREE, BUG, "the page is not free") \
	X(TD_ASSOCIATED_PAGES_EXIST, BUG, "the TD still has pages") \
	X(SYS_INIT_NOT_PENDING, BUG, "the module was started before") \
	X(SYS_LP_INIT_NOT_DONE, BUG, "the module does not know this CPU yet") \
	X(SYS_LP_INIT_DONE, BUG, "the module knew this CPU already") \
	X(SYS_NOT_READY, BUG, "the module has not been started") \
	X(SYS_SHUTDOWN, BUG, "the module has been shut down") \
	X(SYS_KEY_CONFIG_NOT_PENDING, BUG, "the module's key was not to be made now") \
	X(SYS_STATE_INCORRECT, BUG, "the module is in another state") \
	X(SYS_LP_INIT_NOT_PENDING, BUG, "no CPU was to be made known now") \
	X(SYS_CONFIG_NOT_PENDING, BUG, "a CPU is not known to the module yet, or it has been configured before") \
	X(TD_FATAL, FATAL, "the TD has failed before") \
	X(TD_NON_DEBUG, BUG, "the TD may not be looked into") \
	X(TDCS_NOT_ALLOCATED, BUG, "the TD has no control pages yet") \
	X(LIFECYCLE_STATE_INCORRECT, BUG, "the TD is at another point of its life") \
	X(OP_STATE_INCORRECT, BUG, "the TD is not at that point of its start") \
	X(NO_VCPUS, BUG, "the TD has no vCPU") \
	X(TDCX_NUM_INCORRECT, BUG, "there are too few or too many control pages") \
	X(VCPU_STATE_INCORRECT, BUG, "the vCPU is not ready, runs elsewhere, or has shut down") \
	X(VCPU_ASSOCIATED, BUG, "another CPU has the vCPU") \
	X(VCPU_NOT_ASSOCIATED, BUG, "this CPU does not have the vCPU") \
	X(NO_VALID_VE_INFO, BUG, "there is no virtualisation exception") \
	X(MAX_VCPUS_EXCEEDED, BUG, "the TD has all the vCPUs it may have") \
	X(TSC_ROLLBACK, BUG, "the host's TSC went backwards") \
	X(TD_VMCS_FIELD_NOT_INITIALIZED, BUG, "a field that the host must set has not been set") \
	X(KEY_GENERATION_FAILED, BUSY, "the CPU could not make a key") \
	X(TD_KEYS_NOT_CONFIGURED, BUG, "the TD's key is not in use on all packages") \
	X(KEY_STATE_INCORRECT, BUG, "the key is in another state") \
	X(KEY_CONFIGURED, INFO, "the package had the key already") \
	X(WBCACHE_NOT_COMPLETE, BUG, "the caches of a package have not been written back") \
	X(HKID_NOT_FREE, BUG, "the key id is in use") \
	X(NO_HKID_READY_TO_WBCACHE, INFO, "no key waits for the caches") \
	X(WBCACHE_RESUME_ERROR, BUG, "the caches were not being written back") \
	X(FLUSHVP_NOT_DONE, BUG, "a CPU still has a vCPU of the TD") \
	X(NUM_ACTIVATED_HKIDS_NOT_SUPPORTED, BUG, "the firmware has set up a number of keys that the module cannot use") \
	X(INCORRECT_CPUID_VALUE, BUG, "the module does not support this CPU") \
	X(INCONSISTENT_CPUID_FIELD, BUG, "this CPU differs from the one that booted in its CPUID") \
	X(INCONSISTENT_MSR, BUG, "an MSR of this CPU differs from that of the one that booted") \
	X(INCORRECT_MSR_VALUE, BUG, "an MSR has a value that the module does not accept") \
	X(INVALID_TDMR, BUG, "a TD memory region is not one") \
	X(NON_ORDERED_TDMR, BUG, "the TD memory regions are not in order") \
	X(TDMR_OUTSIDE_CMRS, BUG, "a TD memory region lies outside what the firmware offers") \
	X(TDMR_ALREADY_INITIALIZED, INFO, "the TD memory region is initialised") \
	X(INVALID_PAMT, BUG, "a page metadata table is too small or misplaced") \
	X(PAMT_OUTSIDE_CMRS, BUG, "a page metadata table lies outside what the firmware offers") \
	X(PAMT_OVERLAP, BUG, "a page metadata table lies in memory for TDs") \
	X(INVALID_RESERVED_IN_TDMR, BUG, "a reserved area lies outside its region") \
	X(NON_ORDERED_RESERVED_IN_TDMR, BUG, "reserved areas are not in order") \
	X(EPT_WALK_FAILED, BUG, "the secure EPT has no entry there") \
	X(EPT_ENTRY_NOT_PRESENT, BUG, "nothing is mapped there") \
	X(GPA_RANGE_NOT_BLOCKED, BUG, "the entry is not blocked") \
	X(GPA_RANGE_ALREADY_BLOCKED, INFO, "the entry was blocked already") \
	X(TLB_TRACKING_NOT_DONE, BUG, "a TLB may still have the entry") \
	X(EPT_INVALID_PROMOTE_CONDITIONS, BUG, "the small pages do not make a large one") \
	X(PAGE_ALREADY_ACCEPTED, INFO, "the page was accepted already") \
	X(PAGE_SIZE_MISMATCH, BUG, "the page is mapped in another size") \
	X(EPT_ENTRY_STATE_INCORRECT, BUG, "the entry of the secure EPT is in another state") \
	X(EPT_PAGE_NOT_FREE, BUG, "the table of the secure EPT is not empty") \
	X(METADATA_FIELD_ID_INCORRECT, BUG, "there is no such field") \
	X(METADATA_FIELD_NOT_WRITABLE, BUG, "the field cannot be written") \
	X(METADATA_FIELD_NOT_READABLE, BUG, "the field cannot be read") \
	X(METADATA_FIELD_VALUE_NOT_VALID, BUG, "the field does not take that value") \
	X(METADATA_FIELD_CURRENTLY_NOT_WRITABLE, BUG, "the field cannot be written now") \
	X(METADATA_WR_MASK_NOT_VALID, BUG, "not all those bits of the field can be written") \
	X(METADATA_FIRST_FIELD_ID_IN_CONTEXT, INFO, "the first field was named") \
	X(INVALID_REPORTMACSTRUCT, BUG, "the report is not genuine")

/* By their place in TDX_STATUSES. */
#define X(name, high) INDEX_##name,
enum { TDX_STATUSES(X) STATUS_COUNT };
#undef X

static const struct {
	uint32_t high;
	const char *name;
} statuses[] = {
#define X(name, high) { high, #name },
	TDX_STATUSES(X)
#undef X
};

static const struct {
	enum tdx_class class;
	const char *text;
} meanings[] = {
#define X(name, class, text) [INDEX_##name] = { class, text },
	MEANINGS(X)
#undef X
};

#define X(name, class, text) +1
_Static_assert((MEANINGS(X)) == STATUS_COUNT, "every status has a meaning");
#undef X

/* STATUS_COUNT: unknown. */
static size_t index_of(uint64_t status)
{
	size_t i = 0;

	while (i < STATUS_COUNT && statuses[i].high != status >> 32)
		i++;
	return i;
}

/* Of a status nobody has told us of, the flags still say what is to be thought of it. */
static enum tdx_class class_of_flags(uint64_t status)
{
	if (status == TDX_NO_MODULE)
		return BUG;
	if (status & TDX_FATAL)
		return FATAL;
	return status & TDX_ERROR ? BUG : INFO;
}

enum tdx_class tdx_status_class(uint64_t status)
{
	size_t i;

	if (LIKELY(status >> 32 == 0))
		return SUCCESS;
	i = index_of(status);
	return i < STATUS_COUNT ? meanings[i].class : class_of_flags(status);
}

const char *tdx_status_name(uint64_t status)
{
	size_t i = index_of(status);

	if (status == TDX_NO_MODULE)
		return "nothing";
	return i < STATUS_COUNT ? statuses[i].name : "an unknown status";
}

const char *tdx_status_text(uint64_t status)
{
	size_t i = index_of(status);

	if (status == TDX_NO_MODULE)
		return "no TDX module is loaded, or the processor has disabled it";
	return i < STATUS_COUNT ? meanings[i].text : "which no specification that Gnomon follows has";
}

static const struct {
	uint32_t id;
	const char *name;
} operands[] = {
	{ TDX_RAX, "RAX" }, { TDX_RCX, "RCX" }, { TDX_RDX, "RDX" }, { TDX_RBX, "RBX" }, { TDX_RBP, "RBP" },
	{ TDX_RSI, "RSI" }, { TDX_RDI, "RDI" }, { TDX_R8, "R8" }, { TDX_R9, "R9" }, { TDX_R10, "R10" },
	{ TDX_R11, "R11" }, { TDX_R12, "R12" }, { TDX_R13, "R13" }, { TDX_R14, "R14" }, { TDX_R15, "R15" },
	{ TDX_OP_ATTRIBUTES, "ATTRIBUTES" }, { TDX_OP_XFAM, "XFAM" }, { TDX_OP_EXEC_CONTROLS, "CONFIG_FLAGS" },
	{ TDX_OP_EPTP_CONTROLS, "EPTP_CONTROLS" }, { TDX_OP_MAX_VCPUS, "MAX_VCPUS" },
	{ TDX_OP_CPUID_CONFIG, "CPUID_CONFIG" }, { TDX_OP_TSC_FREQUENCY, "TSC_FREQUENCY" },
	{ TDX_OP_NUM_L2_VMS, "NUM_L2_VMS" }, { TDX_OP_ARCH_CAP_CONFIG, "IA32_ARCH_CAPABILITIES" },
	{ TDX_OP_PAGE, "a page" }, { TDX_OP_TDMR_INFO_PA, "the address of a TDMR_INFO" }, { TDX_OP_TDR, "the TDR" },
	{ TDX_OP_TDCX, "a TDCX" }, { TDX_OP_TDVPR, "the TDVPR" }, { TDX_OP_TDCS, "the TDCS" },
	{ TDX_OP_TDVPS, "the TDVPS" }, { TDX_OP_SEPT_TREE, "the secure EPT" },
	{ TDX_OP_SEPT_ENTRY, "an entry of the secure EPT" }, { TDX_OP_RTMR, "an RTMR" },
	{ TDX_OP_TD_EPOCH, "the TD's epoch" }, { TDX_OP_OP_STATE, "the TD's state" },
	{ TDX_OP_METADATA_FIELD, "a field" }, { TDX_OP_SYS, "the module" }, { TDX_OP_TDMR, "a TDMR" },
	{ TDX_OP_KOT, "the table of keys" }, { TDX_OP_KET, "the key encryption table" },
	{ TDX_OP_WBCACHE, "the writing back of caches" },
};

const char *tdx_operand_name(uint32_t id)
{
	for (size_t i = 0; i < ARRAY_LEN(operands); i++)
		if (operands[i].id == id)
			return operands[i].name;
	return NULL;
}

const char *tdx_leaf_name(uint32_t leaf)
{
	switch (leaf) {
#define X(name, number, text) case number: return text;
	TDH_LEAFS(X)
#undef X
	default: return "an unknown leaf";
	}
}

int tdx_errno(uint64_t status)
{
	switch (tdx_status_class(status)) {
	case SUCCESS:
	case INFO: return 0;
	case BUSY: return -EBUSY;
	case RESUME: return -EINTR;
	default: return -EIO;
	}
}

/* These carry an operand id in their low half; of the others it is numbers. */
static bool names_operand(uint64_t status)
{
	uint64_t high = status & TDX_STATUS_MASK;

	return high == TDX_OPERAND_INVALID || high == TDX_OPERAND_BUSY || high == TDX_OPERAND_ADDR_RANGE_ERROR ||
	       high == TDX_PAGE_METADATA_INCORRECT;
}

int tdx_fail(struct failure *f, const char *what, enum tdh_leaf leaf, uint64_t status)
{
	int err = tdx_errno(status);
	const char *operand = names_operand(status) ? tdx_operand_name((uint32_t)status) : NULL;

	return fail(f, err ? err : -EIO, "%s: %s said %s (%lx%s%s), %s", what, tdx_leaf_name(leaf),
		    tdx_status_name(status), status, operand ? ", for " : "", operand ? operand : "",
		    tdx_status_text(status));
}
