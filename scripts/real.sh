#!/usr/bin/env bash
# Published software upgraded while its clients use it: packages that Debian has in two suites, the older version running on
# an OTP of Debian's (no package is installed, see scripts/otp.sh; no root). Clients of scripts/real keep their connections all the
# time; that one ends, that an answer is wrong, late or an error, fails this script. What cannot be upgraded is refused with its
# reason, and nothing has changed.
#
#   scripts/real.sh [mochiweb|ejabberd|earmark]…    all by default; UPDO_BIN chooses the binary
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
updo=${UPDO_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/updo}
[ -x "$updo" ] || { echo "real: no updo at $updo; build it with: make build" >&2; exit 1; }
[ $# -gt 0 ] || set -- mochiweb ejabberd earmark
debian=${UPDO_OTP_DIR:-$HOME/.cache/updo/releases}/real
clients=20

work=$(mktemp -d)
pids=''
clean_up() {
    local status=$? pid
    trap - EXIT
    for pid in $pids; do { kill -9 "$pid" && wait "$pid"; } 2>/dev/null || true; done
    rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'echo "real: line $LINENO: $BASH_COMMAND" >&2' ERR
trap 'exit 130' INT TERM HUP

(umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$work/.erlang.cookie")
chmod 400 "$work/.erlang.cookie"
export UPDO_COOKIE_FILE=$work/.erlang.cookie UPDO_STATE_DIR=$work/state UPDO_LOG=off
export ERL_EPMD_PORT=$((20000 + RANDOM % 12000)) ERL_EPMD_ADDRESS=127.0.0.1 ERL_CRASH_DUMP_SECONDS=0
epmd </dev/null >"$work/epmd.log" 2>&1 &
pids=$!

fail() {
    echo "real: $*" >&2
    [ ! -e "$work/run.log" ] || tail -n 40 "$work/run.log" >&2
    exit 1
}

# `kept whole|fetch SUITE FOLDER PACKAGE…`: made once, below the folder of this script's own.
kept() {
    local how=$1 suite=$2 folder=$debian/$3
    shift 3
    [ ! -d "$folder" ] || return 0
    mkdir -p "$debian"
    rm -rf "$folder.partial"
    # The paths of an OTP are written into it, so it is made where it will be.
    if [ "$how" = whole ]; then
        echo "== fetching OTP and $* of Debian $suite" >&2
        sh "$root/scripts/otp.sh" whole "$suite" "$folder" "$@" || { rm -rf "$folder" && exit 1; }
    else
        echo "== fetching $* of Debian $suite" >&2
        sh "$root/scripts/otp.sh" fetch "$suite" "$folder.partial" "$@"
        mv "$folder.partial" "$folder"
    fi
}

# `ebin FOLDER PATTERN`: the one folder of beams there.
ebin() {
    local found
    found=$(cd "$debian/$1" && find usr/lib -path "*/$2/ebin" -type d | head -n 1)
    [ -n "$found" ] || fail "no $2 in $debian/$1"
    echo "$debian/$1/$found"
}

# `version EBIN APPLICATION`
version() {
    sed -n 's/.*{vsn, *"\([^"]*\)".*/\1/p' "$1/$2.app" | head -n 1
}

# `up NAME ERL ARG…`: becomes a node in the background.
up() {
    local name=$1 erl=$2 pid
    shift 2
    HOME=$work setsid "$erl" -noinput -sname "$name" -kernel inet_dist_use_interface '{127,0,0,1}' "$@" \
        </dev/null >"$work/${name%@*}.log" 2>&1 &
    pid=$!
    pids="$pids $pid"
    for _ in $(seq 150); do
        [ "$("$updo" eval "$name" '1 + 1' 2>/dev/null)" != 2 ] || return 0
        sleep 0.2
    done
    cat "$work/${name%@*}.log" >&2
    fail "$name does not come up"
}

# `is NODE EXPRESSION VALUE`
is() {
    local found
    found=$("$updo" eval --syntax erlang "$1" "$2" 2>&1 | tr -d ' \n') || true
    [ "$found" = "$3" ] || fail "$1: $2 is $found, not $3"
}

# `runs STATUS ARG…`: updo, which ends like that.
runs() {
    local expected=$1 status=0
    shift
    "$updo" "$@" >"$work/run.log" 2>&1 || status=$?
    [ "$status" = "$expected" ] || fail "updo $* ends with $status, not $expected"
}

says() {
    grep -q -e "$1" "$work/run.log" || fail "nothing says: $1"
}

# `until NODE EXPRESSION`: waits until it is true.
until_true() {
    for _ in $(seq 100); do
        [ "$("$updo" eval "$1" "$2" 2>/dev/null)" != true ] || return 0
        sleep 0.2
    done
    fail "$1: never true: $2"
}

# `still CLIENTS MODULE WHEN`: every client has had answers since the last time, and none of them a failure.
answers=0
still() {
    local before=$answers
    until_true "$1" "maps:get(answers, $2:read()) >= $((before + 20 * clients))"
    is "$1" "[F || {{failed, _}, _} = F <- maps:to_list($2:read())]" '[]'
    answers=$("$updo" eval "$1" "maps:get(answers, $2:read())")
    echo "   $3: $answers answers to $clients clients, slowest $("$updo" eval "$1" "maps:get(slowest, $2:read())") ms, none failed"
}

# What a client's connection is: the processes of the node that own sockets of clients.
connections() {
    "$updo" eval "$1" "lists:sort([P || Port <- erlang:ports(), {name, \"tcp_inet\"} <- [erlang:port_info(Port, name)],
        {ok, {_, $2}} <- [inet:sockname(Port)], {ok, _} <- [inet:peername(Port)], {connected, P} <- [erlang:port_info(Port, connected)]])" | tr -d ' \n'
}

# `same NODE PORT WHEN`: the processes of the connections are those that there were at first.
same() {
    local now
    now=$(connections "$1" "$2")
    [ "$now" = "$owners" ] || fail "$3: connections of $now, not of $owners"
}

summary() {
    sed -n -e 's/^done  /   /p' -e 's/^✓ /   /p' "$work/run.log"
}

# `plan FILE OLD NEW TITLE STATEMENT…`
plan() {
    local file=$work/$1 old=$2 new=$3 title=$4
    shift 4
    {
        printf 'plan "%s".\ncode push [%s].\nold from "%s".\n' "$title" "$new" "$old"
        [ $# = 0 ] || printf '%s\n' "$@"
    } >"$file"
}

free_port() {
    erl -noinput -eval '{ok, S} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]), {ok, P} = inet:port(S), io:put_chars(integer_to_list(P)), halt().'
}

client_node() {
    up "$1" erl -pa "$work"
}

erlc -o "$work" "$root"/scripts/real/{users,browsers}.erl

# A web server under keep-alive connections.
mochiweb() {
    local old new node=site_$$@localhost from=asks_$$@localhost port
    kept whole trixie otp27 erlang-base erlang-crypto erlang-ssl erlang-tools erlang-xmerl elixir ejabberd erlang-mochiweb
    kept fetch bookworm bookworm erlang-mochiweb
    old=$(ebin bookworm mochiweb) new=$(ebin otp27 mochiweb)
    echo "== mochiweb $(version "$old" mochiweb) (bookworm) to $(version "$new" mochiweb) (trixie), OTP 27"
    "$debian/otp27/opt/updo/erlc" -o "$work" "$root/scripts/real/site.erl"
    port=$(free_port)
    up "$node" "$debian/otp27/opt/updo/erl" -pa "$old" "$work" -eval "{ok, _} = application:ensure_all_started(mochiweb), ok = site:start($port)."
    client_node "$from"
    answers=0
    is "$from" "browsers:start($port, $clients)" ok
    owners=$(connections "$node" "$port")
    still "$from" browsers before

    plan m.updo "$old" "\"$new\"" mochiweb
    runs 15 run "$work/m.updo" -t "$node" --yes
    says E634
    says 'mochiweb_socket_server'
    still "$from" browsers 'refused (E634), for its code_change returns no {ok, State}'

    plan m.updo "$old" "\"$new\"" mochiweb 'module mochiweb_socket_server #{change => soft} because "its state is as before, its code_change is wrong".'
    runs 0 run "$work/m.updo" -t "$node" --yes
    summary
    runs 0 preview "$work/m.updo" -t "$node"
    says 'runs the new code already'
    still "$from" browsers upgraded
    same "$node" "$port" upgraded
    runs 0 rollback -t "$node" --yes
    summary
    still "$from" browsers 'rolled back'
    same "$node" "$port" 'rolled back'
}

# A server of XMPP: clients that are logged in ask it, and send messages to each other.
ejabberd() {
    local old new newer node=xmpp_$$@localhost from=chat_$$@localhost port folders
    kept whole trixie otp27 erlang-base erlang-crypto erlang-ssl erlang-tools erlang-xmerl elixir ejabberd erlang-mochiweb
    kept fetch bookworm-backports bookworm-backports ejabberd
    kept fetch trixie-backports trixie-backports ejabberd erlang-p1-utils erlang-p1-xmpp erlang-p1-xml erlang-p1-tls erlang-p1-zlib \
        erlang-p1-cache-tab erlang-p1-stringprep erlang-p1-yconf
    old=$(ebin bookworm-backports 'ejabberd-*') new=$(ebin otp27 'ejabberd-*') newer=$(ebin trixie-backports 'ejabberd-*')
    echo "== ejabberd $(version "$old" ejabberd) (bookworm-backports) to $(version "$new" ejabberd) (trixie), OTP 27"
    port=$(free_port)
    cat >"$work/ejabberd.yml" <<YML
hosts: [localhost]
loglevel: warning
auth_method: internal
auth_password_format: plain
listen:
  - {port: $port, ip: "127.0.0.1", module: ejabberd_c2s, shaper: none, access: c2s}
acl: {local: {user_regexp: ""}}
access_rules: {c2s: {allow: all}, local: {allow: local}}
shaper_rules: {max_user_sessions: 10, max_user_offline_messages: 100}
modules: {mod_blocking: {}, mod_carboncopy: {}, mod_disco: {}, mod_last: {}, mod_muc: {}, mod_offline: {}, mod_ping: {},
  mod_privacy: {}, mod_pubsub: {}, mod_roster: {}, mod_stream_mgmt: {}, mod_vcard: {}}
YML
    export EJABBERD_CONFIG_PATH=$work/ejabberd.yml EJABBERD_LOG_PATH=$work/ejabberd.log
    up "$node" "$debian/otp27/opt/updo/erl" -pa "$old" -mnesia dir "\"$work/mnesia\"" -s ejabberd
    until_true "$node" 'lists:keymember(ejabberd, 1, application:which_applications())'
    is "$node" "lists:usort([ejabberd_auth:try_register(iolist_to_binary([\"user\", integer_to_list(I)]), <<\"localhost\">>, <<\"secret\">>)
        || I <- lists:seq(1, $clients)])" '[ok]'
    client_node "$from"
    answers=0
    is "$from" "users:start($port, $clients, \"localhost\")" ok
    owners=$(connections "$node" "$port")
    still "$from" users before

    # What does not go without a restart is refused: libraries in C.
    folders=$(find "$debian/trixie-backports" -name ebin | sed 's/.*/"&"/' | paste -sd,)
    plan far.updo "$old" "$folders" 'ejabberd, far'
    runs 1 run "$work/far.updo" -t "$node" --yes
    says E330
    still "$from" users "$(version "$newer" ejabberd) (trixie-backports) is refused (E330: $(grep -c E330 "$work/run.log") NIF libraries)"

    # It installs its handler of alarms twice under one name; what the two keep cannot be told apart (E604, undone).
    "$updo" eval "$node" '[gen_event:delete_handler(alarm_handler, H, twice) || [H, H | _] <- [gen_event:which_handlers(alarm_handler)]]' >/dev/null
    local soft='module [ejabberd_listener, gen_mod] #{change => soft} because "their init/1 makes named tables".'
    local may_end='module ejabberd_listener #{purge => {brutal, defer}} because "its acceptor never leaves old code".'
    plan e.updo "$old" "\"$new\"" ejabberd "$soft" "$may_end"
    runs 0 run "$work/e.updo" -t "$node" --yes
    says W630
    summary
    runs 0 preview "$work/e.updo" -t "$node"
    says 'runs the new code already'
    still "$from" users upgraded
    same "$node" "$port" upgraded
    is "$node" 'length(ejabberd_sm:connected_users())' "$clients"

    # Its acceptor waits in old code; a rollback ends it when it is told to, and its supervisor starts it again.
    runs 14 rollback -t "$node" --yes
    says 'nothing was changed'
    still "$from" users 'a rollback is refused (E605) while the acceptor is in old code'
    runs 0 rollback -t "$node" --yes --purge brutal
    summary
    still "$from" users 'rolled back, the acceptor started again'
    same "$node" "$port" 'rolled back'
    is "$node" 'length(ejabberd_sm:connected_users())' "$clients"

    plan e.updo "$old" "\"$new\"" ejabberd "$soft" "$may_end" 'verify "never" -> false.'
    runs 20 run "$work/e.updo" -t "$node" --yes
    says 'W632'
    still "$from" users 'a check fails, all is undone'
    same "$node" "$port" 'undone'
    is "$node" 'length(ejabberd_sm:connected_users())' "$clients"
    # Those that come now are served as well.
    is "$from" "users:greets($port, \"localhost\")" ok
}

# A library of Elixir that processes call all the time.
earmark() {
    local old new node=earmark_$$@localhost
    kept whole sid otp29 erlang-base erlang-crypto erlang-ssl erlang-tools erlang-xmerl elixir elixir-earmark-parser
    kept fetch trixie trixie elixir-earmark-parser
    old=$(ebin trixie earmark_parser) new=$(ebin otp29 earmark_parser)
    echo "== earmark_parser $(version "$old" earmark_parser) (trixie) to $(version "$new" earmark_parser) (sid), OTP 29, Elixir $(version "$debian/otp29/usr/lib/elixir/lib/elixir/ebin" elixir)"
    "$debian/otp29/opt/updo/erlc" -o "$work" "$root/scripts/real/reader.erl"
    up "$node" "$debian/otp29/opt/updo/erl" -pa "$old" "$debian/otp29/usr/lib/elixir/lib/elixir/ebin" "$work" \
        -eval "{ok, _} = application:ensure_all_started(earmark_parser), ok = reader:start($clients)."
    answers=0
    still "$node" reader before
    plan a.updo "$old" "\"$new\"" earmark_parser
    runs 0 run "$work/a.updo" -t "$node" --yes
    summary
    still "$node" reader upgraded
    runs 0 rollback -t "$node" --yes
    summary
    still "$node" reader 'rolled back'
}

for pair in "$@"; do
    case $pair in
    mochiweb | ejabberd | earmark) "$pair" ;;
    *) fail "there is mochiweb, ejabberd and earmark, not $pair" ;;
    esac
done
echo "== all as promised"
