#!/usr/bin/env bash
# The demonstration: a shop with open customers is upgraded, and every promise is checked.
#
# Builds both versions of demo/shop-*, starts an epmd and a node of its own with version 1 under load and one
# open TCP connection, puts the beams of version 2 in place, and lets updo do the rest with plans/demo.updo.
# Whatever happens, node and epmd are ended by their pids and the working folder is removed.
#
#   UPDO_BIN       the updo to demonstrate            (target/release/updo)
#   DEMO_CALLERS   how many customers call at once    (10)
#   DEMO_WORST_MS  the longest a call may take        (1000)
#   DEMO_KEEP      when set, the working folder is kept and named
set -euo pipefail

demo=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$demo")
updo=${UPDO_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/updo}
callers=${DEMO_CALLERS:-10}
worst_ms=${DEMO_WORST_MS:-1000}

say() { printf '\n── %s\n' "$*"; }
give_up() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

[ -x "$updo" ] || give_up "no updo at $updo; build it with: make build"
updo=$(cd "$(dirname "$updo")" && pwd)/$(basename "$updo")

work=$(mktemp -d "${TMPDIR:-/tmp}/updo-demo.XXXXXX")
node_pid='' epmd_pid=''
clean_up() {
    local status=$? pid
    trap - EXIT INT TERM HUP
    { exec 3>&-; } 2>/dev/null || true
    for pid in $node_pid $epmd_pid; do
        kill "$pid" 2>/dev/null || continue
        # Half a second to go in peace.
        for _ in 1 2 3 4 5; do kill -0 "$pid" 2>/dev/null && sleep 0.1; done
        kill -9 "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    if [ "$status" != 0 ] && [ -s "$work/node/log" ]; then
        printf '\nthe last lines of the node:\n' >&2
        tail -n 20 "$work/node/log" >&2
    fi
    if [ -n "${DEMO_KEEP:-}" ]; then
        printf 'working folder: %s\n' "$work" >&2
    else
        rm -rf "$work"
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# A cookie of this run only, readable by this user only; never on a command line.
mkdir -p "$work"/{shop-1,shop-2,shop}/ebin "$work"/{plans,node,ctl,state}
(umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$work/node/.erlang.cookie")
chmod 400 "$work/node/.erlang.cookie"
export HOME=$work/node ERL_CRASH_DUMP_SECONDS=0
unset ERL_LIBS ERL_FLAGS ERL_AFLAGS ERL_ZFLAGS

say "building version 1 and version 2"
for version in 1 2; do
    erlc -Wall +debug_info -o "$work/shop-$version/ebin" "$demo/shop-$version"/src/*.erl
    cp "$demo/shop-$version/src/shop.app" "$work/shop-$version/ebin"
done
erlc -Wall -o "$work/ctl" "$demo/shop_demo.erl"
cp "$root/plans/demo.updo" "$work/plans"
cp "$work"/shop-1/ebin/* "$work/shop/ebin"

say "starting a node with version 1, $callers customers who never stop calling, and one open connection"
# epmd: a free port. It ends itself at once when another program was quicker, then the next is tried.
epmd_program=$(command -v epmd || true)
[ -n "$epmd_program" ] || epmd_program=$(ls "$(dirname "$(dirname "$(readlink -f "$(command -v erl)")")")"/erts-*/bin/epmd)
for attempt in 1 2 3 4 5; do
    export ERL_EPMD_PORT=$((20000 + (RANDOM * 32768 + RANDOM) % 12000)) ERL_EPMD_ADDRESS=127.0.0.1
    "$epmd_program" </dev/null >"$work/epmd.log" 2>&1 &
    epmd_pid=$!
    sleep 0.3
    kill -0 "$epmd_pid" 2>/dev/null && break
    epmd_pid=
    [ "$attempt" != 5 ] || give_up "cannot start epmd: $(cat "$work/epmd.log")"
done
node=updo_demo_$$@localhost
erl -noinput -start_epmd false -sname "$node" -kernel inet_dist_use_interface '{127,0,0,1}' -pa "$work/shop/ebin" \
    -eval '{ok, _} = application:ensure_all_started(shop).' </dev/null >"$work/node/log" 2>&1 &
node_pid=$!

step=0
ctl() {
    step=$((step + 1))
    erl -noinput -hidden -start_epmd false -sname "updo_demo_ctl_$$_$step@localhost" -kernel inet_dist_use_interface '{127,0,0,1}' \
        -pa "$work/ctl" -run shop_demo main "$node" "$@" </dev/null
}
ctl open "$callers"
exec 3<>"/dev/tcp/127.0.0.1/$(ctl port)"
# Asks the shop over the one connection that stays open from here to the end.
ask() {
    # In a shell of its own, so that a closed connection ends only that one.
    (printf '%s\n' "$1" >&3) 2>/dev/null || true
    IFS= read -r -t 10 answer <&3 || answer='no answer'
    printf '%s' "$answer"
}
gate_before=$(ask version) who_before=$(ask who)
[ "$gate_before" = "shop 1" ] || give_up "the connection answered: $gate_before"
sleep 1
ctl remember "$work/processes"

say "the beams of version 2 overwrite those of version 1 on the node's disk"
cp "$work"/shop-2/ebin/* "$work/shop/ebin"

# A demonstration that hangs has failed: nothing here may take a minute.
in_time() { timeout -k 5 60 "$@" </dev/null; }
export UPDO_EPMD_PORT=$ERL_EPMD_PORT UPDO_COOKIE_FILE=$work/node/.erlang.cookie UPDO_STATE_DIR=$work/state
cd "$work"
say "updo preview plans/demo.updo -t $node"
in_time "$updo" preview plans/demo.updo -t "$node"
[ "$(ask version)" = "shop 1" ] || give_up "the preview changed something"

say "updo run plans/demo.updo -t $node --yes"
ctl reset
status=0
in_time "$updo" run plans/demo.updo -t "$node" --yes --events "$work/events.jsonl" || status=$?

say "what came of it"
broken=0
promise() { # TEXT COMMAND…
    local text=$1
    shift
    if "$@"; then
        printf '  ok     %s\n' "$text"
    else
        printf '  BROKEN %s\n' "$text"
        broken=1
    fi
}
promise "updo ended with exit code $status" [ "$status" = 0 ]
ctl check "$work/processes" "$worst_ms" || broken=1
gate_after=$(ask version) who_after=$(ask who)
promise "the open connection says '$gate_before' before and '$gate_after' after, same process $who_after" \
    [ "$gate_after/$who_after" = "shop 2/$who_before" ]
# What updo itself says about the pause, from its events.
suspended=$(sed -n 's/.*"type":"node.finished".*"suspended_ms":\([0-9.]*\).*/\1/p' "$work/events.jsonl" 2>/dev/null | tail -n 1 || true)
promise "processes were suspended for ${suspended:-an unknown number of} ms" [ -n "$suspended" ]

if [ "$broken" != 0 ]; then
    printf '\nnot as promised\n'
    exit 1
fi
printf '\nall as promised\n'
