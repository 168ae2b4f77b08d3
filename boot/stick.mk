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

image: $(BUILD)/gnomon.img ## the USB stick's image, build/gnomon.img
$(BUILD)/gnomon.img: boot/make_stick.sh boot/stick/gnomon.conf boot/stick/grub.cfg $(BUILD)/grub.efi \
		$(BUILD)/gnomon.efi $(BUILD)/gnomon.elf $(SAMPLES)/vmlinuz $(SAMPLES)/initrd $(SAMPLES)/memtest
	@echo "  IMAGE  $@"
	@sh boot/make_stick.sh $@ /EFI/BOOT/BOOTX64.EFI=$(BUILD)/grub.efi /gnomon/grub.cfg=boot/stick/grub.cfg \
		/gnomon/gnomon.efi=$(BUILD)/gnomon.efi /gnomon/gnomon.elf=$(BUILD)/gnomon.elf \
		/gnomon.conf=boot/stick/gnomon.conf /guests/vmlinuz=$(SAMPLES)/vmlinuz \
		/guests/initrd=$(SAMPLES)/initrd /guests/memtest=$(SAMPLES)/memtest

.PHONY: image
