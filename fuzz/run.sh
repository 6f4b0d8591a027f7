#!/bin/sh
# Runs each fuzz target for a while: fuzz/run.sh [SECONDS]. Stable Rust and a C++ compiler are enough; the
# coverage that libFuzzer wants comes from LLVM's own pass. New inputs go to target/fuzz, not to the corpus.
set -eu
cd "$(dirname "$0")"
seconds=${1:-30}
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code=no"
host=$(rustc -vV | sed -n 's/^host: //p')
# With a target named, build scripts and macros are left without the pass.
${CARGO:-cargo} build --release --target "$host" --target-dir target
for target in plan term etf beam handshake frames records; do
    found=target/found/$target
    mkdir -p "$found"
    echo "== $target, ${seconds}s"
    target/"$host"/release/$target "$found" corpus/$target -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -max_len=4096 -print_final_stats=1 -artifact_prefix="$found/" 2>&1 | tail -n 12 | tee "$found.log"
    # `tail` hides the exit code; libFuzzer says DONE only when nothing was found.
    grep -q '^Done \|DONE' "$found.log" || { echo "$target: see $found"; exit 1; }
done
