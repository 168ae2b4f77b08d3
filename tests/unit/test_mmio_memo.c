/* sources: mmu/ hv/mmio_memo.c hv/bus.c hv/emulate/decode.c hv/emulate/opcodes.c hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c */
/*
 * Remembered device accesses: they do what the instruction says, and whatever the instruction's meaning
 * depends on, when it changes, sends the next exit the long way, with nothing done.
 */
#include "hv/mmio_memo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/frame.h"
#include "hv/base/phys.h"
#include "hv/base/x86.h"
#include "mmu/gpa.h"
#include "tests/unit/mmu_world.h"

#define RAM_PAGES 32u
#define PTE_FLAGS 0x67u /* present, writable, user, accessed, dirty */
#define CODE_PAGE 5u    /* of gva 0 */
#define DEVICE 0xfec00000ul /* of gva 1000h */
#define OTHER_DEVICE 0xfed00000ul
#define RIP 0x100ul
#define PLACE(rip) (((rip) ^ (rip) >> 4) % MMIO_MEMOS)
#define CS_AR 0xa09bu

static struct mmu mmu;
static struct mmu_vcpu mv;
static struct walk_cache walks;
static struct mmio_memos memos;
static struct decode_cache decoded;
static struct guest_paging regs;
static struct bus bus;
static struct vm vm;
static struct vcpu vcpu;
static struct failure why;
static hpa_t ram;
static uint32_t cs_ar;
static uint64_t done_at, device_value, device_at;
static unsigned device_size, accesses;

static void no_flush(void *ctx, const struct flush_range *range)
{
	(void)ctx;
	(void)range;
}

static uint64_t code_state(struct vcpu *v, struct guest_paging *g, uint32_t *ar)
{
	(void)v;
	*g = regs;
	*ar = cs_ar;
	return RIP;
}

static void instruction_done(struct vcpu *v, uint64_t rip)
{
	(void)v;
	done_at = rip;
}

static const struct backend backend = { .get_code_state = code_state, .instruction_done = instruction_done };

static uint64_t device_read(void *dev, uint64_t offset, unsigned size)
{
	(void)dev;
	device_at = offset;
	device_size = size;
	accesses++;
	return device_value;
}

static void device_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	device_read(dev, offset, size);
	device_value = value;
}

static const struct mmio_ops device_ops = { device_read, device_write };

/* The local APIC stands in as another device. */
uint32_t vlapic_mmio_read(struct vlapic *a, uint32_t offset)
{
	return (uint32_t)device_read(a, 0xa0000 + offset, 4);
}

void vlapic_mmio_write(struct vlapic *a, uint32_t offset, uint32_t value)
{
	device_write(a, 0xa0000 + offset, 4, value);
}

static uint64_t *entry_at(unsigned page, unsigned index)
{
	return (uint64_t *)phys_to_virt(ram + page * PAGE_SIZE) + index;
}

static uint8_t *code(void) { return (uint8_t *)phys_to_virt(ram + CODE_PAGE * PAGE_SIZE) + RIP; }

/* Page n is the table of level 5 - n for n = 1..4. */
static int start(void **state)
{
	struct mmu_config config = { .vm_id = WORLD_VM, .hpa_bits = 46, .gpa_bits = 46, .max_level = 3,
				     .flush = no_flush };

	(void)state;
	world_start();
	assert_int_equal(mmu_init(&mmu, &config, &why), 0);
	mmu_vcpu_init(&mv, &mmu);
	ram = frame_alloc_run(RAM_PAGES, 1, OWNER_VM(WORLD_VM));
	assert_int_equal(mmu_slot_add(&mmu, 0, RAM_PAGES, ram, 0, &why), 0);
	memset(phys_to_virt(ram), 0, RAM_PAGES * PAGE_SIZE);
	for (unsigned level = 1; level <= 3; level++)
		*entry_at(level, 0) = ((uint64_t)(level + 1) << PAGE_SHIFT) | PTE_FLAGS;
	*entry_at(4, 0) = CODE_PAGE << PAGE_SHIFT | PTE_FLAGS;
	*entry_at(4, 1) = DEVICE | PTE_FLAGS;
	regs = (struct guest_paging){ .cr0 = CR0_PE | CR0_PG | CR0_WP, .cr3 = 0x1000, .cr4 = CR4_PAE,
				      .efer = EFER_LMA | EFER_LME | EFER_NXE, .maxphyaddr = 46, .page_1g = true };
	cs_ar = CS_AR;
	memset(&walks, 0, sizeof walks);
	memset(&memos, 0, sizeof memos);
	memset(&decoded, 0, sizeof decoded);
	bus_init(&bus);
	assert_int_equal(bus_add_mmio(&bus, DEVICE, PAGE_SIZE, &device_ops, NULL, "device", &why), 0);
	vm = (struct vm){ .backend = &backend, .mmu = &mmu, .bus = &bus };
	memset(&vcpu, 0, sizeof vcpu);
	vcpu.vm = &vm;
	vcpu.mmu = &mv;
	vcpu.walks = &walks;
	vcpu.memos = &memos;
	vcpu.decoded = &decoded;
	vcpu.lapic.apic_base = 0xfee00000 | VLAPIC_BASE_EN;
	vcpu.gpr[GPR_RBX] = 0x1010;
	accesses = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	mmu_vcpu_destroy(&mv);
	mmu_destroy(&mmu);
	frame_free_run(ram, RAM_PAGES, OWNER_VM(WORLD_VM));
	world_end();
	return 0;
}

/* As after the emulator has carried it out once. */
static void keep(const char *bytes, unsigned len)
{
	uint8_t buffer[16] = { 0 };
	const struct insn *in;

	memcpy(buffer, bytes, len);
	memset(buffer + len, 0x90, sizeof buffer - len);
	memcpy(code(), buffer, sizeof buffer);
	assert_int_equal(decode_cached(&decoded, RIP, buffer, 15, CPU_MODE_64, &in), 0);
	mmio_memo_keep(&vcpu, &regs, cs_ar, RIP);
}

#define KEEP(bytes) keep(bytes, sizeof(bytes) - 1)
#define STORE_EAX "\x89\x03"  /* mov %eax, (%rbx) */
#define LOAD_EAX "\x8b\x03"   /* mov (%rbx), %eax */

static bool repeats(gpa_t gpa)
{
	unsigned before = accesses;
	bool done;

	done_at = 0;
	done = mmio_memo_repeat(&vcpu, gpa);
	assert_int_equal(accesses - before, done);
	assert_int_equal(done_at != 0, done);
	return done;
}

static bool writes(gva_t gva, gpa_t gpa)
{
	bool done;

	done_at = 0;
	done = mmio_memo_write(&vcpu, gva, gpa);
	assert_int_equal(done_at != 0, done);
	return done;
}

/* A write whose page the exit has walked already: to any page, but by the code as it is, and where the exit was. */
static void writes_to_memory(void **state)
{
	const gpa_t first = (CODE_PAGE + 1) * PAGE_SIZE, second = first + PAGE_SIZE;
	uint8_t *page = phys_to_virt(ram + first);

	(void)state;
	*entry_at(4, 2) = first | PTE_FLAGS;
	*entry_at(4, 3) = second | PTE_FLAGS;
	vcpu.gpr[GPR_RAX] = 0x1122334455667788;
	vcpu.gpr[GPR_RBX] = 0x2010;
	KEEP(STORE_EAX);
	assert_true(writes(0x2010, first + 0x10) && done_at == RIP + 2);
	assert_true(*(uint64_t *)(void *)(page + 0x10) == 0x55667788);
	vcpu.gpr[GPR_RBX] = 0x3ffc;
	assert_true(writes(0x3ffc, second + 0xffc));
	assert_true(*(uint32_t *)(void *)(page + PAGE_SIZE + 0xffc) == 0x55667788);
	vcpu.gpr[GPR_RBX] = 0x3ffe; /* reaches into the next page */
	assert_false(writes(0x3ffe, second + 0xffe));
	vcpu.gpr[GPR_RBX] = 0x2010;
	assert_false(writes(0x2018, first + 0x18));
	assert_false(writes(0x2010, RAM_PAGES * PAGE_SIZE + 0x10));
	code()[1] = 0x0b; /* mov %ecx, (%rbx) */
	assert_false(writes(0x2010, first + 0x10));
	KEEP(LOAD_EAX);
	assert_false(writes(0x2010, first + 0x10));
}

static void carries_out_moves(void **state)
{
	(void)state;
	vcpu.gpr[GPR_RAX] = 0x1122334455667788;
	KEEP(STORE_EAX);
	assert_true(repeats(DEVICE + 0x10));
	assert_true(device_value == 0x55667788 && device_at == 0x10 && device_size == 4 && done_at == RIP + 2);
	device_value = 0xcafef00d;
	KEEP(LOAD_EAX);
	assert_true(repeats(DEVICE + 0x10));
	assert_true(vcpu.gpr[GPR_RAX] == 0xcafef00d && done_at == RIP + 2);
	KEEP("\xc7\x43\x04\xef\xbe\xad\xde"); /* movl $0xdeadbeef, 4(%rbx) */
	assert_true(repeats(DEVICE + 0x14));
	assert_true(device_value == 0xdeadbeef && device_at == 0x14 && done_at == RIP + 7);
	device_value = 0x77;
	vcpu.gpr[GPR_RAX] = 0x1111;
	KEEP("\x8a\x23"); /* mov (%rbx), %ah */
	assert_true(repeats(DEVICE + 0x10));
	assert_true(vcpu.gpr[GPR_RAX] == 0x7711 && device_size == 1);
	vcpu.gpr[GPR_RCX] = 4;
	KEEP("\x48\x89\x44\x8b\x08"); /* mov %rax, 8(%rbx,%rcx,4) */
	assert_true(repeats(DEVICE + 0x28));
	assert_true(device_value == 0x7711 && device_size == 8);
}

static void local_apic_is_the_vcpus(void **state)
{
	(void)state;
	*entry_at(4, 1) = 0xfee00000 | PTE_FLAGS;
	vcpu.gpr[GPR_RBX] = 0x1320;
	KEEP(STORE_EAX);
	assert_true(repeats(0xfee00320));
	assert_int_equal(device_at, 0xa0320);
}

static void nothing_is_known_at_first(void **state)
{
	(void)state;
	assert_false(repeats(DEVICE + 0x10));
	KEEP(STORE_EAX);
	memos.memo[PLACE(RIP)].rip = RIP + 1;
	assert_false(repeats(DEVICE + 0x10));
}

/* One more that wants the same place, and yet one more. */
static void two_share_a_place(void **state)
{
	(void)state;
	KEEP(STORE_EAX);
	memos.memo[PLACE(RIP)].rip = RIP + 1;
	KEEP(STORE_EAX);
	assert_true(repeats(DEVICE + 0x10));
	assert_true(memos.memo[PLACE(RIP) ^ 1].rip == RIP + 1);
	memos.memo[PLACE(RIP) ^ 1] = memos.memo[PLACE(RIP)];
	memos.memo[PLACE(RIP)].rip = RIP + 2;
	assert_true(repeats(DEVICE + 0x10));
	memos.memo[PLACE(RIP) ^ 1].rip = RIP + 1;
	assert_false(repeats(DEVICE + 0x10));
}

static void registers_that_matter(void **state)
{
	uint64_t *const fields[] = { &regs.cr0, &regs.cr3, &regs.cr4, &regs.efer, &regs.rflags };
	static const uint64_t bits[] = { CR0_WP, 0x2000, CR4_SMEP, EFER_NXE, RFLAGS_AC };

	(void)state;
	KEEP(STORE_EAX);
	for (unsigned i = 0; i < ARRAY_LEN(bits); i++) {
		*fields[i] ^= bits[i];
		assert_false(repeats(DEVICE + 0x10));
		*fields[i] ^= bits[i];
		assert_true(repeats(DEVICE + 0x10));
	}
	regs.cpl = 3;
	assert_false(repeats(DEVICE + 0x10));
	regs.cpl = 0;
	cs_ar ^= BIT(13); /* no longer 64-bit code */
	assert_false(repeats(DEVICE + 0x10));
	cs_ar = CS_AR;
	regs.rflags |= RFLAGS_RF; /* as the CPU saves it at such an exit; instruction_done clears it */
	assert_true(repeats(DEVICE + 0x10));
}

/* Another process: the same kernel below another root. And one that has another table there, or none at all. */
static void another_root(void **state)
{
	static const char *const moves[] = { STORE_EAX, LOAD_EAX };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(moves); i++) {
		regs.cr3 = 0x1000;
		*entry_at(6, 0) = 0;
		keep(moves[i], 2);
		regs.cr3 = 0x6000;
		assert_false(repeats(DEVICE + 0x10));
		*entry_at(6, 0) = *entry_at(1, 0);
		assert_true(repeats(DEVICE + 0x10));
		*entry_at(6, 0) ^= BIT(9);
		assert_false(repeats(DEVICE + 0x10));
		*entry_at(1, 0) ^= BIT(9); /* of the root before */
		*entry_at(6, 0) ^= BIT(9);
		assert_true(repeats(DEVICE + 0x10));
		regs.cr3 = 0x1005; /* with a PCID */
		assert_false(repeats(DEVICE + 0x10));
		*entry_at(1, 0) ^= BIT(9);
		assert_true(repeats(DEVICE + 0x10));
		regs.cr3 = RAM_PAGES * PAGE_SIZE;
		assert_false(repeats(DEVICE + 0x10));
	}
}

/* The code is the same under another root, and the data is not: nothing becomes that root's. */
static void another_root_in_part(void **state)
{
	const gva_t high = BIT(39);

	(void)state;
	*entry_at(1, 1) = *entry_at(1, 0);
	*entry_at(6, 0) = *entry_at(1, 0);
	*entry_at(6, 1) = 7 * PAGE_SIZE | PTE_FLAGS;
	vcpu.gpr[GPR_RBX] = high + 0x1010;
	KEEP(STORE_EAX);
	assert_true(repeats(DEVICE + 0x10));
	regs.cr3 = 0x6000;
	assert_false(repeats(DEVICE + 0x10));
	assert_false(repeats(DEVICE + 0x10));
	regs.cr3 = 0x1000;
	assert_true(repeats(DEVICE + 0x10));
	regs.cr3 = 0x6000;
	*entry_at(6, 1) = *entry_at(1, 0);
	assert_true(repeats(DEVICE + 0x10));
}

static void tables_and_code_that_matter(void **state)
{
	(void)state;
	KEEP(STORE_EAX);
	for (unsigned page = 1; page <= 4; page++) {
		*entry_at(page, 0) ^= BIT(9); /* a bit that the CPU ignores is a change all the same */
		assert_false(repeats(DEVICE + 0x10));
		*entry_at(page, 0) ^= BIT(9);
		assert_true(repeats(DEVICE + 0x10));
	}
	*entry_at(4, 1) &= ~BIT(1); /* the device's page is read-only now: the write must fault */
	assert_false(repeats(DEVICE + 0x10));
	*entry_at(4, 1) |= BIT(1);
	code()[1] ^= 0x08; /* another register */
	assert_false(repeats(DEVICE + 0x10));
	code()[1] ^= 0x08;
	code()[2] ^= 0xff; /* the next instruction's */
	assert_true(repeats(DEVICE + 0x10));
}

static void slots_that_change_void_it(void **state)
{
	(void)state;
	KEEP(STORE_EAX);
	assert_int_equal(mmu_slot_add(&mmu, 0x1000, 1, ram, 0, &why), 0);
	assert_false(repeats(DEVICE + 0x10));
	KEEP(STORE_EAX);
	assert_true(repeats(DEVICE + 0x10));
}

static void operands_that_are_not_the_access(void **state)
{
	(void)state;
	KEEP(STORE_EAX);
	assert_false(repeats(DEVICE + 0x14));
	assert_false(repeats(OTHER_DEVICE + 0x10)); /* whose page the guest's tables do not lead to */
	vcpu.gpr[GPR_RBX] = 0x2010;
	assert_false(repeats(DEVICE + 0x10));
	vcpu.gpr[GPR_RBX] = 0x1ffe;
	assert_false(repeats(DEVICE + 0xffe)); /* reaches into the next page */
	KEEP(LOAD_EAX);
	assert_false(repeats(DEVICE + 0xffe));
	vcpu.gpr[GPR_RBX] = 0x1ffc;
	assert_true(repeats(DEVICE + 0xffc));
}

static void what_is_not_kept(void **state)
{
	(void)state;
	KEEP("\x09\x03"); /* or %eax, (%rbx) */
	assert_false(repeats(DEVICE + 0x10));
	KEEP("\x64\x89\x03"); /* mov %eax, %fs:(%rbx) */
	assert_false(repeats(DEVICE + 0x10));
	vcpu.gpr[GPR_RSP] = 0x1010;
	KEEP("\x89\x04\x24"); /* mov %eax, (%rsp): the back end has RSP */
	assert_false(repeats(DEVICE + 0x10));
	*entry_at(4, 1) &= ~BIT(1);
	KEEP(STORE_EAX);
	assert_false(repeats(DEVICE + 0x10));
	*entry_at(4, 1) |= BIT(1);
	KEEP(STORE_EAX);
	assert_true(repeats(DEVICE + 0x10));
}

/* Keys are asked for writes to user pages alone, and not remembered then. */
static void protection_keys(void **state)
{
	(void)state;
	regs.cr4 |= CR4_PKE;
	regs.pkru = 0x55555554;
	KEEP(STORE_EAX);
	assert_false(repeats(DEVICE + 0x10));
	KEEP(LOAD_EAX);
	assert_true(repeats(DEVICE + 0x10));
	*entry_at(4, 1) &= ~BIT(2);
	KEEP(STORE_EAX);
	assert_true(repeats(DEVICE + 0x10));
	*entry_at(4, 1) |= BIT(2);
	assert_false(repeats(DEVICE + 0x10));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(carries_out_moves), TEST(local_apic_is_the_vcpus), TEST(nothing_is_known_at_first),
		TEST(two_share_a_place), TEST(writes_to_memory),
		TEST(registers_that_matter), TEST(another_root), TEST(another_root_in_part),
		TEST(tables_and_code_that_matter), TEST(slots_that_change_void_it),
		TEST(operands_that_are_not_the_access), TEST(what_is_not_kept), TEST(protection_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
