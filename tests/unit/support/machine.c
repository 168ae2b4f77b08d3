/* Privileged instructions in host tests: decoded and carried out in the handler of SIGSEGV. */
#define _GNU_SOURCE
#include "tests/unit/support/machine.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

sigjmp_buf test_machine_end;

static struct test_machine machine;
static greg_t *regs;

static void put_edx_eax(uint64_t value)
{
	regs[REG_RAX] = (greg_t)(value & UINT32_MAX);
	regs[REG_RDX] = (greg_t)(value >> 32);
}

static uint64_t edx_eax(void)
{
	return (uint64_t)regs[REG_RDX] << 32 | (uint32_t)regs[REG_RAX];
}

static void do_in(uint16_t port, unsigned size)
{
	uint64_t mask = size == 4 ? UINT32_MAX : BIT(8 * size) - 1;
	uint64_t value = machine.in(port, size) & mask;

	regs[REG_RAX] = size == 4 ? (greg_t)value : (greg_t)(((uint64_t)regs[REG_RAX] & ~mask) | value);
}

static void do_out(uint16_t port, unsigned size)
{
	uint32_t mask = size == 4 ? UINT32_MAX : (uint32_t)BIT(8 * size) - 1;

	machine.out(port, size, (uint32_t)regs[REG_RAX] & mask);
}

/* IN and OUT: E4h to E7h with an immediate port, ECh to EFh with DX; odd: not a byte; bit 1: out. */
static unsigned port_access(const uint8_t *code, unsigned prefix)
{
	uint8_t op = code[prefix];
	bool by_dx = op >= 0xec;
	uint16_t port = by_dx ? (uint16_t)regs[REG_RDX] : code[prefix + 1];
	unsigned size = !(op & 1) ? 1 : prefix ? 2 : 4;

	if (op & 2 ? !machine.out : !machine.in)
		return 0;
	if (op & 2)
		do_out(port, size);
	else
		do_in(port, size);
	return prefix + (by_dx ? 1 : 2);
}

/* MOV between CR2 and a general register: 20h reads, 22h writes. */
static unsigned cr2_access(const uint8_t *code, unsigned rex)
{
	static const int gregs[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				       REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
	uint8_t op = code[rex + 1], modrm = code[rex + 2];
	greg_t *reg = &regs[gregs[(modrm & 7) | (rex && (code[0] & 1) ? 8 : 0)]];

	if (!machine.cr2 || (modrm >> 3 & 7) != 2)
		return 0;
	if (op == 0x20)
		*reg = (greg_t)*machine.cr2;
	else
		*machine.cr2 = (uint64_t)*reg;
	return rex + 3;
}

/* Length of the instruction carried out, 0 for what is not known. */
static unsigned carry_out(const uint8_t *code)
{
	unsigned prefix = code[0] == 0x66, rex = (code[0] & 0xf0) == 0x40;
	uint8_t op = code[prefix];

	if (code[rex] == 0x0f && (code[rex + 1] == 0x20 || code[rex + 1] == 0x22))
		return cr2_access(code, rex);
	if ((op >= 0xe4 && op <= 0xe7) || (op >= 0xec && op <= 0xef))
		return port_access(code, prefix);
	if (op == 0xfa || op == 0xfb)
		return 1;
	if (op == 0xf4)
		siglongjmp(test_machine_end, 'h');
	if (op != 0x0f)
		return 0;
	if (code[1] == 0x01 && (code[2] >> 3 & 7) == 3)
		siglongjmp(test_machine_end, 'l');
	if (code[1] == 0x32 && machine.rdmsr)
		put_edx_eax(machine.rdmsr((uint32_t)regs[REG_RCX]));
	else if (code[1] == 0x30 && machine.wrmsr)
		machine.wrmsr((uint32_t)regs[REG_RCX], edx_eax());
	else
		return 0;
	return 2;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	unsigned length;

	(void)info;
	regs = u->uc_mcontext.gregs;
	length = carry_out((const uint8_t *)(uintptr_t)regs[REG_RIP]);
	if (!length) {
		signal(number, SIG_DFL); /* strikes again, for good */
		return;
	}
	regs[REG_RIP] += length;
}

void test_machine_start(const struct test_machine *m)
{
	struct sigaction action;

	machine = *m;
	memset(&action, 0, sizeof(action));
	action.sa_sigaction = on_fault;
	action.sa_flags = SA_SIGINFO | SA_NODEFER;
	sigaction(SIGSEGV, &action, NULL);
}
