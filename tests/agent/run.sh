#!/bin/sh
# Runs the agent's own tests on plain Erlang nodes: no distribution, no Rust. Arguments: names of tests. Without any, all
# of them, those that take longest on a node of their own.
set -e
here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
erlc -o "$out" "$here"/*.erl

# On a new node: the tests of an expression.
node() {
    erl +P 500000 -noshell -noinput -pa "$out" -kernel logger_level none \
        -eval "agent_tests:main(\"$here/../../src/node/agent\", $1)." -s init stop
}

if [ $# -gt 0 ]; then
    node "[$(echo "$*" | tr ' ' ',')]"
    exit
fi
node "[kill_any_time | births_tests:tests() ++ settings_tests:tests() ++ purge_tests:tests() ++ effects_tests:tests() ++ survivor_tests:tests() ++ watchdog_tests:tests() ++ budget_tests:tests()]" >"$out/log" 2>&1 &
other=$!
failed=0
node "(agent_tests:tests() ++ mode_tests:tests()) -- [kill_any_time]" || failed=1
wait $other || failed=1
cat "$out/log"
exit $failed
