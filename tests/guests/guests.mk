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

# Tiny guests for TDs: tests/guests/td/NAME.c becomes $(GUEST_BUILD)/td/NAME, a bzImage, and so does what of the
# others can run in a TD as it is.
TD_GUEST_NAMES := $(patsubst tests/guests/td/%.c,%,$(sort $(wildcard tests/guests/td/*.c)))
TD_GUESTS := $(addprefix $(GUEST_BUILD)/td/,$(TD_GUEST_NAMES) power)
TD_GUEST_LIB_OBJS := $(GUEST_LIB_OBJS) $(GUEST_BUILD)/td/lib/td.c.o $(GUEST_BUILD)/td/lib/start.S.o \
	$(GUEST_BUILD)/shim/call.S.o

$(GUEST_BUILD)/shim/call.S.o: tdx/shim/call.S tests/guests/guests.mk | $(BUILD)/packages/build
	@mkdir -p $(@D)
	@echo "  AS     $<"
	@$(CC) $(GUEST_CFLAGS) -MMD -MP -c $< -o $@

define td_guest_rule
$(GUEST_BUILD)/td/$(1): $(2) $(TD_GUEST_LIB_OBJS) tests/guests/td/td.ld
	@echo "  LD     $$@"
	@$(CC) -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments \
		-T tests/guests/td/td.ld -o $$@.elf $$(filter %.o,$$^)
	@objcopy -O binary $$@.elf $$@
endef
$(foreach g,$(TD_GUEST_NAMES),$(eval $(call td_guest_rule,$(g),$(GUEST_BUILD)/td/$(g).c.o)))
$(eval $(call td_guest_rule,power,$(GUEST_BUILD)/power.c.o))

guests: $(TD_GUESTS)

-include $(TD_GUEST_LIB_OBJS:.o=.d) $(TD_GUEST_NAMES:%=$(GUEST_BUILD)/td/%.c.d)
