/*
 * Building the guest's ACPI tables. Layouts from the ACPI Specification 6.5, sections "Root System
 * Description Pointer", "Fixed ACPI Description Table" and "Multiple APIC Description Table"
 * with, from 6.6, its "Multiprocessor Wakeup Structure".
 */
#include "hv/guest/acpi.h"

#include <string.h>

#include "dsdt_aml.h"
#include "dsdt_td_aml.h"
#include "hv/guest/guest.h"
#include "hv/guest/wakeup.h"

#define FADT_NO_LEVEL2_LATENCY 101  /* over 100 us: no C2 */
#define FADT_NO_LEVEL3_LATENCY 1001 /* over 1000 us: no C3 */
#define FADT_WBINVD BIT(0)
#define FADT_PROC_C1 BIT(2)
#define FADT_POWER_BUTTON_NOT_FIXED BIT(4)
#define FADT_SLEEP_BUTTON_NOT_FIXED BIT(5)
#define FADT_RTC_NO_WAKE_STATUS BIT(6)
#define FADT_RESET_REG BIT(10)
#define IAPC_LEGACY_DEVICES BIT(0)
#define IAPC_NO_VGA BIT(2) /* bit 1, an 8042 is present, stays clear */
#define RESET_VALUE 6      /* port CF9h: hard reset */

#define GAS_IO 1
#define GAS_BYTE 1
#define GAS_WORD 2
#define GAS_DWORD 3

#define MADT_PCAT_COMPAT BIT(0) /* there are two 8259 as well */
#define MADT_LAPIC 0
#define MADT_IOAPIC 1
#define MADT_OVERRIDE 2
#define MADT_LAPIC_NMI 4
#define MADT_WAKEUP 16
#define MADT_ENABLED BIT(0)
#define MADT_BUS_DEFAULT 0
#define MADT_HIGH_EDGE 0x5
#define MADT_HIGH_LEVEL 0xd
#define MADT_ALL_CPUS 0xff

struct rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} __attribute__((packed));

struct gas {
	uint8_t space, bit_width, bit_offset, access;
	uint64_t address;
} __attribute__((packed));

struct xsdt {
	struct header h;
	uint64_t table[2];
} __attribute__((packed));

struct facs {
	char signature[4];
	uint32_t length, hardware_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version, reserved[31];
} __attribute__((packed));

struct fadt {
	struct header h;
	uint32_t facs, dsdt;
	uint8_t reserved0, pm_profile;
	uint16_t sci;
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate;
	uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_len, gpe1_len, gpe1_base, cst;
	uint16_t level2_latency, level3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t iapc_boot;
	uint8_t reserved1;
	uint32_t flags;
	struct gas reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	struct gas x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt, x_pm2_cnt, x_pm_tmr, x_gpe0, x_gpe1;
	struct gas sleep_control, sleep_status;
	char hypervisor[8];
} __attribute__((packed));
_Static_assert(sizeof(struct fadt) == 276, "FADT of ACPI 6");

struct madt_lapic {
	uint8_t type, length, uid, apic_id;
	uint32_t flags;
} __attribute__((packed));

struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} __attribute__((packed));

struct madt_override {
	uint8_t type, length, bus, irq;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));

struct madt_lapic_nmi {
	uint8_t type, length, uid;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

/* Version 1 has the reset vector: where a kernel sends a CPU that it takes offline. */
struct madt_wakeup {
	uint8_t type, length;
	uint16_t version;
	uint32_t reserved;
	uint64_t mailbox, reset_vector;
} __attribute__((packed));

/* APIC ids are below GUEST_MAX_VCPUS, so no CPU needs an x2APIC entry: those are for ids from 255. */
struct madt {
	struct header h;
	uint32_t lapic_base, flags;
	struct madt_ioapic ioapic;
	struct madt_override overrides[2];
	struct madt_lapic_nmi nmi;
	struct madt_lapic lapics[GUEST_MAX_VCPUS];
	struct madt_wakeup room; /* for one behind the last vCPU's entry */
} __attribute__((packed));

/* Where the tables lie in the guest. The DSDT is last: its length is only known to iasl. */
struct acpi_area {
	struct rsdp rsdp __attribute__((aligned(16)));
	struct xsdt xsdt __attribute__((aligned(16)));
	struct fadt fadt __attribute__((aligned(16)));
	struct facs facs __attribute__((aligned(64)));
	struct madt madt __attribute__((aligned(16)));
	uint8_t dsdt[] __attribute__((aligned(16)));
};

#define AT(member) (GUEST_ACPI_BASE + offsetof(struct acpi_area, member))

static uint8_t checksum(const void *table, uint64_t len)
{
	const uint8_t *p = table;
	uint8_t sum = 0;

	while (len--)
		sum += *p++;
	return (uint8_t)-sum;
}

static struct header make_header(const char *signature, uint8_t revision)
{
	struct header h = { .revision = revision, .oem_revision = 1, .creator_revision = 1 };

	memcpy(h.signature, signature, sizeof(h.signature));
	memcpy(h.oem, "GNOMON", sizeof(h.oem));
	memcpy(h.oem_table, "GNOMONPC", sizeof(h.oem_table));
	memcpy(h.creator, "GNMN", sizeof(h.creator));
	return h;
}

static bool put_table(const struct guest_mem *m, gpa_t at, void *table, uint32_t len)
{
	struct header *h = table;

	h->length = len;
	h->checksum = checksum(table, len);
	return guest_mem_write(m, at, table, len);
}

static struct gas io_port(uint16_t port, uint8_t bytes, uint8_t access)
{
	return (struct gas){ .space = GAS_IO, .bit_width = bytes * 8, .access = access, .address = port };
}

static bool put_rsdp(const struct guest_mem *m)
{
	struct rsdp r = { .revision = 2, .length = sizeof(r), .xsdt = AT(xsdt) };

	memcpy(r.signature, "RSD PTR ", sizeof(r.signature));
	memcpy(r.oem, "GNOMON", sizeof(r.oem));
	r.checksum = checksum(&r, 20);
	r.extended_checksum = checksum(&r, sizeof(r));
	return guest_mem_write(m, AT(rsdp), &r, sizeof(r));
}

static bool put_xsdt(const struct guest_mem *m)
{
	struct xsdt x = { .h = make_header("XSDT", 1), .table = { AT(fadt), AT(madt) } };

	return put_table(m, AT(xsdt), &x, sizeof(x));
}

/* The FACS has no checksum. Version 2, no waking vector: this machine does not sleep. */
static bool put_facs(const struct guest_mem *m)
{
	struct facs s = { .length = sizeof(s), .version = 2 };

	memcpy(s.signature, "FACS", sizeof(s.signature));
	return guest_mem_write(m, AT(facs), &s, sizeof(s));
}

/* SMI_CMD 0: the machine is always in ACPI mode. The timer is announced with 24 bits. */
static bool put_fadt(const struct guest_mem *m)
{
	struct fadt t = {
		.h = make_header("FACP", 6),
		.facs = AT(facs),
		.dsdt = AT(dsdt),
		.x_dsdt = AT(dsdt),
		.sci = GUEST_IRQ_SCI,
		.pm1a_evt = GUEST_PORT_PM1_EVT,
		.pm1a_cnt = GUEST_PORT_PM1_CNT,
		.pm_tmr = GUEST_PORT_PM_TMR,
		.pm1_evt_len = 4,
		.pm1_cnt_len = 2,
		.pm_tmr_len = 4,
		.x_pm1a_evt = io_port(GUEST_PORT_PM1_EVT, 4, GAS_WORD),
		.x_pm1a_cnt = io_port(GUEST_PORT_PM1_CNT, 2, GAS_WORD),
		.x_pm_tmr = io_port(GUEST_PORT_PM_TMR, 4, GAS_DWORD),
		.level2_latency = FADT_NO_LEVEL2_LATENCY,
		.level3_latency = FADT_NO_LEVEL3_LATENCY,
		.century = GUEST_CMOS_CENTURY,
		.iapc_boot = IAPC_LEGACY_DEVICES | IAPC_NO_VGA,
		.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_POWER_BUTTON_NOT_FIXED |
			 FADT_SLEEP_BUTTON_NOT_FIXED | FADT_RTC_NO_WAKE_STATUS | FADT_RESET_REG,
		.reset_reg = io_port(GUEST_PORT_RESET, 1, GAS_BYTE),
		.reset_value = RESET_VALUE,
		.hypervisor = "Gnomon",
	};

	return put_table(m, AT(fadt), &t, sizeof(t));
}

static struct madt_override irq_override(uint8_t irq, uint32_t gsi, uint16_t flags)
{
	return (struct madt_override){
		MADT_OVERRIDE, sizeof(struct madt_override), MADT_BUS_DEFAULT, irq, gsi, flags
	};
}

/*
 * A TD's system control interrupt is edge-triggered too: one that nobody acknowledges comes once. Linux takes
 * its devices' interrupts as ISA has them, by edge, unless an override says otherwise.
 */
static bool put_madt(const struct guest_mem *m, unsigned vcpus, enum guest_platform platform)
{
	bool td = platform == GUEST_TD;
	const struct madt_wakeup mailbox = {
		MADT_WAKEUP, sizeof(mailbox), .version = 1, .mailbox = WAKEUP_MAILBOX, .reset_vector = WAKEUP_CODE,
	};
	struct madt t = {
		.h = make_header("APIC", 5),
		.lapic_base = GUEST_LAPIC_BASE,
		.flags = td ? 0 : MADT_PCAT_COMPAT,
		.ioapic = { MADT_IOAPIC, sizeof(t.ioapic), GUEST_IOAPIC_ID(vcpus), 0, GUEST_IOAPIC_BASE, 0 },
		.overrides = {
			irq_override(GUEST_IRQ_PIT, 2, MADT_HIGH_EDGE),
			irq_override(GUEST_IRQ_SCI, GUEST_IRQ_SCI, td ? MADT_HIGH_EDGE : MADT_HIGH_LEVEL),
		},
		.nmi = { MADT_LAPIC_NMI, sizeof(t.nmi), MADT_ALL_CPUS, MADT_HIGH_EDGE, 1 },
	};
	uint32_t len;

	for (unsigned i = 0; i < vcpus; i++)
		t.lapics[i] = (struct madt_lapic){ MADT_LAPIC, sizeof(t.lapics[i]), i, i, MADT_ENABLED };
	len = (uint32_t)(offsetof(struct madt, lapics) + vcpus * sizeof(t.lapics[0]));
	if (platform != GUEST_PC) {
		memcpy((uint8_t *)&t + len, &mailbox, sizeof(mailbox));
		len += sizeof(mailbox);
	}
	return put_table(m, AT(madt), &t, len);
}

/* The DSDT of the platform, as iasl made it. */
static const uint8_t *dsdt_of(enum guest_platform platform, uint64_t *len)
{
	bool td = platform == GUEST_TD;

	*len = td ? sizeof(dsdt_td_aml) : sizeof(dsdt_aml);
	return td ? dsdt_td_aml : dsdt_aml;
}

int acpi_build(const struct guest_mem *m, unsigned vcpus, enum guest_platform platform, gpa_t *rsdp,
	       struct failure *f)
{
	uint64_t len;
	const uint8_t *dsdt = dsdt_of(platform, &len);

	if (vcpus == 0 || vcpus > GUEST_MAX_VCPUS)
		return fail(f, -EINVAL, "ACPI tables for %u vCPUs: vcpus = 1 to %u is possible", vcpus,
			    GUEST_MAX_VCPUS);
	if (sizeof(struct acpi_area) + len > GUEST_ACPI_SIZE)
		return fail(f, -ENOSPC, "ACPI tables of %lu bytes do not fit the %lu set aside for them",
			    sizeof(struct acpi_area) + len, GUEST_ACPI_SIZE);
	if (!put_rsdp(m) || !put_xsdt(m) || !put_facs(m) || !put_fadt(m) || !put_madt(m, vcpus, platform) ||
	    !guest_mem_write(m, AT(dsdt), dsdt, len))
		return fail(f, -ENOMEM, "guest memory at %lxh cannot be written: set memory = 2M or more",
			    GUEST_ACPI_BASE);
	*rsdp = AT(rsdp);
	return 0;
}
