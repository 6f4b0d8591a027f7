#!/bin/sh
# Makes sure that Erlang/OTP, Elixir and rebar3 are there for tests, demo and benchmarks, and OpenSSH for tests.
#
#   scripts/setup.sh [PROGRAM…]    programs that are needed besides, each in the package of its name
#
# Looks first, in a few milliseconds, and installs Debian's packages only when something is missing. Never
# touches anything else. Ends with 0 when all is there, with 1 and the command to paste when it cannot help.
set -eu

PACKAGES="erlang-base erlang-dev erlang-tools erlang-src erlang-eunit erlang-crypto erlang-ssl erlang-public-key erlang-xmerl elixir rebar3 openssh-client openssh-server"
MORE=$*
# What of OTP is needed; in Debian all but the sources, the crypto family, tools and eunit come with erlang-base.
APPLICATIONS="kernel stdlib compiler sasl crypto public_key ssl tools eunit xmerl erl_interface"

# The folder above lib/ of the installed OTP.
otp_root() {
    erl=$(command -v erl) || return 1
    root=$(dirname "$(dirname "$(readlink -f "$erl")")")
    # `erl` may be a version manager's wrapper: then only the emulator knows.
    [ -d "$root/lib" ] && ls -d "$root"/lib/stdlib-* >/dev/null 2>&1 ||
        root=$(erl -noinput -boot start_clean -eval 'io:put_chars(code:root_dir()), halt().' </dev/null)
    printf '%s\n' "$root"
}

# True when the glob matched something.
exists() { [ -e "$1" ]; }

# sshd is on the path of root only. Tests start their own, with a configuration of theirs.
has_sshd() { command -v sshd >/dev/null 2>&1 || [ -x /usr/sbin/sshd ]; }

# Prints what is missing, one word each.
missing() {
    for program in erl erlc epmd elixir rebar3; do
        # epmd lies beside erlexec when it is not on the path.
        command -v "$program" >/dev/null 2>&1 ||
            { [ "$program" = epmd ] && root=$(otp_root) && exists "$root"/erts-*/bin/epmd; } || echo "$program"
    done
    for program in ssh ssh-keygen; do
        command -v "$program" >/dev/null 2>&1 || echo "$program"
    done
    has_sshd || echo sshd
    for program in $MORE; do
        command -v "$program" >/dev/null 2>&1 || echo "$program"
    done
    root=$(otp_root) || return 0
    for application in $APPLICATIONS; do
        # erl_interface is C: it has no ebin worth speaking of. Of others the package with the sources has the headers.
        exists "$root/lib/$application"-*/ebin ||
            { [ "$application" = erl_interface ] && exists "$root/lib/$application"-*/include; } || echo "$application"
    done
    exists "$root"/lib/sasl-*/ebin/release_handler_1.beam || echo release_handler_1
    exists "$root"/lib/stdlib-*/src/gen_server.erl || echo otp-sources
}

list=$(missing | tr '\n' ' ')
[ -n "$list" ] || exit 0
PACKAGES="$PACKAGES${MORE:+ $MORE}"

echo "setup: missing: $list" >&2
command="apt-get update && apt-get install -y --no-install-recommends $PACKAGES"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: no apt-get here. Install Erlang/OTP 25 or later with its sources, Elixir, rebar3 and OpenSSH, then try again." >&2
    exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as_root="sudo -n"
    else
        echo "setup: not root, and sudo would ask for a password. Paste this, then try again:" >&2
        echo >&2
        echo "    sudo sh -c '$command'" >&2
        exit 1
    fi
fi

# No service that others can log in to is left running because of tests.
had_sshd=$(has_sshd && echo yes) || true

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# One of several sources may be unreachable; the installation itself decides.
apt="apt-get -o DPkg::Lock::Timeout=120 -q"
$as_root $apt update </dev/null >"$log" 2>&1 || true
# shellcheck disable=SC2086 # the lists are words
if ! $as_root env DEBIAN_FRONTEND=noninteractive $apt install -y --no-install-recommends $PACKAGES </dev/null >>"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "setup: could not install. By hand: $command" >&2
    exit 1
fi
if [ -z "$had_sshd" ] && command -v systemctl >/dev/null 2>&1; then
    $as_root systemctl disable --now ssh.service ssh.socket >/dev/null 2>&1 || true
fi
list=$(missing | tr '\n' ' ')
if [ -n "$list" ]; then
    echo "setup: still missing after the installation: $list" >&2
    exit 1
fi
echo "setup: installed $PACKAGES" >&2
