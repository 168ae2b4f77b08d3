# Tests that start a whole machine in an emulator: tests/boot/run.py and the cases in tests/boot/cases.

# Writes to registers as firmware may have left them.
$(BUILD)/tests/grub.efi: boot/stick.mk tests/boot/boot.mk | $(BUILD)/packages/build
	@mkdir -p $(@D)
	@echo "  GRUB   $@"
	@grub-mkimage -O x86_64-efi -p /gnomon -o $@ $(GRUB_MODULES) memrw

BOOT_NEEDS := $(BUILD)/gnomon.img $(BUILD)/gnomon.elf $(BUILD)/gnomon.efi $(BUILD)/grub.efi $(BUILD)/tests/grub.efi \
	$(GUESTS) $(TD_GUESTS) $(BUILD)/guests/vmlinux $(BUILD)/guests/vmlinuz-td $(LINUX_BUILD)/initrd

# The hypervisor of the cases `entry-rules-*`: the shipped one's objects, and what tries every rule of the entry
# checker before the monitor starts. Its guests have RAM above 4 GiB, without so much below, and a read-only slot.
LOW_RAM_C := $(addprefix hv/,vm_build.c pc.c guest/guest_mem.c guest/loader_parts.c)
LOW_RAM_OBJS := $(LOW_RAM_C:%.c=$(BUILD)/provoke/%.o)
$(BUILD)/provoke/%.o: %.c tests/boot/provoke/memory.h tests/boot/boot.mk
	@mkdir -p $(@D)
	@echo "  CC     $< (little memory below 4 GiB)"
	@$(CC) $(HV_CFLAGS) -include tests/boot/provoke/memory.h -DGUEST_LOW_RAM_END=PROVOKE_LOW_RAM_END -MMD -MP -c $< -o $@
PROVOKE_HV_OBJS := $(filter-out $(LOW_RAM_C:%.c=$(BUILD)/%.o),$(HV_OBJS)) $(LOW_RAM_OBJS)
PROVOKE_C := $(wildcard tests/boot/provoke/*.c tests/entry_rules/*.c)
PROVOKE_OBJS := $(PROVOKE_C:%.c=$(BUILD)/%.o) $(BUILD)/tests/boot/provoke/enter.o
BOOT_NEEDS += $(BUILD)/provoke/gnomon.elf
$(BUILD)/provoke/gnomon.elf: $(PROVOKE_HV_OBJS) $(PROVOKE_OBJS) linker.ld $(BUILD)/lwip.a $(BUILD)/mbedtls.a $(NEWLIB)/libc.a
	@mkdir -p $(@D)
	@echo "  LD     $@"
	@$(HV_LINK) -Wl,--wrap=monitor_init -Wl,--wrap=mmu_slot_add -o $@ $(PROVOKE_HV_OBJS) $(PROVOKE_OBJS) \
		$(BUILD)/lwip.a $(BUILD)/mbedtls.a $(NEWLIB)/libc.a
	@objcopy --strip-debug $@
-include $(PROVOKE_OBJS:.o=.d) $(LOW_RAM_OBJS:.o=.d)

# What the cases that look at a screen read it by.
BOOT_NEEDS += $(BUILD)/font.bin
$(BUILD)/font.bin: tests/boot/dump_font.c drivers/font.c drivers/font.h
	@$(CC) $(WARNINGS) -I. -o $(BUILD)/dump_font tests/boot/dump_font.c drivers/font.c
	@$(BUILD)/dump_font >$@

# The firmware of the cases in Bochs that have a stick of their own.
BOOT_NEEDS += $(BUILD)/ovmf.fd
$(BUILD)/ovmf.fd: tests/boot/firmware.py | $(BUILD)/packages/test
	@echo "  TRIM   $@"
	@$(PYTHON) tests/boot/firmware.py /usr/share/ovmf/OVMF.fd $@

# The hypervisor of the cases `crash-*`: the shipped one's objects, and what hangs and faults on purpose.
CRASH_OBJS := $(BUILD)/tests/boot/crash/crash.o
BOOT_NEEDS += $(BUILD)/provoke/crash.elf
$(BUILD)/provoke/crash.elf: $(HV_OBJS) $(CRASH_OBJS) linker.ld $(BUILD)/lwip.a $(BUILD)/mbedtls.a $(NEWLIB)/libc.a
	@mkdir -p $(@D)
	@echo "  LD     $@"
	@$(HV_LINK) -Wl,--wrap=monitor_init -o $@ $(HV_OBJS) $(CRASH_OBJS) $(BUILD)/lwip.a $(BUILD)/mbedtls.a $(NEWLIB)/libc.a
	@objcopy --strip-debug $@
-include $(CRASH_OBJS:.o=.d)

$(BUILD)/guests/vmlinux: $(BUILD)/guests/vmlinuz tests/boot/payload.py | $(BUILD)/packages/test
	@echo "  UNPACK $@"
	@$(PYTHON) tests/boot/payload.py $< $@

# The emulated host of `make run`.
CPU ?= corei7_haswell_4770
CPUS ?= 1
MEMORY ?= 1024
DISK ?= ehci

test-boot: $(BOOT_NEEDS) | $(BUILD)/packages/test ## boot runs in Bochs and QEMU; make boot-NAME runs one
	@$(PYTHON) tests/boot/run.py --build $(BUILD)

boot-%: $(BOOT_NEEDS) | $(BUILD)/packages/test
	@$(PYTHON) tests/boot/run.py --build $(BUILD) --verbose $*

run: $(BUILD)/gnomon$(if $(NET),-net).img | $(BUILD)/packages/test ## the stick in Bochs, its serial line in this terminal (CPU=, CPUS=, MEMORY=, DISK=, NET=1)
	@$(PYTHON) tests/boot/console.py --build $(BUILD) --cpu $(CPU) --count $(CPUS) --memory $(MEMORY) --disk $(DISK) \
		$(if $(NET),--network)

.PHONY: test-boot run
