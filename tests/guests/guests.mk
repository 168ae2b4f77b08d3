# Tiny guests: tests/guests/NAME.c, with NAME.S where there is one, becomes $(BUILD)/tests/guests/NAME.elf,
# a 32-bit Multiboot kernel whose start-up code (lib/start.S) goes on to 64-bit mode.

GUEST_LIB := $(sort $(wildcard tests/guests/lib/*.c) $(wildcard tests/guests/lib/*.S))
GUEST_NAMES := $(patsubst tests/guests/%.c,%,$(sort $(wildcard tests/guests/*.c)))
GUEST_BUILD := $(BUILD)/tests/guests
GUESTS := $(GUEST_NAMES:%=$(GUEST_BUILD)/%.elf)
GUEST_LIB_OBJS := $(patsubst tests/guests/%,$(GUEST_BUILD)/%.o,$(GUEST_LIB))

GUEST_CFLAGS := $(WARNINGS) -O2 -g -ffreestanding -mno-red-zone -mgeneral-regs-only -fno-pic -fno-pie \
	-fno-stack-protector -fcf-protection=none -fno-strict-aliasing -fno-asynchronous-unwind-tables \
	-fno-tree-loop-distribute-patterns --param=min-pagesize=0 -I.

$(GUEST_BUILD)/%.c.o: tests/guests/%.c tests/guests/guests.mk | $(BUILD)/packages/build
	@mkdir -p $(@D)
	@echo "  CC     $<"
	@$(CC) $(GUEST_CFLAGS) -MMD -MP -c $< -o $@

$(GUEST_BUILD)/%.S.o: tests/guests/%.S tests/guests/guests.mk | $(BUILD)/packages/build
	@mkdir -p $(@D)
	@echo "  AS     $<"
	@$(CC) $(GUEST_CFLAGS) -MMD -MP -c $< -o $@

define guest_rule
$(GUEST_BUILD)/$(1).elf: $(GUEST_BUILD)/$(1).c.o $(patsubst %,$(GUEST_BUILD)/%.o,$(notdir $(wildcard tests/guests/$(1).S))) \
		$(GUEST_LIB_OBJS) tests/guests/guests.ld
	@echo "  LD     $$@"
	@$(CC) -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments \
		-T tests/guests/guests.ld -o $$@.64 $$(filter %.o,$$^)
	@objcopy -I elf64-x86-64 -O elf32-i386 $$@.64 $$@
endef
$(foreach g,$(GUEST_NAMES),$(eval $(call guest_rule,$(g))))

guests: $(GUESTS) ## the tiny guests

.PHONY: guests

-include $(GUEST_LIB_OBJS:.o=.d) $(GUEST_NAMES:%=$(GUEST_BUILD)/%.c.d)
