#!/usr/bin/env bash
# Upgrades of the tests' applications on a node of another OTP release: several windows, children of supervisors, a new
# version in a folder of its own with its configuration and a module that goes, beams
# that are written to the disk, leaving a run and rejoining it, OTP's own release handler where SASL is there, TLS.
#
#   scripts/matrix_runs.sh RELEASE          called by scripts/matrix.sh, which sets what connects; UPDO_BIN is the binary
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/matrix_node.sh"
node=runs${release}_$$@localhost

# Both versions of each application; what is new in version 2 is not in version 1.
build() {
    local app=$1 new=${2:-} version flags
    for version in 1 2; do
        mkdir -p "$room/$app-$version/ebin" "$room/src/$app-$version"
        cp "$root/tests/fixtures/apps/$app"/*.erl "$room/src/$app-$version"
        [ "$version" = 2 ] || [ -z "$new" ] || rm "$room/src/$app-1/$new.erl"
        cp "$root/tests/fixtures/apps/$app/$app-$version.app" "$room/$app-$version/ebin/$app.app"
        flags=
        [ "$version" = 1 ] || flags=-DTWO
        sh "$root/scripts/otp.sh" run "$release" sh -c \
            "cd $room/src/$app-$version && erlc $flags +debug_info -o $room/$app-$version/ebin *.erl" >"$room/erlc.log" 2>&1 ||
            { cat "$room/erlc.log"; exit 1; }
    done
    mkdir -p "$room/$app/ebin"
    cp "$room/$app-1/ebin"/* "$room/$app/ebin"
}

start() {
    setsid sh "$root/scripts/otp.sh" node "$release" "$node" -noinput \
        -pa "$room/mill/ebin" "$room/post/ebin" "$room/bank/ebin" \
        -eval '[{ok, _} = application:ensure_all_started(A) || A <- [mill, post, bank]],
               [code:load_file(M) || M <- [mill_rate, bank_rate, bank_account]].' "$@" \
        </dev/null >"$room/node.log" 2>&1 &
    pid=$!
    for _ in $(seq 50); do
        "$updo" eval "$node" '[_ | _] = [ok || {bank, _, _} <- application:which_applications()]' >/dev/null 2>&1 && return
        sleep 0.2
    done
    cat "$room/node.log"
    exit 1
}

# No process suspended, and the agent gone; it ends right after it has said that all is done.
nothing_left() {
    local left="lists:member(updo_run, registered()) orelse
        [M || {M, _} <- code:all_loaded(), string:prefix(atom_to_list(M), \"updo_agent\") =/= nomatch]"
    is '[P || P <- processes(), {_, {sys, _, _}} <- [process_info(P, current_function)]]' '[]'
    for _ in $(seq 15); do
        [ "$("$updo" eval "$node" "$left")" != '[]' ] || return 0
        sleep 0.2
    done
    is "$left" '[]'
}

build mill mill_toll
build post
build bank bank_fee
build depot
start

# References into the memory of the node are recognised, and are not sent back.
for made in 'counters:new(1, [])' 'atomics:new(1, [])' 'ets:new(t, [])' 'persistent_term:get(none, counters:new(1, []))'; do
    ! "$updo" eval "$node" "R = $made, erlang:phash2(R)" >"$room/run.log" 2>&1 && grep -q E707 "$room/run.log" ||
        { echo "OTP $release: $made is sent back"; exit 1; }
done
is 'R = erlang:make_ref(), T = erlang:send_after(60000, none, x), erlang:phash2({R, T}) >= 0' true

# Two windows, up and back.
is 'mill_front:sack(100)' '{1,1,{1,100,1},1}'
plan Windows "code push [\"$room/mill-2/ebin\"]. old from \"$room/mill-1/ebin\". window minimal."
run 0 run "$room/plan.updo" -t "$node" --yes
is 'mill_front:sack(100)' '{2,2,{2,200,2},10}'
nothing_left
run 0 rollback -t "$node" --yes
is 'mill_front:sack(100)' '{1,3,{1,300,1},1}'
nothing_left

# Children of supervisors without names; and back.
desks='[lists:sort([I || {I, P, _, _} <- supervisor:which_children(S), is_pid(P)]) || {_, S, _, _} <- supervisor:which_children(post_sup)]'
plan Children "code push [\"$room/post-2/ebin\"]. old from \"$room/post-1/ebin\".
module post_floor #{children => #{start => [parcels], stop => [fax]}} because \"nobody sends faxes\"."
run 0 run "$room/plan.updo" -t "$node" --yes
is "$desks" '[[letters,parcels],[letters,parcels]]'
nothing_left
run 0 rollback -t "$node" --yes
is "$desks" '[[fax,letters],[fax,letters]]'
nothing_left

# A new version in a folder of its own: modules, one that goes, code path, configuration; and back.
depot='{depot_stock:state(), filename:basename(code:lib_dir(depot)), lists:sort(application:get_all_env(depot)), erlang:module_loaded(depot_fax)}'
mkdir -p "$room/lib"
cp -r "$room/depot-1" "$room/depot-2" "$room/lib"
rm "$room/lib/depot-2/ebin/depot_fax.beam"
"$updo" eval "$node" "code:add_patha(\"$room/lib/depot-1/ebin\")" >"$room/run.log"
"$updo" eval "$node" "[{ok, _} = application:ensure_all_started(depot), [code:ensure_loaded(M) || M <- [depot_fax, depot_gate, depot_stock]]]" >"$room/run.log"
old='{{stock,7},"depot-1",[{colour,red},{doors,2},{limit,10}],true}'
is "$depot" "$old"
plan Libraries 'code on_disk #{newest => [depot], env => true}. exclude depot_gate because "its loop does not move".
module depot_fax #{remove => true} because "faxes are no longer sent".
module depot_sup #{children => #{stop => [fax]}} because "faxes are no longer sent".'
run 0 run "$room/plan.updo" -t "$node" --yes
is "$depot" '{{stock,7,crates},"depot-2",[{colour,red},{limit,20},{shelves,3}],false}'
is 'depot_app:told()' '[{[{limit,20}],[{shelves,3}],[doors]}]'
nothing_left
run 0 rollback -t "$node" --yes
is "$depot" "$old"
nothing_left

# Native records: the beam of what runs is known for it, and states of both definitions are shown.
if [ "$release" -ge 29 ]; then
    for version in 1 2; do
        mkdir -p "$room/purse-$version"
        fields='n = 0'
        [ "$version" = 1 ] || fields='n = 0, owner = none'
        printf '%s\n' '-module(purse). -behaviour(gen_server).' '-export([init/1, handle_call/3, handle_cast/2, code_change/3]).' \
            "-record #coins{$fields}." 'init(N) -> {ok, #coins{n = N}}.' 'handle_call(n, _, S) -> {reply, S#coins.n, S}; handle_call(_, _, S) -> {reply, S, S}.' \
            'handle_cast(_, S) -> {noreply, S}.' 'code_change(_, S, _) -> {ok, #coins{n = S#coins.n}}.' >"$room/src/purse.erl"
        sh "$root/scripts/otp.sh" run "$release" erlc +debug_info +beam_debug_info -o "$room/purse-$version" "$room/src/purse.erl"
    done
    "$updo" eval "$node" "[true, {ok, _}] = [code:add_patha(\"$room/purse-1\"), gen_server:start({local, purse}, purse, 7, [])]" >"$room/run.log"
    is 'gen_server:call(purse, all)' '#purse:coins{n=7}'
    plan Same "code push [\"$room/purse-1\"]."
    run 0 run "$room/plan.updo" -t "$node" --yes
    grep -q 'nothing to do' "$room/run.log"
    plan Purse "code push [\"$room/purse-2\"]."
    run 0 run "$room/plan.updo" -t "$node" --yes
    is 'gen_server:call(purse, all)' '#purse:coins{n=7,owner=none}'
    run 0 rollback -t "$node" --yes
    is 'gen_server:call(purse, n)' 7
    nothing_left
fi

# Processes of every kind: entered loops, special processes that another module starts; agents and tasks where Elixir is.
build kin
"$updo" eval "$node" "code:add_patha(\"$room/kin/ebin\")" >"$room/run.log"
"$updo" eval "$node" '[begin code:ensure_loaded(M) end || M <- [kin_door, kin_gate, kin_lane, kin_porter]]' >"$room/run.log"
"$updo" eval "$node" 'persistent_term:put(kin, kin_porter:start())' >"$room/run.log"
kin='[sys:get_state(P) || P <- persistent_term:get(kin)]'
plan Kinds "code push [\"$room/kin-2/ebin\"]. old from \"$room/kin-1/ebin\"."
run 0 run "$room/plan.updo" -t "$node" --yes
is "$kin" '[{2,1},{2,2},{2,3},{2,4},{2,5}]'
nothing_left
run 0 rollback -t "$node" --yes
is "$kin" '[{1,1},{1,2},{1,3},{1,4},{1,5}]'
nothing_left
elixir=''
if [ -e "$inside/usr/lib/elixir/lib/elixir/ebin" ]; then
    elixir=', Elixir'
    for version in 1 2; do
        mkdir -p "$room/counter-$version/ebin"
        cp "$root/tests/fixtures/apps/kin/counter.ex" "$room/src"
        sh "$root/scripts/otp.sh" run "$release" env LC_ALL=C.UTF-8 KIN_VERSION=$version \
            elixirc -o "$room/counter-$version/ebin" "$room/src/counter.ex" >"$room/elixirc.log" 2>&1 ||
            { cat "$room/elixirc.log"; exit 1; }
    done
    for folder in "$inside"/usr/lib/elixir/lib/{elixir,logger}/ebin "$room/counter-1/ebin"; do
        "$updo" eval "$node" "code:add_patha(\"$folder\")" >"$room/run.log"
    done
    "$updo" eval "$node" '{ok, _} = application:ensure_all_started(elixir)' >"$room/run.log"
    "$updo" eval "$node" "persistent_term:put(kin, 'Elixir.Kin.Counter':start())" >"$room/run.log"
    plan Agents "code push [\"$room/counter-2/ebin\"]. old from \"$room/counter-1/ebin\"."
    run 0 run "$room/plan.updo" -t "$node" --yes
    is "$kin" "[{2,1},#{kept_by=>'Elixir.Kin.Counter'},3,{ok,{1,4}}]"
    nothing_left
    run 0 rollback -t "$node" --yes
    is "$kin" "[{1,1},#{kept_by=>'Elixir.Kin.Counter'},3,{ok,{1,4}}]"
    nothing_left
fi

# Left alone and rejoined, and the disk has it: a restart keeps it.
plan Persist "code push [\"$room/bank-2/ebin\"] #{persist => true}. old from \"$room/bank-1/ebin\".
module bank_account #{change => {advanced, {slow, 200}}} because \"time to leave\"."
run 23 run "$room/plan.updo" -t "$node" --yes --detach
name=$(sed -n 's/.*updo attach \([0-9a-f]\{4\}\).*/\1/p' "$room/run.log" | head -n 1)
run 0 attach "$name"
is '{maps:get(version, bank_account:ask(3)), maps:get(fee, bank_account:ask(3))}' '{2,3}'
nothing_left
cmp "$room/bank/ebin/bank_account.beam" "$room/bank-2/ebin/bank_account.beam"
stop
start
is 'maps:get(version, bank_account:ask(3))' '2'

# OTP's own engine, where SASL is there; where it is not, that is said.
is 'mill_front:sack(100)' '{1,1,{1,100,1},1}'
cp "$room/mill-2/ebin"/* "$room/mill/ebin"
plan Otp "code on_disk. old from \"$room/mill-1/ebin\". engine release_handler."
if [ "$("$updo" eval "$node" 'code:which(release_handler_1)')" = non_existing ]; then
    run 1 run "$room/plan.updo" -t "$node" --yes
    grep -q E418 "$room/run.log"
    otp=', no release handler there'
else
    run 0 run "$room/plan.updo" -t "$node" --yes
    is 'mill_front:sack(100)' '{2,2,{2,200,2},10}'
    otp=', release handler'
fi
nothing_left
stop

# The same over TLS, both versions of it: certificates on both sides, those of the node with an RSA key.
certificate() {
    local name=$1 key=$2 names=$3
    openssl req -newkey "$key" -pkeyopt "$4" -nodes -keyout "$room/tls/$name.key" -out "$room/tls/$name.csr" -subj "/CN=$name"
    openssl x509 -req -in "$room/tls/$name.csr" -CA "$room/tls/ca.pem" -CAkey "$room/tls/ca.key" -CAcreateserial -days 30 \
        -extfile <(printf 'subjectAltName=%s\n' "$names") -out "$room/tls/$name.pem"
}
mkdir -p "$room/tls"
{
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=matrix \
        -keyout "$room/tls/ca.key" -out "$room/tls/ca.pem"
    certificate node rsa DNS:localhost rsa_keygen_bits:2048
    certificate updo ec DNS:updo ec_paramgen_curve:P-256
} >"$room/openssl.log" 2>&1 || { cat "$room/openssl.log"; exit 1; }
chmod 400 "$room"/tls/*.key
export UPDO_TLS_CA=$room/tls/ca.pem UPDO_TLS_CERT=$room/tls/updo.pem UPDO_TLS_KEY=$room/tls/updo.key
spoken=
for version in tlsv1.2 tlsv1.3; do
    own="{certfile, \"$room/tls/node.pem\"}, {keyfile, \"$room/tls/node.key\"}, {cacertfile, \"$room/tls/ca.pem\"}, {verify, verify_peer}"
    printf '[{server, [%s, {fail_if_no_peer_cert, true}, {versions, [\x27%s\x27]}]}, {client, [%s]}].\n' \
        "$own" "$version" "$own" >"$room/tls/dist.config"
    cp "$room/mill-1/ebin"/* "$room/mill/ebin"
    start -proto_dist inet_tls -ssl_dist_optfile "$room/tls/dist.config"
    is 'mill_front:sack(100)' '{1,1,{1,100,1},1}'
    plan Tls "code push [\"$room/mill-2/ebin\"]. old from \"$room/mill-1/ebin\"."
    run 0 run "$room/plan.updo" -t "$node" --yes
    is 'mill_front:sack(100)' '{2,2,{2,200,2},10}'
    nothing_left
    run 0 doctor "$node"
    spoken="$spoken, $(grep -o 'TLS 1\.[23]' "$room/run.log")"
    UPDO_TLS_CERT='' UPDO_TLS_KEY='' run 10 doctor "$node"
    grep -q E503 "$room/run.log"
    stop
done
echo "windows, children, libraries, kinds of processes$elixir, persist, detach and attach$otp$spoken"
