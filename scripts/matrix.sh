#!/usr/bin/env bash
# updo against other OTP releases: for each, the agent's own tests are run in it, its beams are read and compared with
# what its own beam_lib and xref say, all of them are loaded as twins beside themselves, random scripts are translated
# beside its systools_rc, and the demonstration's shop and the tests' applications (scripts/matrix_runs.sh,
# scripts/matrix_releases.sh) are upgraded on nodes of it. At last the tests of upgrades and roll-outs run against its nodes
# (scripts/otp.sh test). Releases that are missing are made (scripts/otp.sh).
#
#   scripts/matrix.sh [23|27|29]…          all three by default; UPDO_BIN chooses the binary
#   scripts/matrix.sh --tests [23|27|29]…  the tests of upgrades and roll-outs only; needs no binary
#   scripts/matrix.sh --main [23|27|29]…   the main ways among those (27 and 29 by default), as .ci/run does; needs no binary
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
only_tests=''
case "${1:-}" in --tests | --main) only_tests=$1 && shift ;; esac
updo=${UPDO_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/updo}
[ -n "$only_tests" ] || [ -x "$updo" ] || { echo "matrix: no updo at $updo; build it with: make build" >&2; exit 1; }
[ $# -gt 0 ] || if [ "$only_tests" = --main ]; then set -- 27 29; else set -- 23 27 29; fi

# A minute on each release: run and undo under load, rehearsals, live windows, what a restart keeps, state machines, Elixir and
# a release of mix, kinds of processes, purging, conversions that fail, applications with their libraries.
main_ways="shop:: rollback:: rehearsal:: live:: live_statem:: persist::a_restart persist::only_after restarts::a_release_of_mix
    restarts::the_env statem:: elixir:: kinds:: old_code::an_undo old_code::a_soft conversion::every_way
    conversion::a_process conversion::one_that_takes libraries::a_new_version_with removal::a_whole releases::consolidated"

work=$(mktemp -d)
pids=''
clean_up() {
    local status=$? pid
    trap - EXIT
    for pid in $pids; do kill -9 "$pid" 2>/dev/null || true; done
    rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

(umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$work/cookie")
chmod 400 "$work/cookie"
export UPDO_COOKIE_FILE=$work/cookie UPDO_STATE_DIR=$work/state
export ERL_EPMD_PORT=$((20000 + RANDOM % 12000)) ERL_EPMD_ADDRESS=127.0.0.1
epmd </dev/null >"$work/epmd.log" 2>&1 &
pids=$!
sleep 0.3

# `test_program RELEASE PROGRAM ARG…`
test_program() {
    local release=$1 program=$2 status=0
    shift 2
    env -u UPDO_COOKIE_FILE -u UPDO_STATE_DIR -u ERL_EPMD_PORT -u ERL_EPMD_ADDRESS \
        RUST_TEST_THREADS="${RUST_TEST_THREADS:-4}" sh "$root/scripts/otp.sh" test "$release" --quiet --locked \
        --manifest-path "$root/Cargo.toml" --test "$program" -- "$@" >"$work/tests.log" 2>&1 </dev/null || status=$?
    [ "$status" = 0 ] || cat "$work/tests.log"
    printf '%s, %s\n' "$program" "$(grep '^test result' "$work/tests.log" || echo "no result: status $status")"
    [ "$status" = 0 ] || exit 1
}

# The snapshots are those of one release; what is by chance belongs to `make sweep`.
tests() {
    local way
    if [ "$only_tests" != --main ]; then
        test_program "$1" upgrade --skip snapshots:: --skip sweep:: --skip random::
        test_program "$1" rollout --skip snapshots:: --skip sweep:: --skip random::
        return
    fi
    # shellcheck disable=SC2086 # a list of words
    test_program "$1" upgrade --list $main_ways >"$work/listed"
    for way in $main_ways; do
        grep -q "^$way" "$work/tests.log" || { echo "matrix: no test of tests/upgrade is called $way any more"; exit 1; }
    done
    # shellcheck disable=SC2086 # a list of words
    test_program "$1" upgrade $main_ways
}

for release in "$@"; do
    echo "== OTP $release"
    sh "$root/scripts/otp.sh" build "$release"
    if [ -n "$only_tests" ]; then
        tests "$release"
        continue
    fi

    sh "$root/tests/agent/run.sh" --in "$release" >"$work/agent.log" 2>&1 &&
        tail -n 1 "$work/agent.log" | grep -q ', 0 failed$' || { grep -v '^ok ' "$work/agent.log"; exit 1; }
    printf 'agent: %s\n' "$(tail -n 1 "$work/agent.log")"
    other() { sh "$root/scripts/otp.sh" test "$release" --quiet --manifest-path "$root/Cargo.toml" "$@"; }
    other --test beam_oracle 2>&1 | grep '^test result'
    other --test relup -- --nocapture random_scripts | grep '^systools_rc'
    UPDO_COUNT=2000 other --test twin -- --nocapture loading:: compute:: own_name:: 2>&1 | grep -oE 'twins: .*|^test result.*'

    room=$work/room$release
    mkdir -p "$room"/{src-1,src-2,shop-1/ebin,shop-2/ebin,shop/ebin,plans,node}
    for version in 1 2; do
        cp "$root/demo/shop-$version"/src/*.erl "$room/src-$version"
        cp "$root/demo/shop-$version/src/shop.app" "$room/shop-$version/ebin"
        sh "$root/scripts/otp.sh" run "$release" sh -c \
            "cd $room/src-$version && erlc +debug_info -o $room/shop-$version/ebin *.erl" >"$work/erlc.log" 2>&1 ||
            { cat "$work/erlc.log"; exit 1; }
    done
    cp "$room"/shop-1/ebin/* "$room/shop/ebin"
    cp "$root/plans/demo.updo" "$room/plans"
    node=matrix${release}_$$@localhost
    setsid sh "$root/scripts/otp.sh" node "$release" "$node" -noinput -pa "$room/shop/ebin" \
        -eval '{ok, _} = application:ensure_all_started(shop), shop_load:start(5).' \
        </dev/null >"$work/node.log" 2>&1 &
    shop=$!
    pids="$pids $shop"
    for _ in $(seq 50); do
        "$updo" eval "$node" '#{calls := C} = shop_load:read(), true = C > 0' >/dev/null 2>&1 && break
        sleep 0.2
    done
    cp "$room"/shop-2/ebin/* "$room/shop/ebin"
    "$updo" run "$room/plans/demo.updo" -t "$node" --yes >"$work/run.log" 2>&1 || { cat "$work/run.log"; exit 1; }
    tail -n 1 "$work/run.log"
    "$updo" eval "$node" 'lists:member(updo_run, registered()) orelse
        [M || {M, _} <- code:all_loaded(), string:prefix(atom_to_list(M), "updo_agent") =/= nomatch]' |
        grep -qx '\[\]' || { echo "the agent is still there"; exit 1; }
    # Under load all the time: it would slow down what follows.
    { kill -9 "$shop" && wait "$shop"; } 2>/dev/null || true
    UPDO_BIN=$updo "$root/scripts/matrix_runs.sh" "$release"
    UPDO_BIN=$updo "$root/scripts/matrix_releases.sh" "$release"
    tests "$release"
done
echo "== all as promised"
