# One node of another OTP release and the commands tried on it: sourced by matrix_runs.sh and matrix_releases.sh, which
# set `node` to its name and start it with its pid in `pid`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
release=$1 updo=$UPDO_BIN
inside=$(sh "$root/scripts/otp.sh" root "$release")
room=$(mktemp -d)
node='' pid=''
clean_up() {
    local status=$?
    trap - EXIT
    [ -z "$pid" ] || { kill -9 "$pid" && wait "$pid"; } 2>/dev/null || true
    rm -rf "$room"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

stop() {
    kill -9 "$pid"
    wait "$pid" 2>/dev/null || true
    pid=''
    sleep 0.3
}

# `is EXPRESSION VALUE`: what the node says.
is() {
    local found
    found=$("$updo" eval --syntax erlang "$node" "$1" | tr -d ' \n')
    [ "$found" = "$2" ] || { echo "OTP $release: $1 is $found, not $2"; exit 1; }
}

plan() {
    printf 'plan "%s".\n%s\n' "$1" "$2" >"$room/plan.updo"
}

run() {
    local code=$1 status=0
    shift
    "$updo" "$@" >"$room/run.log" 2>&1 || status=$?
    [ "$status" = "$code" ] || { echo "OTP $release: updo $* ends with $status"; cat "$room/run.log"; exit 1; }
}

# `says TEXT`: what the last run has printed.
says() {
    grep -q -e "$1" "$room/run.log" || { echo "OTP $release: nothing says $1"; cat "$room/run.log"; exit 1; }
}
