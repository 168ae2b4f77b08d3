# make bench: what a boot and each kind of exit cost, in instructions of the emulator; also in $(BUILD)/bench.txt.
# BENCH_KERNEL=FILE measures with another kernel than the sample guest's.

BENCH_KERNEL ?= $(SAMPLES)/vmlinuz

$(BUILD)/bench/init: tests/bench/init.c tests/bench/bench.mk | $(BUILD)/packages/build
	@mkdir -p $(@D)
	@echo "  CC     $<"
	@$(CC) $(WARNINGS) -O2 -ffreestanding -fno-stack-protector -fcf-protection=none -fno-pie -static -no-pie \
		-nostdlib -Wl,--build-id=none -o $@ $<

$(BUILD)/bench/initrd: boot/make_initrd.sh $(BUILD)/bench/init
	@sh boot/make_initrd.sh $@ $(BUILD)/bench/init

# RDMSR shows GRUB's user the TSC.
$(BUILD)/bench/grub.efi: boot/stick.mk tests/bench/bench.mk | $(BUILD)/packages/build
	@mkdir -p $(@D)
	@grub-mkimage -O x86_64-efi -p /gnomon -o $@ $(GRUB_MODULES) linux rdmsr

bench: ## costs in emulated instructions, about 15 minutes
bench: $(BUILD)/gnomon.efi $(BUILD)/gnomon.elf $(BUILD)/bench/initrd $(BUILD)/bench/grub.efi $(BENCH_KERNEL) \
		$(BUILD)/tests/guests/cost.elf $(BUILD)/tests/guests/steady.elf $(LINUX_BUILD)/initrd.bench \
		$(LINUX_BUILD)/initrd $(BUILD)/guests/vmlinuz-td $(BUILD)/tests/guests/td/tdcost \
		$(BUILD)/host/tests/unit/test_shadow_skip | $(BUILD)/packages/test $(BUILD)/packages/bench
	@$(PYTHON) tests/bench/bench.py --build $(BUILD) --kernel $(BENCH_KERNEL)

bench-host: $(BUILD)/host/tests/unit/test_shadow_skip | $(BUILD)/packages/bench ## the mmu's part of it that is counted on the host
	@$(PYTHON) tests/bench/host_count.py --build $(BUILD)

.PHONY: bench bench-host
