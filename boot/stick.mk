# The image of the USB stick, build/gnomon.img, and what lies on it.

SAMPLES := $(BUILD)/guests
GRUB_MODULES := fat part_gpt part_msdos normal configfile chain boot echo serial terminal reboot halt sleep

# Debian's unmodified kernel, taken from its package without installing it.
$(SAMPLES)/vmlinuz: | $(BUILD)/packages/build
	@mkdir -p $(@D)
	@echo "  FETCH  linux-image-cloud-amd64"
	@sh boot/fetch_file.sh linux-image-cloud-amd64 './boot/vmlinuz-*' $@

$(SAMPLES)/memtest: | $(BUILD)/packages/build
	@mkdir -p $(@D)
	@echo "  FETCH  memtest86+"
	@sh boot/fetch_file.sh memtest86+ './boot/memtest86+x64.bin' $@

$(SAMPLES)/initrd: boot/make_initrd.sh boot/stick/init | $(BUILD)/packages/build
	@mkdir -p $(@D)
	@echo "  CPIO   $@"
	@sh boot/make_initrd.sh $@ boot/stick/init

$(BUILD)/grub.efi: boot/stick.mk | $(BUILD)/packages/build
	@echo "  GRUB   $@"
	@grub-mkimage -O x86_64-efi -p /gnomon -o $@ $(GRUB_MODULES)

STICK_NEEDS := boot/make_stick.sh boot/stick/grub.cfg $(BUILD)/grub.efi $(BUILD)/gnomon.efi $(BUILD)/gnomon.elf \
	$(SAMPLES)/vmlinuz $(SAMPLES)/initrd $(SAMPLES)/memtest
STICK_FILES := /EFI/BOOT/BOOTX64.EFI=$(BUILD)/grub.efi /gnomon/grub.cfg=boot/stick/grub.cfg \
	/gnomon/gnomon.efi=$(BUILD)/gnomon.efi /gnomon/gnomon.elf=$(BUILD)/gnomon.elf /guests/vmlinuz=$(SAMPLES)/vmlinuz \
	/guests/initrd=$(SAMPLES)/initrd /guests/memtest=$(SAMPLES)/memtest

image: $(BUILD)/gnomon.img ## the USB stick's image, build/gnomon.img
$(BUILD)/gnomon.img: boot/stick/gnomon.conf $(STICK_NEEDS)
	@echo "  IMAGE  $@"
	@sh boot/make_stick.sh $@ $(STICK_FILES) /gnomon.conf=$<

# The same with the host on the network, for `make run NET=1`; its key is this build folder's own.
$(BUILD)/net_key:
	@od -An -v -tx1 -N16 /dev/urandom | tr -d ' \n' > $@
$(BUILD)/gnomon-net.conf: boot/stick/gnomon.conf $(BUILD)/net_key
	@{ echo "net = dhcp"; echo "http_port = 80"; echo "monitor_port = 2323"; echo "net_key = $$(cat $(BUILD)/net_key)"; \
	   cat $<; } > $@
$(BUILD)/gnomon-net.img: $(BUILD)/gnomon-net.conf $(STICK_NEEDS)
	@echo "  IMAGE  $@"
	@sh boot/make_stick.sh $@ $(STICK_FILES) /gnomon.conf=$<

.PHONY: image
