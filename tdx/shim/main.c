/*
 * The TD shim: the first code of a TD, measured into it. start.S brings each vCPU from its reset state to
 * 64-bit mode; the first one comes here, readies the TD's memory, sends the others to the wakeup mailbox and
 * enters the kernel. Failures end the TD, with a sentence on its serial line and its start in the host's log.
 */
#include <string.h>

#include "hv/base/format.h"
#include "hv/base/panic.h"
#include "hv/guest/wakeup.h"
#include "tdx/shim/boot.h"
#include "tdx/shim/machine.h"
#include "tdx/shim/tdcall.h"

#define TRAP_GATE 0x8f
#define CODE64 0x10 /* of start.S */

/* SDM "Interrupt and Exception Reference": those that push an error code. */
#define WITH_ERROR_CODE (BIT(8) | BITS(14, 10) | BIT(17) | BIT(21))

static struct failure failure;
static struct shim shim;
static struct guest_entry entry;

NORETURN static void stop(const char *text)
{
	td_print("TD shim: ");
	td_print(text);
	td_print("\n");
	td_fatal(text);
}

void shim_trap(uint64_t vector, const uint64_t *stack)
{
	char text[64];

	format(text, sizeof(text), "TD shim: exception %lu at %lxh", vector,
	       stack[BIT(vector) & WITH_ERROR_CODE ? 1 : 0]);
	stop(text);
}

void panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vformat(failure.text, sizeof(failure.text), fmt, args);
	va_end(args);
	stop(failure.text);
}

static void load_idt(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = { sizeof(shim_idt) - 1, (uintptr_t)shim_idt };

	for (unsigned i = 0; i < SHIM_VECTORS; i++) {
		uint64_t handler = (uintptr_t)shim_trap_stubs + i * SHIM_STUB_SIZE;

		shim_idt[2 * i] = (handler & 0xffff) | CODE64 << 16 | (uint64_t)TRAP_GATE << 40 |
				  (handler & 0xffff0000) << 32;
		shim_idt[2 * i + 1] = handler >> 32;
	}
	__asm__ volatile("lidt %0" : : "m"(pointer));
}

/* All private memory below 4 GiB is mapped one to one; what of it is accepted RAM is the callers' affair. */
static void *ram_at(void *ctx, gpa_t gpa, uint64_t len)
{
	const struct shim *s = ctx;

	if (gpa > s->params->staging || len > s->params->staging - gpa)
		return NULL;
	return (void *)gpa;
}

/* The staging area, by the addresses that have the shared bit. */
static const uint8_t *map_staging(const struct shim_params *p, uint64_t shared)
{
	gpa_t end = guest_low_ram_end(p->ram_size);
	unsigned i = 0;

	for (gpa_t gpa = p->staging; gpa < end; gpa += MIB(2))
		shim_window[i++] = gpa | shared | SHIM_WINDOW_FLAGS;
	return (const uint8_t *)SHIM_WINDOW;
}

/* Secondary vCPUs that have waited in start.S go on in the wait loop. */
static int release_others(const struct td_info *info, struct failure *f)
{
	int err;

	if (info->max_vcpus > GUEST_MAX_VCPUS)
		return fail(f, -EINVAL, "%u vCPUs: %u are possible", info->max_vcpus, GUEST_MAX_VCPUS);
	err = wakeup_build(&shim.mem, f);
	if (!err)
		__atomic_store_n(&shim_others_go, 1, __ATOMIC_RELEASE);
	return err;
}

static int boot(struct failure *f)
{
	const struct shim_params *p = (const struct shim_params *)SHIM_PARAMS;
	struct td_info info;
	int err = td_info_get(&info, f);

	if (!err)
		err = shim_params_check(p, f);
	if (err)
		return err;
	shim = (struct shim){ .params = p, .mem = { .ctx = &shim, .ram_size = p->ram_size, .at = ram_at } };
	shim.staging = map_staging(p, BIT(info.gpaw - 1));
	err = shim_accept_memory(&shim, f);
	if (!err)
		err = release_others(&info, f);
	if (!err)
		err = shim_load(&shim, &entry, f);
	return err ? err : shim_finish(&shim, &entry, f);
}

static void tell(const struct accept_counts *a)
{
	char text[120];

	format(text, sizeof(text), "TD shim: accepted %lu pages of 2M and %lu of 4K, had %lu; %senters the kernel\n",
	       a->large, a->small, a->already, shim.lazy.table ? "leaves the rest and " : "");
	td_print(text);
}

void shim_main(void)
{
	load_idt();
	if (boot(&failure))
		stop(failure.text);
	tell(&shim.accepted);
	shim_enter(&entry);
}
