/*
 * Start and stop of the other CPUs. Owns the trampoline page while CPUs are started, and the
 * request that NMIs carry out.
 */
#include "hv/base/smp.h"

#include <string.h>

#include "drivers/lapic.h"
#include "hv/base/clock.h"
#include "hv/base/frame.h"
#include "hv/base/log.h"
#include "hv/base/machine.h"
#include "hv/base/map.h"
#include "hv/base/phys.h"
#include "hv/base/spin.h"
#include "hv/base/x86.h"

/* SDM vol. 3A, "MP Initialization Protocol": 10 ms after INIT, 200 us after the first SIPI. */
#define INIT_WAIT_US 10000
#define SIPI_WAIT_US 200
#define ANSWER_WAIT_US 1000000
#define STOP_WAIT_US 100000
#define TSC_SAMPLES 16
#define TSC_WAIT_US 10000
#define TSC_BOUND_NS 1000
#define XAPIC_MAX_ID 254
#define NOBODY UINT32_MAX /* wants the stop: not one of cpus[] */

enum ap_state { AP_WAITED_FOR, AP_ALIVE, AP_GIVEN_UP };

/* One page per started CPU. */
struct ap {
	struct cpu cpu;
	struct cpu_machine machine;
	uint32_t state; /* enum ap_state, atomic */
};

extern const char trampoline_start[], trampoline_data[], trampoline_end[];
extern const char trampoline_gdt_base[], trampoline_jump32[], trampoline_jump64[];

static void (*ap_main_fn)(struct cpu *c);
/* The boot CPU asks a CPU it has just started for its TSC. A question names the CPU in its upper half. */
static struct {
	uint64_t asked, answered; /* atomic: the last question, and the last that tsc answers */
	uint64_t tsc;
} tsc_exchange;
static uint32_t released; /* cpus[] is final: CPUs may go on */

static uint32_t stop_wanted;
static uint64_t stopped; /* atomic: a bit per CPU */
static void (*stop_fn)(void);

static void delay_us(uint64_t us)
{
	uint64_t end = rdtsc() + tsc_khz * us / 1000;

	while (rdtsc() < end)
		cpu_pause();
}

static bool wait_state(const struct ap *ap, uint64_t us)
{
	uint64_t end = rdtsc() + tsc_khz * us / 1000;

	while (__atomic_load_n(&ap->state, __ATOMIC_ACQUIRE) != AP_ALIVE) {
		if (rdtsc() > end)
			return false;
		cpu_pause();
	}
	return true;
}

NORETURN static void halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* RDTSC waits for nothing: it could be carried out before the load whose time it tells. */
static uint64_t tsc_now(void)
{
	__asm__ volatile("lfence" : : : "memory");
	return rdtsc();
}

static void answer_tsc(const struct cpu *c)
{
	uint64_t question = __atomic_load_n(&tsc_exchange.asked, __ATOMIC_ACQUIRE);

	if (question >> 32 != c->index || question == tsc_exchange.answered)
		return;
	tsc_exchange.tsc = tsc_now();
	__atomic_store_n(&tsc_exchange.answered, question, __ATOMIC_RELEASE);
}

static bool ask_tsc(uint32_t index, uint32_t n, struct tsc_sample *s)
{
	uint64_t question = (uint64_t)index << 32 | n, end;

	s->before = tsc_now();
	end = s->before + tsc_khz * TSC_WAIT_US / 1000;
	__atomic_store_n(&tsc_exchange.asked, question, __ATOMIC_RELEASE);
	while (__atomic_load_n(&tsc_exchange.answered, __ATOMIC_ACQUIRE) != question)
		if (rdtsc() > end)
			return false;
	s->after = tsc_now();
	s->theirs = tsc_exchange.tsc;
	return true;
}

/* Gnomon takes the TSC as it is: guests get one offset for all their vCPUs. */
static void check_tsc(uint32_t index)
{
	struct tsc_sample samples[TSC_SAMPLES];
	uint64_t error, apart;
	int64_t offset;

	for (uint32_t i = 0; i < TSC_SAMPLES; i++)
		if (!ask_tsc(index, i + 1, &samples[i])) {
			log_warn("cpu: %u does not tell its TSC within %u us", index, TSC_WAIT_US);
			return;
		}
	offset = clock_offset(samples, TSC_SAMPLES, &error);
	apart = (uint64_t)(offset < 0 ? -offset : offset);
	if (apart > error && tsc_to_ns(apart - error) > TSC_BOUND_NS)
		log_warn("cpu: the TSC of CPU %u is %lu ns %s the boot CPU's: a guest's time steps by as much from "
			 "vCPU to vCPU, and its timers may be late; a newer firmware may set the TSCs alike",
			 index, tsc_to_ns(apart), offset < 0 ? "behind" : "ahead of");
}

/* First C code of a started CPU, on its own stack and the hypervisor's tables. */
static void ap_enter(struct cpu *c)
{
	struct ap *ap = CONTAINER_OF(c, struct ap, cpu);
	uint32_t waited_for = AP_WAITED_FOR;

	write_cr3(map_root());
	machine_load_cpu(c);
	lapic_init_cpu();
	if (lapic_id() != c->apic_id ||
	    !__atomic_compare_exchange_n(&ap->state, &waited_for, AP_ALIVE, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		halt(); /* another CPU's late answer, or this one's */
	while (!__atomic_load_n(&released, __ATOMIC_ACQUIRE)) {
		answer_tsc(c);
		cpu_pause();
	}
	ap_main_fn(c);
	halt();
}

static void patch(uint8_t *page, const char *label, uint32_t add)
{
	uint32_t *at = (uint32_t *)(page + (label - trampoline_start));

	*at += add;
}

/* Copies the trampoline and points its jumps and its GDT at where it is. */
static struct ap_start *prepare_page(hpa_t page, hpa_t root)
{
	uint8_t *at = phys_to_virt(page);
	struct ap_start *start = (struct ap_start *)(at + (trampoline_data - trampoline_start));

	memcpy(at, trampoline_start, (size_t)(trampoline_end - trampoline_start));
	patch(at, trampoline_gdt_base, (uint32_t)page);
	patch(at, trampoline_jump32, (uint32_t)page);
	patch(at, trampoline_jump64, (uint32_t)page);
	*start = (struct ap_start){ .cr0 = machine_cr0(), .cr3 = root, .cr4 = machine_cr4(),
				    .efer = EFER_LME | EFER_NXE, .entry = (uint64_t)ap_enter };
	return start;
}

static void free_stacks(void *const stacks[IST_COUNT])
{
	for (unsigned i = 0; i < IST_COUNT; i++)
		if (stacks[i])
			unmap_stack(stacks[i], i == IST_NONE ? CPU_STACK_PAGES : IST_STACK_PAGES);
}

static struct ap *create_ap(uint32_t apic_id)
{
	void *stacks[IST_COUNT] = { NULL };
	hpa_t frame = frame_alloc(OWNER_HV);
	bool complete = frame != HPA_NONE;
	struct ap *ap;

	_Static_assert(sizeof(struct ap) <= 4096, "a CPU's own data fit one page");
	for (unsigned i = 0; i < IST_COUNT && complete; i++) {
		stacks[i] = map_stack(i == IST_NONE ? CPU_STACK_PAGES : IST_STACK_PAGES);
		complete = stacks[i] != NULL;
	}
	if (!complete) {
		free_stacks(stacks);
		if (frame != HPA_NONE)
			frame_free(frame, OWNER_HV);
		return NULL;
	}
	ap = phys_to_virt(frame);
	ap->cpu.apic_id = apic_id;
	ap->cpu.index = cpu_count;
	machine_init_cpu(&ap->cpu, &ap->machine, stacks);
	return ap;
}

/* The protocol for one CPU. A CPU that does not answer in time is put back to waiting by INIT. */
static bool wake_up(struct ap *ap, hpa_t page)
{
	uint32_t waited_for = AP_WAITED_FOR;
	uint8_t vector = (uint8_t)(page >> PAGE_SHIFT);

	lapic_send_init(ap->cpu.apic_id);
	delay_us(INIT_WAIT_US);
	lapic_send_sipi(ap->cpu.apic_id, vector);
	if (!wait_state(ap, SIPI_WAIT_US)) {
		lapic_send_sipi(ap->cpu.apic_id, vector);
		wait_state(ap, ANSWER_WAIT_US);
	}
	if (!__atomic_compare_exchange_n(&ap->state, &waited_for, AP_GIVEN_UP, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		return true;
	lapic_send_init(ap->cpu.apic_id);
	return false;
}

/* A CPU given up keeps its page and stacks: should it come after all, it finds them its own. */
static void start_one(uint32_t apic_id, hpa_t page, struct ap_start *start)
{
	uint64_t begin = rdtsc();
	struct ap *ap;

	if (cpu_count == MAX_CPUS) {
		log_warn("cpu: APIC id %u is left out: Gnomon uses at most %u CPUs", apic_id, MAX_CPUS);
		return;
	}
	if (apic_id > XAPIC_MAX_ID && !lapic_x2apic) {
		log_warn("cpu: APIC id %u cannot be reached: it needs x2APIC mode, which is off or missing", apic_id);
		return;
	}
	ap = create_ap(apic_id);
	if (!ap) {
		log_warn("cpu: no memory for the stacks of APIC id %u", apic_id);
		return;
	}
	start->cpu = (uint64_t)&ap->cpu;
	start->stack = (uint64_t)ap->machine.stack_top;
	__atomic_store_n(&start->ticket, 1, __ATOMIC_RELEASE);
	if (wake_up(ap, page)) {
		log_info("cpu: %u answers, APIC id %u, after %lu us", cpu_count, apic_id,
			 tsc_to_ns(rdtsc() - begin) / 1000);
		check_tsc(cpu_count);
		cpus[cpu_count] = &ap->cpu;
		cpu_count++;
	} else {
		log_warn("cpu: APIC id %u does not answer within 1 s and is done without", apic_id);
	}
	__atomic_store_n(&start->ticket, 0, __ATOMIC_RELEASE);
}

static bool listed_before(const struct boot_info *bi, uint32_t i)
{
	for (uint32_t j = 0; j < i; j++)
		if (bi->cpus[j].apic_id == bi->cpus[i].apic_id)
			return true;
	return false;
}

static void start_all(const struct boot_info *bi, hpa_t page, hpa_t root)
{
	struct ap_start *start = prepare_page(page, root);

	for (uint32_t i = 0; i < bi->cpu_count; i++)
		if (bi->cpus[i].apic_id != cpus[0]->apic_id && !listed_before(bi, i))
			start_one(bi->cpus[i].apic_id, page, start);
}

void cpus_start(const struct boot_info *bi, void (*ap_main)(struct cpu *c))
{
	hpa_t page = HPA_NONE, root = HPA_NONE;

	ap_main_fn = ap_main;
	cpus[0]->apic_id = lapic_id();
	if (bi->cpu_count > 1) {
		page = frame_alloc_low(OWNER_HV);
		root = page == HPA_NONE ? HPA_NONE : map_build_trampoline(page);
		if (root == HPA_NONE)
			log_warn("cpu: no memory below 1 MiB is left to start other CPUs from: going on with one");
		else
			start_all(bi, page, root);
	}
	log_info("cpu: %u of %u CPUs run", cpu_count, bi->cpu_count ? bi->cpu_count : 1);
	__atomic_store_n(&released, 1, __ATOMIC_RELEASE);
	if (page == HPA_NONE)
		return;
	if (root != HPA_NONE)
		map_free_trampoline(root);
	frame_free(page, OWNER_HV);
}

static uint32_t stopped_count(void)
{
	uint32_t n = 0;

	for (uint64_t left = __atomic_load_n(&stopped, __ATOMIC_ACQUIRE); left; left &= left - 1)
		n++;
	return n;
}

bool cpu_has_stopped(const struct cpu *c) { return __atomic_load_n(&stopped, __ATOMIC_ACQUIRE) & BIT(c->index); }

/* Also from a panic, where this CPU may not be known. */
uint32_t cpus_stop_others(void (*on_each)(void))
{
	uint64_t end = rdtsc() + (tsc_khz ? tsc_khz : 1000000) * STOP_WAIT_US / 1000;
	const struct cpu *me = cpu_if_known();
	uint32_t others = 0;

	stop_fn = on_each;
	__atomic_store_n(&stopped, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&stop_wanted, me ? me->index + 1 : NOBODY, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < cpu_count; i++)
		if (cpus[i] != me) {
			lapic_send_nmi(cpus[i]->apic_id);
			others++;
		}
	while (stopped_count() < others && rdtsc() < end)
		cpu_pause();
	return others - stopped_count();
}

bool smp_nmi_stop(void)
{
	uint32_t wanted = __atomic_load_n(&stop_wanted, __ATOMIC_ACQUIRE), me = this_cpu()->index;

	if (!wanted || wanted == me + 1)
		return false;
	if (stop_fn)
		stop_fn();
	__atomic_fetch_or(&stopped, BIT(me), __ATOMIC_ACQ_REL);
	halt();
}
