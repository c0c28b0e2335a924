#!/bin/sh
# Runs every fuzz target for an equal share of TIME seconds and prints what each executed: `make fuzz TIME=1800`.
# usage: run.sh BUILD_DIR TIME TARGET...
set -eu

build=$1
seconds=$2
shift 2
share=$((seconds / $#))
[ "$share" -gt 0 ] || share=1
passed=0
failed=0
for target in "$@"; do
	corpus=$build/corpus/$target
	mkdir -p "$corpus"
	log=$build/$target.log
	if "$build/$target" -max_total_time="$share" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
		-artifact_prefix="$build/$target-" "$corpus" "tests/fuzz/seeds/${target#fuzz_}" >"$log" 2>&1; then
		passed=$((passed + 1))
		executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
		echo "$target: $executions executions in $share s, no finding"
	else
		failed=$((failed + 1))
		echo "$target: FINDING, see $log"
		grep -m1 -E 'ERROR|SUMMARY|abort' "$log" || true
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
