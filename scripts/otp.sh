#!/bin/sh
# Other OTP releases beside the installed one, each in a folder of its own, to test updo against them.
#
#   scripts/otp.sh build [23|27|29]…          makes what is not there yet (about ten seconds and 200 MB each)
#   scripts/otp.sh root  RELEASE              prints the folder of one
#   scripts/otp.sh run   RELEASE PROGRAM ARG… runs a program for which erl, erlc, elixir… are those of one
#   scripts/otp.sh node  RELEASE NAME ARG…    becomes a node with that name: in the background, $! is its pid
#   scripts/otp.sh test  RELEASE ARG…         cargo test ARG… against one: test 29 --test upgrade rehearsal::
#   scripts/otp.sh list                       what is there
#   scripts/otp.sh whole SUITE FOLDER PACKAGE…  unpacks packages with all that they need, and has OTP among them run there
#   scripts/otp.sh fetch SUITE FOLDER PACKAGE…  unpacks these packages alone
#   scripts/otp.sh bare  SUITE FOLDER PACKAGES  a fresh root of that Debian with these packages (with commas): a chroot, for root
#
# They are packages of Debian's suites, fetched by this machine's apt from the mirror that it is set up with, and unpacked
# below UPDO_OTP_DIR ($HOME/.cache/updo/releases). Nothing is installed, and neither root nor a chroot is needed: every
# program starts by the loader and the libraries of its own suite, sees this machine's files, and its pid stays the same.
# Nodes listen on 127.0.0.1 only; the cookie is copied from UPDO_COOKIE_FILE or ~/.erlang.cookie; ERL_EPMD_PORT chooses the epmd.
#
# UPDO_OTP_ROOT is the folder of the release during `run` and `test`, for tests of which a release has to know.
set -eu

cache=${UPDO_OTP_DIR:-$HOME/.cache/updo/releases}
packages="erlang-base erlang-crypto erlang-ssl erlang-public-key erlang-asn1 erlang-tools erlang-runtime-tools erlang-syntax-tools erlang-xmerl elixir"

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
    [ -e "$cache/$1/opt/updo/erl" ] || fail "OTP $1 is not there; make it: scripts/otp.sh build $1"
    echo "$cache/$1"
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

# `apt SUITE FOLDER ARG…`: apt-get as if nothing were installed, with a state of its own in the folder.
apt() {
    of=$1 state=$2
    shift 2
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    : >"$state/status"
    echo "deb $(mirror) $of main" >"$state/sources.list"
    # Lists of sid are valid for a week only.
    DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends -o Dir::State="$state" -o Dir::State::lists="$state/lists" \
        -o Dir::State::status="$state/status" -o Dir::Cache="$state" -o Dir::Cache::archives="$state/archives" \
        -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o Acquire::Retries=3 -o Acquire::Check-Valid-Until=false "$@" </dev/null
}

# `unpack SUITE FOLDER PACKAGE…`: the packages and all that they need, unpacked and not set up.
unpack() {
    of=$1 to=$2
    shift 2
    command -v dpkg-deb >/dev/null 2>&1 || fail "this works on Debian and its relatives only"
    mkdir -p "$to/apt"
    { apt "$of" "$to/apt" update && apt "$of" "$to/apt" --download-only install "$@"; } >"$to/apt/log" 2>&1 || {
        grep '^[EW]:' "$to/apt/log" >&2 || tail -n 15 "$to/apt/log" >&2
        fail "apt cannot fetch packages of Debian $of"
    }
    for package in "$to"/apt/archives/*.deb; do
        dpkg-deb --extract "$package" "$to" || fail "cannot unpack $package"
    done
    rm -rf "$to/apt"
}

# `fetch SUITE FOLDER PACKAGE…`: these packages without what they need.
fetch() {
    of=$1 to=$2
    shift 2
    mkdir -p "$to/apt"
    apt "$of" "$to/apt" update >"$to/apt/log" 2>&1 && (cd "$to/apt/archives" && apt "$of" "$to/apt" download "$@") >>"$to/apt/log" 2>&1 || {
        tail -n 15 "$to/apt/log" >&2
        fail "apt cannot fetch $* of Debian $of"
    }
    for package in "$to"/apt/archives/*.deb; do
        dpkg-deb --extract "$package" "$to" || fail "cannot unpack $package"
    done
    rm -rf "$to/apt"
}

# `own SUITE FOLDER FINAL`: programs of OTP in the folder, which will be called FINAL, get along without being at /usr/lib/erlang.
own() {
    of=$1
    shift
    erlang=$1/usr/lib/erlang
    loader=$(cd "$1" && ls -d usr/lib/*-linux-gnu/ld-linux*.so.* lib/*-linux-gnu/ld-linux*.so.* 2>/dev/null | head -n 1)
    [ -n "$loader" ] || fail "Debian $of has no loader where it was"
    libraries=
    for folder in usr/lib/*-linux-gnu lib/*-linux-gnu; do
        for found in "$1"/$folder; do
            [ ! -d "$found" ] || libraries=$libraries${libraries:+:}$2${found#"$1"}
        done
    done
    for program in "$erlang"/erts-*/bin/* "$erlang"/bin/* "$erlang"/lib/*/priv/bin/*; do
        { [ -f "$program" ] && [ ! -L "$program" ]; } || continue
        case $(head -c 4 "$program" | tr -d '\177') in
        ELF)
            folder=$(dirname "$program") name=$(basename "$program")
            # erlc and escript look for `erl` where they lie, and the latter for a script if it has another name.
            mkdir -p "$folder/elf"
            mv "$program" "$folder/elf/$name"
            [ -L "$folder/elf/erl" ] || ln -s ../erl "$folder/elf/erl"
            cat >"$program" <<EOF
#!/bin/sh
# Made by updo's scripts/otp.sh: $name with the loader and the libraries of its Debian.
exec '$2/$loader' --library-path '$libraries' '$2${folder#"$1"}/elf/$name' "\$@"
EOF
            chmod 755 "$program"
            ;;
        '#!'*) sed -i "s|/usr/lib/erlang|$2/usr/lib/erlang|g" "$program" ;;
        esac
    done
    mkdir -p "$1/opt/updo"
    for program in erl erlc escript; do ln -s "../../usr/lib/erlang/bin/$program" "$1/opt/updo/$program"; done
    for program in elixir elixirc mix; do
        cat >"$1/opt/updo/$program" <<EOF
#!/bin/sh
# Made by updo's scripts/otp.sh: $program of this folder, with the erl beside it.
PATH='$2/opt/updo':\$PATH exec '$2/usr/lib/elixir/bin/$program' "\$@"
EOF
        chmod 755 "$1/opt/updo/$program"
    done
    mkdir -p "$1/tmp" "$1/var/tmp"
}

# `has ROOT RELEASE`: that this is the release there.
has() {
    found=$("$1/opt/updo/erl" -noinput -eval 'io:put_chars(erlang:system_info(otp_release)), halt().' </dev/null) ||
        fail "the erl of Debian $(suite "$2") does not start here"
    [ "$found" = "$2" ] || fail "Debian $(suite "$2") has OTP $found today, not $2"
}

build() {
    release=$1
    if [ -e "$cache/$release/opt/updo/erl" ]; then
        echo "otp.sh: OTP $release is in $cache/$release" >&2
        return
    fi
    mkdir -p "$cache"
    # What is not finished goes away with this script.
    partial=$cache/$release.partial.$$
    trap 'rm -rf "$partial"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    echo "otp.sh: making OTP $release from Debian $(suite "$release")" >&2
    # shellcheck disable=SC2086 # a list of words
    unpack "$(suite "$release")" "$partial" $packages
    own "$(suite "$release")" "$partial" "$cache/$release"
    mv "$partial" "$cache/$release"
    partial=$cache/$release
    has "$cache/$release" "$release"
    trap - EXIT INT TERM HUP
    echo "otp.sh: OTP $release is in $cache/$release" >&2
}

# `bootstrap SUITE FOLDER PACKAGES LOG`: a chroot; what is not finished goes away with this script.
bootstrap() {
    [ "$(id -u)" = 0 ] || fail "a chroot needs root"
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
    case $name in
    */* | *[!A-Za-z0-9_.@-]* | '') fail "not a node name: $name" ;;
    *@*.*) kind=-name ;;
    *@*) kind=-sname ;;
    *) fail "the name needs a host: $name@localhost" ;;
    esac
    home=$root/var/tmp/$name
    mkdir -p "$home"
    cookie=${UPDO_COOKIE_FILE:-$HOME/.erlang.cookie}
    if [ -e "$cookie" ]; then
        (umask 077 && rm -f "$home/.erlang.cookie" && cp "$cookie" "$home/.erlang.cookie")
        chmod 400 "$home/.erlang.cookie"
    fi
    export ERL_EPMD_ADDRESS="${ERL_EPMD_ADDRESS:-127.0.0.1}" ERL_CRASH_DUMP_SECONDS=0
    # Every link of this chain replaces the one before, so the pid stays the same.
    HOME=$home exec "$root/opt/updo/erl" -noinput "$kind" "$name" -kernel inet_dist_use_interface '{127,0,0,1}' "$@"
}

# `run RELEASE PROGRAM ARG…`
run() {
    root=$(made "$1")
    shift
    export PATH="$root/opt/updo:$PATH" UPDO_OTP_ROOT="$root"
    exec "$@"
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
    run "$@"
    ;;
node)
    [ $# -ge 2 ] || fail "node RELEASE NAME ARG…"
    node "$@"
    ;;
test)
    [ $# -ge 1 ] || fail "test RELEASE ARG…"
    release=$1
    shift
    run "$release" "${CARGO:-cargo}" test "$@"
    ;;
bare)
    [ $# = 3 ] || fail "bare SUITE FOLDER PACKAGES"
    bootstrap "$1" "$2" "$3" "$2.log"
    [ -e "$2/etc/hosts" ] || printf '127.0.0.1 localhost\n::1 localhost\n' >"$2/etc/hosts"
    trap - EXIT INT TERM HUP
    rm -f "$2.log"
    ;;
whole)
    [ $# -ge 3 ] || fail "whole SUITE FOLDER PACKAGE…"
    of=$1 folder=$2
    shift 2
    unpack "$of" "$folder" "$@"
    own "$of" "$folder" "$folder"
    ;;
fetch)
    [ $# -ge 3 ] || fail "fetch SUITE FOLDER PACKAGE…"
    fetch "$@"
    ;;
list)
    for release in 23 27 29; do [ ! -e "$cache/$release/opt/updo/erl" ] || echo "$release $cache/$release"; done
    ;;
*) sed -n '2,20s/^# \{0,1\}//p' "$0" ;;
esac
