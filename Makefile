# Gnomon. `make help` lists what there is. Everything built lands in build/ (BUILD=DIR to change it).

BUILD ?= build
CC := gcc
CLANG ?= clang
BOCHS ?= bochs
PYTHON ?= python3
export BUILD BOCHS

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.SECONDARY:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := image

WARNINGS := -std=gnu11 -Wall -Wextra -Wshadow -Wundef -Wmissing-prototypes -Wstrict-prototypes -Wvla -Werror
GENERATED := $(BUILD)/include
NEWLIB := $(BUILD)/newlib

# ---- Debian packages ---------------------------------------------------------------------------
# Installed when root, otherwise named with the command that installs them.
PACKAGES := gcc make binutils libc6-dev python3 xz-utils dpkg-dev gnu-efi newlib-source acpica-tools \
	grub-efi-amd64-bin grub-common mtools dosfstools gdisk busybox-static
TEST_PACKAGES := iproute2 udhcpd libcmocka-dev libzydis-dev lz4 spin bochs bochs-term vgabios ovmf qemu-system-x86 \
	gdb
CHECK_PACKAGES := clang
BENCH_PACKAGES := valgrind

packages_stamp = $(BUILD)/packages/$(1)
$(BUILD)/packages/build: WANTED = $(PACKAGES)
$(BUILD)/packages/test: WANTED = $(TEST_PACKAGES)
$(BUILD)/packages/clang: WANTED = $(CHECK_PACKAGES)
$(BUILD)/packages/bench: WANTED = $(BENCH_PACKAGES)
$(BUILD)/packages/%: boot/packages.sh Makefile
	@mkdir -p $(@D)
	@sh boot/packages.sh $(WANTED)
	@touch $@

# ---- newlib: built once, one libc.a for the hypervisor and for gnomon.efi -----------------------
$(NEWLIB)/libc.a: boot/newlib.sh | $(BUILD)/packages/build
	@echo "  NEWLIB (once, about a minute and a half)"
	@sh boot/newlib.sh $(NEWLIB)

# ---- mbed TLS: its digests from Debian's source, with our configuration -------------------------
MBEDTLS := $(BUILD)/source/mbedtls
MBEDTLS_C := $(addprefix $(MBEDTLS)/library/,md.c platform_util.c sha256.c sha512.c)
MBEDTLS_OBJS := $(MBEDTLS_C:$(MBEDTLS)/library/%.c=$(BUILD)/mbedtls/%.o)
MBEDTLS_FLAGS := -I$(MBEDTLS)/include -DMBEDTLS_CONFIG_FILE='"hv/base/mbedtls_config.h"'
USES_MBEDTLS := hv/base/digest

$(MBEDTLS_C) &: boot/debian_source.sh | $(BUILD)/packages/build
	@echo "  SOURCE mbedtls"
	@sh boot/debian_source.sh mbedtls $(MBEDTLS)
	@touch $(MBEDTLS_C)

$(BUILD)/mbedtls/%.o: $(MBEDTLS)/library/%.c hv/base/mbedtls_config.h $(NEWLIB)/libc.a
	@mkdir -p $(@D)
	@echo "  CC     $<"
	@$(CC) $(HV_CFLAGS) $(MBEDTLS_FLAGS) -c $< -o $@

$(BUILD)/mbedtls.a: $(MBEDTLS_OBJS)
	@rm -f $@
	@ar rcs $@ $^

$(USES_MBEDTLS:%=$(BUILD)/%.o): | $(MBEDTLS_C)

# ---- lwIP: from Debian's source, with drivers/lwip as its port ------------------------------------
LWIP := $(BUILD)/source/lwip
LWIP_C := $(addprefix $(LWIP)/src/,$(addprefix core/,def.c inet_chksum.c init.c ip.c mem.c memp.c netif.c pbuf.c stats.c \
	tcp.c tcp_in.c tcp_out.c timeouts.c udp.c) $(addprefix core/ipv4/,dhcp.c etharp.c icmp.c ip4.c ip4_addr.c \
	ip4_frag.c) $(addprefix core/ipv6/,ethip6.c icmp6.c inet6.c ip6.c ip6_addr.c ip6_frag.c mld6.c nd6.c) \
	netif/ethernet.c)
LWIP_OBJS := $(LWIP_C:$(LWIP)/src/%.c=$(BUILD)/lwip/%.o)
# One of its names is taken.
LWIP_FLAGS := -Wno-address -Dstats_init=lwip_stats_init
LWIP_INCLUDES := -isystem $(LWIP)/src/include -isystem drivers/lwip
LWIP_PORT_H := $(wildcard drivers/lwip/*.h drivers/lwip/*/*.h)
# What of ours includes lwIP's headers, which the compiler takes for the system's and does not write down.
USES_LWIP := drivers/lwip/port $(addprefix hv/net/,address commands datagram ether hop net stream stream_tcp)

$(LWIP_C) &: boot/debian_source.sh | $(BUILD)/packages/build
	@echo "  SOURCE lwip"
	@sh boot/debian_source.sh lwip $(LWIP)
	@touch $(LWIP_C)

$(BUILD)/lwip/%.o: $(LWIP)/src/%.c $(LWIP_PORT_H) $(NEWLIB)/libc.a
	@mkdir -p $(@D)
	@echo "  CC     $<"
	@$(CC) $(HV_CFLAGS) $(LWIP_FLAGS) -c $< -o $@

$(BUILD)/lwip.a: $(LWIP_OBJS)
	@rm -f $@
	@ar rcs $@ $^

$(USES_LWIP:%=$(BUILD)/%.o): $(LWIP_PORT_H) | $(LWIP_C)

# ---- The hypervisor ----------------------------------------------------------------------------
HV_DIRS := hv hv/* mmu vmx vmx/* tdx tdx/* drivers drivers/lwip
# Of the TD shim (tdx/shim/shim.mk) the hypervisor has as code only what judges its parameters.
HV_C := $(sort $(filter-out %/offsets.c tdx/shim/%,$(wildcard $(addsuffix /*.c,$(HV_DIRS)))) tdx/shim/params.c)
HV_S := $(sort $(filter-out tdx/shim/%,$(wildcard $(addsuffix /*.S,$(HV_DIRS)))))
HV_OBJS := $(HV_C:%.c=$(BUILD)/%.o) $(HV_S:%.S=$(BUILD)/%.o)

FREESTANDING := -ffreestanding -nostdinc -isystem $(NEWLIB)/include -isystem $(MBEDTLS)/include \
	$(LWIP_INCLUDES) -isystem $(shell $(CC) -print-file-name=include)
HV_CFLAGS := $(WARNINGS) -O2 -g -ffreestanding -mcmodel=kernel -mno-red-zone -mgeneral-regs-only \
	-fno-pic -fno-pie -fno-stack-protector -fcf-protection=none -fno-strict-aliasing \
	-fomit-frame-pointer -fno-asynchronous-unwind-tables \
	$(FREESTANDING) -I. -I$(GENERATED) $(EXTRA_CFLAGS)

HV_LINK = $(CC) -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack \
	-Wl,--no-warn-rwx-segments -T linker.ld -Wl,-Map=$@.map

# DIR/offsets.c becomes DIR_offsets.h (hv/base/offsets.h), hv/guest/NAME.asl becomes NAME_aml.h.
OFFSETS_C := $(wildcard $(addsuffix /offsets.c,$(HV_DIRS)))
OFFSETS_H := $(foreach c,$(OFFSETS_C),$(GENERATED)/$(subst /,_,$(c:.c=.h)))
ASL := $(wildcard hv/guest/*.asl)
AML_H := $(ASL:hv/guest/%.asl=$(GENERATED)/%_aml.h)

# The stick carries the symbols, for backtraces, but not the debug information: it would only take time to read.
hypervisor: $(BUILD)/gnomon.elf ## the hypervisor's ELF file; gnomon.debug.elf has the debug information
$(BUILD)/gnomon.elf: $(BUILD)/gnomon.debug.elf
	@objcopy --strip-debug $< $@

$(BUILD)/gnomon.debug.elf: $(HV_OBJS) linker.ld $(BUILD)/lwip.a $(BUILD)/mbedtls.a $(NEWLIB)/libc.a
	@echo "  LD     $@"
	@$(HV_LINK) -o $@ $(HV_OBJS) $(BUILD)/lwip.a $(BUILD)/mbedtls.a $(NEWLIB)/libc.a

$(BUILD)/%.o: %.c $(NEWLIB)/libc.a $(AML_H) Makefile
	@mkdir -p $(@D)
	@echo "  CC     $<"
	@$(CC) $(HV_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/%.o: %.S $(OFFSETS_H) $(NEWLIB)/libc.a Makefile
	@mkdir -p $(@D)
	@echo "  AS     $<"
	@$(CC) $(HV_CFLAGS) -MMD -MP -c $< -o $@

define offsets_rule
$(GENERATED)/$(subst /,_,$(1:.c=.h)): $(1) $(NEWLIB)/libc.a Makefile
	@mkdir -p $$(@D) $(BUILD)/$(dir $(1))
	@echo "  GEN    $$@"
	@$$(CC) $$(HV_CFLAGS) -MMD -MP -MT $$@ -MF $(BUILD)/$(1:.c=.d) -S $$< -o $(BUILD)/$(1:.c=.s)
	@sed -n 's/^@define /#define /p' $(BUILD)/$(1:.c=.s) > $$@
endef
$(foreach c,$(OFFSETS_C),$(eval $(call offsets_rule,$(c))))

$(GENERATED)/%_aml.h: hv/guest/%.asl hv/guest/dsdt_common.asi | $(BUILD)/packages/build
	@mkdir -p $(@D) $(BUILD)/hv/guest
	@echo "  IASL   $<"
	@iasl -we -p $(BUILD)/hv/guest/$* $< > $(BUILD)/hv/guest/$*.iasl.log || { cat $(BUILD)/hv/guest/$*.iasl.log; exit 1; }
	@{ echo "static const unsigned char $*_aml[] = {"; \
	   od -An -v -tx1 $(BUILD)/hv/guest/$*.aml | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'; echo "};"; } > $@

# ---- The TD shim -------------------------------------------------------------------------------
include tdx/shim/shim.mk

# ---- gnomon.efi --------------------------------------------------------------------------------
BOOT_C := $(sort $(wildcard boot/*.c)) $(addprefix hv/base/,config.c config_key.c config_net.c config_serial.c failure.c features.c format.c ip_address.c newlib.c)
BOOT_S := $(sort $(wildcard boot/*.S))
BOOT_OBJS := $(BOOT_C:%.c=$(BUILD)/efi/%.o) $(BOOT_S:%.S=$(BUILD)/efi/%.o)
EFI_LIB := /usr/lib
EFI_CFLAGS := $(WARNINGS) -O2 -g -fpic -fshort-wchar -mno-red-zone -mgeneral-regs-only -fno-stack-protector \
	-fcf-protection=none -fno-strict-aliasing -DGNU_EFI_USE_MS_ABI $(FREESTANDING) \
	-isystem /usr/include/efi -isystem /usr/include/efi/x86_64 -I. -I$(GENERATED)

$(BUILD)/efi/%.o: %.c $(NEWLIB)/libc.a Makefile
	@mkdir -p $(@D)
	@echo "  CC-EFI $<"
	@$(CC) $(EFI_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/efi/%.o: %.S Makefile
	@mkdir -p $(@D)
	@echo "  AS-EFI $<"
	@$(CC) $(EFI_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/gnomon.efi: $(BOOT_OBJS) $(NEWLIB)/libc.a
	@echo "  LD-EFI $@"
	@ld -nostdlib -shared -Bsymbolic -znocombreloc -zdefs -z noexecstack -T $(EFI_LIB)/elf_x86_64_efi.lds -o $@.so \
		$(EFI_LIB)/crt0-efi-x86_64.o $(BOOT_OBJS) $(EFI_LIB)/libgnuefi.a $(NEWLIB)/libc.a
	@objcopy -j .text -j .sdata -j .data -j .dynamic -j .dynsym -j .rel -j .rela -j '.rel.*' -j '.rela.*' \
		-j .reloc --target efi-app-x86_64 --subsystem=10 $@.so $@

efi: $(BUILD)/gnomon.efi

# ---- The stick ---------------------------------------------------------------------------------
include boot/stick.mk

# ---- Tests -------------------------------------------------------------------------------------
include tests/host.mk
-include tests/guests/guests.mk
include tests/linux/linux.mk
include tests/boot/boot.mk
-include tests/bench/bench.mk

test: ## all tests; ends with "N passed, N failed"
	@rm -rf $(BUILD)/results
	-@$(MAKE) --no-print-directory test-unit
	-@$(MAKE) --no-print-directory test-boot
	@$(PYTHON) tests/total.py $(BUILD)/results unit boot

loc: ## lines of code by folder
	@for d in boot hv mmu vmx tdx drivers tests; do \
		printf '%-8s %6d lines in %3d files\n' $$d \
		$$(find $$d -name '*.[chS]' -exec cat {} + | wc -l) $$(find $$d -name '*.[chS]' | wc -l); done

clean: ## remove the build folder
	rm -rf $(BUILD)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{ printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST) | sort

.PHONY: hypervisor efi test loc clean help

-include $(HV_OBJS:.o=.d) $(BOOT_OBJS:.o=.d) $(OFFSETS_C:%.c=$(BUILD)/%.d)
