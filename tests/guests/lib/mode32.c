/*
 * The 32-bit IDT, the stack for ring 3's faults, and the call of lib/mode32.S.
 */
#include "tests/guests/lib/mode32.h"

#include "hv/base/x86.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/trap.h"

#define GATE32 0x8e00ul
#define STACK_SIZE 4096

void mode32_run(struct mode32 *m);
extern const uint8_t mode32_ud[], mode32_gp[], mode32_pf[];
extern uint64_t mode32_idt[15];

uint64_t mode32_idt[15];

static uint8_t stack[STACK_SIZE] __attribute__((aligned(16)));

static uint64_t gate(const uint8_t *handler)
{
	uint64_t at = (uint64_t)handler;

	return (at & 0xffff) | (uint64_t)SEL_CODE32 << 16 | GATE32 << 32 | (at >> 16) << 48;
}

/* Outside 64-bit mode the CPU reads the TSS as a 32-bit one: ESP0 and SS0 are where RSP0's halves lie. */
void mode32(struct mode32 *m, struct op32 *ops, unsigned count)
{
	uint64_t rsp0 = trap_tss.rsp[0];

	mode32_idt[VEC_UD] = gate(mode32_ud);
	mode32_idt[VEC_GP] = gate(mode32_gp);
	mode32_idt[VEC_PF] = gate(mode32_pf);
	trap_tss.rsp[0] = (uint64_t)(stack + STACK_SIZE) | (uint64_t)SEL_DATA << 32;
	m->ops = (uint32_t)(uint64_t)ops;
	m->count = count;
	mode32_run(m);
	trap_tss.rsp[0] = rsp0;
	trap_load();
}
