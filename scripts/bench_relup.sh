#!/bin/sh
# Translation of appup scripts against systools_rc, side by side. Arguments: numbers of modules.
set -eu
cd "$(dirname "$0")/.."
exec cargo run --quiet --release --locked --example bench_relup -- "$@"
