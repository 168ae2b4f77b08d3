#!/bin/sh
# Prints the instructions of the mmu's fast paths, per call. Needs valgrind. Usage: mmu_count.sh [FOLDER]
set -e
out=${1:-build/mmu-count}
mkdir -p "$out"
flags="-std=gnu11 -O2 -g -fno-stack-protector -DGNOMON_HOST_TEST -I."
rm -f "$out"/*.o
for c in mmu/*.c hv/base/failure.c hv/base/format.c; do
	cc $flags -mgeneral-regs-only -c "$c" -o "$out/$(basename "$c" .c).o"
done
cc $flags tests/bench/mmu_count.c tests/unit/mmu_world.c tests/unit/support/phys.c \
	tests/unit/support/panic.c "$out"/*.o -o "$out/mmu_count" -lpthread

# count CASE FUNCTION N: instructions inside FUNCTION, all calls together
count() {
	valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect="$2" "$out/mmu_count" "$1" "$3" 2>&1 |
		sed -n 's/.*Collected : *\([0-9]*\).*/\1/p'
}

# per CASE FUNCTION CALLS-PER-N WHAT
per() {
	few=$(count "$1" "$2" 8)
	many=$(count "$1" "$2" 40)
	echo "$4: $(((many - few) / (32 * $3)))"
}

per spurious mmu_fault 1 "EPT fault, nothing to do"
per fresh_2m mmu_fault 1 "EPT fault 2M, table present"
per warm_4k mmu_fault 1 "EPT fault 4K, table present"
per cold_4k mmu_fault 1 "EPT fault 4K, with a new table, a spare at hand"
per all_4k mmu_fault 512 "EPT fault 4K, mean of 512 in a row, filling of tables included"
per mmio_hit mmu_mmio_hit 1 "MMIO hit"
per read_8 gpa_read 1 "gpa_read of 8 bytes"
per walk_4 guest_walk 1 "guest_walk, 4-level"
