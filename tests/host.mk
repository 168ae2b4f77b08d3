# Tests that run on the host: unit tests and fuzzers under ASan and UBSan, models under spin, checks.
# A test file's first line names the sources it is built with: /* sources: hv/base/config.c ... */
# A name that ends in a slash stands for every source of that folder, one with a minus before it is left out.
# A line /* libraries: NAME ... */ below it names what it is linked with besides cmocka.

UNIT_C := $(sort $(wildcard tests/unit/test_*.c))
FUZZ_C := $(sort $(wildcard tests/fuzz/fuzz_*.c))
MODELS := $(sort $(wildcard tests/model/*.pml))
HOST_BUILD := $(BUILD)/host
HOST_TESTS := $(UNIT_C:%.c=$(HOST_BUILD)/%) $(FUZZ_C:%.c=$(HOST_BUILD)/%)

HOST_CHECKS := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
HOST_CFLAGS := $(WARNINGS) -g $(HOST_CHECKS) -DGNOMON_HOST_TEST -I. -I$(GENERATED) -isystem $(MBEDTLS)/include $(LWIP_INCLUDES)

test_words = $(shell sed -n '1s|^/\* sources: *\(.*[^ ]\) *\*/.*|\1|p' $(1))
test_sources = $(call sources_of,$(call test_words,$(1)))
sources_of = $(filter-out $(patsubst -%,%,$(filter -%,$(1))),$(foreach word,$(filter-out -%,$(1)),\
	$(if $(filter %/,$(word)),$(sort $(wildcard $(word)*.c)),$(word))))

test_libraries = $(shell sed -n '1,2s|^/\* libraries: *\(.*[^ ]\) *\*/.*|\1|p' $(1))

# Support stands in for the machine: as an archive, so that a test which brings the real thing gets that.
SUPPORT_C := $(sort $(wildcard tests/unit/support/*.c))
SUPPORT_A := $(HOST_BUILD)/support.a
$(SUPPORT_A): $(SUPPORT_C:%.c=$(HOST_BUILD)/%.o)
	@rm -f $@
	@ar rcs $@ $^

$(HOST_BUILD)/%.o: %.c $(AML_H) Makefile tests/host.mk | $(BUILD)/packages/build $(BUILD)/packages/test
	@mkdir -p $(@D)
	@echo "  HOSTCC $<"
	@$(CC) $(HOST_CFLAGS) $(HOST_FASTER) -MMD -MP -c $< -o $@

# Walked by random histories step by step.
$(HOST_BUILD)/mmu/%.o $(HOST_BUILD)/tests/unit/mmu_%.o $(HOST_BUILD)/tests/unit/test_mmu_random.o: HOST_FASTER := -O2

# mbed TLS again, for the host: what is tested is the source that the hypervisor has.
MBEDTLS_A := $(HOST_BUILD)/mbedtls.a
$(HOST_BUILD)/mbedtls/%.o: $(MBEDTLS)/library/%.c hv/base/mbedtls_config.h tests/host.mk
	@mkdir -p $(@D)
	@echo "  HOSTCC $<"
	@$(CC) $(HOST_CFLAGS) $(MBEDTLS_FLAGS) -c $< -o $@
$(MBEDTLS_A): $(MBEDTLS_OBJS:$(BUILD)/%=$(HOST_BUILD)/%)
	@rm -f $@
	@ar rcs $@ $^
$(USES_MBEDTLS:%=$(HOST_BUILD)/%.o): | $(MBEDTLS_C)

# The same with lwIP.
LWIP_A := $(HOST_BUILD)/lwip.a
$(HOST_BUILD)/lwip/%.o: $(LWIP)/src/%.c $(LWIP_PORT_H) tests/host.mk
	@mkdir -p $(@D)
	@echo "  HOSTCC $<"
	@$(CC) $(HOST_CFLAGS) $(LWIP_FLAGS) -c $< -o $@
$(LWIP_A): $(LWIP_OBJS:$(BUILD)/%=$(HOST_BUILD)/%)
	@rm -f $@
	@ar rcs $@ $^
$(USES_LWIP:%=$(HOST_BUILD)/%.o): $(LWIP_PORT_H) | $(LWIP_C)
lwip_of = $(if $(filter $(USES_LWIP:=.c),$(1)),$(LWIP_A))
digests_of = $(if $(filter $(USES_MBEDTLS:=.c),$(1)),$(MBEDTLS_A))

$(HOST_BUILD)/%.o: %.S tests/host.mk | $(BUILD)/packages/build
	@mkdir -p $(@D)
	@echo "  HOSTAS $<"
	@$(CC) -I. -MMD -MP -c $< -o $@

define host_test_rule
$(HOST_BUILD)/$(1:.c=): $(addprefix $(HOST_BUILD)/,$(1:.c=.o) $(addsuffix .o,$(basename $(call test_sources,$(1))))) \
		$(call lwip_of,$(call test_sources,$(1))) $(SUPPORT_A) $(call digests_of,$(call test_sources,$(1)))
	@$(CC) $(HOST_CHECKS) -o $$@ $$^ -lcmocka $(addprefix -l,$(call test_libraries,$(1)))
endef
$(foreach c,$(UNIT_C) $(FUZZ_C),$(eval $(call host_test_rule,$(c))))

# One target per test: `make unit-config` builds and runs tests/unit/test_config.c alone.
unit-%: $(HOST_BUILD)/tests/unit/test_%
	$<
fuzz-%: $(HOST_BUILD)/tests/fuzz/fuzz_%
	$<

# A test that does not build is a failure of its own, not the end of the others: hence -k.
test-unit: | $(BUILD)/packages/test ## host tests: unit, fuzz, model, checks
	-@$(MAKE) --no-print-directory -k -j2 $(HOST_TESTS) $(NEWLIB)/libc.a
	@$(PYTHON) tests/host.py --build $(BUILD) --tests $(HOST_TESTS) --models $(MODELS)

# Does a test see what it is for? tests/mutants/*.txt lists wrong versions of the source; ONLY=TEXT tries some.
MUTANTS := $(PYTHON) tests/mutants/mutants.py --build $(BUILD) --cc "$(CC)" --cflags "$(HOST_CFLAGS)"
mutants: | $(BUILD)/packages/test ## wrong versions of the source that tests must see
	@$(MUTANTS) $(if $(ONLY),--only "$(ONLY)")
mutants-quick: | $(BUILD)/packages/test
	@$(MUTANTS) --quick

# Random histories as long as wanted, of guests under shadow paging, on EPT, on mirror roots, and of calls to the TDX
# module in software. Without sanitizers: `make test` runs the short ones with them, a million steps would take a day.
STEPS ?= 1000000
RANDOM_TESTS := $(addprefix tests/unit/test_,shadow_random mmu_random mirror_random soft_random)
random: ## a million random steps of each kind of history; STEPS=N, MMU_TEST_SEED=N, SOFT_TEST_SEED=N
	@$(MAKE) --no-print-directory HOST_BUILD=$(BUILD)/random HOST_CHECKS=-O2 $(RANDOM_TESTS:%=$(BUILD)/random/%)
	@set -e; for t in $(RANDOM_TESTS); do MMU_TEST_STEPS=$(STEPS) SOFT_TEST_STEPS=$(STEPS) $(BUILD)/random/$$t; done

check: $(NEWLIB)/libc.a $(OFFSETS_H) $(AML_H) ## layering, headers that stand alone, style
	@sh tests/check_layering.sh
	@sh tests/check_headers.sh $(NEWLIB)/include $(GENERATED)
	@sh tests/check_style.sh

# Syntax and warnings under clang, every C file of the hypervisor and of gnomon.efi.
check-clang: $(NEWLIB)/libc.a $(AML_H) $(MBEDTLS_C) $(LWIP_C) | $(BUILD)/packages/clang ## the sources under clang's warnings
	@for c in $(HV_C); do $(CLANG) $(HV_CFLAGS) -fsyntax-only $$c || exit 1; done
	@for c in $(BOOT_C); do $(CLANG) $(EFI_CFLAGS) -fsyntax-only $$c || exit 1; done
	@echo "clang: $(words $(HV_C) $(BOOT_C)) files clean"

.PHONY: test-unit mutants mutants-quick random check check-clang

-include $(HOST_TESTS:=.d) $(SUPPORT_C:%.c=$(HOST_BUILD)/%.d)
-include $(addprefix $(HOST_BUILD)/,$(addsuffix .d,$(sort $(basename $(foreach c,$(UNIT_C) $(FUZZ_C),$(call test_sources,$(c)))))))
