/* sources: hv/emulate/ hv/base/failure.c hv/base/format.c */
/*
 * The emulator against the CPU: random instructions of every form, with random registers, flags and
 * memory, are run by both; registers, defined flags and memory must come out the same.
 */
#define _GNU_SOURCE /* REG_RIP */
#include "hv/emulate/emulate.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cmocka.h>

#include "hv/base/x86.h"
#include "hv/emulate/opcodes.h"

#define ROUNDS 400000
#define STATUS_FLAGS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/* Memory both can reach with 32-bit addresses: code, registers, and data across a page boundary. */
#define DATA_BYTES 2048
struct arena {
	uint8_t code[PAGE_SIZE];
	uint64_t gpr[16], xmm[16][2], rflags, host_rsp;
	uint8_t padding[2 * PAGE_SIZE - 50 * 8 - DATA_BYTES / 2];
	uint8_t data[DATA_BYTES];
	uint8_t rest[PAGE_SIZE];
};

static struct arena *arena;
static uint8_t model[DATA_BYTES]; /* the emulator's copy of arena->data */
static unsigned long executed[OP_COUNT];
static uint64_t model_xmm[16][2];
static uint8_t *exit_code;   /* where the CPU goes on when the instruction faults */
static int fault_signal;     /* 0, or the signal it raised */
static unsigned faults[2];   /* divide errors, misaligned operands */
static unsigned fetch_limit; /* bytes of the first fetch, as if a page ended there */

static uint64_t state = 88172645463325252u;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static unsigned below(unsigned n) { return (unsigned)(next() >> 16) % n; }

/* ---- running on the CPU ---- */

static uint8_t *put(uint8_t *at, const void *bytes, size_t n)
{
	memcpy(at, bytes, n);
	return at + n;
}

/* An instruction whose last four bytes are the distance to target. */
static uint8_t *put_relative(uint8_t *at, const uint8_t *opcode, size_t n, const void *target)
{
	at = put(at, opcode, n);
	int32_t distance = (int32_t)((const uint8_t *)target - (at + 4));
	return put(at, &distance, 4);
}

static uint8_t *put_move(uint8_t *at, uint8_t opcode, unsigned reg)
{
	uint8_t bytes[3] = { reg & 8 ? 0x4c : 0x48, opcode, (uint8_t)((reg & 7) << 3 | 5) };

	return put_relative(at, bytes, 3, &arena->gpr[reg]);
}

static uint8_t *put_xmm_move(uint8_t *at, uint8_t opcode, unsigned xmm)
{
	uint8_t bytes[4] = { xmm & 8 ? 0x44 : 0x40, 0x0f, opcode, (uint8_t)((xmm & 7) << 3 | 5) };

	return put_relative(at, bytes, 4, arena->xmm[xmm]);
}

#define PUT(...) put(at, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
#define PUT_RELATIVE(target, ...)                                                                   \
	put_relative(at, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), target)

/* Saves what the ABI keeps, loads flags and registers; the instruction under test goes behind. */
static uint8_t *put_entry(void)
{
	uint8_t *at = arena->code;

	at = PUT(0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57, 0x9c);
	at = PUT_RELATIVE(&arena->host_rsp, 0x48, 0x89, 0x25); /* mov [host_rsp], rsp */
	for (unsigned xmm = 0; xmm < 16; xmm++)
		at = put_xmm_move(at, 0x10, xmm);
	at = PUT_RELATIVE(&arena->rflags, 0xff, 0x35);         /* push [rflags] */
	at = PUT(0x9d);
	for (unsigned reg = 0; reg < 16; reg++)
		if (reg != 4)
			at = put_move(at, 0x8b, reg);
	return put_move(at, 0x8b, 4);
}

static void put_exit(uint8_t *at)
{
	exit_code = at;
	for (unsigned xmm = 0; xmm < 16; xmm++)
		at = put_xmm_move(at, 0x11, xmm);
	for (unsigned reg = 0; reg < 16; reg++)
		at = put_move(at, 0x89, reg);
	at = PUT_RELATIVE(&arena->host_rsp, 0x48, 0x8b, 0x25);
	at = PUT(0x9c);
	at = PUT_RELATIVE(&arena->rflags, 0x8f, 0x05); /* pop [rflags] */
	PUT(0x9d, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3);
}

/* The instruction faulted: nothing of it happened, so what is there now is what the emulator must have. */
static void on_signal(int signal, siginfo_t *info, void *context)
{
	ucontext_t *c = context;

	(void)info;
	fault_signal = signal;
	c->uc_mcontext.gregs[REG_RIP] = (greg_t)exit_code;
}

/* On a stack of its own: rSP is random while the instruction runs. */
static void catch_faults(void)
{
	static uint8_t stack[65536];
	stack_t s = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigaltstack(&s, NULL);
	sigaction(SIGFPE, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
}

__attribute__((no_sanitize("undefined"))) static void run_on_cpu(void)
{
	void (*code)(void);

	fault_signal = 0;
	memcpy(&code, &(void *){ arena->code }, sizeof(code));
	code();
}

/* ---- running in the emulator ---- */

static uint8_t *cell(gva_t la, unsigned size)
{
	uint64_t offset = la - (uintptr_t)arena->data;

	return offset <= DATA_BYTES - size ? model + offset : NULL;
}

static uint8_t *find(struct emu_cpu *cpu, struct emu_addr at, unsigned size)
{
	assert_true(at.gpa == GPA_UNKNOWN || at.gpa == at.la); /* also of an upper half */
	cpu->reason = "outside";
	return cell(at.la, size);
}

static enum emu_result test_fetch(struct emu_cpu *cpu, gva_t la, uint8_t *bytes, unsigned max, unsigned *got)
{
	(void)cpu;
	*got = fetch_limit && fetch_limit < max ? fetch_limit : max;
	fetch_limit = 0;
	memcpy(bytes, (void *)la, *got);
	return EMU_DONE;
}

static enum emu_result test_read(struct emu_cpu *cpu, struct emu_addr at, unsigned size, uint64_t *value)
{
	uint8_t *p = find(cpu, at, size);

	if (!p)
		return EMU_UNSUPPORTED;
	*value = 0;
	memcpy(value, p, size);
	return EMU_DONE;
}

static enum emu_result test_write(struct emu_cpu *cpu, struct emu_addr at, unsigned size, uint64_t value)
{
	uint8_t *p = find(cpu, at, size);

	if (p)
		memcpy(p, &value, size);
	return p ? EMU_DONE : EMU_UNSUPPORTED;
}

static enum emu_result test_probe(struct emu_cpu *cpu, struct emu_addr *at, unsigned size)
{
	return find(cpu, *at, size) ? EMU_DONE : EMU_UNSUPPORTED;
}

static enum emu_result test_exchange(struct emu_cpu *cpu, struct emu_addr at, unsigned size, const uint64_t *old,
				     const uint64_t *value)
{
	uint8_t *p = find(cpu, at, size);

	if (!p)
		return EMU_UNSUPPORTED;
	assert_memory_equal(p, old, size);
	memcpy(p, value, size);
	return EMU_DONE;
}

static enum emu_result test_xmm_read(struct emu_cpu *cpu, unsigned xmm, uint64_t value[2])
{
	(void)cpu;
	memcpy(value, model_xmm[xmm], 16);
	return EMU_DONE;
}

static void test_xmm_write(struct emu_cpu *cpu, unsigned xmm, const uint64_t value[2])
{
	(void)cpu;
	memcpy(model_xmm[xmm], value, 16);
}

static void test_segment(struct emu_cpu *cpu, enum insn_segment segment, struct emu_segment *out)
{
	(void)cpu;
	(void)segment;
	(void)out;
	fail_msg("no segment is needed here");
}

static const struct emu_ops ops = { test_fetch, test_read, test_write, test_probe,
				    test_exchange, test_xmm_read, test_xmm_write, test_segment };

/* ---- one comparison ---- */

/* Any of the opcodes, with prefixes that make sense and a memory operand. */
static void make_bytes(uint8_t bytes[16])
{
	bool three = below(16) == 0, two = three || below(2);
	const struct opcode *table = three ? opcode_0f38 : two ? opcode_two_byte : opcode_one_byte;
	unsigned n = 0;
	uint8_t code;

	do
		code = (uint8_t)below(256);
	while (table[code].kind == KIND_OTHER || table[code].kind >= KIND_ESCAPE);
	for (unsigned i = 0; i < 16; i++)
		bytes[i] = (uint8_t)(next() >> 24);
	if (below(4) == 0)
		bytes[n++] = 0x66;
	if (below(4) == 0)
		bytes[n++] = 0x67;
	if ((table[code].kind == FORM_STRING || table[code].kind == KIND_PREFIXED) && below(2))
		bytes[n++] = 0xf2 + (uint8_t)below(2);
	else if (below(4) == 0)
		bytes[n++] = 0xf0;
	if (below(2))
		bytes[n++] = 0x40 | (uint8_t)below(16);
	if (two)
		bytes[n++] = 0x0f;
	if (three)
		bytes[n++] = 0x38;
	bytes[n++] = code;
	if (bytes[n] >= 0xc0)
		bytes[n] -= 0x40 << below(3);
}

/* Replaces the displacement, wherever it is, by one of the same size. */
static bool patch_displacement(uint8_t bytes[16], struct insn *in, int64_t wanted)
{
	unsigned size = in->addr_size == 8 && in->base == INSN_REG_NONE && in->length > 9 ? 8 : 4;

	for (unsigned at = 0; at + size <= in->length; at++) {
		uint8_t copy[16];
		struct insn trial;
		memcpy(copy, bytes, 16);
		memcpy(copy + at, &wanted, size);
		if (decode(copy, INSN_MAX_BYTES, CPU_MODE_64, &trial) == 0 && trial.disp == wanted &&
		    trial.length == in->length && trial.op == in->op && trial.base == in->base &&
		    trial.index == in->index && trial.imm == in->imm && trial.reg == in->reg) {
			memcpy(bytes, copy, 16);
			*in = trial;
			return true;
		}
	}
	return false;
}

static void set_address(uint64_t *gpr, unsigned addr_size, uint64_t value)
{
	*gpr = addr_size == 8 ? value : (*gpr << 32) | (uint32_t)value;
}

/* Registers or displacement such that the operand is at target. False when it cannot be. */
static bool aim(uint8_t bytes[16], struct insn *in, uint64_t *gpr, gva_t rip, gva_t target)
{
	uint64_t sum = in->index == INSN_REG_NONE ? 0 : gpr[in->index] << in->scale;

	if (in->base < 16) {
		if (in->base == in->index)
			return false;
		set_address(&gpr[in->base], in->addr_size, target - sum - (uint64_t)in->disp);
		return true;
	}
	if (in->index != INSN_REG_NONE) {
		set_address(&gpr[in->index], in->addr_size, below(1000));
		sum = (uint64_t)(in->addr_size == 8 ? gpr[in->index] : (uint32_t)gpr[in->index]) << in->scale;
	}
	if (in->base == INSN_REG_RIP)
		sum = rip + in->length;
	return patch_displacement(bytes, in, (int64_t)(target - sum));
}

static uint64_t random_value(void)
{
	static const uint64_t telling[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000u,
		                            0xffffffff, 0x7fffffffffffffff, 0x8000000000000000u, ~(uint64_t)0 };

	return below(3) == 0 ? telling[below(ARRAY_LEN(telling))] : next();
}

/* What the forms with addresses of their own need: strings, stack, bit strings. */
static void set_special(const struct insn *in, uint64_t *gpr, gva_t target)
{
	if (in->form == FORM_STRING) {
		set_address(&gpr[6], in->addr_size, target);
		set_address(&gpr[7], in->addr_size, (uintptr_t)arena->data + 900 + below(200));
		/* Count 0 makes no access, so it never ends in an exit; with 67h Intel's CPUs then clear
		 * high halves that the manual does not say they clear. */
		set_address(&gpr[1], in->addr_size, in->repeat ? 1 + below(100) : next());
	}
	/* A quotient that fits, mostly: the dividend's high half is zero or the low half's sign. */
	if (in->op == OP_DIV || in->op == OP_IDIV)
		gpr[2] = in->op == OP_IDIV && gpr[0] >> (8 * in->size - 1) & 1 ? ~(uint64_t)0 : below(4) / 3;
	if ((in->op == OP_DIV || in->op == OP_IDIV) && in->size == 1)
		gpr[0] = (gpr[0] & ~(uint64_t)0xff00) | (gpr[2] & 0xff) << 8;
	if (in->op == OP_PUSH || in->op == OP_POP)
		gpr[4] = target + 8 * below(8);
	if (in->op >= OP_BT && in->op <= OP_BTC && in->form == FORM_STORE)
		gpr[in->reg] = (gpr[in->reg] & ~(uint64_t)0xffff) | (uint16_t)(below(4000) - 2000);
	if (in->op >= OP_BT && in->op <= OP_BTC && in->size > 2)
		gpr[in->reg] = (uint64_t)(int64_t)(int16_t)gpr[in->reg];
}

static unsigned shift_count(const struct insn *in, const struct emu_cpu *before)
{
	uint64_t count = in->form == FORM_UNARY || in->form == FORM_STORE ? before->gpr[1] : in->imm;

	return count & (in->size == 8 ? 63 : 31);
}

static uint64_t defined_shift_flags(const struct insn *in, unsigned count)
{
	uint64_t defined = STATUS_FLAGS;

	if (count > 1)
		defined &= ~(uint64_t)RFLAGS_OF;
	if (in->op > OP_RCR && count > 0)
		defined &= ~(uint64_t)RFLAGS_AF;
	if ((in->op == OP_SHL || in->op == OP_SHR) && count >= 8u * in->size)
		defined &= ~(uint64_t)RFLAGS_CF;
	return defined;
}

static bool is_shift(const struct insn *in) { return in->op >= OP_ROL && in->op <= OP_SHRD; }

static uint64_t defined_flags(const struct insn *in, unsigned count)
{
	if (is_shift(in))
		return defined_shift_flags(in, count);
	switch (in->op) {
	case OP_MUL: case OP_IMUL: return RFLAGS_CF | RFLAGS_OF;
	case OP_DIV: case OP_IDIV: return 0;
	case OP_OR: case OP_AND: case OP_XOR: case OP_TEST: return STATUS_FLAGS & ~RFLAGS_AF;
	case OP_BT: case OP_BTS: case OP_BTR: case OP_BTC: return RFLAGS_CF | RFLAGS_ZF;
	default: return STATUS_FLAGS;
	}
}

static void fill_data(void)
{
	for (unsigned i = 0; i < DATA_BYTES; i += 8) {
		uint64_t value = random_value();
		memcpy(arena->data + i, &value, 8);
	}
	memcpy(model, arena->data, DATA_BYTES);
	for (unsigned i = 0; i < 32; i++)
		arena->xmm[i / 2][i % 2] = next();
	memcpy(model_xmm, arena->xmm, sizeof(model_xmm));
}

/* Bytes that differ are reported with the instruction that made them. */
static void compare(const struct emu_cpu *cpu, const struct insn *in, uint64_t defined)
{
	uint64_t flags = (cpu->rflags ^ arena->rflags) & (defined | RFLAGS_DF);
	bool good = flags == 0 && memcmp(model, arena->data, DATA_BYTES) == 0 &&
		    memcmp(model_xmm, arena->xmm, sizeof(model_xmm)) == 0;

	for (unsigned reg = 0; reg < 16; reg++) {
		if (cpu->gpr[reg] != arena->gpr[reg]) {
			printf("register %u is %lx, the CPU has %lx\n", reg, cpu->gpr[reg], arena->gpr[reg]);
			good = false;
		}
	}
	if (good)
		return;
	printf("%s:", insn_op_name(in->op));
	for (unsigned i = 0; i < in->length; i++)
		printf(" %02x", cpu->bytes[i]);
	fail_msg("differs: flags by %lx", flags);
}

static enum emu_result emulate_all(struct emu_cpu *cpu)
{
	enum emu_result result;

	do
		result = emulate_instruction(cpu);
	while (result == EMU_RETRY);
	return result;
}

static void init_cpu(struct emu_cpu *cpu, struct decode_cache *cache, uint64_t *gpr, gva_t rip)
{
	memset(cpu, 0, sizeof(*cpu));
	cpu->ops = &ops;
	cpu->cache = cache;
	cpu->gpr = gpr;
	cpu->rip = rip;
	cpu->rflags = (next() & (STATUS_FLAGS | RFLAGS_DF)) | RFLAGS_FIXED1 | RFLAGS_IF;
	cpu->mode = CPU_MODE_64;
	cpu->la_bits = 48;
	cpu->max_iterations = EMU_MAX_ITERATIONS;
	cpu->exit_gpa = GPA_UNKNOWN;
}

/* Half of the comparisons succeed. */
static void set_accumulator(const struct insn *in, uint64_t *gpr, gva_t target)
{
	if (below(2) || in->base == 0 || in->index == 0 || in->base == 2 || in->index == 2)
		return;
	if (in->op == OP_CMPXCHG)
		memcpy(&gpr[0], cell(target, 8), in->size);
	if (in->op == OP_CMPXCHG2) {
		memcpy(&gpr[0], cell(target, 16), in->size);
		memcpy(&gpr[2], cell(target, 16) + in->size, in->size);
	}
}

/* What a fault of the emulator is on the host; 0: another one than these instructions have. */
static int signal_of(const struct emu_cpu *cpu, const struct insn *in)
{
	if (cpu->fault.vector == VEC_DE && (in->op == OP_DIV || in->op == OP_IDIV))
		return SIGFPE;
	if (cpu->fault.vector == VEC_GP && (in->op == OP_XMOVA || (in->op == OP_CMPXCHG2 && in->size == 8)))
		return SIGSEGV;
	return 0;
}

/* Carries out bytes at target in both worlds. False when it cannot be aimed there. */
static bool compare_one(uint8_t bytes[16], struct insn *in, gva_t target)
{
	static struct decode_cache cache;
	uint8_t *entry_end = put_entry();
	uint64_t gpr[16];
	struct emu_cpu cpu;

	for (unsigned reg = 0; reg < 16; reg++)
		gpr[reg] = random_value();
	set_special(in, gpr, target);
	if (in->form != FORM_STRING && !aim(bytes, in, gpr, (uintptr_t)entry_end, target))
		return false;
	set_accumulator(in, gpr, target);
	put_exit(put(entry_end, bytes, in->length));
	init_cpu(&cpu, &cache, gpr, (uintptr_t)entry_end);
	if (below(2)) {
		cpu.exit_gpa = cpu.exit_la = target;
		cpu.exit_la_valid = cpu.exit_write = true;
	}
	fetch_limit = below(4) == 0 ? 1 + below(15) : 0;
	memcpy(arena->gpr, gpr, sizeof(gpr));
	arena->rflags = cpu.rflags;
	unsigned count = shift_count(in, &cpu);
	if (is_shift(in) && in->form != FORM_UNARY && in->op >= OP_SHLD && count > 8u * in->size)
		return false; /* the result is undefined */

	enum emu_result result = emulate_all(&cpu);
	bool goes_astray = in->op >= OP_BT && in->op <= OP_POP; /* by bit number, or as rSP is the base too */
	if (result == EMU_UNSUPPORTED || (result == EMU_FAULT && goes_astray))
		return false;
	run_on_cpu();
	assert_int_equal(fault_signal, result == EMU_DONE ? 0 : signal_of(&cpu, in));
	assert_int_equal(result, fault_signal ? EMU_FAULT : EMU_DONE);
	if (fault_signal)
		faults[fault_signal == SIGSEGV]++;
	assert_true(cpu.rip == (uintptr_t)entry_end + (result == EMU_DONE ? in->length : 0));
	compare(&cpu, in, result == EMU_DONE ? defined_flags(in, count) : STATUS_FLAGS);
	return result == EMU_DONE;
}

static void test_random(void **unused)
{
	uint8_t bytes[16];
	struct insn in;

	(void)unused;
	catch_faults(); /* here, as cmocka sets handlers of its own before a test */
	for (unsigned i = 0; i < ROUNDS; i++) {
		make_bytes(bytes);
		if (decode(bytes, INSN_MAX_BYTES, CPU_MODE_64, &in) != 0 || in.segment >= SEG_FS)
			continue;
		fill_data();
		/* A locked access across a cache line may be trapped by the host. */
		gva_t target = (uintptr_t)arena->data + 960 + below(128);
		if (in.lock || in.op == OP_XCHG)
			target &= ~(gva_t)7;
		if (in.mem_size == 16 && below(8))
			target &= ~(gva_t)15;
		if (compare_one(bytes, &in, target))
			executed[in.op]++;
	}
	for (unsigned op = 0; op < OP_COUNT; op++)
		if (executed[op] < 200)
			fail_msg("%s was carried out only %lu times", insn_op_name(op), executed[op]);
	assert_true(faults[0] > 100 && faults[1] > 100);
}

/* SIB's "disp32 alone" stays alone with REX.B and 67h, whatever Zydis 4.0 says. */
static void test_sib_without_base(void **unused)
{
	uint8_t bytes[16] = { 0x67, 0x41, 0x8b, 0x04, 0x25 };
	struct insn in;

	(void)unused;
	fill_data();
	assert_int_equal(decode(bytes, INSN_MAX_BYTES, CPU_MODE_64, &in), 0);
	assert_int_equal(in.base, INSN_REG_NONE);
	assert_true(compare_one(bytes, &in, (uintptr_t)arena->data + 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_sib_without_base), cmocka_unit_test(test_random) };

	arena = mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE | PROT_EXEC,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (arena == MAP_FAILED) {
		perror("no memory below 2 GiB");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
