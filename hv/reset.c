/*
 * The end of the machine's run. Owns the page table and stack on which firmware is called.
 * UEFI specification, "ResetSystem()"; ACPI specification, "Reset Register".
 */
#include "hv/reset.h"

#include "drivers/uart.h"
#include "hv/base/acpi_host.h"
#include "hv/base/clock.h"
#include "hv/base/frame.h"
#include "hv/base/log.h"
#include "hv/base/map.h"
#include "hv/base/smp.h"
#include "hv/base/spin.h"
#include "hv/base/x86.h"

#define MAX_HOOKS 4
#define FIRMWARE_STACK_PAGES 32 /* UEFI specification, "x64 Platforms": 128 KiB */
#define EFI_RESET_COLD 0
#define EFI_RESET_SHUTDOWN 2
#define WAIT_MS 200

#define PORT_PCI_ADDRESS 0xcf8
#define PORT_PCI_DATA 0xcfc
#define PORT_RESET_CONTROL 0xcf9
#define PORT_KEYBOARD 0x64
#define KEYBOARD_BUSY 0x02
#define KEYBOARD_PULSE_RESET 0xfe

/* reset_call.S: calls fn(type, 0, 0, NULL) in the UEFI convention on another root and stack.
 * False when it ended in an exception. */
bool reset_call_firmware(uint64_t fn, uint64_t type, hpa_t root, uint64_t stack_top);

static void (*hooks[MAX_HOOKS])(void);
static uint64_t reset_system; /* 0: none */
static hpa_t identity_root, firmware_stack;
static struct acpi_register acpi_reset;
static uint8_t acpi_reset_value;
static volatile uint8_t *acpi_reset_window;

void reset_add_hook(void (*hook)(void))
{
	for (unsigned i = 0; i < MAX_HOOKS; i++)
		if (!hooks[i]) {
			hooks[i] = hook;
			return;
		}
}

static void run_hooks(void)
{
	for (unsigned i = 0; i < MAX_HOOKS && hooks[i]; i++)
		hooks[i]();
}

void reset_init(const struct boot_info *bi)
{
	acpi_reset = acpi_host()->reset;
	acpi_reset_value = acpi_host()->reset_value;
	if (acpi_reset.address && acpi_reset.space == ACPI_SPACE_MEMORY)
		acpi_reset_window = map_device(acpi_reset.address, 1, MAP_UNCACHED);
	if (!bi->efi_runtime_reset)
		return;
	identity_root = map_build_identity(bi);
	firmware_stack = frame_alloc_run(FIRMWARE_STACK_PAGES, 1, OWNER_HV);
	if (identity_root == HPA_NONE || firmware_stack == HPA_NONE)
		log_warn("reset: no memory to call the firmware's ResetSystem: other means will be used");
	else
		reset_system = bi->efi_runtime_reset;
}

static void wait(void)
{
	uint64_t end = rdtsc() + (tsc_khz ? tsc_khz : 1000000) * WAIT_MS;

	while (rdtsc() < end)
		cpu_pause();
}

static void say(const char *text)
{
	log_info("reset: %s", text);
	uart_flush();
}

static void by_firmware(uint64_t type)
{
	uint64_t stack_top = firmware_stack + (FIRMWARE_STACK_PAGES << PAGE_SHIFT);

	if (!reset_system)
		return;
	say("calling the firmware's ResetSystem");
	say(reset_call_firmware(reset_system, type, identity_root, stack_top)
		    ? "ResetSystem came back without effect"
		    : "ResetSystem ended in an exception");
}

static void by_acpi(void)
{
	if (!acpi_reset.address)
		return;
	say("writing the ACPI reset register");
	if (acpi_reset_window) {
		*acpi_reset_window = acpi_reset_value;
	} else if (acpi_reset.space == ACPI_SPACE_IO) {
		outb((uint16_t)acpi_reset.address, acpi_reset_value);
	} else if (acpi_reset.space == ACPI_SPACE_PCI) {
		uint32_t device = (acpi_reset.address >> 32) & 31, function = (acpi_reset.address >> 16) & 7;
		uint32_t offset = acpi_reset.address & 0xff;

		outl(PORT_PCI_ADDRESS, (uint32_t)BIT(31) | device << 11 | function << 8 | (offset & 0xfc));
		outb((uint16_t)(PORT_PCI_DATA + (offset & 3)), acpi_reset_value);
	}
	wait();
}

/* First the bit that says what kind, then the edge that does it: a full reset. */
static void by_chipset(void)
{
	say("writing port CF9h");
	outb(PORT_RESET_CONTROL, 0x02);
	outb(PORT_RESET_CONTROL, 0x06);
	wait();
}

static void by_keyboard(void)
{
	unsigned tries = 100000;

	say("asking the keyboard controller");
	while ((inb(PORT_KEYBOARD) & KEYBOARD_BUSY) && --tries)
		cpu_pause();
	outb(PORT_KEYBOARD, KEYBOARD_PULSE_RESET);
	wait();
}

/* Without an IDT an exception cannot be delivered, nor the double fault after it. */
NORETURN static void by_triple_fault(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) no_idt;

	say("by triple fault");
	__asm__ volatile("lidt %0\n\tint3" : : "m"(no_idt));
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void stop_everything(void)
{
	uint32_t silent = cpus_stop_others(run_hooks);

	if (silent)
		log_warn("reset: %u CPUs did not stop; going on", silent);
	run_hooks();
	uart_flush();
}

NORETURN static void restart(void)
{
	by_firmware(EFI_RESET_COLD);
	by_acpi();
	by_chipset();
	by_keyboard();
	by_triple_fault();
}

void host_reset(enum reset_kind kind)
{
	cli();
	log_info("reset: the machine %s", kind == RESET_RESTART ? "restarts" : "powers off");
	stop_everything();
	if (kind == RESET_RESTART)
		restart();
	by_firmware(EFI_RESET_SHUTDOWN);
	say("the firmware cannot power this machine off: it may be switched off now");
	for (;;)
		__asm__ volatile("cli; hlt");
}
