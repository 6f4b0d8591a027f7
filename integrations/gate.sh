#!/usr/bin/env bash
# Can the last release be upgraded to this commit, under the hands of a client, and back? The gate of CI, for any host.
#
# Everything is said in variables:
#   GATE_NODE    the node, for instance gate@localhost
#   GATE_BUILD   builds a checkout, in its folder: rebar3 compile
#   GATE_START   starts the node with a build, in its folder, and returns: erl -sname gate@localhost -pa … -detached
#   GATE_PUSH    where the new beams are: patterns in words, default _build/default/lib/*/ebin; not with GATE_PLAN
#   GATE_PLAN    a plan, which says that itself
#   GATE_CLIENT  uses the node the whole time: gets `old`, `new`, `back` as lines, and answers each with `ok`, or with what is
#                wrong; so it can hold a connection over the upgrade
#   GATE_FROM    what is upgraded from: a tag or commit, default the newest tag before this commit
#   GATE_UPDO    updo: a binary, or an archive of a release (.tar.gz), as a file or an address; default the one in the path
#   GATE_SHA256  what its checksum has to be
#   GATE_REPORTS where gate.xml (JUnit) and gate.html are written, default .
# The cookie is that of ~/.erlang.cookie, or UPDO_COOKIE_FILE. The exit code is that of updo, 1 when the client is not content.
set -euo pipefail

say() { echo "== $*"; }
fail() {
    echo "gate: $*" >&2
    exit 1
}
: "${GATE_NODE:?the node}" "${GATE_BUILD:?how to build}" "${GATE_START:?how to start the node}"
export GATE_NODE UPDO_NO_INPUT=1
reports=$(cd "${GATE_REPORTS:-.}" && pwd)
work=$(mktemp -d)
client=''
# The rollback is that of the newest run: in a state folder of its own there is no other.
export UPDO_STATE_DIR=$work/state
clean_up() {
    status=$?
    trap - EXIT
    [ -z "$client" ] || kill "$client" 2>/dev/null || true
    if updo eval "$GATE_NODE" 'init:stop()' >/dev/null 2>&1; then
        for _ in {1..50}; do
            updo eval "$GATE_NODE" ok >/dev/null 2>&1 || break
            sleep 0.1
        done
    fi
    git worktree remove --force "$work/old" >/dev/null 2>&1 || true
    rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

if [ -n "${GATE_UPDO:-}" ]; then
    mkdir "$work/bin"
    case $GATE_UPDO in
    http://* | https://* | file://*) curl --fail --silent --show-error --location --output "$work/updo" "$GATE_UPDO" ;;
    *) cp "$GATE_UPDO" "$work/updo" ;;
    esac
    [ -z "${GATE_SHA256:-}" ] || echo "$GATE_SHA256  $work/updo" | sha256sum --check --quiet || fail "$GATE_UPDO is not what GATE_SHA256 says"
    case $GATE_UPDO in
    *.tar.gz) tar -xzf "$work/updo" -C "$work/bin" --strip-components=2 --wildcards '*/bin/updo' ;;
    *) install -m 755 "$work/updo" "$work/bin/updo" ;;
    esac
    PATH=$work/bin:$PATH
fi
command -v updo >/dev/null || fail "updo is not in the path: GATE_UPDO"

from=${GATE_FROM:-$(git describe --tags --abbrev=0 HEAD^)} || fail "no tag before this commit: GATE_FROM"
say "$from and this commit are built"
git worktree add --quiet --detach "$work/old" "$from"
(cd "$work/old" && sh -c "$GATE_BUILD") || fail "$from cannot be built"
sh -c "$GATE_BUILD" || fail "this commit cannot be built"

(cd "$work/old" && sh -c "$GATE_START") || fail "the node of $from does not start"
for try in {1..150}; do
    ! updo eval "$GATE_NODE" ok >/dev/null 2>"$work/why" || break
    [ "$try" != 150 ] || { cat "$work/why" >&2 && fail "$GATE_NODE does not come up"; }
    sleep 0.2
done
# Copies of what runs, for the way back.
updo status "$GATE_NODE" --save

if [ -n "${GATE_CLIENT:-}" ]; then
    mkfifo "$work/to" "$work/of"
    sh -c "$GATE_CLIENT" <"$work/to" >"$work/of" &
    client=$!
    exec 8>"$work/to" 9<"$work/of"
fi
# `content STAGE WHAT`
content() {
    [ -n "$client" ] || return 0
    local answer
    (trap '' PIPE && echo "$1" >&8) 2>/dev/null || fail "the client has ended"
    read -r -t "${GATE_PATIENCE:-60}" answer <&9 || answer='no answer'
    say "$2: $answer"
    [ "$answer" = ok ] || fail "the client is not content with $2"
}
content old "$from"

subject=${GATE_PLAN:-$GATE_NODE}
push=()
if [ -z "${GATE_PLAN:-}" ]; then
    read -r -a patterns <<<"${GATE_PUSH:-_build/default/lib/*/ebin}"
    for pattern in "${patterns[@]}"; do push+=("--push=$pattern"); done
fi
# A commit that changes no module (documents, tests): there is nothing to run, and so no run to undo.
code=0
updo preview "$subject" "${push[@]}" --exit-code >/dev/null 2>&1 || code=$?
[ "$code" != 0 ] || { say "nothing to upgrade: this commit changes no module of the node" && exit 0; }
# Whatever a preview finds wrong, the run says.
updo run "$subject" "${push[@]}" --yes --report-junit "$reports/gate.xml" --report "$reports/gate.html"
content new "this commit"
updo rollback --yes
content back "$from again"
say "this commit can be upgraded to, and back"
