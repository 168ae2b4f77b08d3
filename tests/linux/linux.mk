# What Linux guests run in tests and benches: `work`, a kernel module, and the initrds that carry them.

LINUX_BUILD := $(BUILD)/linux

$(LINUX_BUILD)/work: tests/linux/work.c tests/linux/linux.mk | $(BUILD)/packages/build
	@mkdir -p $(@D)
	@echo "  CC     $<"
	@$(CC) $(WARNINGS) -O2 -static -o $@ $< && strip $@

# Of the package of the sample guest's kernel: a module loads into its own kernel only.
$(LINUX_BUILD)/dummy.ko: $(SAMPLES)/vmlinuz
	@mkdir -p $(@D)
	@echo "  FETCH  dummy.ko"
	@sh boot/fetch_file.sh linux-image-cloud-amd64 './lib/modules/*/kernel/drivers/net/dummy.ko' $@

# The sample guest's shell, with more to run in it.
$(LINUX_BUILD)/initrd: boot/make_initrd.sh boot/stick/init $(LINUX_BUILD)/work $(LINUX_BUILD)/dummy.ko
	@echo "  CPIO   $@"
	@sh boot/make_initrd.sh $@ boot/stick/init $(LINUX_BUILD)/work $(LINUX_BUILD)/dummy.ko

# `work` alone, measured.
$(LINUX_BUILD)/initrd.bench: boot/make_initrd.sh tests/linux/init $(LINUX_BUILD)/work
	@echo "  CPIO   $@"
	@sh boot/make_initrd.sh $@ tests/linux/init $(LINUX_BUILD)/work

# Debian's kernel that knows TDX as a guest. bookworm's own does not.
$(SAMPLES)/vmlinuz-td: | $(BUILD)/packages/build
	@mkdir -p $(@D)
	@echo "  FETCH  linux-image-cloud-amd64 of bookworm-backports"
	@sh boot/fetch_file.sh linux-image-cloud-amd64 './boot/vmlinuz-*' $@ bookworm-backports
