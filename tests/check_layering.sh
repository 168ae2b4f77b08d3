#!/bin/sh
# Who may include whom. Each rule: the files (a regular expression), then what they may include.
bad=0

# Prints what the includes of the files break: rule NAME FILES ALLOWED
rule() {
	found=$(find boot hv mmu vmx tdx drivers -name '*.[chS]' | grep -E "^($2)" | sort |
		xargs -r grep -HnE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' |
		grep -vE "include[[:space:]]+\"($3)")
	if [ -n "$found" ]; then
		echo "$1:"
		echo "$found"
		bad=$((bad + 1))
	fi
}

generated='[a-z_]*_offsets\.h'
rule "hv/base uses nothing but itself and what boot hands over" \
	'hv/base/' "hv/base/|boot/boot_info\.h|drivers/|$generated"
rule "mmu uses hv/base and itself" 'mmu/' "mmu/|hv/base/"
rule "devices use hv/base, bus, interrupt lines, the clock and the guest's constants" \
	'hv/devices/' 'hv/devices/|hv/base/|hv/(bus|irq|vclock)\.h|hv/guest/guest\.h'
rule "drivers are leaves" 'drivers/' 'drivers/|hv/base/|boot/boot_info\.h'
rule "vmx/core is a leaf" 'vmx/core/' "vmx/core/|hv/base/|$generated"
rule "tdx/abi is a leaf" 'tdx/abi/' 'tdx/abi/|hv/base/'
rule "the software module is a library of its own" 'tdx/soft/' 'tdx/soft/|tdx/abi/|vmx/core/|hv/base/'
rule "tdx uses the back-end interface, mmu and vmx/core" 'tdx/' "tdx/|mmu/|hv/|vmx/core/|drivers/|$generated"
rule "the TD shim runs in the guest" 'tdx/shim/' "tdx/shim/|tdx/abi/|hv/guest/|hv/base/|$generated"
rule "vmx knows nothing of tdx" 'vmx/' "vmx/|mmu/|hv/|drivers/|$generated"
rule "hv reaches vmx through hv/vm.h" 'hv/' "hv/|mmu/|drivers/|boot/boot_info\.h|$generated|[a-z_]*_aml\.h"
rule "boot shares boot_info.h and the pure files of hv/base" 'boot/' 'boot/|hv/base/'

echo "layering: $bad rules broken"
[ "$bad" -eq 0 ]
