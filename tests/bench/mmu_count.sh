#!/bin/sh
# Prints the instructions of the mmu's paths, per call, and under shadow paging how they grow with guest memory.
# Needs valgrind. Usage: mmu_count.sh [FOLDER]
set -e
out=${1:-build/mmu-count}
mkdir -p "$out"
flags="-std=gnu11 -O2 -g -fno-stack-protector -DGNOMON_HOST_TEST -I."
rm -f "$out"/*.o
for c in mmu/*.c hv/base/failure.c hv/base/format.c; do
	cc $flags -mgeneral-regs-only -c "$c" -o "$out/$(basename "$c" .c).o"
done
cc $flags tests/bench/mmu_count.c tests/unit/mmu_world.c tests/unit/support/phys.c tests/unit/support/trace.c \
	tests/unit/support/panic.c "$out"/*.o -o "$out/mmu_count" -lpthread

cc $flags tests/bench/shadow_count.c tests/unit/support/panic.c tests/unit/support/trace.c "$out"/*.o -o "$out/shadow_count"

support="phys percpu log clock panic trace"
cc $flags tests/bench/mirror_count.c $(printf 'tests/unit/support/%s.c ' $support) hv/base/frame.c hv/base/frame_init.c \
	hv/base/map_ram.c tdx/sept.c tdx/seamcall.c tdx/status.c tdx/module.c tdx/module_memory.c tdx/tdmr.c "$out"/*.o \
	-o "$out/mirror_count"

# count CASE FUNCTION N: instructions inside FUNCTION, all calls together; in mirror_count without the module's
count() {
	valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect="$2" --toggle-collect=module_answer \
		"$out/${program:-mmu_count}" "$1" "$3" 2>&1 | sed -n 's/.*Collected : *\([0-9]*\).*/\1/p'
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

program=mirror_count
per fault_4k mmu_fault 1 "private fault 4K, table present, without the TDX module"
per accept_4k mmu_mirror_accept 1 "the same for a page that is being accepted"
per fault_4k_cold mmu_fault 1 "private fault 4K, with a new table, a spare at hand"
per accept_2m mmu_mirror_accept 1 "private 2M page that is being accepted"

# counted FUNCTION ARGUMENTS: the same of shadow_count
counted() {
	valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect="$1" "$out/shadow_count" "$2" "$3" "$4" 2>&1 |
		sed -n 's/.*Collected : *\([0-9]*\).*/\1/p'
}

# grow CASE FUNCTION FEW MANY WHAT: per one of N, with 1 GiB to 4 TiB of guest memory
grow() {
	printf '%-52s' "$5"
	for gib in 1 16 256 4096; do
		few=$(counted "$2" "$1" $gib "$3")
		many=$(counted "$2" "$1" $gib "$4")
		printf ' %9d' $(((many - few) / ($4 - $3)))
	done
	echo
}

printf '%-52s %9s %9s %9s %9s\n' "shadow paging, guest memory:" "1 GiB" "16 GiB" "256 GiB" "4 TiB"
grow fault_dense mmu_shadow_fault 8 40 "shadow fault, write, pages in a row"
grow fault_spread mmu_shadow_fault 8 40 "shadow fault, write, pages all over memory"
grow fault_dense unsync_try 8 40 "of it: question for shadow pages, skipped"
grow search unsync_try 8 40 "of it: question for shadow pages, by the hash"
grow load mmu_shadow_load 8 40 "CR3 load that changes nothing"
grow zap mmu_slot_delete 1 3 "deletion of a slot of 64 MiB, 1024 pages mapped"

printf '%-52s' "metadata bytes per GiB, nothing mapped"
for gib in 1 16 256 4096; do
	set -- $("$out/shadow_count" metadata $gib 0)
	printf ' %9d' $(($1 / gib))
done
echo
set -- $("$out/shadow_count" metadata 1 0) $("$out/shadow_count" metadata 1 65536)
echo "metadata bytes per page mapped: $((($3 - $1) / 65536)), and $((($4 - $2) * 4096 / 65536)) of shadow pages"
