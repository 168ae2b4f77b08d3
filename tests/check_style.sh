#!/bin/sh
# What can be seen without reading: long files, long lines, marks of unfinished work, binary files.
bad=0
files=$(find boot hv mmu vmx tdx drivers tests -name '*.[chS]' | sort)

complain() {
	echo "$1"
	bad=$((bad + 1))
}

for file in $files; do
	lines=$(wc -l <"$file")
	[ "$lines" -le 600 ] || complain "$file: $lines lines; 600 is the limit"
	head -n 3 "$file" | grep -qE '/\*' || complain "$file: the first lines do not say what it owns"
done
long=$(echo "$files" | xargs expand -t 4 2>/dev/null | grep -v '^/\* sources:' | awk 'length > 120' | head -n 5)
[ -z "$long" ] || complain "lines far over 110 columns: $long"
marks=$(echo "$files" | xargs grep -nE '\b(TODO|FIXME|XXX)\b|#if 0' || true)
[ -z "$marks" ] || complain "marks of unfinished work: $marks"
# Images and compiled files come into a commit by accident. Without git, nothing is in a commit.
binary=$(git ls-files -z 2>/dev/null | xargs -0 -r grep -LI -e '' -- 2>/dev/null || true)
[ -z "$binary" ] || complain "files that are no text: $binary"

echo "style: $bad complaints"
[ "$bad" -eq 0 ]
