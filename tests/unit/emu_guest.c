/* The guest that tests of the emulator share. */
#include "tests/unit/emu_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/x86.h"

struct guest g;

static enum emu_result page_fault(struct emu_cpu *cpu, gva_t la, uint32_t error_code)
{
	cpu->fault = (struct emu_fault){ .vector = VEC_PF, .has_error_code = true, .error_code = error_code,
		                         .cr2 = la };
	return EMU_FAULT;
}

/* Walks every page that the access touches. */
static enum emu_result reach(struct emu_cpu *cpu, struct emu_addr at, unsigned size, bool write)
{
	if (at.gpa != GPA_UNKNOWN) {
		assert_true(at.gpa + size <= MEMORY);
		return EMU_DONE;
	}
	g.walks++;
	for (gva_t la = at.la; la < at.la + size; la++) {
		if (la >= MEMORY || g.absent[la >> PAGE_SHIFT])
			return page_fault(cpu, la, write ? 2 : 0);
		if (write && g.read_only[la >> PAGE_SHIFT])
			return page_fault(cpu, la, 3);
	}
	return EMU_DONE;
}

static enum emu_result guest_fetch(struct emu_cpu *cpu, gva_t la, uint8_t *bytes, unsigned max, unsigned *got)
{
	uint64_t left = PAGE_SIZE - (la & PAGE_MASK);

	g.fetches++;
	if (la >= MEMORY || g.absent[la >> PAGE_SHIFT])
		return page_fault(cpu, la, 0x10);
	*got = max < left ? max : (unsigned)left;
	memcpy(bytes, g.memory + la, *got);
	return EMU_DONE;
}

static gva_t where(struct emu_addr at) { return at.gpa == GPA_UNKNOWN ? at.la : at.gpa; }

static enum emu_result guest_read(struct emu_cpu *cpu, struct emu_addr at, unsigned size, uint64_t *value)
{
	enum emu_result result = reach(cpu, at, size, false);

	if (result != EMU_DONE)
		return result;
	g.reads++;
	*value = 0;
	memcpy(value, g.memory + where(at), size);
	if (where(at) >> PAGE_SHIFT == DEVICE_PAGE) {
		g.device_reads++;
		*value = g.device_value << (64 - 8 * size) >> (64 - 8 * size);
	}
	return EMU_DONE;
}

static enum emu_result guest_write(struct emu_cpu *cpu, struct emu_addr at, unsigned size, uint64_t value)
{
	enum emu_result result = reach(cpu, at, size, true);

	if (result != EMU_DONE)
		return result;
	g.writes++;
	memcpy(g.memory + where(at), &value, size);
	if (where(at) >> PAGE_SHIFT == DEVICE_PAGE)
		g.device_written = value;
	return EMU_DONE;
}

static enum emu_result guest_probe(struct emu_cpu *cpu, struct emu_addr *at, unsigned size)
{
	assert_true(at->gpa == GPA_UNKNOWN);
	return reach(cpu, *at, size, true);
}

static enum emu_result guest_exchange(struct emu_cpu *cpu, struct emu_addr at, unsigned size, const uint64_t *old,
				      const uint64_t *value)
{
	(void)old;
	g.exchanges++;
	if (g.exchange_fails)
		return EMU_RETRY;
	if (size < 16)
		return guest_write(cpu, at, size, value[0]);
	guest_write(cpu, at, 8, value[0]);
	at.la += 8;
	at.gpa += at.gpa == GPA_UNKNOWN ? 0 : 8;
	return guest_write(cpu, at, 8, value[1]);
}

static enum emu_result guest_xmm_read(struct emu_cpu *cpu, unsigned xmm, uint64_t value[2])
{
	if (g.xmm_forbidden) {
		cpu->fault = (struct emu_fault){ .vector = VEC_NM };
		return EMU_FAULT;
	}
	memcpy(value, g.xmm[xmm], sizeof(g.xmm[xmm]));
	return EMU_DONE;
}

static void guest_xmm_write(struct emu_cpu *cpu, unsigned xmm, const uint64_t value[2])
{
	(void)cpu;
	memcpy(g.xmm[xmm], value, sizeof(g.xmm[xmm]));
}

static void guest_segment(struct emu_cpu *cpu, enum insn_segment segment, struct emu_segment *out)
{
	(void)cpu;
	g.segment_calls++;
	*out = g.segments[segment];
}

static const struct emu_ops ops = { guest_fetch, guest_read, guest_write, guest_probe,
				    guest_exchange, guest_xmm_read, guest_xmm_write, guest_segment };

int guest_setup(void **state)
{
	(void)state;
	memset(&g, 0, sizeof(g));
	for (unsigned i = 0; i < 6; i++)
		g.segments[i] = (struct emu_segment){ 0, 0xffffffff, 0xc093 };
	g.segments[SEG_CS].rights = 0xc09b;
	g.cpu = (struct emu_cpu){ .ops = &ops, .cache = &g.cache, .gpr = g.gpr, .rip = CODE, .rflags = 2,
		                  .mode = CPU_MODE_64, .la_bits = 48, .exit_gpa = GPA_UNKNOWN,
		                  .max_iterations = EMU_MAX_ITERATIONS };
	g.device_value = 0x1122334455667788u;
	return 0;
}

enum emu_result guest_run(const uint8_t *bytes, size_t n)
{
	memcpy(g.memory + g.cpu.rip, bytes, n);
	memcpy(g.before, g.gpr, sizeof(g.before));
	return emulate_instruction(&g.cpu);
}
