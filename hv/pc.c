/*
 * A guest's PC: devices wired to each other, to the bus and to the host.
 */
#include "hv/pc.h"

#include "drivers/rtc.h"
#include "hv/base/frame.h"
#include "hv/base/log.h"
#include "hv/base/phys.h"
#include "hv/console.h"
#include "hv/vcpu.h"

#define PIC_PINS 16
#define CASCADE_PIN 2
#define PIT_GSI 2 /* ISA interrupt 0, by the MADT's override */

/* ---- wires ---- */

/* An ISA interrupt is wired to both controllers; the guest masks it in the one it does not use. */
static void isa_set(void *chip, unsigned irq, bool high)
{
	struct pc *pc = chip;
	struct irq_line pic = vpic_line(&pc->pic, irq);
	struct irq_line ioapic = vioapic_line(&pc->ioapic, irq == GUEST_IRQ_PIT ? PIT_GSI : irq);

	if (!pc->no_pic)
		irq_line_set(&pic, high);
	irq_line_set(&ioapic, high);
}

static struct irq_line isa_line(struct pc *pc, unsigned irq)
{
	return (struct irq_line){ .set = isa_set, .chip = pc, .pin = irq };
}

/* The PIC's INTR goes to LINT0 of vCPU 0, which may be set up for ExtINT or as a plain input. */
static void intr_set(void *chip, unsigned pin, bool high)
{
	struct vm *vm = chip;

	(void)pin;
	if (!high || !vm->vcpu_count)
		return;
	vlapic_post_lint(&vm->vcpus[0]->lapic, 0);
	vcpu_request(vm->vcpus[0], REQUEST_EXTINT);
}

void pc_eoi(struct pc *pc, uint8_t vector) { vioapic_eoi(&pc->ioapic, vector); }

/* ---- events ---- */

static void power_off(void *opaque)
{
	struct vm *vm = opaque;

	vm->ended_itself = true;
	vm_stop(vm, "it powered itself off");
}

static void reset(void *opaque, const char *why)
{
	struct vm *vm = opaque;

	vm->ended_itself = true;
	vm->reset_wanted = 1;
	vm_stop(vm, "it reset itself through %s", why);
}

static void debug_exit(void *opaque, uint32_t value)
{
	struct vm *vm = opaque;

	vm->ended_itself = true;
	vm_stop(vm, "debug exit with value %u (%xh)", value, value);
}

/* ---- assembly ---- */

static void init_devices(struct vm *vm)
{
	struct pc *pc = vm->pc;
	struct irq_line intr = { .set = intr_set, .chip = vm };
	struct irq_line pit = isa_line(pc, GUEST_IRQ_PIT), rtc = isa_line(pc, GUEST_IRQ_RTC);
	struct irq_line com1 = isa_line(pc, GUEST_IRQ_COM1), sci = isa_line(pc, GUEST_IRQ_SCI);
	struct vuart_host host = console_vuart_host(pc->console);

	pc->no_pic = vm->config->type == VM_TYPE_TD;
	pc->apic_bus = (struct apic_bus){ .deliver = vcpu_deliver, .vm = vm };
	pc->events = (struct machine_events){ power_off, reset, debug_exit, vm };
	vpic_init(&pc->pic, &intr);
	vioapic_init(&pc->ioapic, GUEST_IOAPIC_ID(vm->config->vcpus), &pc->apic_bus);
	pc->ioapic.no_eoi = vm->config->type == VM_TYPE_TD;
	vpit_init(&pc->pit, &pc->clock, &pit);
	vrtc_init(&pc->rtc, &pc->clock, &rtc);
	vuart_init(&pc->com1, GUEST_PORT_COM1, &host, &com1);
	vpm_init(&pc->pm, &pc->clock, &sci, &pc->events);
	vreset_init(&pc->reset, &pc->events);
	vpci_init(&pc->pci, &pc->reset);
}

static int attach_devices(struct pc *pc, struct failure *f)
{
	struct bus *b = &pc->bus;
	int err = pc->no_pic ? 0 : vpic_attach(&pc->pic, b, f);

	err = err ? err : vioapic_attach(&pc->ioapic, b, f);
	err = err ? err : vpit_attach(&pc->pit, b, f);
	err = err ? err : vrtc_attach(&pc->rtc, b, f);
	err = err ? err : vuart_attach(&pc->com1, b, f);
	err = err ? err : vpm_attach(&pc->pm, b, f);
	err = err ? err : vreset_attach(&pc->reset, b, f);
	return err ? err : vpci_attach(&pc->pci, b, f);
}

static uint64_t pc_pages(void) { return align_up(sizeof(struct pc), PAGE_SIZE) >> PAGE_SHIFT; }

int pc_create(struct vm *vm, struct failure *f)
{
	hpa_t pa = frame_alloc_run(pc_pages(), 1, OWNER_VM_META(vm->id));
	int err;

	if (pa == HPA_NONE)
		return fail(f, -ENOMEM, "no memory for the devices of guest %s", vm->config->name);
	vm->pc = phys_to_virt(pa);
	vm->bus = &vm->pc->bus;
	vm->clock = &vm->pc->clock;
	vm->pc->console = console_guest(vm);
	bus_init(vm->bus);
	init_devices(vm);
	err = attach_devices(vm->pc, f);
	if (err) {
		pc_destroy(vm);
	}
	return err;
}

void pc_destroy(struct vm *vm)
{
	console_guest_gone(vm);
	frame_free_run(virt_to_phys(vm->pc), pc_pages(), OWNER_VM_META(vm->id));
	vm->pc = NULL;
}

void pc_power_on(struct vm *vm)
{
	struct pc *pc = vm->pc;
	uint64_t low = min_u64(vm->config->memory, GUEST_LOW_RAM_END);

	if (!pc->clock.home)
		vclock_init(&pc->clock, vm->vcpus[0]->cpu);
	vclock_restart(&pc->clock, rtc_epoch());
	vpic_reset(&pc->pic);
	vioapic_reset(&pc->ioapic);
	vpit_reset(&pc->pit);
	vrtc_reset(&pc->rtc);
	vrtc_set_memory(&pc->rtc, low, vm->config->memory - low);
	vuart_reset(&pc->com1);
	vpm_reset(&pc->pm);
	vreset_reset(&pc->reset);
	vpci_reset(&pc->pci);
}
