#!/bin/sh
# Every header of the hypervisor and of boot's shared part stands alone: check_headers.sh NEWLIB_INCLUDE GENERATED.
newlib=$1
generated=$2
bad=0
count=0
gcc_include=$(gcc -print-file-name=include)

for header in $(find boot hv mmu vmx tdx drivers -name '*.h' | sort); do
	case $header in
	boot/efi_base.h) extra="-fshort-wchar -DGNU_EFI_USE_MS_ABI -isystem /usr/include/efi -isystem /usr/include/efi/x86_64" ;;
	*) extra="" ;;
	esac
	count=$((count + 1))
	gcc -std=gnu11 -Wall -Wextra -Werror -ffreestanding -mgeneral-regs-only -nostdinc -isystem "$newlib" \
		-isystem "$gcc_include" $extra -I. -I"$generated" -fsyntax-only -x c -include "$header" /dev/null || {
		echo "$header does not stand alone"
		bad=$((bad + 1))
	}
done
echo "headers: $count looked at, $bad do not stand alone"
[ "$bad" -eq 0 ]
