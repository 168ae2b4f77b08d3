# The image of the USB stick: build/gnomon.img.

image: $(BUILD)/gnomon.img ## the USB stick's image, build/gnomon.img
$(BUILD)/gnomon.img: $(BUILD)/gnomon.efi $(BUILD)/gnomon.elf
	@echo "  IMAGE  $@"

.PHONY: image
