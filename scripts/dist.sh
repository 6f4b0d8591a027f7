#!/usr/bin/env bash
# Everything that is needed to install updo without Rust, in target/dist:
#
#   scripts/dist.sh [--target TARGET]… [--verify] [--dev] [--out FOLDER]
#
#   updo-VERSION-ARCH-linux.tar.gz    the static binary, manual pages, completions of shells
#   updo_VERSION_ARCH.deb             the same for Debian and its relatives
#   updo-VERSION-ARCH-linux.oci.tar   the image of the Containerfile (podman load, docker load)
#   updo-VERSION-ARCH-linux.cdx.json  what is linked into it: CycloneDX
#   updo-VERSION.buildinfo            the commit, and the compilers
#   SHA256SUMS                        the checksums of all of these
#
# Targets are x86_64-unknown-linux-musl and aarch64-unknown-linux-musl, both by default. --verify builds all of it once
# more, from a copy of the sources in another folder, and fails when one byte differs. --dev builds without
# optimizations, to try this script. CARGO names the cargo to use. On Debian what is missing is installed (as root).
set -euo pipefail
# What fails inside of `$(…)` ends the script, too: bash clears -e there.
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cargo=${CARGO:-cargo}
out=$root/target/dist profile=release verify='' targets=()
fail() {
    echo "dist: $*" >&2
    exit 1
}
while [ $# -gt 0 ]; do
    case $1 in
    --target) targets+=("${2:?a target}") && shift 2 ;;
    --out) out=${2:?a folder} && shift 2 ;;
    --verify) verify=yes && shift ;;
    --dev) profile=dev && shift ;;
    *) sed -n '2,19s/^# \{0,1\}//p' "$0" && exit 2 ;;
    esac
done
[ ${#targets[@]} -gt 0 ] || targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl)
mkdir -p "$out"
out=$(cd "$out" && pwd)
# The folder is emptied: it has to be empty already, one of an earlier release, or the default.
[ "$out" = "$root/target/dist" ] || [ -e "$out/SHA256SUMS" ] || [ -z "$(ls -A "$out")" ] ||
    fail "$out has other files in it: name an empty folder, or a new one"

# `need PROGRAM PACKAGE`
need() {
    command -v "$1" >/dev/null 2>&1 && return
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || fail "$1 is missing (Debian: apt-get install $2)"
    apt-get -q update >/dev/null 2>&1 </dev/null || true
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$2" >/dev/null </dev/null ||
        fail "cannot install $2"
}
need dpkg-deb dpkg
need python3 python3
need buildah buildah
need gcc gcc

# The time of everything that is made: that of the commit.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
# The same words in the same order for everyone.
export LC_ALL=C.UTF-8 TZ=UTC
umask 022
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
commit=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)
[ -z "$(git -C "$root" status --porcelain 2>/dev/null | grep -v '^??')" ] || commit="$commit, changed"
host=$(rustc -vV | sed -n 's/^host: //p')

# Which C compiler links and compiles (ring has C and assembly) for a target, and what Debian calls the architecture.
compiler() {
    case $1 in
    "${host%%-*}"-*) echo gcc ;;
    aarch64-*) echo aarch64-linux-gnu-gcc ;;
    x86_64-*) echo x86_64-linux-gnu-gcc ;;
    *) fail "no recipe for $1" ;;
    esac
}
debian() {
    case $1 in
    x86_64-*) echo amd64 ;;
    aarch64-*) echo arm64 ;;
    esac
}

# `build SOURCES TARGET_FOLDER TARGET`: the binary's path on standard output.
build() {
    local sources=$1 folder=$2 target=$3 gcc upper remap
    gcc=$(compiler "$target")
    need "$gcc" "gcc-${gcc%-gcc}"
    # Headers of the C library, which a cross compiler on Debian only recommends.
    [ "$gcc" = gcc ] || echo '#include <stdlib.h>' | "$gcc" -E - >/dev/null 2>&1 ||
        need "no header" "libc6-dev-$(debian "$target")-cross"
    if command -v rustup >/dev/null 2>&1 && ! rustup target list --installed | grep -qx "$target"; then
        rustup target add "$target" >&2 || fail "rustup has no standard library for $target"
    fi
    upper=$(echo "$target" | tr 'a-z-' 'A-Z_')
    # No path of this machine is in the binary: neither that of the sources nor of cargo's and rustc's folders.
    remap="--remap-path-prefix=$folder=/target --remap-path-prefix=$sources=/updo"
    remap="$remap --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo --remap-path-prefix=$(rustc --print sysroot)=/rust"
    (
        cd "$sources"
        export CARGO_TARGET_DIR=$folder RUSTFLAGS="$remap -C target-feature=+crt-static" CARGO_INCREMENTAL=0
        export "CARGO_TARGET_${upper}_LINKER=$gcc" "CC_${target//-/_}=$gcc"
        # Distributions switch on checks of glibc that musl does not have.
        export "CFLAGS_${target//-/_}=-U_FORTIFY_SOURCE -g0 -ffile-prefix-map=$folder=/target -ffile-prefix-map=${CARGO_HOME:-$HOME/.cargo}=/cargo"
        # shellcheck disable=SC2086 # it may be a wrapper with arguments
        $cargo build --locked --profile "$profile" --target "$target" --bin updo >&2 ||
            fail "cannot build for $target"
    )
    echo "$folder/$target/$([ "$profile" = dev ] && echo debug || echo release)/updo"
}

# `started TARGET PROGRAM ARG…`: here, or in an emulator of that processor.
started() {
    local emulator=qemu-${1%%-*}-static
    shift
    if [ "$emulator" = "qemu-${host%%-*}-static" ]; then
        "$@"
    else
        need "$emulator" qemu-user-static
        "$emulator" "$@"
    fi
}

# Everything below a folder gets one time and the rights that are usual.
settle() {
    find "$1" -type d -exec chmod 755 {} +
    find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

packed() {
    tar --sort=name --owner=0 --group=0 --numeric-owner --format=gnu --mtime="@$SOURCE_DATE_EPOCH" -C "$1" -cf - "$2"
}

# `install_into PREFIX BINARY PAGES`: as below /usr or /usr/local.
install_into() {
    local prefix=$1 share=$1/share
    install -D -m 755 "$2" "$prefix/bin/updo"
    mkdir -p "$share/man/man1" "$share/man/man5"
    install -m 644 "$3"/*.1 "$share/man/man1"
    install -m 644 "$3"/*.5 "$share/man/man5"
    gzip -9n "$share"/man/man?/*
    install -D -m 644 "$3/bash" "$share/bash-completion/completions/updo"
    install -D -m 644 "$3/fish" "$share/fish/vendor_completions.d/updo.fish"
    install -D -m 644 "$root/README.md" "$share/doc/updo/README.md"
}

# `pages TARGET PROGRAM FOLDER`: what the binary itself writes.
pages() {
    rm -rf "$3" && mkdir -p "$3"
    started "$1" "$2" man --dir "$3"
    for shell in bash zsh fish; do started "$1" "$2" completions $shell >"$3/$shell"; done
}

# `package BINARY TARGET PAGES FOLDER`
package() {
    local binary=$1 target=$2 pages=$3 to=$4 arch=${2%%-*} debian name work deb
    debian=$(debian "$target")
    name=updo-$version-$arch-linux
    work=$(mktemp -d)
    cp "$binary" "$work/updo"
    [ "$profile" = release ] || "$(compiler "$target" | sed 's/gcc$/strip/')" "$work/updo"
    if readelf -lW "$work/updo" | grep -q INTERP || readelf -dW "$work/updo" | grep -q NEEDED; then
        fail "$binary is not static"
    fi
    [ "$(started "$target" "$work/updo" version)" = "updo $version" ] || fail "$binary does not start"
    for path in "$root" "$HOME/" "${CARGO_HOME:-$HOME/.cargo}"; do
        [ "$profile" != release ] || ! grep -qaF "$path" "$work/updo" || fail "the binary has the path $path in it"
    done

    install_into "$work/$name" "$work/updo" "$pages"
    install -D -m 644 "$pages/zsh" "$work/$name/share/zsh/site-functions/_updo"
    install -m 644 "$root/LICENSE" "$root/CHANGELOG.md" "$work/$name/share/doc/updo"
    settle "$work/$name"
    packed "$work" "$name" | gzip -9n >"$to/$name.tar.gz"

    deb=$work/deb
    install_into "$deb/usr" "$work/updo" "$pages"
    install -D -m 644 "$pages/zsh" "$deb/usr/share/zsh/vendor-completions/_updo"
    gzip -9nc "$root/CHANGELOG.md" >"$deb/usr/share/doc/updo/changelog.gz"
    {
        echo 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/'
        printf '\nFiles: *\nCopyright: the authors of updo\nLicense: Apache-2.0\n'
        printf ' On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.\n'
    } >"$deb/usr/share/doc/updo/copyright"
    mkdir "$deb/DEBIAN"
    (cd "$deb" && find usr -type f | sort | xargs md5sum) >"$deb/DEBIAN/md5sums"
    cat >"$deb/DEBIAN/control" <<EOF
Package: updo
Version: $version
Architecture: $debian
Maintainer: The authors of updo <updo@localhost>
Installed-Size: $(du -sk --apparent-size "$deb/usr" | cut -f 1)
Section: devel
Priority: optional
Suggests: erlang-base, elixir
Description: hot code upgrades of live Erlang and Elixir nodes
 updo connects to a running node, compares the loaded code with new beams, infers what an
 upgrade needs, shows every instruction with its reason, and executes it as a transaction
 inside the node: fully new or fully old, with no process left suspended.
 .
 It is one static binary; nothing is installed on the node.
EOF
    settle "$deb"
    dpkg-deb --root-owner-group -Zxz --threads-max=1 --build "$deb" "$to/updo_${version}_$debian.deb" >/dev/null

    mkdir "$work/image"
    mv "$work/updo" "$work/image/updo"
    image "$work" "$debian" "$to/$name.oci.tar"

    "${cargo%% *}" metadata --locked --format-version 1 --filter-platform "$target" --manifest-path "$root/Cargo.toml" |
        python3 "$root/scripts/sbom.py" "$target" "$SOURCE_DATE_EPOCH" "$root/Cargo.lock" >"$to/$name.cdx.json"
    rm -rf "$work"
}

# `image FOLDER ARCHITECTURE FILE`: nothing runs in it while it is made, so no right is needed but that to a folder.
image() {
    local store=$1/store tag=updo:$version
    local buildah=(buildah --root "$store" --runroot "$1/run" --storage-driver vfs)
    "${buildah[@]}" build --quiet --isolation chroot --format oci --platform "linux/$2" --timestamp "$SOURCE_DATE_EPOCH" \
        --identity-label=false -f "$root/Containerfile" -t "$tag" "$1/image" >/dev/null
    "${buildah[@]}" push --quiet "$tag" "oci:$1/oci:$tag"
    packed "$1/oci" . >"$3"
    "${buildah[@]}" rmi --all --force >/dev/null
}

# `all SOURCES TARGET_FOLDER OUT`
all() {
    local target binaries=()
    for target in "${targets[@]}"; do
        echo "dist: building for $target" >&2
        binaries+=("$(build "$1" "$2" "$target")")
    done
    # They are the same for all.
    pages "${targets[0]}" "${binaries[0]}" "$2/pages"
    rm -rf "$3" && mkdir -p "$3"
    for target in "${!targets[@]}"; do
        package "${binaries[$target]}" "${targets[$target]}" "$2/pages" "$3"
    done
    {
        echo "commit: $commit"
        echo "time: $SOURCE_DATE_EPOCH"
        rustc -vV
        for target in "${targets[@]}"; do "$(compiler "$target")" --version | head -n 1; done
    } >"$3/updo-$version.buildinfo"
    (cd "$3" && sha256sum -- * >SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS)
}

all "$root" "$root/target/dist-build" "$out"
if [ -n "$verify" ]; then
    echo "dist: once more, elsewhere" >&2
    elsewhere=$(mktemp -d)
    trap 'rm -rf "$elsewhere"' EXIT
    (cd "$root" && git ls-files -z | tar --null -T - -cf -) | tar -C "$elsewhere" --one-top-level=sources -xf -
    all "$elsewhere/sources" "$elsewhere/target" "$elsewhere/out"
    diff "$out/SHA256SUMS" "$elsewhere/out/SHA256SUMS" || fail "two builds of the same sources differ"
    echo "dist: built twice, from two folders: every byte is the same" >&2
fi
cat "$out/SHA256SUMS"
