#!/bin/sh
# Runs the agent's own tests on plain Erlang nodes: no distribution, no Rust.
#
#   tests/agent/run.sh               all of them, those that take longest on a node of their own
#   tests/agent/run.sh NAME…         these
#   tests/agent/run.sh --short       what another OTP release could break, without the tests of thousands of processes
#   tests/agent/run.sh --in RELEASE  the same on a release of scripts/otp.sh
set -e
here=$(cd "$(dirname "$0")" && pwd)
if [ "${1:-}" = --in ]; then
    sh "$here/../../scripts/otp.sh" run "$2" sh "$0" --short
    exit
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
erlc -o "$out" "$here"/*.erl >"$out/erlc.log" 2>&1 || { cat "$out/erlc.log"; exit 1; }

flags=
# On a new node: the tests of an expression.
node() {
    erl +P 500000 $flags -noshell -noinput -pa "$out" -kernel logger_level none \
        -eval "agent_tests:main(\"$here/../../src/node/agent\", $1)." -s init stop
}

if [ "${1:-}" = --short ]; then
    UPDO_ROUNDS=${UPDO_ROUNDS:-1} UPDO_KILLS=${UPDO_KILLS:-2} node "agent_tests:short()"
    exit
fi
if [ $# -gt 0 ]; then
    node "[$(echo "$*" | tr ' ' ',')]"
    exit
fi
# By chance, hence more of it in `make sweep`.
export UPDO_ROUNDS="${UPDO_ROUNDS:-1}" UPDO_KILLS="${UPDO_KILLS:-6}"
node "agent_tests:without_interpreted(agent_tests:slow())" >"$out/log" 2>&1 &
other=$!
failed=0
node "agent_tests:without_interpreted((agent_tests:tests() ++ mode_tests:tests()) -- [kill_any_time])" || failed=1
flags="+S 1:1"
node "agent_tests:all_interpreted()" || failed=1
wait $other || failed=1
cat "$out/log"
exit $failed
