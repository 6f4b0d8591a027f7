#!/bin/sh
# Other OTP releases beside the installed one, each in a small chroot, to test updo against them.
#
#   scripts/otp.sh build [23|27|29]…          makes what is not there yet (under a minute and 300 MB each)
#   scripts/otp.sh root  RELEASE              prints the folder of one
#   scripts/otp.sh run   RELEASE PROGRAM ARG… runs a program in one
#   scripts/otp.sh node  RELEASE NAME ARG…    becomes a node with that name: in the background, $! is its pid
#   scripts/otp.sh test  RELEASE ARG…         cargo test ARG… against one: test 29 --test upgrade rehearsal::
#   scripts/otp.sh with  RELEASE PROGRAM ARG… runs a program outside, for which erl, erlc, elixir… are those of one
#   scripts/otp.sh list                       what is there
#   scripts/otp.sh bare  SUITE FOLDER PACKAGES  a fresh root of that Debian with these packages (with commas)
#
# They are made with debootstrap from the mirror that this machine's apt is set up with, below UPDO_OTP_DIR
# ($HOME/.cache/updo/otp). That needs root, as chroot does. Nodes listen on 127.0.0.1 only; the cookie is
# copied from UPDO_COOKIE_FILE or ~/.erlang.cookie; ERL_EPMD_PORT chooses the epmd.
#
# `with` and `test` need no mounts. First in PATH come wrappers that replace themselves with the program in the chroot, so
# that a pid is that of the node. Temporary files are made in the chroot, and the path of the chroot exists inside of it as
# a link to its own root: one path is the same file on both sides. UPDO_OTP_ROOT is that root, for tests
# that look at files of OTP.
set -eu

cache=${UPDO_OTP_DIR:-$HOME/.cache/updo/otp}
packages=erlang-base,erlang-crypto,erlang-ssl,erlang-public-key,erlang-asn1,erlang-tools,erlang-runtime-tools,erlang-syntax-tools,erlang-xmerl,elixir

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

# apt may reach the mirror through a proxy of its own that the programs of a chroot do not know.
know_proxy() {
    proxy=
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    [ -z "$proxy" ] || [ "$proxy" = DIRECT ] || export http_proxy="${http_proxy:-$proxy}"
}

# Installs what a chroot that was made by an earlier version of this script lacks.
complete() {
    # Without it a node cannot connect to another one of `NAME@localhost`.
    [ -e "$cache/$1/etc/hosts" ] || printf '127.0.0.1 localhost\n::1 localhost\n' >"$cache/$1/etc/hosts"
    lacking=
    for package in $(echo "$packages" | tr ',' ' '); do
        [ -e "$cache/$1/var/lib/dpkg/info/$package.list" ] || lacking="$lacking $package"
    done
    [ -n "$lacking" ] || return 0
    need_root "build"
    know_proxy
    echo "otp.sh: installing$lacking in $cache/$1" >&2
    # shellcheck disable=SC2086 # a list of words
    # The lists of sid are valid for a week only; debootstrap does not look at that either.
    chroot "$cache/$1" sh -c 'apt-get -q -o Acquire::Check-Valid-Until=false update &&
        apt-get -q install -y --no-install-recommends "$@"' sh $lacking \
        </dev/null >"$cache/$1.log" 2>&1 || { tail -n 15 "$cache/$1.log" >&2 && fail "cannot install$lacking"; }
    rm -rf "$cache/$1"/var/cache/apt/archives/*.deb "$cache/$1"/var/lib/apt/lists/* "$cache/$1.log"
    has "$cache/$1" "$1"
}

# `has ROOT RELEASE`: that this is the release there.
has() {
    found=$(chroot "$1" erl -noinput -eval 'io:put_chars(erlang:system_info(otp_release)), halt().' </dev/null)
    [ "$found" = "$2" ] || fail "Debian $(suite "$2") has OTP $found today, not $2"
}

build() {
    release=$1
    if [ -d "$cache/$release" ]; then
        complete "$release"
        echo "otp.sh: OTP $release is in $cache/$release" >&2
        return
    fi
    mkdir -p "$cache"
    partial=$cache/$release.partial.$$
    echo "otp.sh: making OTP $release from Debian $(suite "$release")" >&2
    bootstrap "$(suite "$release")" "$partial" "$packages" "$cache/$release.log"
    has "$partial" "$release"
    rm -rf "$partial"/var/cache/apt/archives/*.deb "$partial"/var/lib/apt/lists/*
    mv "$partial" "$cache/$release"
    complete "$release"
    trap - EXIT INT TERM HUP
    rm -f "$cache/$release.log"
    echo "otp.sh: OTP $release is in $cache/$release" >&2
}

# `bootstrap SUITE FOLDER PACKAGES LOG`; what is not finished goes away with this script.
bootstrap() {
    need_root "build"
    command -v apt-get >/dev/null 2>&1 || fail "this works on Debian and its relatives only"
    if ! command -v debootstrap >/dev/null 2>&1; then
        apt-get -q update >/dev/null </dev/null || true
        DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends debootstrap >/dev/null </dev/null ||
            fail "cannot install debootstrap"
    fi
    mirror=$(mirror)
    [ -n "$mirror" ] || fail "apt names no Debian mirror on this machine"
    know_proxy
    partial=$2
    trap 'discard "$partial"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    if ! debootstrap --variant=minbase --include="$3" "$1" "$partial" "$mirror" </dev/null >"$4" 2>&1; then
        tail -n 15 "$4" >&2
        fail "debootstrap failed; all it said is in $4"
    fi
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

# Makes the wrappers of a chroot, in $root/opt/updo, and the link that gives its paths their meaning inside.
wrap() {
    mkdir -p "$root/opt/updo" "$root$(dirname "$root")"
    # Relative: outside it leads to the chroot, and not to this machine's own root.
    [ -L "$root$root" ] || ln -s "$(dirname "$root" | sed 's|/[^/]*|../|g')" "$root$root"
    # By this a node counts as one of this machine, whose files need not be sent.
    [ -e "$root/proc/self" ] || {
        mkdir -p "$root/proc/sys/kernel/random"
        cp /proc/sys/kernel/random/boot_id "$root/proc/sys/kernel/random/boot_id"
    }
    for program in erl erlc escript elixir elixirc mix; do wrapper "$program" "/usr/bin/$program"; done
    # For programs that a test has made, a release with its own run-time system for instance.
    wrapper inside
}

# `wrapper NAME [PROGRAM]`: renamed when complete, for there may be others that use it now.
wrapper() {
    cat >"$root/opt/updo/$1.$$" <<EOF
#!/bin/sh
# Made by updo's scripts/otp.sh: $1 of the chroot in which this lies, in the same folder, under the same pid.
PATH=/usr/sbin:/usr/bin:/sbin:/bin exec chroot '$root' /bin/sh -c 'cd "\$0" 2>/dev/null; exec "\$@"' "\$PWD" ${2:-} "\$@"
EOF
    chmod 755 "$root/opt/updo/$1.$$"
    mv -f "$root/opt/updo/$1.$$" "$root/opt/updo/$1"
}

# `with RELEASE PROGRAM ARG…`
with() {
    release=$1
    root=$(made "$release")
    shift
    need_root with
    wrap
    project=$(cd "$(dirname "$0")/.." && pwd)
    # What tests read in programs of OTP: sources of fixtures, and of the agent.
    mkdir -p "$root$project"
    for folder in benches demo plans src tests; do cp -au --remove-destination "$project/$folder" "$root$project"; done
    room=$(mktemp -d "$root/tmp/updo.XXXXXX")
    # The other way round: where a program inside says that its folder is.
    ln -sT "$room" "/tmp/${room##*/}"
    trap 'rm -rf "$room" "/tmp/${room##*/}"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    status=0
    PATH=$root/opt/updo:$PATH TMPDIR=$room UPDO_OTP_ROOT=$root "$@" || status=$?
    exit "$status"
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
with)
    [ $# -ge 2 ] || fail "with RELEASE PROGRAM ARG…"
    with "$@"
    ;;
test)
    [ $# -ge 1 ] || fail "test RELEASE ARG…"
    release=$1
    shift
    with "$release" "${CARGO:-cargo}" test "$@"
    ;;
bare)
    [ $# = 3 ] || fail "bare SUITE FOLDER PACKAGES"
    bootstrap "$1" "$2" "$3" "$2.log"
    [ -e "$2/etc/hosts" ] || printf '127.0.0.1 localhost\n::1 localhost\n' >"$2/etc/hosts"
    trap - EXIT INT TERM HUP
    rm -f "$2.log"
    ;;
list)
    for release in 23 27 29; do [ ! -d "$cache/$release" ] || echo "$release $cache/$release"; done
    ;;
*) sed -n '2,21s/^# \{0,1\}//p' "$0" ;;
esac
