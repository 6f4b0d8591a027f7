#!/bin/sh
# Runs the agent's own tests on a plain Erlang node: no distribution, no Rust. Arguments: names of tests (default: all).
set -e
here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
erlc -o "$out" "$here"/*.erl
erl +P 500000 -noshell -noinput -pa "$out" -kernel logger_level none \
    -eval "agent_tests:main(\"$here/../../src/node/agent\", [$(echo "$*" | tr ' ' ',')])." -s init stop
