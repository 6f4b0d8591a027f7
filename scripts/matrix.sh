#!/usr/bin/env bash
# updo against other OTP releases: for each, the agent's own tests are run in it, its beams are read and compared with
# what its own beam_lib and xref say, all of them are loaded as twins beside themselves, random scripts are translated
# beside its systools_rc, and the demonstration's shop and the tests' applications (scripts/matrix_runs.sh,
# scripts/matrix_releases.sh) are upgraded on nodes of it. At last the tests of upgrades and roll-outs run against its nodes
# (scripts/otp.sh test). Needs root (chroot); makes the chroots with scripts/otp.sh when they are missing.
#
#   scripts/matrix.sh [23|27|29]…          all three by default; UPDO_BIN chooses the binary
#   scripts/matrix.sh --tests [23|27|29]…  the tests of upgrades and roll-outs only; needs no binary
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
only_tests=''
[ "${1:-}" != --tests ] || { only_tests=yes && shift; }
updo=${UPDO_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/updo}
[ -n "$only_tests" ] || [ -x "$updo" ] || { echo "matrix: no updo at $updo; build it with: make build" >&2; exit 1; }
[ $# -gt 0 ] || set -- 23 27 29

work=$(mktemp -d)
pids='' rooms=''
clean_up() {
    local status=$? pid
    trap - EXIT
    for pid in $pids; do kill -9 "$pid" 2>/dev/null || true; done
    # shellcheck disable=SC2086 # a list of folders without blanks
    rm -rf "$work" $rooms
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

# The snapshots are those of one release; what is by chance belongs to `make sweep`.
tests() {
    local program status
    for program in upgrade rollout; do
        status=0
        env -u UPDO_COOKIE_FILE -u UPDO_STATE_DIR -u ERL_EPMD_PORT -u ERL_EPMD_ADDRESS \
            RUST_TEST_THREADS="${RUST_TEST_THREADS:-4}" sh "$root/scripts/otp.sh" test "$1" --quiet --locked \
            --manifest-path "$root/Cargo.toml" --test "$program" -- --skip snapshots:: --skip sweep:: --skip random:: >"$work/tests.log" 2>&1 </dev/null || status=$?
        [ "$status" = 0 ] || cat "$work/tests.log"
        printf '%s, %s\n' "$program" "$(grep '^test result' "$work/tests.log" || echo "no result: status $status")"
        [ "$status" = 0 ] || exit 1
    done
}

for release in "$@"; do
    echo "== OTP $release"
    sh "$root/scripts/otp.sh" build "$release" 2>&1 | tail -n 1
    if [ -n "$only_tests" ]; then
        tests "$release"
        continue
    fi
    inside=$(sh "$root/scripts/otp.sh" root "$release")

    sh "$root/tests/agent/run.sh" --in "$release" >"$work/agent.log" 2>&1 &&
        tail -n 1 "$work/agent.log" | grep -q ', 0 failed$' || { grep -v '^ok ' "$work/agent.log"; exit 1; }
    printf 'agent: %s\n' "$(tail -n 1 "$work/agent.log")"
    UPDO_OTP_ROOT=$inside cargo test --quiet --manifest-path "$root/Cargo.toml" --test beam_oracle 2>&1 |
        grep '^test result'
    UPDO_OTP_ROOT=$inside cargo test --quiet --manifest-path "$root/Cargo.toml" --test relup -- \
        --nocapture random_scripts | grep '^systools_rc'

    UPDO_COUNT=2000 UPDO_OTP_ROOT=$inside cargo test --quiet --manifest-path "$root/Cargo.toml" --test twin -- \
        --nocapture loading:: compute:: own_name:: 2>&1 | grep -oE 'twins: .*|^test result.*'

    room=$(mktemp -d "$inside/tmp/updo.XXXXXX")
    rooms="$rooms $room"
    seen=/tmp/$(basename "$room")
    mkdir -p "$room"/{src-1,src-2,shop-1/ebin,shop-2/ebin,shop/ebin,plans,node}
    for version in 1 2; do
        cp "$root/demo/shop-$version"/src/*.erl "$room/src-$version"
        cp "$root/demo/shop-$version/src/shop.app" "$room/shop-$version/ebin"
        sh "$root/scripts/otp.sh" run "$release" sh -c \
            "cd $seen/src-$version && erlc +debug_info -o $seen/shop-$version/ebin *.erl" >"$work/erlc.log" 2>&1 ||
            { cat "$work/erlc.log"; exit 1; }
    done
    cp "$room"/shop-1/ebin/* "$room/shop/ebin"
    cp "$root/plans/demo.updo" "$room/plans"
    node=matrix${release}_$$@localhost
    setsid sh "$root/scripts/otp.sh" node "$release" "$node" -noinput -pa "$seen/shop/ebin" \
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
