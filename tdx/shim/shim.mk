# The TD shim, $(BUILD)/shim/shim.bin, which the hypervisor carries (tdx/shim_blob.S). Beside its own sources it
# has the kernel loader and what that needs, compiled once more: it runs below 4 GiB, so its code is
# position-independent though linked for one place.

SHIM_C := $(sort $(filter-out %/offsets.c,$(wildcard tdx/shim/*.c))) \
	$(addprefix hv/guest/,bzimage.c e820.c guest_mem.c loader_parts.c wakeup.c) \
	$(addprefix hv/base/,digest.c failure.c format.c newlib.c)
SHIM_S := $(sort $(wildcard tdx/shim/*.S))
SHIM_BUILD := $(BUILD)/shim
SHIM_OBJS := $(SHIM_C:%.c=$(SHIM_BUILD)/%.o) $(SHIM_S:%.S=$(SHIM_BUILD)/%.o)
SHIM_MBEDTLS := $(MBEDTLS_C:$(MBEDTLS)/library/%.c=$(SHIM_BUILD)/mbedtls/%.o)

SHIM_CFLAGS := $(filter-out -mcmodel=kernel -fno-pic -fno-pie,$(HV_CFLAGS)) -fpie -fvisibility=hidden \
	-ffunction-sections -fdata-sections

SHIM_BASE := $(shell sed -n 's/^\#define SHIM_BASE \(0x[0-9a-f]*\)ul.*/\1/p' tdx/shim/params.h)

$(SHIM_BUILD)/%.o: %.c $(NEWLIB)/libc.a Makefile tdx/shim/shim.mk | $(MBEDTLS_C)
	@mkdir -p $(@D)
	@echo "  CC-TD  $<"
	@$(CC) $(SHIM_CFLAGS) -MMD -MP -c $< -o $@

$(SHIM_BUILD)/%.o: %.S $(OFFSETS_H) $(NEWLIB)/libc.a Makefile tdx/shim/shim.mk
	@mkdir -p $(@D)
	@echo "  AS-TD  $<"
	@$(CC) $(SHIM_CFLAGS) -MMD -MP -c $< -o $@

$(SHIM_BUILD)/mbedtls/%.o: $(MBEDTLS)/library/%.c hv/base/mbedtls_config.h $(NEWLIB)/libc.a tdx/shim/shim.mk
	@mkdir -p $(@D)
	@echo "  CC-TD  $<"
	@$(CC) $(SHIM_CFLAGS) $(MBEDTLS_FLAGS) -c $< -o $@

$(SHIM_BUILD)/shim.elf: $(SHIM_OBJS) $(SHIM_MBEDTLS) tdx/shim/shim.ld
	@echo "  LD-TD  $@"
	@$(CC) -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments \
		-Wl,--defsym=SHIM_BASE=$(SHIM_BASE) -Wl,--gc-sections -Wl,--no-relax -Wl,-Map=$@.map -T tdx/shim/shim.ld -o $@ $(SHIM_OBJS) $(SHIM_MBEDTLS) $(NEWLIB)/libc.a

$(SHIM_BUILD)/shim.bin: $(SHIM_BUILD)/shim.elf
	@objcopy -O binary $< $@

$(BUILD)/tdx/shim_blob.o: $(SHIM_BUILD)/shim.bin
$(BUILD)/tdx/shim_blob.o: private HV_CFLAGS += -DSHIM_BIN='"$(SHIM_BUILD)/shim.bin"'

-include $(SHIM_OBJS:.o=.d)
