/*
 * Local APIC and I/O APIC of a tiny guest.
 */
#include "tests/guests/lib/apic.h"

#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/regs.h"

static volatile uint32_t *lapic_register(uint32_t reg)
{
	return (volatile uint32_t *)(GUEST_LAPIC_BASE + reg);
}

bool apic_is_x2apic(void) { return rdmsr(MSR_APIC_BASE) & APIC_BASE_EXTD; }

bool apic_enter_x2apic(void)
{
	if (!(cpuid(1, 0).ecx & BIT(21)))
		return false;
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_EXTD);
	return true;
}

uint32_t apic_read(uint32_t reg)
{
	if (apic_is_x2apic())
		return (uint32_t)rdmsr(MSR_X2APIC + (reg >> 4));
	return *lapic_register(reg);
}

void apic_write(uint32_t reg, uint32_t value)
{
	if (apic_is_x2apic())
		wrmsr(MSR_X2APIC + (reg >> 4), value);
	else
		*lapic_register(reg) = value;
}

uint32_t apic_id(void)
{
	uint32_t id = apic_read(VLAPIC_ID);
	return apic_is_x2apic() ? id : id >> 24;
}

void apic_enable(void)
{
	apic_write(VLAPIC_TPR, 0);
	apic_write(VLAPIC_SVR, APIC_SVR_ENABLE | SPURIOUS_VECTOR);
}

void apic_eoi(void) { apic_write(VLAPIC_EOI, 0); }

void apic_send(uint32_t destination, uint32_t command)
{
	if (apic_is_x2apic()) {
		wrmsr(MSR_X2APIC + (VLAPIC_ICR >> 4), (uint64_t)destination << 32 | command);
		return;
	}
	apic_write(VLAPIC_ICR_HIGH, destination << 24);
	apic_write(VLAPIC_ICR, command);
	while (apic_read(VLAPIC_ICR) & ICR_PENDING)
		__builtin_ia32_pause();
}

bool apic_test_bit(uint32_t reg, uint8_t vector)
{
	return apic_read(reg + 16u * (vector / 32)) >> (vector % 32) & 1;
}

uint32_t ioapic_read(uint32_t reg)
{
	volatile uint32_t *io = (volatile uint32_t *)GUEST_IOAPIC_BASE;
	io[0] = reg;
	return io[4];
}

void ioapic_write(uint32_t reg, uint32_t value)
{
	volatile uint32_t *io = (volatile uint32_t *)GUEST_IOAPIC_BASE;
	io[0] = reg;
	io[4] = value;
}

void ioapic_route(unsigned pin, uint8_t vector, uint32_t flags)
{
	ioapic_write(IOAPIC_PIN(pin), IOAPIC_MASKED);
	ioapic_write(IOAPIC_PIN(pin) + 1, apic_id() << 24);
	ioapic_write(IOAPIC_PIN(pin), flags | vector);
}
