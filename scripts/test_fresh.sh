#!/usr/bin/env bash
# What scripts/dist.sh has made, installed in a fresh Debian that has Erlang and nothing of updo's sources or of Rust: the
# .deb by dpkg, the archive by tar, the image by unpacking it. In the first two the first page of the book is executed
# as a newcomer would, and its screens are compared (tests/book). Needs root: it makes a chroot, which it keeps.
#
#   scripts/test_fresh.sh [FOLDER]    target/dist by default
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dist=$(cd "${1:-$root/target/dist}" && pwd)
cache=${UPDO_OTP_DIR:-$HOME/.cache/updo/otp}
base=$cache/fresh
cargo=${CARGO:-cargo}
fail() {
    echo "test-fresh: $*" >&2
    exit 1
}
[ "$(id -u)" = 0 ] || fail "this needs root, as chroot does"
case $(uname -m) in
x86_64) arch=x86_64 debian=amd64 ;;
aarch64) arch=aarch64 debian=arm64 ;;
*) fail "nothing is made for $(uname -m)" ;;
esac
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)

(cd "$dist" && sha256sum --check --quiet SHA256SUMS) || fail "the checksums are not those of the files in $dist"
echo "== checksums ok"

if [ ! -d "$base" ]; then
    mkdir -p "$cache"
    # The Debian of the book's transcripts.
    sh "$root/scripts/otp.sh" bare bookworm "$base.partial.$$" erlang-base
    mv "$base.partial.$$" "$base"
fi
work=$(mktemp -d -p "$cache" room.XXXXXX)
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# `in_root ROOT COMMAND…`
in_root() {
    local in=$1
    shift
    env -i HOME=/root PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 chroot "$in" "$@"
}

# `is_there ROOT PREFIX`: the pages and the completions, and that the binary says what it is.
is_there() {
    local file said
    for file in bin/updo share/man/man1/updo.1.gz share/man/man1/updo-run.1.gz share/man/man5/updo-plan.5.gz \
        share/bash-completion/completions/updo share/fish/vendor_completions.d/updo.fish; do
        [ -s "$1$2/$file" ] || fail "$2/$file is not there"
    done
    gzip -dc "$1$2/share/man/man1/updo-run.1.gz" | grep -q '^\.TH UPDO-RUN 1 ' || fail "updo-run(1) is no manual page"
    said=$(in_root "$1" updo version)
    [ "$said" = "updo $version" ] || fail "the binary says: $said"
    said=$(in_root "$1" bash -c '. "$0" && complete -p updo' "$2/share/bash-completion/completions/updo")
    [[ $said == *_clap_complete_updo* ]] || fail "bash completes nothing: $said"
}

# `newcomer ROOT`: the first upgrade of the book.
newcomer() {
    # shellcheck disable=SC2086 # it may be a wrapper with arguments
    (cd "$root" && UPDO_BOOK_ROOT=$1 $cargo test --quiet --locked --test book -- --exact a_first_upgrade_in_plain_erl) >"$work/book.log" 2>&1 ||
        { cat "$work/book.log" && fail "the first upgrade of the book fails in $1"; }
    grep -q '1 passed' "$work/book.log" || fail "no page was executed"
}

echo "== updo_${version}_$debian.deb"
cp -a "$base" "$work/deb"
[ ! -e "$work/deb/usr/bin/updo" ] || fail "$base is not fresh: remove it"
cp "$dist/updo_${version}_$debian.deb" "$work/deb/tmp/updo.deb"
in_root "$work/deb" dpkg -i /tmp/updo.deb >"$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log" && fail "dpkg does not install it"; }
is_there "$work/deb" /usr
in_root "$work/deb" dpkg -V updo || fail "files are not those of the package"
newcomer "$work/deb"
in_root "$work/deb" dpkg -P updo >"$work/dpkg.log" 2>&1
left=$(find "$work/deb/usr" -name '*updo*' | head -n 3)
[ -z "$left" ] || fail "the package leaves $left behind"
echo "== installed, first upgrade of the book done, removed without a trace"

echo "== updo-$version-$arch-linux.tar.gz"
cp -a "$base" "$work/tar"
tar -C "$work/tar/usr/local" --strip-components=1 --no-same-owner -xzf "$dist/updo-$version-$arch-linux.tar.gz"
is_there "$work/tar" /usr/local
newcomer "$work/tar"
echo "== unpacked, first upgrade of the book done"

echo "== updo-$version-$arch-linux.oci.tar"
mkdir "$work/oci" "$work/image"
tar -C "$work/oci" -xf "$dist/updo-$version-$arch-linux.oci.tar"
python3 - "$work/oci" "$work/image" "$debian" <<'EOF'
import json, os, subprocess, sys, hashlib
oci, image, arch = sys.argv[1:]
def blob(digest):
    path = os.path.join(oci, "blobs", *digest.split(":"))
    data = open(path, "rb").read()
    assert "sha256:" + hashlib.sha256(data).hexdigest() == digest, "a blob is not what its name says"
    return path
manifest = json.load(open(blob(json.load(open(f"{oci}/index.json"))["manifests"][0]["digest"])))
config = json.load(open(blob(manifest["config"]["digest"])))
assert config["architecture"] == arch and config["os"] == "linux", config
assert config["config"]["Entrypoint"] == ["/usr/bin/updo"], config
for layer in manifest["layers"]:
    subprocess.run(["tar", "-C", image, "-xf", blob(layer["digest"])], check=True)
EOF
files=$(cd "$work/image" && find . -type f)
[ "$files" = ./usr/bin/updo ] || fail "the image has other files: $files"
said=$(env -i HOME=/ "$(command -v chroot)" "$work/image" /usr/bin/updo version)
[ "$said" = "updo $version" ] || fail "the image says: $said"
echo "== unpacked, holds one file, which runs with nothing beside it"

python3 - "$dist/updo-$version-$arch-linux.cdx.json" "$root/Cargo.lock" <<'EOF'
import json, sys
bom = json.load(open(sys.argv[1]))
lock = open(sys.argv[2]).read()
assert bom["bomFormat"] == "CycloneDX" and bom["specVersion"] == "1.5"
assert bom["metadata"]["component"]["name"] == "updo"
names = [c["bom-ref"] for c in bom["components"]]
assert len(names) == len(set(names)) > 100, len(names)
for c in bom["components"]:
    assert f'name = "{c["name"]}"\nversion = "{c["version"]}"' in lock, c["name"]
    assert c["licenses"] and c["hashes"][0]["content"] in lock, c["name"]
known = set(names) | {bom["metadata"]["component"]["bom-ref"]}
for d in bom["dependencies"]:
    assert d["ref"] in known and set(d["dependsOn"]) <= known, d["ref"]
linked = {c["name"] for c in bom["components"]}
assert {"ring", "rustls", "eetf"} <= linked and not {"proptest", "vt100", "syn"} & linked, sorted(linked)
print(f"== bill of materials: {len(names)} packages, each of Cargo.lock, with licence and checksum")
EOF
echo "== all ok"
