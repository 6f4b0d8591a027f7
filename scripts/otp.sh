#!/bin/sh
# Other OTP releases beside the installed one, each in a small chroot, to test updo against them.
#
#   scripts/otp.sh build [23|27|29]…          makes what is not there yet (under a minute and 300 MB each)
#   scripts/otp.sh root  RELEASE              prints the folder of one
#   scripts/otp.sh run   RELEASE PROGRAM ARG… runs a program in one
#   scripts/otp.sh node  RELEASE NAME ARG…    becomes a node with that name: in the background, $! is its pid
#   scripts/otp.sh list                       what is there
#
# They are made with debootstrap from the mirror that this machine's apt is set up with, below UPDO_OTP_DIR
# ($HOME/.cache/updo/otp). That needs root, as chroot does. Nodes listen on 127.0.0.1 only; the cookie is
# copied from UPDO_COOKIE_FILE or ~/.erlang.cookie; ERL_EPMD_PORT chooses the epmd.
set -eu

cache=${UPDO_OTP_DIR:-$HOME/.cache/updo/otp}
packages=erlang-base,erlang-crypto,erlang-ssl,erlang-public-key,erlang-asn1,erlang-tools,erlang-runtime-tools,erlang-syntax-tools

fail() {
    echo "otp.sh: $*" >&2
    exit 1
}

# Which Debian has the release; the last moves on, so what came is checked.
suite() {
    case $1 in
    23) echo bullseye ;;
    27) echo trixie ;;
    29) echo sid ;;
    *) fail "no recipe for OTP $1; there is one for 23, 27 and 29" ;;
    esac
}

# The folder of a release that has been made.
made() {
    suite "$1" >/dev/null
    [ -d "$cache/$1" ] || fail "OTP $1 is not there; as root: scripts/otp.sh build $1"
    echo "$cache/$1"
}

need_root() {
    [ "$(id -u)" = 0 ] || fail "$1 needs root: sudo scripts/otp.sh $1"
}

# The mirror of apt's first Debian source, without the security archive, which has no complete release.
mirror() {
    [ -n "$(apt-get indextargets 'Identifier: Packages')" ] || apt-get -q update >/dev/null </dev/null
    apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1
}

build() {
    release=$1
    if [ -d "$cache/$release" ]; then
        echo "otp.sh: OTP $release is in $cache/$release" >&2
        return
    fi
    suite=$(suite "$release")
    need_root "build"
    command -v apt-get >/dev/null 2>&1 || fail "this works on Debian and its relatives only"
    if ! command -v debootstrap >/dev/null 2>&1; then
        apt-get -q update >/dev/null </dev/null || true
        DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends debootstrap >/dev/null </dev/null ||
            fail "cannot install debootstrap"
    fi
    mirror=$(mirror)
    [ -n "$mirror" ] || fail "apt names no Debian mirror on this machine"
    # apt may reach the mirror through a proxy of its own that debootstrap does not know.
    proxy=
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    [ -z "$proxy" ] || [ "$proxy" = DIRECT ] || export http_proxy="${http_proxy:-$proxy}"

    case $release in 23) include=$packages ;; *) include=$packages,elixir ;; esac
    mkdir -p "$cache"
    partial=$cache/$release.partial.$$
    trap 'discard "$partial"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    echo "otp.sh: making OTP $release from Debian $suite" >&2
    if ! debootstrap --variant=minbase --include="$include" "$suite" "$partial" "$mirror" </dev/null >"$cache/$release.log" 2>&1; then
        tail -n 15 "$cache/$release.log" >&2
        fail "debootstrap failed; all it said is in $cache/$release.log"
    fi
    found=$(chroot "$partial" erl -noinput -eval 'io:put_chars(erlang:system_info(otp_release)), halt().' </dev/null)
    [ "$found" = "$release" ] || fail "Debian $suite has OTP $found today, not $release"
    rm -rf "$partial"/var/cache/apt/archives/*.deb "$partial"/var/lib/apt/lists/*
    mv "$partial" "$cache/$release"
    trap - EXIT INT TERM HUP
    rm -f "$cache/$release.log"
    echo "otp.sh: OTP $release is in $cache/$release" >&2
}

# Removes an unfinished chroot, but never through something that is still mounted in it.
discard() {
    umount "$1/proc" "$1/sys" 2>/dev/null || true
    rm -rf --one-file-system "$1"
}

node() {
    release=$1 name=$2
    shift 2
    root=$(made "$release")
    need_root node
    case $name in
    */* | *[!A-Za-z0-9_.@-]* | '') fail "not a node name: $name" ;;
    *@*.*) kind=-name ;;
    *@*) kind=-sname ;;
    *) fail "the name needs a host: $name@localhost" ;;
    esac
    home=/var/tmp/$name
    mkdir -p "$root$home"
    cookie=${UPDO_COOKIE_FILE:-$HOME/.erlang.cookie}
    if [ -e "$cookie" ]; then
        (umask 077 && rm -f "$root$home/.erlang.cookie" && cp "$cookie" "$root$home/.erlang.cookie")
        chmod 400 "$root$home/.erlang.cookie"
    fi
    export ERL_EPMD_ADDRESS="${ERL_EPMD_ADDRESS:-127.0.0.1}" ERL_CRASH_DUMP_SECONDS=0
    # Every link of this chain replaces the one before, so the pid stays the same.
    HOME=$home exec chroot "$root" erl -noinput "$kind" "$name" -kernel inet_dist_use_interface '{127,0,0,1}' "$@"
}

[ $# -gt 0 ] || set -- help
command=$1
shift
case $command in
build)
    [ $# -gt 0 ] || set -- 23 27 29
    for release in "$@"; do build "$release"; done
    ;;
root)
    [ $# = 1 ] || fail "root RELEASE"
    made "$1"
    ;;
run)
    [ $# -ge 2 ] || fail "run RELEASE PROGRAM ARG…"
    root=$(made "$1")
    need_root run
    shift
    exec chroot "$root" "$@"
    ;;
node)
    [ $# -ge 2 ] || fail "node RELEASE NAME ARG…"
    node "$@"
    ;;
list)
    for release in 23 27 29; do [ ! -d "$cache/$release" ] || echo "$release $cache/$release"; done
    ;;
*) sed -n '2,12s/^# \{0,1\}//p' "$0" ;;
esac
