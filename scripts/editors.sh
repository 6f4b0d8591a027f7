#!/usr/bin/env bash
# The editors of docs/editors.md, each started for real on a plan with a mistake, with the very lines that the page shows: the
# diagnostic is on the screen, and so is what the mouse or a key asks about a word. The extension of VS Code is built before.
#
#   scripts/editors.sh UPDO [neovim|helix|vscode]…
#
# Neovim and Helix are those of Debian's sid, in a chroot that is kept (needs root); VS Code is its own server of the npm
# package `code-server`, opened in headless Chromium (a picture is left in target/editors). Needs the network once.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
updo=$(cd "$(dirname "${1:?the binary}")" && pwd)/$(basename "$1")
shift
[ $# -gt 0 ] || set -- neovim helix vscode
out=${CARGO_TARGET_DIR:-$root/target}/editors
chroot=${UPDO_OTP_DIR:-$HOME/.cache/updo/otp}/editors
# The last whose engine is Node.js 20.
code_server=4.96.4
fail() {
    echo "editors: $*" >&2
    exit 1
}
mkdir -p "$out"
work=$(mktemp -d)
server=
clean_up() {
    local status=$?
    trap - EXIT
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    tmux -L "updo-$$" kill-server 2>/dev/null || true
    rm -rf "$work" "$chroot/tmp/editors"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

cat >"$work/plan.updo" <<'PLAN'
plan "Cart: tax rounding fix".
target shop #{nodes => ['shop@10.0.0.11']}.
code on_disk.
% A mistake:
rollback automatik.
verify "it answers" #{within => 5s} -> ok = shop:state().
PLAN
# What an editor has to show of it.
wrong='unexpected `automatik`' help='did you mean `automatic`' means='what happens after a failure'

# `shown LANGUAGE`: the lines of that language on the page.
shown() { awk -v from="^\`\`\`$1\$" '$0 ~ from {on = 1; next} /^```/ {on = 0} on' "$root/docs/editors.md"; }
# `has WHERE TEXT…`
has() {
    local where=$1 text
    shift
    for text in "$@"; do
        grep -qF -- "$text" "$where" || { cat "$where" >&2 && fail "$where does not show: $text"; }
    done
}

in_chroot() {
    [ "$(id -u)" = 0 ] || fail "this needs root, as chroot does"
    if [ ! -d "$chroot" ]; then
        mkdir -p "$(dirname "$chroot")"
        sh "$root/scripts/otp.sh" bare sid "$chroot.partial.$$" neovim,hx
        mv "$chroot.partial.$$" "$chroot"
    fi
    rm -rf "$chroot/tmp/editors"
    mkdir -p "$chroot/tmp/editors/.config/nvim" "$chroot/tmp/editors/.config/helix" "$chroot/tmp/editors/bin"
    cp "$updo" "$chroot/tmp/editors/bin/updo"
    cp "$work/plan.updo" "$chroot/tmp/editors"
    # Helix asks /proc where it is; the mount is of this command alone.
    cat >"$work/inside" <<INSIDE
#!/bin/sh
exec unshare --mount sh -c 'mount -t proc proc "\$0/proc" && exec chroot "\$0" env -i HOME=/tmp/editors LC_ALL=C.UTF-8 \\
    TERM=xterm-256color PATH=/tmp/editors/bin:/usr/bin:/bin "\$@"' '$chroot' "\$@"
INSIDE
    chmod +x "$work/inside"
}

neovim() {
    in_chroot
    shown lua >"$chroot/tmp/editors/.config/nvim/init.lua"
    cat >"$chroot/tmp/editors/ask.lua" <<'LUA'
local function say(text) io.stdout:write(text .. "\n") end
vim.wait(20000, function() return #vim.diagnostic.get(0) > 0 end, 20)
for _, d in ipairs(vim.diagnostic.get(0)) do say(("%d:%d %s %s"):format(d.lnum + 1, d.col + 1, d.code, d.message)) end
local client = vim.lsp.get_clients({ bufnr = 0 })[1]
vim.api.nvim_win_set_cursor(0, { 5, 2 })
local at = vim.lsp.util.make_position_params(0, client.offset_encoding)
local hover = vim.lsp.buf_request_sync(0, "textDocument/hover", at, 5000)
for _, answer in pairs(hover) do say("hover " .. answer.result.contents.value) end
vim.api.nvim_win_set_cursor(0, { 5, 10 })
vim.lsp.buf.code_action({ apply = true, context = { only = { "quickfix" } } })
vim.wait(5000, function() return vim.api.nvim_buf_get_lines(0, 4, 5, true)[1] == "rollback automatic." end, 20)
say("mended " .. vim.api.nvim_buf_get_lines(0, 4, 5, true)[1])
vim.cmd("qa!")
LUA
    "$work/inside" timeout 60 nvim --headless /tmp/editors/plan.updo -c 'luafile /tmp/editors/ask.lua' >"$out/neovim.txt" 2>&1 ||
        { cat "$out/neovim.txt" >&2 && fail "nvim has failed"; }
    has "$out/neovim.txt" "5:10 E101 $wrong" "$help" "$means" 'mended rollback automatic.'
    echo "== $("$work/inside" nvim --version | head -n 1): diagnostic, hover, quick fix"
}

helix() {
    in_chroot
    command -v tmux >/dev/null || fail "no tmux: apt-get install tmux"
    shown toml >"$chroot/tmp/editors/.config/helix/languages.toml"
    "$work/inside" hx --health updo >"$out/helix-health.txt" 2>&1
    grep -q '✓.*updo' "$out/helix-health.txt" || { cat "$out/helix-health.txt" >&2 && fail "helix does not know updo"; }
    tmux -L "updo-$$" -f /dev/null new-session -d -x 160 -y 30 "$work/inside" hx /tmp/editors/plan.updo
    # `screen FILE TEXT…`
    screen() {
        local tries=0
        until tmux -L "updo-$$" capture-pane -p >"$1" && grep -qF -- "$2" "$1"; do
            tries=$((tries + 1))
            [ "$tries" -lt 100 ] || { cat "$1" >&2 && fail "helix does not show: $2"; }
            sleep 0.2
        done
    }
    screen "$out/helix.txt" "$wrong"
    has "$out/helix.txt" "$help"
    tmux -L "updo-$$" send-keys 5G l l Space k
    screen "$out/helix-hover.txt" "$means"
    tmux -L "updo-$$" send-keys Escape :q! Enter
    echo "== $("$work/inside" hx --version): diagnostic, hover"
}

vscode() {
    local extension=$root/integrations/vscode code=$out/code-server/node_modules/code-server/lib/vscode browser port
    browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
    [ -n "$browser" ] || fail "no chromium: apt-get install chromium"
    command -v npm >/dev/null || fail "no npm: apt-get install npm"
    (cd "$extension" && npm ci --ignore-scripts --no-audit --no-fund --silent && npm run --silent package) >"$out/vscode-build.txt" 2>&1 ||
        { cat "$out/vscode-build.txt" >&2 && fail "the extension is not built"; }
    cp "$extension/dist/updo.vsix" "$out/updo.vsix"
    unzip -p "$out/updo.vsix" extension/dist/updo.tmLanguage.json | cmp -s - "$root/grammar/updo.tmLanguage.json" ||
        fail "the grammar in the extension is not that of the sources"
    echo "== $out/updo.vsix"
    if [ ! -e "$code/ready" ]; then
        mkdir -p "$out/code-server"
        # Its list of exact versions names a host that is no registry; some modules are C++.
        (cd "$out/code-server" && npm install --ignore-scripts --no-audit --no-fund --silent "code-server@$code_server" && cd "$code" &&
            rm -f npm-shrinkwrap.json && npm install --ignore-scripts --omit=dev --no-audit --no-fund --silent &&
            npm_config_nodedir=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")") \
                npm rebuild --silent @vscode/spdlog node-pty native-watchdog @parcel/watcher) >"$out/code-server.txt" 2>&1 ||
            { tail -n 20 "$out/code-server.txt" >&2 && fail "VS Code is not to be had"; }
        touch "$code/ready"
    fi
    port=$((20000 + RANDOM % 12000))
    local dirs=(--server-data-dir "$work/data" --extensions-dir "$work/extensions" --accept-server-license-terms)
    mkdir -p "$work/data/data/Machine" "$work/project"
    cp "$work/plan.updo" "$work/project"
    printf '{"updo.path": "%s"}\n' "$updo" >"$work/data/data/Machine/settings.json"
    node "$code/out/server-main.js" "${dirs[@]}" --install-extension "$out/updo.vsix" >"$out/vscode-server.txt" 2>&1
    node "$code/out/server-main.js" "${dirs[@]}" --host 127.0.0.1 --port "$port" --without-connection-token >>"$out/vscode-server.txt" 2>&1 &
    server=$!
    until grep -q 'Extension host agent started' "$out/vscode-server.txt"; do
        kill -0 "$server" 2>/dev/null || { cat "$out/vscode-server.txt" >&2 && fail "VS Code does not start"; }
        sleep 0.2
    done
    (cd "$extension" && timeout 180 node try.mjs "$browser" "127.0.0.1:$port" "$work/project" "$out/vscode.png" \
        "$wrong" "$help" "$means") >"$out/vscode.txt" 2>&1 || { tail -n 40 "$out/vscode.txt" >&2 && fail "VS Code"; }
    cat "$out/vscode.txt"
    kill "$server" && wait "$server" 2>/dev/null || true
    server=
}

for editor in "$@"; do
    case $editor in
    neovim | helix | vscode) "$editor" ;;
    *) fail "no editor $editor: neovim, helix, vscode" ;;
    esac
done
echo "== all ok"
