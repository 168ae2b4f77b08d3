# Tests that start a whole machine in an emulator: tests/boot/run.py and the cases in tests/boot/cases.

test-boot: $(BUILD)/gnomon.img $(BUILD)/gnomon.elf $(BUILD)/gnomon.efi | $(BUILD)/packages/test ## boot runs in Bochs and QEMU
	@$(PYTHON) tests/boot/run.py --build $(BUILD)

# One case: `make boot-NAME`.
boot-%: $(BUILD)/gnomon.img $(BUILD)/gnomon.elf $(BUILD)/gnomon.efi | $(BUILD)/packages/test
	@$(PYTHON) tests/boot/run.py --build $(BUILD) --verbose $*

run: $(BUILD)/gnomon.img | $(BUILD)/packages/test ## the stick's image in Bochs, its serial line in this terminal
	@$(PYTHON) tests/boot/console.py --build $(BUILD)

.PHONY: test-boot run
