#!/bin/sh
# Measures reading and analysis: updo and xref side by side, in one run, on every beam of OTP and Elixir.
#
#   scripts/bench.sh UPDO [FOLDER]    UPDO is the binary; generated modules are kept in FOLDER
#
# Both print the same edges, which is checked. Time is wall-clock time of whole processes (the best of ROUNDS,
# because other work on the machine only ever adds), memory the largest resident set as the kernel counted it.
set -eu

updo=$1
cache=${2:-${CARGO_TARGET_DIR:-target}/bench}
rounds=${ROUNDS:-5}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$cache"

otp=$(erl -noinput -boot start_clean -eval 'io:put_chars(erlang:system_info(otp_release)), halt().')
lib=$(erl -noinput -boot start_clean -eval 'io:put_chars(code:lib_dir()), halt().')
set -- "$lib"/*/ebin
if command -v elixir >/dev/null; then
    elixir=$(dirname "$(elixir -e 'IO.write(:code.lib_dir(:elixir))')")
    set -- "$@" "$elixir"/*/ebin
fi
beams=$(for folder; do ls "$folder"; done | grep -c '\.beam$')

# run NAME COMMAND…: time in ms and memory in KB of a command's best round, into $work/NAME.
run() {
    name=$1
    shift
    python3 "$here/bench_run.py" "$rounds" "$work/$name.out" "$@" >"$work/$name"
}

run xref escript "$here/bench_xref.erl" "$work/inside" "$@"
run updo "$updo" graph --format edges --otp "$otp" --beams "$@"
cmp "$work/xref.out" "$work/updo.out" || { echo "bench: the edges differ" >&2; exit 1; }

read -r xref_ms xref_kb <"$work/xref"
read -r updo_ms updo_kb <"$work/updo"
inside=$(sort -n "$work/inside" | head -n 1)
edges=$(wc -l <"$work/updo.out")
echo "who calls whom: $beams beams of OTP $otp and Elixir, $edges edges, the same from both; best of $rounds"
awk -v xm="$xref_ms" -v xk="$xref_kb" -v um="$updo_ms" -v uk="$updo_kb" -v in_ms="$inside" 'BEGIN {
    printf "%-42s %10s %12s\n", "", "time", "memory"
    printf "%-42s %7.0f ms %9.1f MB\n", "xref, as run (erl started for it)", xm, xk / 1024
    printf "%-42s %7.0f ms %12s\n", "xref, inside a running node", in_ms, "the same"
    printf "%-42s %7.0f ms %9.1f MB\n", "updo graph --beams, whole process", um, uk / 1024
    printf "times sooner: %.0f as run, %.0f without starting erl; memory: 1/%.0f\n", xm / um, in_ms / um, xk / uk
}'

echo
echo "reading, graph and order of generated modules, in process; best of 5"
escript "$here/bench_modules.erl" "$cache" 500 1000 2000 5000
cargo bench --quiet --locked --bench facts -- "$cache/500" "$cache/1000" "$cache/2000" "$cache/5000"
