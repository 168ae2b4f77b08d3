/* Owns nothing: asks the firmware about the machine. */
#include "boot/efi_host.h"

#include <string.h>

#include "boot/efi_base.h"
#include "boot/madt.h"
#include "hv/base/x86.h"

/* PI specification, volume 2, "MP Services Protocol": the two members used, and what stands between them. */
struct mp_location {
	uint32_t package, core, thread;
};

struct mp_cpu {
	uint64_t apic_id;
	uint32_t flags;
	struct mp_location location;
	uint32_t extended[6]; /* later firmware fills in more than the first version of the protocol */
};

struct mp_services {
	EFI_STATUS(EFIAPI *count)(struct mp_services *self, UINTN *all, UINTN *enabled);
	EFI_STATUS(EFIAPI *info)(struct mp_services *self, UINTN index, struct mp_cpu *cpu);
};

#define MP_CPU_ENABLED 2
#define MP_CPU_HEALTHY 4

static EFI_GUID mp_services_guid = {
	0x3fdda605, 0xa76e, 0x4f46, { 0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08 }
};
static EFI_GUID acpi_2_guid = { 0x8868e871, 0xe4f1, 0x11d3, { 0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81 } };
static EFI_GUID acpi_1_guid = { 0xeb9d2d30, 0x2d88, 0x11d3, { 0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d } };
static EFI_GUID gop_guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;

static hpa_t configuration_table(const EFI_GUID *guid)
{
	for (UINTN i = 0; i < efi_system->NumberOfTableEntries; i++)
		if (memcmp(&efi_system->ConfigurationTable[i].VendorGuid, guid, sizeof(*guid)) == 0)
			return (hpa_t)(uintptr_t)efi_system->ConfigurationTable[i].VendorTable;
	return 0;
}

void host_find_tables(struct boot_info *info)
{
	info->rsdp = configuration_table(&acpi_2_guid);
	if (!info->rsdp)
		info->rsdp = configuration_table(&acpi_1_guid);
	info->efi_system_table = (hpa_t)(uintptr_t)efi_system;
	info->efi_runtime_reset = (uint64_t)(uintptr_t)efi_system->RuntimeServices->ResetSystem;
}

void host_find_framebuffer(struct boot_info *info)
{
	struct boot_framebuffer *fb = &info->framebuffer;
	EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;
	const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode;

	if (EFI_ERROR(efi_boot->LocateProtocol(&gop_guid, NULL, (void **)&gop)) || !gop->Mode || !gop->Mode->Info)
		return;
	mode = gop->Mode->Info;
	if (mode->PixelFormat == PixelRedGreenBlueReserved8BitPerColor)
		fb->format = BOOT_PIXEL_RGBX;
	else if (mode->PixelFormat == PixelBlueGreenRedReserved8BitPerColor)
		fb->format = BOOT_PIXEL_BGRX;
	else
		return;
	/* A mode that claims more pixels than its memory holds would be drawn into someone else's. */
	if (mode->PixelsPerScanLine < mode->HorizontalResolution ||
	    (uint64_t)mode->PixelsPerScanLine * mode->VerticalResolution * 4 > gop->Mode->FrameBufferSize)
		return;
	fb->width = mode->HorizontalResolution;
	fb->height = mode->VerticalResolution;
	fb->stride = mode->PixelsPerScanLine;
	fb->size = gop->Mode->FrameBufferSize;
	fb->base = gop->Mode->FrameBufferBase;
}

/* SDM volume 2, CPUID: leaf 0Bh has the x2APIC id, where it is not there leaf 1 has the 8-bit one. */
static uint32_t own_apic_id(void)
{
	if (cpuid(0, 0).eax >= 0xb && cpuid(0xb, 0).ebx)
		return cpuid(0xb, 0).edx;
	return cpuid(1, 0).ebx >> 24;
}

static void list_from_mp_services(struct boot_info *info)
{
	struct mp_services *mp;
	UINTN all = 0, enabled = 0;

	if (EFI_ERROR(efi_boot->LocateProtocol(&mp_services_guid, NULL, (void **)&mp)) ||
	    EFI_ERROR(mp->count(mp, &all, &enabled)))
		return;
	for (UINTN i = 0; i < all && info->cpu_count < BOOT_MAX_CPUS; i++) {
		struct mp_cpu cpu = { 0 };

		if (EFI_ERROR(mp->info(mp, i, &cpu)))
			continue;
		if ((cpu.flags & MP_CPU_ENABLED) && (cpu.flags & MP_CPU_HEALTHY))
			info->cpus[info->cpu_count++].apic_id = (uint32_t)cpu.apic_id;
	}
}

static void list_from_madt(struct boot_info *info)
{
	size_t len = 0;
	const void *madt = madt_find(info->rsdp, &len);

	if (madt)
		madt_list_cpus(madt, len, info);
}

/* Moves the CPU that runs to the front; a list that lacks it is not this machine's. */
static bool put_self_first(struct boot_info *info)
{
	uint32_t self = own_apic_id();

	for (uint32_t i = 0; i < info->cpu_count; i++)
		if (info->cpus[i].apic_id == self) {
			info->cpus[i] = info->cpus[0];
			info->cpus[0].apic_id = self;
			return true;
		}
	info->cpu_count = 0;
	return false;
}

void host_list_cpus(struct boot_info *info)
{
	info->cpu_source = BOOT_CPUS_MP_SERVICES;
	list_from_mp_services(info);
	if (put_self_first(info))
		return;
	info->cpu_source = BOOT_CPUS_MADT;
	list_from_madt(info);
	if (put_self_first(info))
		return;
	info->cpu_source = BOOT_CPUS_SELF;
	info->cpus[0].apic_id = own_apic_id();
	info->cpu_count = 1;
}
