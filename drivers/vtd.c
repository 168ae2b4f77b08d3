/* VT-d specification, "Register Descriptions" and "Software Considerations". */
#include "drivers/vtd.h"

#include "drivers/mmio.h"
#include "hv/base/acpi_host.h"
#include "hv/base/clock.h"
#include "hv/base/log.h"
#include "hv/base/map.h"
#include "hv/base/x86.h"

#define CAP 0x08
#define CAP_PLMR BIT(5) /* there are protected memory regions */
#define CAP_PHMR BIT(6)
#define GCMD 0x18
#define GSTS 0x1c
#define TRANSLATION BIT(31) /* of DMA; in both registers */
#define INTERRUPTS BIT(25)  /* remapping of them */
#define PLAIN_PASS BIT(23)  /* interrupts of the plain ("compatibility") format are not held back */
/* The others order something once; their status must not be written back. "Global Command Register" */
#define LASTING 0x96ffffffu
#define PMEN 0x64
#define PMEN_ENABLE BIT(31)
#define PMEN_STATUS BIT(0)
#define IRTA 0xb8
#define IRTA_EXTENDED BIT(11) /* x2APIC's interrupts: plain ones never pass */
#define ABSENT 0xffffffffu
#define WAIT_MS 100

struct unit {
	volatile uint8_t *regs;
	hpa_t base;
};

static struct unit units[ACPI_MAX_DMAR_UNITS];
static uint32_t unit_count;

static uint32_t get(const struct unit *u, uint32_t reg) { return mmio_read32(u->regs + reg); }

static bool becomes_clear(const struct unit *u, uint32_t reg, uint32_t bit)
{
	uint64_t end = rdtsc() + WAIT_MS * tsc_khz;

	while (get(u, reg) & bit)
		if (rdtsc() > end)
			return false;
	return true;
}

static bool switch_off(const struct unit *u, uint32_t bit)
{
	mmio_write32(u->regs + GCMD, get(u, GSTS) & LASTING & ~bit);
	return becomes_clear(u, GSTS, bit);
}

static bool has_regions(const struct unit *u) { return get(u, CAP) & (CAP_PLMR | CAP_PHMR); }

static bool regions_on(const struct unit *u) { return has_regions(u) && get(u, PMEN) & PMEN_STATUS; }

static bool open_regions(const struct unit *u)
{
	mmio_write32(u->regs + PMEN, get(u, PMEN) & ~(uint32_t)PMEN_ENABLE);
	return becomes_clear(u, PMEN, PMEN_STATUS);
}

static void report(const struct unit *u, bool done, const char *what, const char *harm)
{
	if (done)
		log_warn("vt-d: firmware left %s on at %lx: switched off", what, u->base);
	else
		log_error("vt-d: %s at %lx does not switch off: %s; switch VT-d or DMA protection off in the firmware's "
			  "setup", what, u->base, harm);
}

static bool holds_interrupts_back(const struct unit *u)
{
	uint32_t status = get(u, GSTS);

	return status & INTERRUPTS && (!(status & PLAIN_PASS) || get(u, IRTA) & IRTA_EXTENDED);
}

static void add(const struct acpi_dmar_unit *d)
{
	struct unit *u = &units[unit_count];

	u->base = d->base;
	u->regs = map_has_ram(d->base, PAGE_SIZE) ? NULL : map_device(d->base, PAGE_SIZE, MAP_UNCACHED);
	if (!u->regs || get(u, GSTS) == ABSENT)
		log_warn("vt-d: the unit at %lx does not answer: it is left alone", d->base);
	else
		unit_count++;
}

void vtd_init(void)
{
	const struct acpi_host *acpi = acpi_host();

	unit_count = 0;
	for (uint32_t i = 0; i < acpi->dmar_count; i++)
		add(&acpi->dmar[i]);
	if (unit_count)
		log_info("vt-d: %u unit%s", unit_count, unit_count > 1 ? "s" : "");
	for (uint32_t i = 0; i < unit_count; i++)
		if (holds_interrupts_back(&units[i]))
			report(&units[i], switch_off(&units[i], INTERRUPTS), "interrupt remapping",
			       "interrupts of devices will not arrive");
}

void vtd_pass_dma(void)
{
	static const char harm[] = "the network card will receive nothing";

	for (uint32_t i = 0; i < unit_count; i++) {
		const struct unit *u = &units[i];

		if (get(u, GSTS) & TRANSLATION)
			report(u, switch_off(u, TRANSLATION), "DMA remapping", harm);
		if (regions_on(u))
			report(u, open_regions(u), "protection of memory from DMA", harm);
	}
}
