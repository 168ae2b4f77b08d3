/*
 * Debug registers and single steps.
 *
 * A step is made by RFLAGS.TF, which the guest must not see: what pushes RFLAGS meanwhile is put right, and
 * no event is delivered by an entry with TF set. So during a step every exception exits, and is delivered by
 * an entry of its own that is left again before the first instruction of the handler: that is the step then.
 * Interrupts and NMIs wait for the end of the step. SDM volume 3B "Single-Stepping", volume 3C "Special
 * Features of VM Entry".
 */
#include "vmx/debug.h"

#include "drivers/lapic.h"
#include "hv/base/vectors.h"
#include "hv/base/x86.h"
#include "vmx/core/vmcs.h"

#define DR7_FIXED1 BIT(10)
#define DR7_EXACT (BIT(8) | BIT(9)) /* LE and GE: data breakpoints strike exactly */
#define DR7_GD BIT(13)
#define DR7_LOCAL(i) BIT(2 * (i))
#define DR7_RULE(i, access, length) ((uint64_t)((access) | (length) << 2) << (16 + 4 * (i)))
#define DR7_WRITABLE (BITS(31, 16) | DR7_GD | BIT(11) | BITS(9, 0)) /* RTM reads as 0 where there is none */
#define DR6_FIXED1 0xffff0ff0u
#define DR6_BD BIT(13)
#define DR6_HITS 0xfu
#define DEBUGCTL_BTF BIT(1)
#define CODE_MAX 15 /* bytes of an instruction */

/* ---- debug registers ---- */

static void write_dr(unsigned i, uint64_t value)
{
	switch (i) {
	case 0: write_dr0(value); break;
	case 1: write_dr1(value); break;
	case 2: write_dr2(value); break;
	case 3: write_dr3(value); break;
	}
}

static uint64_t read_dr(unsigned i)
{
	switch (i) {
	case 0: return read_dr0();
	case 1: return read_dr1();
	case 2: return read_dr2();
	default: return read_dr3();
	}
}

static bool wants_registers(const struct debug_plan *plan)
{
	return plan->hw[0].used || plan->hw[1].used || plan->hw[2].used || plan->hw[3].used;
}

/* SDM "Debug Control Register (DR7)": lengths 1, 2, 8, 4 are 0 to 3. */
static uint64_t dr7_of(const struct debug_plan *plan)
{
	static const uint8_t length[] = { [1] = 0, [2] = 1, [8] = 2, [4] = 3 };
	uint64_t dr7 = DR7_FIXED1 | DR7_EXACT;

	for (unsigned i = 0; i < DEBUG_HW; i++)
		if (plan->hw[i].used)
			dr7 |= DR7_LOCAL(i) | DR7_RULE(i, plan->hw[i].access, length[plan->hw[i].length]);
	return dr7;
}

static void load_debuggers(struct vmx_vcpu *x)
{
	for (unsigned i = 0; i < DEBUG_HW; i++)
		write_dr(i, x->debug.plan.hw[i].used ? x->debug.plan.hw[i].address : 0);
	vmwrite(VMCS_GUEST_DR7, dr7_of(&x->debug.plan));
	vmx_set_primary(x, x->primary | PRIMARY_MOV_DR);
}

/* The guest's own go where its MOV DR finds them, or come back from there. DR6 stays its own: an exit for
 * #DB leaves that alone. */
static void take_registers(struct vmx_vcpu *x)
{
	for (unsigned i = 0; i < DEBUG_HW; i++)
		x->debug.guest_dr[i] = read_dr(i);
	x->debug.guest_dr7 = vmread(VMCS_GUEST_DR7);
	x->debug.registers = true;
}

static void return_registers(struct vmx_vcpu *x)
{
	for (unsigned i = 0; i < DEBUG_HW; i++)
		write_dr(i, x->debug.guest_dr[i]);
	vmwrite(VMCS_GUEST_DR7, x->debug.guest_dr7);
	vmx_set_primary(x, x->primary & ~(uint32_t)PRIMARY_MOV_DR);
	x->debug.registers = false;
}

/* ---- TF ---- */

static void set_bitmap(const struct vmx_vcpu *x)
{
	uint64_t all = vmx_exception_bitmap(x);

	if (x->debug.on)
		all |= BIT(VEC_BP);
	vmwrite(VMCS_EXCEPTION_BITMAP, x->debug.armed ? UINT32_MAX : all);
}

/* RIP as a linear address. */
static gva_t code_address(void)
{
	uint64_t rip = vmread(VMCS_GUEST_RIP);

	return vmx_in_long_mode() ? rip : (uint32_t)(rip + vmread(VMCS_GUEST_CS_BASE));
}

/* Bytes from RIP on, of which the first *prefixes are prefixes. 0: they cannot be read. */
static size_t fetch(struct vmx_vcpu *x, uint8_t *code, unsigned *prefixes)
{
	bool wide = vmx_in_long_mode();
	size_t n = debug_fetch(&x->v, code_address(), code, CODE_MAX);

	for (*prefixes = 0; *prefixes < n; ++*prefixes) {
		uint8_t byte = code[*prefixes];
		bool rex = wide && (byte & 0xf0) == 0x40;

		if (!rex && byte != 0x66 && byte != 0x67 && byte != 0xf0 && byte != 0xf2 && byte != 0xf3 &&
		    (byte & 0xe7) != 0x26 && byte != 0x64 && byte != 0x65)
			break;
	}
	return n;
}

/* What is special about the instruction at RIP, and for INT n the event it is. */
static enum step_insn classify(struct vmx_vcpu *x, struct vmx_event *event)
{
	uint8_t code[CODE_MAX];
	unsigned at;
	size_t n = fetch(x, code, &at);

	if (at >= n)
		return STEP_PLAIN;
	switch (code[at]) {
	case 0x9c: return STEP_PUSHF;
	case 0x9d:
	case 0xcf: return STEP_LOADS_FLAGS; /* POPF, IRET */
	case 0xcd:
		if (at + 1 >= n)
			return STEP_PLAIN;
		*event = (struct vmx_event){ .info = INTR_VALID | INTR_TYPE_BITS(INTR_SOFT_INTERRUPT) | code[at + 1],
					     .length = at + 2 };
		return STEP_INT;
	default: return STEP_PLAIN;
	}
}

/* A shadow would put the trap off, and nothing comes that it should hold back. SDM "Checks on Guest Non-Register
 * State": TF and a shadow go together only with a trap pending already. */
static void end_shadows(void)
{
	uint64_t state = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	if (state & (BLOCKING_STI | BLOCKING_MOV_SS))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, state & ~(BLOCKING_STI | BLOCKING_MOV_SS));
}

static void arm(struct vmx_vcpu *x, enum step_insn insn)
{
	uint64_t flags = vmread(VMCS_GUEST_RFLAGS), debugctl = vmread(VMCS_GUEST_DEBUGCTL);

	x->debug.insn = insn;
	x->debug.guest_tf = flags & RFLAGS_TF;
	x->debug.guest_btf = debugctl & DEBUGCTL_BTF;
	if (x->debug.guest_btf)
		vmwrite(VMCS_GUEST_DEBUGCTL, debugctl & ~DEBUGCTL_BTF);
	vmwrite(VMCS_GUEST_RFLAGS, flags | RFLAGS_TF);
	end_shadows();
	x->debug.armed = true;
	set_bitmap(x);
}

/* The image of RFLAGS that PUSHF has left on the stack: TF is bit 0 of its second byte. */
static void mend_pushed_flags(struct vmx_vcpu *x)
{
	uint64_t sp = vmread(VMCS_GUEST_RSP) + 1;

	if (!vmx_in_long_mode()) {
		if (!(vmread(VMCS_GUEST_SS_AR) & AR_BIG))
			sp = (uint16_t)sp;
		sp = (uint32_t)(sp + vmread(VMCS_GUEST_SS_BASE));
	}
	debug_clear_bits(&x->v, sp, RFLAGS_TF >> 8);
}

/* TF, BTF and the exception bitmap as they were; done: the instruction has been executed. */
static void disarm(struct vmx_vcpu *x, bool done)
{
	struct vmx_debug *d = &x->debug;
	uint64_t flags = vmread(VMCS_GUEST_RFLAGS);

	if (!d->armed)
		return;
	d->armed = false;
	set_bitmap(x);
	if (d->guest_btf)
		vmwrite(VMCS_GUEST_DEBUGCTL, vmread(VMCS_GUEST_DEBUGCTL) | DEBUGCTL_BTF);
	if (d->guest_tf || (done && d->insn == STEP_LOADS_FLAGS))
		return;
	vmwrite(VMCS_GUEST_RFLAGS, flags & ~(uint64_t)RFLAGS_TF);
	vmwrite(VMCS_GUEST_PENDING_DB, vmread(VMCS_GUEST_PENDING_DB) & ~PENDING_DB_BS);
	if (done && d->insn == STEP_PUSHF)
		mend_pushed_flags(x);
}

static void stepped(struct vmx_vcpu *x)
{
	x->debug.plan.step = false;
	x->attention &= ~ATTENTION_STEP;
	x->v.lapic.irr_pending = true; /* what waited is looked at again */
	debug_hit(&x->v, DEBUG_STEPPED, 0, DEBUG_EXECUTE);
}

/* ---- entries ---- */

void vmx_debug_landed(struct vmx_vcpu *x)
{
	if (!x->debug.landing)
		return;
	x->debug.landing = false;
	if (!(x->attention & ATTENTION_EVENT)) /* else its delivery was cut short */
		stepped(x);
}

/* Nothing but what the instruction itself causes is delivered. SDM "Virtual-Interrupt Delivery": an RVI of 0
 * is no pending interrupt. */
static void hold_interrupts_back(struct vmx_vcpu *x)
{
	vmx_set_primary(x, x->primary & ~(uint32_t)(PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW));
	if (x->vid) {
		vmwrite(VMCS_GUEST_INTR_STATUS, vmread(VMCS_GUEST_INTR_STATUS) & 0xff00);
		x->v.lapic.irr_pending = true;
	}
}

void vmx_debug_entry(struct vmx_vcpu *x)
{
	struct vmx_event event = { 0 };
	enum step_insn insn;

	hold_interrupts_back(x);
	if (!x->debug.armed && !(x->attention & ATTENTION_EVENT)) {
		insn = classify(x, &event);
		if (insn == STEP_INT)
			vmx_queue(x, event);
		else
			arm(x, insn);
	}
	if (x->attention & ATTENTION_EVENT) {
		disarm(x, false);
		vmx_deliver_queued(x);
		x->debug.landing = true;
	}
}

/*
 * SDM "VM Entries and Delivery of Events", "VMX-Preemption Timer": a timer of 0 expires after the event has been
 * delivered and before any instruction. Without the timer a pending interrupt of the host does the same.
 */
void vmx_debug_limit(const struct vmx_vcpu *x)
{
	if (!x->debug.landing)
		return;
	if (vmx_uses(FEATURE_PREEMPTION_TIMER))
		vmwrite(VMCS_PREEMPTION_TIMER, 0);
	else
		lapic_send_ipi(x->v.cpu->apic_id, HOST_VECTOR_KICK);
}

/* ---- exits ---- */

static enum debug_event event_of(const struct debug_hw *h)
{
	return h->access == DEBUG_EXECUTE ? DEBUG_HW_HIT : DEBUG_WATCH_HIT;
}

/* Which of the debugger's breakpoints struck; NULL: none. */
static const struct debug_hw *hit_of(const struct vmx_vcpu *x, uint64_t q)
{
	for (unsigned i = 0; x->debug.registers && i < DEBUG_HW; i++)
		if ((q & BIT(i)) && x->debug.plan.hw[i].used)
			return &x->debug.plan.hw[i];
	return NULL;
}

static bool debug_exception(struct vmx_vcpu *x)
{
	uint64_t q = vmread(VMCS_EXIT_QUALIFICATION), rest = q & (DR6_HITS | DR6_BD | PENDING_DB_BS);
	const struct debug_hw *hit = hit_of(x, q);
	bool step = (q & PENDING_DB_BS) && x->debug.armed, guest_tf = x->debug.guest_tf;

	if (!hit && !step)
		return false;
	if (x->debug.registers)
		rest &= ~(uint64_t)DR6_HITS;
	if (step && !guest_tf)
		rest &= ~PENDING_DB_BS;
	if (step) {
		disarm(x, true);
		stepped(x);
	}
	if (hit && hit->access == DEBUG_EXECUTE) /* a fault: the way on leads through the instruction */
		vmwrite(VMCS_GUEST_RFLAGS, vmread(VMCS_GUEST_RFLAGS) | RFLAGS_RF);
	if (hit)
		debug_hit(&x->v, event_of(hit), hit->address, hit->access);
	if (rest)
		vmx_raise_debug(x, rest);
	else
		vmwrite(VMCS_GUEST_PENDING_DB, 0);
	return true;
}

static bool breakpoint(struct vmx_vcpu *x)
{
	if (!debug_owns_int3(&x->v, code_address()))
		return false;
	debug_hit(&x->v, DEBUG_SOFT_HIT, vmread(VMCS_GUEST_RIP), DEBUG_EXECUTE);
	return true;
}

bool vmx_debug_exception(struct vmx_vcpu *x, uint32_t info)
{
	if (INTR_TYPE(info) == INTR_HARD_EXCEPTION && INTR_VECTOR(info) == VEC_DB)
		return debug_exception(x);
	return INTR_TYPE(info) == INTR_SOFT_EXCEPTION && INTR_VECTOR(info) == VEC_BP && breakpoint(x);
}

/* SDM volume 2, "MOV - Move to/from Debug Registers". The CPU has checked CPL. False: a fault is queued. */
static bool may_access(struct vmx_vcpu *x, unsigned *number)
{
	if (*number == 4 || *number == 5) {
		if (vmx_cr4(x) & CR4_DE) {
			vmx_inject(&x->v, VEC_UD, -1);
			return false;
		}
		*number += 2;
	}
	if (x->debug.guest_dr7 & DR7_GD) {
		vmx_raise_debug(x, DR6_BD);
		return false;
	}
	return true;
}

static uint64_t guest_dr(const struct vmx_vcpu *x, unsigned number)
{
	return number < DEBUG_HW ? x->debug.guest_dr[number] : number == 6 ? read_dr6() : x->debug.guest_dr7;
}

static bool set_guest_dr(struct vmx_vcpu *x, unsigned number, uint64_t value)
{
	if (number >= 6 && value >> 32) {
		vmx_inject(&x->v, VEC_GP, 0);
		return false;
	}
	if (number < DEBUG_HW)
		x->debug.guest_dr[number] = value;
	else if (number == 6)
		write_dr6(value | DR6_FIXED1);
	else
		x->debug.guest_dr7 = (value & DR7_WRITABLE) | DR7_FIXED1;
	return true;
}

/* SDM "Exit Qualification for MOV DR". RSP is in the VMCS. Only while the debugger has the debug registers. */
enum exit_result vmx_exit_mov_dr(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);
	uint64_t q = vmread(VMCS_EXIT_QUALIFICATION);
	unsigned number = q & 7, gpr = q >> 8 & 15;

	if (!may_access(x, &number))
		return EXIT_RESUME;
	if (q & BIT(4)) {
		uint64_t value = guest_dr(x, number);

		if (gpr == GPR_RSP)
			vmwrite(VMCS_GUEST_RSP, value);
		else
			v->gpr[gpr] = value;
	} else {
		uint64_t value = gpr == GPR_RSP ? vmread(VMCS_GUEST_RSP) : v->gpr[gpr];

		if (!set_guest_dr(x, number, vmx_in_long_mode() ? value : (uint32_t)value))
			return EXIT_RESUME;
	}
	vmx_skip_instruction();
	return EXIT_RESUME;
}

/* ---- plans ---- */

static void follow(struct vmx_vcpu *x)
{
	bool wants = x->debug.on && wants_registers(&x->debug.plan);

	if (wants && !x->debug.registers)
		take_registers(x);
	if (wants)
		load_debuggers(x);
	else if (x->debug.registers)
		return_registers(x);
	if (x->debug.plan.step)
		x->attention |= ATTENTION_STEP;
	else
		x->attention &= ~ATTENTION_STEP;
	set_bitmap(x);
}

/* A flag IF that the debugger has cleared ends the shadow of STI: SDM "Checks on Guest Non-Register State". */
static void settle(void)
{
	uint64_t state = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	if ((state & BLOCKING_STI) && !(vmread(VMCS_GUEST_RFLAGS) & RFLAGS_IF))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, state & ~BLOCKING_STI);
}

void vmx_debug(struct vcpu *v, const struct debug_plan *plan)
{
	struct vmx_vcpu *x = to_vmx(v);

	disarm(x, false);
	x->debug.landing = false;
	x->debug.on = plan != NULL;
	x->debug.plan = plan ? *plan : (struct debug_plan){ 0 };
	settle();
	follow(x);
}

void vmx_debug_reset(struct vmx_vcpu *x)
{
	struct debug_plan plan = x->debug.plan;
	bool on = x->v.debug != NULL;

	x->debug = (struct vmx_debug){ .on = on };
	if (!on)
		return;
	x->debug.plan = plan;
	follow(x);
}
