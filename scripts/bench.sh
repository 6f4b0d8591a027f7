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
rounds=${ROUNDS:-9}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$cache"

for program in /usr/bin/time python3 escript; do
    command -v $program >/dev/null || { echo "bench: $program is missing: apt-get install time python3 erlang-base" >&2; exit 1; }
done
otp=$(erl -noinput -boot start_clean -eval 'io:put_chars(erlang:system_info(otp_release)), halt().')
lib=$(erl -noinput -boot start_clean -eval 'io:put_chars(code:lib_dir()), halt().')
set -- "$lib"/*/ebin
if command -v elixir >/dev/null; then
    elixir=$(dirname "$(elixir -e 'IO.write(:code.lib_dir(:elixir))')")
    set -- "$@" "$elixir"/*/ebin
fi
beams=$(for folder; do ls "$folder"; done | grep -c '\.beam$')

# run NAME COMMAND…: one round; time and processor time in ms and memory in KB, added to $work/NAME.
run() {
    name=$1
    shift
    python3 "$here/bench_run.py" "$work/$name.out" "$@" >>"$work/$name"
}

# best NAME COLUMN: the smallest of all rounds.
best() {
    cut -d ' ' -f "$2" "$work/$1" | sort -n | head -n 1
}

# In turns, so that whatever else the machine does hits both.
for round in $(seq "$rounds"); do
    run xref escript "$here/bench_xref.erl" "$work/inside" "$@"
    run updo "$updo" graph --format edges --otp "$otp" --beams "$@"
done
cmp "$work/xref.out" "$work/updo.out" || { echo "bench: the edges differ" >&2; exit 1; }

edges=$(wc -l <"$work/updo.out")
echo "call edges: $beams beams of OTP $otp and Elixir, $edges edges, the same from both; best of $rounds"
awk -v xm="$(best xref 1)" -v xc="$(best xref 2)" -v xk="$(best xref 3)" \
    -v um="$(best updo 1)" -v uc="$(best updo 2)" -v uk="$(best updo 3)" \
    -v in_ms="$(sort -n "$work/inside" | head -n 1)" -v load="$(cut -d ' ' -f 1 /proc/loadavg)" 'BEGIN {
    printf "%-36s %10s %14s %12s\n", "", "time", "processor", "memory"
    printf "%-36s %7.0f ms %11.0f ms %9.1f MB\n", "xref, as run (erl started for it)", xm, xc, xk / 1024
    printf "%-36s %7.0f ms\n", "xref, inside a running node", in_ms
    printf "%-36s %7.0f ms %11.0f ms %9.1f MB\n", "updo graph --beams, whole process", um, uc, uk / 1024
    printf "updo: %.0f times sooner as run, %.0f times without starting erl; ", xm / um, in_ms / um
    printf "processor 1/%.0f, memory 1/%.0f; load of the machine %s\n", xc / uc, xk / uk, load
}'

echo
echo "reading, graph and order of generated modules, in process; best of 5"
escript "$here/bench_modules.erl" "$cache" 500 1000 2000 5000
cargo bench --quiet --locked --bench facts -- "$cache/500" "$cache/1000" "$cache/2000" "$cache/5000"

# A plan of 5,000 statements, and one with 200 brackets inside each other.
awk 'BEGIN {
    print "plan \"Large\".\ntarget t #{nodes => [\047a@b\047]}."
    for (n = 0; n < 4998; n++) {
        k = n % 6
        if (k == 0) printf "shop_%d depends on shop_%d because \"reason %d\".\n", n, n + 1, n
        if (k == 1) printf "module shop_%d #{timeout => 30s, change => {advanced, []}} because \"slow\".\n", n
        if (k == 2) printf "exclude [shop_%d, shop_%d] when otp() >= 25 because \"no\".\n", n, n + 1
        if (k == 3) printf "verify \"cart %d\" #{within => 10s} -> {ok, #{total := T}} = shop_cart:quote(%d), T > 0.\n", n, n
        if (k == 4) printf "V%d = [{a, %d}, {b, \"text\"} | [X || X <- [1, 2, 3], X > 2]].\n", n, n
        if (k == 5) printf "f%d(X, Y) when X > 1 -> case X of {ok, Z} -> Z + Y * 2; _ -> X - 1 end.\n", n
    }
}' >"$work/large.updo"
awk 'BEGIN {
    for (n = 0; n < 200; n++) { open = open "["; close_ = close_ "]" }
    print "X = " open close_ "."
}' >"$work/deep.updo"
for round in $(seq "$rounds"); do
    run large "$updo" check --quiet "$work/large.updo"
    run deep "$updo" check --quiet "$work/deep.updo"
done
echo
echo "updo check, whole process, best of $rounds"
for plan in large deep; do
    awk -v name="$plan" -v ms="$(best $plan 1)" -v cpu="$(best $plan 2)" -v kb="$(best $plan 3)" 'BEGIN {
        what["large"] = "5,000 statements"
        what["deep"] = "200 brackets inside each other"
        printf "%-36s %7.1f ms %11.1f ms %9.1f MB\n", what[name], ms, cpu, kb / 1024
    }'
done
