#!/usr/bin/env bash
# What belongs to a release, on a node of another OTP release: a node in embedded mode with an application that is loaded
# only, modules of no application and a new module that only a changed one calls; a run-time system of its own; and, where
# Elixir is, a release of `mix release` with its consolidated protocols.
#
#   scripts/matrix_releases.sh RELEASE      called by scripts/matrix.sh, which sets what connects; UPDO_BIN is the binary
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/matrix_node.sh"

# Compiles `NAME.erl`, given on standard input, into a folder of the room; `-DTWO` as second argument for version 2.
erlang() {
    local name=$1 folder=$2
    shift 2
    mkdir -p "$room/$folder" "$room/src"
    cat >"$room/src/$name.erl"
    sh "$root/scripts/otp.sh" run "$release" erlc "$@" +debug_info -o "$room/$folder" "$room/src/$name.erl" >"$room/erlc.log" 2>&1 ||
        { cat "$room/erlc.log"; exit 1; }
}

# `up PROGRAM…`: what becomes the node, in the background; then its name is what answers.
up() {
    setsid "$@" </dev/null >"$room/node.log" 2>&1 &
    pid=$!
    for _ in $(seq 100); do
        [ "$("$updo" eval "$node" '1 + 1' 2>/dev/null)" != 2 ] || return 0
        sleep 0.2
    done
    cat "$room/node.log"
    exit 1
}

# A node that loads nothing by being called. `berth` is loaded and does not run; `buoy` belongs to no application, and so
# does `gull`, whose loops speak no system protocol; only the new `berth_lib` calls `berth_new`, which no file lists.
left() {
    erlang berth_lib "$1" ${2:+-DTWO} <<'ERL'
-module(berth_lib). -export([value/0]).
-ifdef(TWO).
value() -> {2, berth_new:value()}.
-else.
value() -> 1.
-endif.
ERL
    erlang buoy "$1" ${2:+-DTWO} <<'ERL'
-module(buoy). -export([value/0]).
-ifdef(TWO).
value() -> 2.
-else.
value() -> 1.
-endif.
ERL
    erlang gull "$1" ${2:+-DTWO} <<'ERL'
-module(gull). -export([start/0, value/0]).
start() -> [spawn(fun() -> loop(0) end), spawn(fun() -> loop(1) end)].
-ifdef(TWO).
value() -> 2.
-else.
value() -> 1.
-endif.
loop(N) -> receive stop -> N; _ -> loop(N + 1) end.
ERL
}
left berth-1
left berth-2 two
erlang berth_new berth-2 <<'ERL'
-module(berth_new). -export([value/0]).
value() -> new.
ERL
mkdir -p "$room"/{berth,free,more}
cp "$room/berth-1/berth_lib.beam" "$room/berth"
cp "$room/berth-1"/{buoy,gull}.beam "$room/free"
echo '{application, berth, [{description, ""}, {vsn, "1"}, {modules, [berth_lib]}, {registered, []}, {applications, [kernel, stdlib]}]}.' \
    >"$room/berth/berth.app"
node=left${release}_$$@localhost
up sh "$root/scripts/otp.sh" node "$release" "$node" -noinput -mode embedded -pa "$room/berth" "$room/free" "$room/more" \
    -eval 'ok = application:load(berth), [{module, M} = code:load_file(M) || M <- [berth_lib, buoy, gull]], persistent_term:put(gulls, gull:start()).'
value='{berth_lib:value(), buoy:value(), gull:value(), erlang:module_loaded(berth_new)}'
is "$value" '{1,1,1,false}'
plan Left "code on_disk. old from \"$room/berth-1\"."
run 0 preview "$room/plan.updo" -t "$node"
says 'runs the new code already'
cp "$room/berth-2/berth_lib.beam" "$room/berth"
cp "$room/berth-2"/{buoy,gull}.beam "$room/free"
cp "$room/berth-2/berth_new.beam" "$room/more"
run 0 preview "$room/plan.updo" -t "$node"
says 'berth_new'
says 'W334'
run 0 run "$room/plan.updo" -t "$node" --yes
is "$value" '{{2,new},2,2,true}'
says '2 processes still run\|still runs the old gull'
# Their place is needed on the way back, and they do not move by themselves.
is '[erlang:send(P, stop) || P <- persistent_term:get(gulls)]' '[stop,stop]'
run 0 rollback -t "$node" --yes
is "$value" '{1,1,1,false}'
stop

# A run-time system of its own: what lies below code:lib_dir() is not OTP because of that.
cp -a "$inside/usr/lib/erlang" "$room/own"
mkdir -p "$room/own/lib/berth-1/ebin"
cp "$room/berth-1/berth_lib.beam" "$room/berth/berth.app" "$room/own/lib/berth-1/ebin"
node=own${release}_$$@localhost
erts=$(basename "$(echo "$room"/own/erts-*)")
mkdir -p "$room/home"
(umask 077 && cp "${UPDO_COOKIE_FILE}" "$room/home/.erlang.cookie" && chmod 400 "$room/home/.erlang.cookie")
up env HOME="$room/home" ROOTDIR="$room/own" BINDIR="$room/own/$erts/bin" EMU=beam PROGNAME=erl \
    "$room/own/$erts/bin/erlexec" -noinput -sname "$node" -kernel inet_dist_use_interface '{127,0,0,1}' \
    -pa "$room/own/lib/berth-1/ebin" -eval 'ok = application:load(berth), {module, _} = code:load_file(berth_lib).'
# The store of this script's own: nothing is kept in it yet.
export UPDO_STATE_DIR=$room/state
is 'code:lib_dir()' "\"$room/own/lib\""
plan Own 'code on_disk.'
run 0 status "$room/plan.updo" -t "$node" --save
says '^kept 1 of 1 beam'
cp "$room/berth-2"/berth_{lib,new}.beam "$room/own/lib/berth-1/ebin"
run 0 run "$room/plan.updo" -t "$node" --yes
is 'berth_lib:value()' '{2,new}'
run 0 rollback -t "$node" --yes
is 'berth_lib:value()' 1
stop

# What mix makes: embedded mode, a boot script, consolidated protocols in lib/../releases/VSN/consolidated.
mixed=''
if [ -e "$inside/usr/lib/elixir/lib/mix/ebin" ]; then
    for vsn in 0.1.0 0.2.0; do
        cp -r "$root/tests/fixtures/apps/ferry" "$room/ferry-$vsn"
        sh "$root/scripts/otp.sh" run "$release" sh -c "cd $room/ferry-$vsn && env HOME=$room/home MIX_ENV=prod LC_ALL=C.UTF-8 \
            FERRY_VSN=$vsn FERRY_ERTS=yes mix release --quiet --overwrite --path $room/mix-$vsn" >"$room/mix.log" 2>&1 </dev/null ||
            { cat "$room/mix.log"; exit 1; }
    done
    cp -a "$room/mix-0.1.0" "$room/srv"
    node=ferry${release}_$$@localhost
    up env HOME="$room/home" LC_ALL=C.UTF-8 RELEASE_NODE="$node" RELEASE_COOKIE="$(cat "$UPDO_COOKIE_FILE")" \
        RELEASE_DISTRIBUTION=sname ERL_AFLAGS='-kernel inet_dist_use_interface {127,0,0,1}' "$room/srv/bin/ferry" start
    is "string:find(code:which('Elixir.Ferry.Weight'), \"/consolidated/\") =/= nomatch" true
    plan Ferry 'code on_disk.'
    run 0 preview "$room/plan.updo" -t "$node"
    says 'runs the new code already'
    ! grep -q W320 "$room/run.log" || { cat "$room/run.log"; exit 1; }
    run 0 status "$room/plan.updo" -t "$node" --save
    mixed=$(sed -n 's/^\(kept [0-9]* of [0-9]*\) .*/\1/p' "$room/run.log")
    ! grep -q W322 "$room/run.log" || { cat "$room/run.log"; exit 1; }
    for app in ferry rope; do cp "$room/mix-0.2.0/lib/$app-0.2.0"/ebin/*.beam "$room/srv/lib/$app-0.1.0/ebin"; done
    cp "$room/mix-0.2.0"/releases/0.2.0/consolidated/*.beam "$room/srv/releases/0.1.0/consolidated"
    version="element(1, gen_server:call('Elixir.Ferry.Deck', version))"
    run 0 run "$room/plan.updo" -t "$node" --yes
    is "$version" '<<"0.2.0">>'
    # The protocol as the release has consolidated it, and the implementation that only it calls.
    is "'Elixir.Ferry.Weight':'of'(x)" light
    run 0 rollback -t "$node" --yes
    is "$version" '<<"0.1.0">>'
    stop
    mixed=", mix release ($mixed)"
fi
echo "embedded mode, run-time system of its own$mixed"
