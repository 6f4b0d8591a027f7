#!/usr/bin/env bash
# `updo mcp` used by the Python SDK of the protocol, which knows nothing of updo: a client of today's revision and one that
# initializes as older ones do, each about a real node. Needs python3 with venv, and the network once (target/mcp-client).
#
#   scripts/mcp_client.sh UPDO
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
updo=$(cd "$(dirname "${1:?the binary}")" && pwd)/$(basename "$1")
venv=${CARGO_TARGET_DIR:-$root/target}/mcp-client
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import mcp' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'mcp==2.3.0'
fi

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
trap 'exit 130' INT TERM HUP
export HOME=$work ERL_EPMD_PORT=$((20000 + RANDOM % 12000)) ERL_EPMD_ADDRESS=127.0.0.1 UPDO_STATE_DIR=$work/state
(umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$work/.erlang.cookie")
chmod 400 "$work/.erlang.cookie"
epmd </dev/null >/dev/null 2>&1 &
pids=$!

mkdir "$work/one" "$work/two"
module() {
    printf -- '-module(bell).\n-behaviour(gen_server).\n-export([init/1, handle_call/3, handle_cast/2, code_change/3]).\n'
    printf 'init([]) -> {ok, 0}.\nhandle_call(_, _, S) -> {reply, {%s, S}, S}.\nhandle_cast(_, S) -> {noreply, S}.\n' "$1"
    printf 'code_change(_, S, _) -> {ok, S}.\n'
}
module one >"$work/bell.erl" && erlc -o "$work/one" "$work/bell.erl"
module two >"$work/bell.erl" && erlc -o "$work/two" "$work/bell.erl"
node=bell$$@localhost
erl -noinput -sname "$node" -pa "$work/one" -eval '{ok, _} = gen_server:start({local, bell}, bell, [], []).' >/dev/null 2>&1 &
pids="$pids $!"
until "$updo" eval "$node" 'is_pid(whereis(bell))' >"$work/up" 2>/dev/null && grep -q true "$work/up"; do sleep 0.2; done
"$updo" status "$node" --save >/dev/null

cat >"$work/client.py" <<'EOF'
import asyncio, sys
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

updo, node, two, *env = sys.argv[1:]
server = StdioServerParameters(command=updo, args=["mcp", node], env=dict(pair.split("=", 1) for pair in env))


async def session(mode):
    async with Client(server, mode=mode) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert tools == {"preview", "explain", "diff", "rehearse", "status", "graph"}, tools
        preview = await client.call_tool("preview", {"push": [two]})
        assert not preview.is_error, preview
        assert preview.structured_content["modules"][0]["module"] == "bell", preview
        rehearsal = await client.call_tool("rehearse", {"push": [two]})
        assert rehearsal.structured_content["converted"] == 1, rehearsal
        graph = await client.call_tool("graph", {"push": [two]})
        assert graph.structured_content["order"] == ["bell"], graph
        diff = await client.call_tool("diff", {"push": [two]})
        assert diff.structured_content["modules"][0]["module"] == "bell", diff
        why = await client.call_tool("explain", {"push": [two], "what": "bell"})
        assert "code differs" in why.content[0].text, why
        status = await client.call_tool("status", {})
        assert node in status.content[0].text, status
        wrong = await client.call_tool("preview", {"subject": "absent@localhost"})
        assert wrong.is_error and "E501" in wrong.content[0].text, wrong
        print(f"== {mode}: revision {client.protocol_version}, {len(tools)} tools, 7 calls")


for mode in ("auto", "legacy"):
    asyncio.run(asyncio.wait_for(session(mode), 60))
EOF
"$venv/bin/python" "$work/client.py" "$updo" "$node" "$work/two" "HOME=$HOME" "ERL_EPMD_PORT=$ERL_EPMD_PORT" \
    "UPDO_STATE_DIR=$UPDO_STATE_DIR" "PATH=$PATH"
"$updo" eval "$node" 'gen_server:call(bell, x)' | grep -q '{one,0}' || { echo "mcp: the node has changed" >&2 && exit 1; }
echo "== the node is as it was"
