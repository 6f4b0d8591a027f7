#!/usr/bin/env bash
# Opens a report and a graph in headless Chromium, as people would see them, and asserts on what is there.
#
#   scripts/look.sh UPDO [FOLDER]    UPDO is the binary; pictures are kept in FOLDER (target/look)
#
# The demo is run first: its events make the report, its beams the graph. Two widths, light and dark: nothing
# runs out of the page, pictures are drawn, colours follow the scheme. Look at the pictures too.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
updo=$1
out=${2:-${CARGO_TARGET_DIR:-$root/target}/look}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$browser" ] || { echo "look: no chromium: apt-get install chromium" >&2; exit 1; }

# open FILE WIDTH HEIGHT SCHEME [ARGUMENT…]
open() {
    local file=$1 width=$2 height=$3 dark=1
    [ "$4" = dark ] && dark=0
    shift 4
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --no-first-run --hide-scrollbars \
        --disable-background-networking --disable-component-update --disable-sync --user-data-dir="$work/profile" \
        --blink-settings=preferredColorScheme=$dark --window-size="$width,$height" "$@" "file://$file" 2>/dev/null
}

# The page says about itself what a test wants to know.
ask='<script>addEventListener("load",()=>{const all=s=>document.querySelectorAll(s).length,page=document.documentElement;
document.body.dataset.look=JSON.stringify({over:page.scrollWidth-innerWidth,bars:all("svg.time rect.bar"),graphs:all(".picture svg"),
lines:all(".plan .line"),rows:all("tbody tr"),steps:all("ol.script>li"),back:getComputedStyle(document.body).backgroundColor})})</script>'

events=$(DEMO_KEEP=1 UPDO_BIN="$updo" bash "$root/demo/run.sh" 2>&1 | tee "$work/demo.log" | sed -n 's/^working folder: //p')
[ -s "$events/events.jsonl" ] || { tail "$work/demo.log" >&2; exit 1; }
"$updo" report "$events/events.jsonl" -o "$out/report.html"
rm -rf "$events"
"$updo" graph --format svg --beams "$(erl -noinput -boot start_clean -eval 'io:put_chars(code:lib_dir(kernel)), halt().')/ebin" >"$out/graph.svg"

fail=0
check() {
    if eval "$2"; then echo "  ok     $1"; else echo "  FAIL   $1: $3"; fail=1; fi
}
field() { grep -o "&quot;$1&quot;:[^,}]*" <<<"$2" | head -n 1 | cut -d : -f 2- | sed 's/&quot;//g'; }

sed "s|</body>|$(printf '%s' "$ask" | tr '\n' ' ' | sed 's/[&|]/\\&/g')</body>|" "$out/report.html" >"$work/asked.html"
for width in 1280 420; do
    for scheme in light dark; do
        echo "report, $width wide, $scheme"
        open "$out/report.html" "$width" 3400 "$scheme" --screenshot="$out/report-$width-$scheme.png"
        dom=$(open "$work/asked.html" "$width" 3400 "$scheme" --virtual-time-budget=2000 --dump-dom | grep -o 'data-look="[^"]*"')
        back=$(field back "$dom,}" || true)
        check "nothing runs out of the page" '[ "$(field over "$dom")" -le 0 ]' "$dom"
        check "the steps of the run are bars" '[ "$(field bars "$dom")" -ge 4 ]' "$dom"
        check "time and graph are drawn" '[ "$(field graphs "$dom")" -ge 2 ]' "$dom"
        check "instructions, modules and the plan are there" '[ "$(field steps "$dom")" -ge 9 ] && [ "$(field rows "$dom")" -ge 10 ] && [ "$(field lines "$dom")" -ge 20 ]' "$dom"
        check "the page follows the scheme" 'case $scheme in dark) grep -q "rgb(15" <<<"$dom" ;; *) grep -q "rgb(255" <<<"$dom" ;; esac' "$dom"
        check "there is a picture" '[ "$(stat -c %s "$out/report-$width-$scheme.png")" -gt 20000 ]' "$out"
    done
done
echo "graph of kernel"
for scheme in light dark; do
    open "$out/graph.svg" 1600 1200 "$scheme" --screenshot="$out/graph-$scheme.png"
    check "$scheme: there is a picture" '[ "$(stat -c %s "$out/graph-$scheme.png")" -gt 50000 ]' "$out"
done
cmp -s "$out/graph-light.png" "$out/graph-dark.png" && { echo "  FAIL   light and dark are the same"; fail=1; }
echo "pictures: $out"
exit $fail
